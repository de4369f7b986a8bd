"""Code that tries to leave the sandbox is out, and the race goes on."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest

from alphafoundry.algorithms.arena import Entry, race
from alphafoundry.algorithms.arena_settings import ArenaSettings
from alphafoundry.algorithms.contract import AlgorithmFailed, Validated
from alphafoundry.algorithms.leader_board import RaceResult
from alphafoundry.algorithms.sandbox import Sandbox, SandboxLimits
from tests.library.algorithms.bars import rising_bars, walking_bars
from tests.library.algorithms.hostile import ESCAPES, GREEDY, REACH, in_call
from tests.some_cases import one_in

TIGHT = Sandbox(SandboxLimits(call_seconds=0.5, load_seconds=0.5, grace_seconds=0.5))
"""For what never ends."""

PATIENT = Sandbox(SandboxLimits(call_seconds=30, load_seconds=30, memory_bytes=200 * 2**20))
"""For all others, which end for another reason than time on the slowest machine."""
HONEST = """
def execute_trade(ticker, cash_balance, shares_held):
    return "BUY" if np.mean(history.close[-3:]) > np.mean(history.close[-9:]) else "SELL"
"""
SECRET = secrets.token_hex(16)
HOSTILE = ESCAPES | GREEDY


ENDLESS = {name for name, (_, kinds) in HOSTILE.items() if "time" in kinds}


def race_among(names: set[str], sandbox: Sandbox, secret: Path) -> RaceResult:
    """Race hostile algorithms, unchecked, and one honest one in their middle."""
    entries = [
        Entry(name, Validated(HOSTILE[name][0].replace("SECRET", str(secret)), "simple"))
        for name in HOSTILE
        if name in names
    ]
    entries.insert(len(entries) // 2, Entry("honest", HONEST))
    settings = ArenaSettings(warm_up=20, tolerated_failures=3)
    return race(entries, [walking_bars(days=40), walking_bars("BBB", 40, 2)], settings, sandbox)


@pytest.fixture(scope="module")
def races(tmp_path_factory: pytest.TempPathFactory) -> tuple[RaceResult, RaceResult]:
    """The races of what never ends and of everything else."""
    secret = tmp_path_factory.mktemp("home") / "credentials.json"
    secret.write_text(SECRET)
    return (
        race_among(ENDLESS, TIGHT, secret),
        race_among(set(HOSTILE) - ENDLESS, PATIENT, secret),
    )


@pytest.mark.parametrize("name", one_in(4, HOSTILE))
def test_hostile_code_is_out_and_reported(races: tuple[RaceResult, RaceResult], name: str) -> None:
    (failure,) = [each for raced in races for each in raced.failures if each.name == name]
    assert failure.kind in HOSTILE[name][1], str(failure)
    assert SECRET not in repr(races)


def test_the_race_goes_on(races: tuple[RaceResult, RaceResult]) -> None:
    for raced in races:
        (honest,) = [row for row in raced.rows if row.name == "honest"]
        assert honest.out is None
        assert honest.calls == 2 * 20
    assert {failure.name for raced in races for failure in raced.failures} == set(HOSTILE)


def test_nothing_is_left_behind(races: tuple[RaceResult, RaceResult]) -> None:
    assert all(raced.rows for raced in races)
    left = [
        path for path in Path("/proc").glob("[0-9]*/cmdline") if b"sandbox_child" in _content(path)
    ]
    mine = [path for path in left if f"PPid:\t{os.getpid()}\n" in _status(path)]
    assert mine == []


def test_every_wall_stands_on_linux(races: tuple[RaceResult, RaceResult]) -> None:
    if os.uname().sysname == "Linux":
        assert {"no capabilities", "seccomp", "audit"} <= set(races[0].walls) & set(races[1].walls)


def test_the_whole_child_holds_nothing_of_the_future() -> None:
    look = """
now = float(history.close[-1])
found = []
for each in child().histories:
    found.append(float(np.nanmax(each._rows)))
view = history.close
while view is not None:
    found.append(float(np.nanmax(view)))
    view = view.base
if max(found) != now:
    raise ValueError(f"{max(found)} is later than {now}")
"""
    bars = [rising_bars("A"), rising_bars("B")]
    settings = ArenaSettings(warm_up=20, tolerated_failures=0)
    outcome = race([Entry("looks", Validated(in_call(look), "simple"))], bars, settings)
    assert outcome.failures == ()
    assert [row.calls for row in outcome.rows if row.name == "looks"] == [200]


def test_base_of_an_array_ends_now_without_any_trick() -> None:
    source = """
def execute_trade(ticker, cash_balance, shares_held):
    whole = history.close.base
    if np.nanmax(whole) > history.close[-1]:
        raise ValueError("the future")
    return "BUY"
"""
    Sandbox().smoke(source, rising_bars())


def test_history_cannot_be_written() -> None:
    source = in_call("history.close[0] = 1.0\nside = 'BUY'", before="")
    with pytest.raises(AlgorithmFailed, match="read-only") as caught:
        Sandbox().smoke(source, walking_bars(days=3))
    assert caught.value.line == 3


def test_a_global_of_one_ticker_says_nothing_of_anothers_future() -> None:
    spy = (
        REACH
        + """
seen = np.__dict__.setdefault("seen", [])
def execute_trade(ticker, cash_balance, shares_held):
    seen.append(float(history.close[-1]))
    if max(seen) > history.close[-1]:
        raise ValueError("the future")
    return "HOLD"
"""
    )
    settings = ArenaSettings(warm_up=5, tolerated_failures=0)
    bars = [rising_bars("A", 30), rising_bars("B", 30)]
    assert race([Entry("spy", Validated(spy, "simple"))], bars, settings).failures == ()


def test_the_environment_is_empty() -> None:
    source = in_call("raise ValueError(str(dict(os_names['environ'])))")
    with pytest.raises(AlgorithmFailed, match=r"ValueError: \{\}$"):
        Sandbox().smoke(Validated(source, "simple"), walking_bars(days=2))


def test_what_an_algorithm_says_is_cut_and_plain() -> None:
    source = in_call(r"raise ValueError('\x1b[2J|' + '\u202e' + 'a\nb' * 10**5)", before="")
    with pytest.raises(AlgorithmFailed) as caught:
        Sandbox().smoke(Validated(source, "simple"), walking_bars(days=2))
    assert len(caught.value.reason) <= 200
    assert caught.value.reason.isprintable()


def test_processor_time_is_limited() -> None:
    limits = SandboxLimits(cpu_seconds=1, call_seconds=30.0)
    source = in_call("sum(range(10**12))", before="")
    with pytest.raises(AlgorithmFailed, match="processor time") as caught:
        Sandbox(limits).smoke(Validated(source, "simple"), walking_bars(days=2))
    assert caught.value.kind == "time"


def test_a_whole_run_is_limited() -> None:
    limits = SandboxLimits(wall_seconds=1.0)
    source = in_call("sum(range(10**6))", before="")
    with pytest.raises(AlgorithmFailed, match="whole run") as caught:
        Sandbox(limits).smoke(Validated(source, "simple"), walking_bars(days=5000))
    assert caught.value.kind == "time"


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _status(path: Path) -> str:
    try:
        return path.with_name("status").read_text()
    except OSError:
        return ""
