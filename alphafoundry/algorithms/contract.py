"""The signatures that an algorithm may have, and how it can fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from alphafoundry.errors import FoundryError

Signature = Literal["simple", "full"]
"""simple: execute_trade(ticker, cash_balance, shares_held) -> "BUY" | "SELL" | "HOLD".
full: execute_trade(ticker, price, tick, cash_balance, shares_held) -> "HOLD" | (side, quantity).
"""

ARGUMENTS: Final[dict[Signature, tuple[str, ...]]] = {
    "simple": ("ticker", "cash_balance", "shares_held"),
    "full": ("ticker", "price", "tick", "cash_balance", "shares_held"),
}
"""What execute_trade is called with, by signature, in the order of the contract."""

WARM_UP: Final = 252
"""Days of history that an algorithm is promised before its first call."""

TOLERATED_FAILURES: Final = 10
"""Calls that may fail before an algorithm is out of a race."""

FailureKind = Literal[
    "refused",
    "error",
    "bad-order",
    "time",
    "memory",
    "recursion",
    "output",
    "exit",
    "forbidden",
    "crashed",
    "corrupt",
    "start",
]
"""refused: the code was refused before it ran. error: it raised. bad-order: it answered something
else than an order. time: a call, the processor time or the whole race took too long. memory,
recursion, output: a limit. exit: it ended its process. forbidden: it tried what the sandbox
denies. crashed: its process died by a signal. corrupt: its process did not keep the protocol.
start: the sandbox itself did not start.
"""


class AlgorithmError(FoundryError):
    """Generated code cannot be used."""


class NoCode(AlgorithmError):
    """An answer holds no Python code.

    Attributes
    ----------
    reason : what is missing, one line
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"no algorithm in the answer: {reason}")

    def __reduce__(self) -> tuple[object, ...]:
        return NoCode, (self.reason,)


@dataclass(frozen=True, order=True)
class Refusal:
    """One reason why code is not run: 1-based line (0 where it is of the whole text)."""

    line: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}" if self.line else self.reason


class RefusedCode(AlgorithmError):
    """Code that the check refuses.

    Attributes
    ----------
    line, reason : the first refusal
    refusals : all of them, by line
    """

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        self.refusals = tuple(refusals)
        self.line = self.refusals[0].line
        self.reason = self.refusals[0].reason
        super().__init__("; ".join(map(str, self.refusals)))

    def __reduce__(self) -> tuple[object, ...]:
        return RefusedCode, (self.refusals,)


class AlgorithmFailed(AlgorithmError):
    """An algorithm failed while it ran.

    Attributes
    ----------
    kind : see `FailureKind`
    reason : one line, at most 200 printable characters
    line : 1-based line of the algorithm, None where it is not known
    """

    def __init__(self, kind: FailureKind, reason: str, line: int | None = None) -> None:
        self.kind: FailureKind = kind
        self.reason = reason
        self.line = line
        where = f"line {line}: " if line else ""
        super().__init__(f"{kind}: {where}{reason}")

    def __reduce__(self) -> tuple[object, ...]:
        return AlgorithmFailed, (self.kind, self.reason, self.line)


@dataclass(frozen=True)
class Validated:
    """Source that passed the check, and which of the two signatures it has."""

    source: str
    signature: Signature
