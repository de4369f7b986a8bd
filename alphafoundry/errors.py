"""Every exception that Alpha Foundry raises on purpose.

A message is one line for a person: what happened, where, and what to do.
`transient` says whether the same call may succeed a little later.
"""

from __future__ import annotations


class FoundryError(Exception):
    """Base of all errors that a user can act on."""

    transient: bool = False


class ConfigurationError(FoundryError):
    """A configuration file, flag or environment variable is wrong."""


class WrongText(FoundryError):
    """A text that a person typed is too long, or not of the form that it must have."""


class RunStopped(FoundryError):
    """A run was asked to stop; what had finished is kept."""

    def __init__(
        self, message: str = "stopped; what had finished is saved, run the same command again"
    ) -> None:
        super().__init__(message)


class MarketError(FoundryError):
    """Market data is missing, unreadable or unusable."""


class SimulationError(FoundryError):
    """A simulation cannot give a result; the message is BRAIN's text where it has one."""


class EvidenceError(FoundryError):
    """A question about luck that the given PnL cannot answer."""


class BacktestError(FoundryError):
    """A backtest was asked for something that its bars, strategy or settings do not allow."""


class UnknownStrategy(BacktestError):
    """No strategy has that name."""


class WrongParameter(BacktestError):
    """A strategy's parameter is unknown, missing or out of range."""


class InfeasibleEnsemble(BacktestError):
    """No weights meet the constraints of an ensemble."""


class CannotKeep(BacktestError):
    """What a backtest made cannot be written: no space left, or no permission."""


class PortfolioError(FoundryError):
    """A portfolio or its risk was asked for with arrays or settings that do not fit."""


class PerformanceError(FoundryError):
    """A track record was asked for from values that give none, or its parts do not add up."""


class WorkflowError(FoundryError):
    """A workflow cannot go on, or cannot be compared with an earlier run."""


class PhaseFailed(WorkflowError):
    """A phase of a workflow gave no result that the next ones could use."""


class OtherCode(WorkflowError):
    """A process that is to do a part of a workflow runs other code than the one that asks it to."""


class UnreadableCheckpoint(WorkflowError):
    """A checkpoint does not hold what this code keeps in one; its work is done again."""


class TradingError(FoundryError):
    """An order, a ledger entry or a desk's account is not what it must be."""


class UnbalancedEntry(TradingError):
    """The amounts of a ledger entry's lines do not add to 0."""


class BrokerError(TradingError):
    """A call of a broker's API did not give what it should."""


class BrokerRefused(BrokerError):
    """The broker refused a request for good.

    Attributes
    ----------
    status : HTTP status
    code : the broker's number of the reason, None where it gave none
    reason : the broker's text
    """

    def __init__(self, message: str, *, status: int, code: int | None, reason: str) -> None:
        self.status = status
        self.code = code
        self.reason = reason
        super().__init__(message)


class BrokerUnavailable(BrokerError):
    """The broker did not answer, or answered 429, 5xx or something unreadable.

    Attributes
    ----------
    fate_unknown : True where an order may or may not have arrived; False where it surely did not
    """

    transient = True

    def __init__(self, message: str, *, fate_unknown: bool = False) -> None:
        self.fate_unknown = fate_unknown
        super().__init__(message)


class NewsError(FoundryError):
    """A feed of headlines cannot be read."""

    transient = True


class StoreError(FoundryError):
    """The database cannot be opened, migrated or written."""


class StoreUnavailable(StoreError):
    """The database is busy or restarting; try again."""

    transient = True


class NotInStore(StoreError):
    """The store has nothing of the name or number that was asked for."""


class TakenOver(StoreError):
    """Another run has taken over what this one was at."""


class ExpressionError(FoundryError):
    """A FASTEXPR text is wrong at a known position.

    Attributes
    ----------
    message : the engine's text, without the position
    line, column : 1-based position of the offending token
    end_column : 1-based column just after the token
    expression : the whole text
    """

    def __init__(
        self,
        message: str,
        *,
        expression: str,
        line: int = 1,
        column: int = 1,
        end_column: int | None = None,
    ) -> None:
        self.message = message
        self.expression = expression
        self.line = line
        self.column = column
        self.end_column = column + 1 if end_column is None else end_column
        shown = expression if len(expression) <= 200 else expression[:197] + "..."
        super().__init__(f"{shown}:{line}:{column}: {message}")

    def __reduce__(self) -> tuple[object, ...]:
        return (
            _rebuild_expression_error,
            (self.message, self.expression, self.line, self.column, self.end_column),
        )


def _rebuild_expression_error(
    message: str, expression: str, line: int, column: int, end_column: int
) -> ExpressionError:
    return ExpressionError(
        message, expression=expression, line=line, column=column, end_column=end_column
    )


class BrainError(FoundryError):
    """A call of the BRAIN API did not give what it should."""


class AuthenticationError(BrainError):
    """Credentials are missing or were refused."""


class PersonaRequired(AuthenticationError):
    """BRAIN wants a biometric confirmation in a browser.

    Attributes
    ----------
    url : absolute address that the person opens, and that the client then POSTs to
    """

    def __init__(self, url: str) -> None:
        self.url = url
        super().__init__(f"BRAIN asks for a biometric check: open {url} in a browser and confirm")


class BrainRequestError(BrainError):
    """BRAIN refused a request for good (a 4xx that repeating cannot mend).

    Attributes
    ----------
    status : HTTP status
    detail : the decoded body, or its first 500 characters
    """

    def __init__(self, message: str, *, status: int, detail: object = None) -> None:
        self.status = status
        self.detail = detail
        super().__init__(message)


class BrainUnavailable(BrainError):
    """BRAIN did not answer, or answered with a 5xx or an unreadable body.

    Attributes
    ----------
    status : HTTP status, None where no answer came
    retry_after : seconds that the service asked to wait, None where it said nothing
    fate_unknown : True where a request that must not be made twice (a simulation, a submission)
        may or may not have been carried out; ask the service before sending it again. Such an
        error is not transient.
    """

    transient = True

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        fate_unknown: bool = False,
    ) -> None:
        self.status = status
        self.retry_after = retry_after
        self.fate_unknown = fate_unknown
        super().__init__(message)
        self.transient = not fate_unknown


class RateLimited(BrainUnavailable):
    """BRAIN answered 429.

    Attributes
    ----------
    kind : "concurrent" (too many simulations at once), "daily" (quota used up until midnight
        US Eastern) or "rate" (too many requests)
    """

    def __init__(self, message: str, *, kind: str, retry_after: float | None = None) -> None:
        self.kind = kind
        super().__init__(message, status=429, retry_after=retry_after)
        self.transient = kind != "daily"


class LanguageModelError(FoundryError):
    """A language model did not answer, or answered with something unusable.

    Attributes
    ----------
    retry_after : seconds that the service asked to wait, None where it said nothing
    kind : what went wrong, one of the kinds of `ModelRequestError`
    status : HTTP status, None where there was no answer
    """

    def __init__(
        self,
        message: str,
        *,
        transient: bool = False,
        retry_after: float | None = None,
        kind: str = "unusable",
        status: int | None = None,
    ) -> None:
        self.transient = transient
        self.retry_after = retry_after
        self.kind = kind
        self.status = status
        super().__init__(message)


class ModelMemoryError(LanguageModelError):
    """The model does not fit in the memory of the machine that serves it."""


class ModelNotFoundError(LanguageModelError):
    """The server does not have the model that was asked for."""


class ModelRequestError(LanguageModelError):
    """One request to a language model over HTTP did not give an answer that can be used.

    kind is "rate limit" (429), "server" (5xx), "time-out", "network", "refused" (any other
    status), "unusable" (an answer that is not what the API promises), or "circuit" (nothing was
    sent, because the endpoint has failed too often). The first four are transient. Tokens and
    cost are those of an answer that came and cannot be used, None where the service named none.
    """

    TRANSIENT_KINDS = frozenset({"rate limit", "server", "time-out", "network"})

    def __init__(
        self,
        message: str,
        *,
        kind: str,
        status: int | None = None,
        retry_after: float | None = None,
        prompt_tokens: int | None = None,
        completion_tokens: int | None = None,
        cost: float | None = None,
    ) -> None:
        self.prompt_tokens = prompt_tokens
        self.completion_tokens = completion_tokens
        self.cost = cost
        super().__init__(
            message,
            transient=kind in self.TRANSIENT_KINDS,
            retry_after=retry_after,
            kind=kind,
            status=status,
        )


def os_error_in_one_line(problem: OSError) -> str:
    """Return which file or folder could not be used, and why."""
    where = f"{problem.filename}: " if problem.filename is not None else ""
    return f"{where}{problem.strerror or problem}"
