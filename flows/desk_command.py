"""The command line of the desk: `python -m flows.desk COMMAND`."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NoReturn

from prefect import Flow
from rich.markup import escape
from rich.table import Table

from alphafoundry.agents.as_of import HEADINGS, desk_as_of
from alphafoundry.agents.chosen_broker import chosen_broker
from alphafoundry.agents.control import change_desk, pause_agent
from alphafoundry.agents.counterfactual import COSTS, schedule_without
from alphafoundry.agents.decisions import first_difference, replayed
from alphafoundry.agents.flatten import flatten_desk
from alphafoundry.agents.reconciling import adopt_outside, reconcile_desk
from alphafoundry.agents.schedule import ENVIRONMENT, SCHEDULE, Schedule
from alphafoundry.agents.schedule_check import (
    cautions,
    check_other_environments,
    checked_schedule,
)
from alphafoundry.agents.simulation import finished_simulation
from alphafoundry.agents.status import desk_status, why
from alphafoundry.agents.strategy_book import person_sets_state
from alphafoundry.errors import ConfigurationError, FoundryError
from alphafoundry.settings import FoundrySettings, load_settings
from alphafoundry.store import Store, open_store
from alphafoundry.store.agents import read_agent_desk
from alphafoundry.store.strategy_tables import StrategyState
from alphafoundry.trading import BrokerClient
from flows.command_line import Command, Parameters
from flows.command_line import main as run_flow
from flows.desk_report import report
from flows.plain_command import EXIT_ERROR, Parser, end_with
from flows.terminal import report_console

EXIT_DIFFERENT = 3
MOST_WORKERS = 64
MOST_CASH = 1e12
"""Dollars; the ledger counts 1/10,000 of them in 64 bits."""
MOST_MINUTES = 527_040
"""A year."""
_SCHEDULE = ("schedule", "environment", "seeding")
_COMMON = (*_SCHEDULE, "cash")

HELP = """usage: python -m flows.desk COMMAND

  simulate [5d|252d]   let the desk trade the last sessions of a market on a simulated clock
  run                  live through sessions on a clock that goes by itself; --broker alpaca
                       trades at Alpaca on the true clock
  compare [DESK]       simulate a desk again without an agent, a limit or a cost, side by side:
                       --without sentiment_fetch, --without limits.sector, --without costs
  replay [DESK]        do a desk again and compare: a simulation's rows, a run's decisions
  reconcile [DESK]     hold the ledger against the broker's own book, and name each difference
  status [DESK]        state, health and last ticks of every agent; --as-of 2024-01-02 as it was
  why WHAT [DESK]      why an agent did not run, what became of a tick (AGENT@2024-01-05T15:40),
                       what an order (its number) is made of
  pause AGENT REASON   let an agent of a desk that runs rest until it is resumed
  resume [AGENT]       let an agent, or the whole desk, go on
  halt REASON          let a desk that runs send nothing; resume ends it
  retire ID REASON     take a strategy or model from a desk that runs; reinstate brings it back
  flatten REASON       cancel open orders and close every position of a desk that runs
  report [DESK]        write the tear sheet and the state: --output report.html, .json or .png
  account              ask the broker of config/foundry.yaml whose account it is
  api                  serve desks over HTTP on this machine: --port 4240
  check [FILE]         read a schedule: mistakes, what is left out, what can never come about

`python -m flows.desk COMMAND --help` lists the flags of one. DESK is the newest where left out.
"""


def main(
    simulation: Flow[..., Any],
    living: Flow[..., Any],
    comparing: Flow[..., Any],
    outside: Flow[..., Any],
) -> NoReturn:
    """Run one command of the desk, and end the process."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        report_console().print(escape(HELP), end="")
        sys.exit(0)
    del sys.argv[1]
    if name == "replay":
        _replay_run(sys.argv[1:])
    if name in ("simulate", "replay"):
        again = _Replay() if name == "replay" else None
        run_flow(simulation, again.command() if again else simulate_command())
    if name == "run":
        if _broker_of(sys.argv[1:]) == "paper":
            run_flow(living, run_command())
        run_flow(outside, outside_command())
    if name == "compare":
        run_flow(comparing, _compare_command())
    if name not in _COMMANDS:
        known = ", ".join(["simulate", "run", "compare", "replay", *_COMMANDS])
        sys.exit(_told(f"{name!r} is no command of the desk; choose one of {known}"))
    end_with(lambda: _COMMANDS[name](sys.argv[1:]))


def simulate_command() -> Command:
    """Return the command that simulates."""
    return Command(
        "flows.desk simulate",
        check=_check_simulation,
        add_arguments=_add_simulation,
        prepare=_prepare_simulation,
        finish=_finish,
    )


def _add_simulation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sessions", nargs="?", default="5d", metavar="DAYS", help="sessions: 5d, 252d (default: 5d)"
    )
    parser.add_argument(
        "--restart",
        action="store_true",
        help="begin anew; without it a simulation of the same that was cut goes on where it was",
    )
    _add_workers(parser)
    _add_common(parser)


def _add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="threads that prepare signals and risk models; no row depends on it (default: 1)",
    )


def _check_workers(workers: int) -> None:
    if not 1 <= workers <= MOST_WORKERS:
        raise ConfigurationError(f"--workers {workers}: must be 1 to {MOST_WORKERS}")


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cash", type=float, default=1_000_000.0, help="dollars to begin with (default: 1000000)"
    )
    _add_schedule(parser)


def _add_schedule(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--schedule", default=str(SCHEDULE), metavar="FILE")
    parser.add_argument("--environment", default=ENVIRONMENT, metavar="NAME")
    parser.add_argument(
        "--seeding",
        type=int,
        default=60,
        metavar="N",
        help="alphas to simulate first where the store holds none that may trade (default: 60)",
    )


def _prepare_simulation(arguments: Parameters) -> Parameters:
    given = {name: arguments.pop(name) for name in (*_COMMON, "workers")}
    text, restart = arguments.pop("sessions"), arguments.pop("restart")
    found = re.fullmatch(r"([1-9][0-9]*)d?", text)
    if found is None:
        raise ConfigurationError(f"{text!r} is no number of sessions; write it as 5d")
    _check_common(given)
    _check_workers(given["workers"])
    return {**given, "sessions": int(found[1]), "restart": restart}


def _check_common(given: Mapping[str, Any]) -> None:
    if not 0 < given["cash"] <= MOST_CASH:
        raise ConfigurationError(f"--cash {given['cash']:g}: must be above 0 and at most 1e12")
    _check_seeding(given)


def _check_seeding(given: Mapping[str, Any]) -> None:
    if given["seeding"] < 1:
        raise ConfigurationError(f"--seeding {given['seeding']}: must be at least 1")


def _check_simulation(
    settings: FoundrySettings, given: Parameters, say: Callable[[str], None]
) -> None:
    checked_schedule(Path(given["schedule"]), environment=given["environment"])
    _check_market(settings, given, say)


def _check_market(
    settings: FoundrySettings, _given: Parameters, say: Callable[[str], None]
) -> None:
    from alphafoundry.research.run import load_simulated_market

    load_simulated_market(settings, say)


def run_command() -> Command:
    """Return the command that lives through a session on a clock."""
    return Command(
        "flows.desk run",
        check=_check_simulation,
        add_arguments=_add_run,
        prepare=_prepare_run,
        finish=_finish,
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--start", default="11:25", metavar="HH:MM", help="time at the exchange (default: 11:25)"
    )
    parser.add_argument(
        "--speed", type=float, default=10.0, help="so much faster than the true time (default: 10)"
    )
    parser.add_argument(
        "--minutes", type=float, default=30.0, help="of the true time (default: 30)"
    )
    parser.add_argument(
        "--sessions",
        type=int,
        default=1,
        metavar="N",
        help="begin in the Nth last session, nights included (default: 1)",
    )
    parser.add_argument(
        "--deployments",
        action="store_true",
        help="let workers do the ticks, woken by a deployment for each agent; needs make server, "
        "make deploy and make worker",
    )
    _add_common(parser)


def _prepare_run(arguments: Parameters) -> Parameters:
    names = ("start", "speed", "minutes", "sessions", "deployments", *_COMMON)
    given = {name: arguments.pop(name) for name in names}
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", given["start"]):
        raise ConfigurationError(f"--start {given['start']}: is no time of day; write 11:25")
    for name in ("speed", "minutes", "sessions"):
        if not 0 < given[name] <= 1e6:
            raise ConfigurationError(
                f"--{name} {given[name]:g}: must be above 0 and at most 1,000,000"
            )
    _check_common(given)
    return given


def outside_command() -> Command:
    """Return the command that trades at a broker outside, on the true clock."""
    return Command(
        "flows.desk run",
        check=_check_outside,
        add_arguments=_add_outside,
        prepare=_prepare_outside,
        finish=_finish,
        # It is meant to be stopped.
        interrupted_status=0,
    )


def _broker_of(words: Sequence[str]) -> str:
    """Return the broker of the words, or else that of the settings."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--broker")
    given: str | None = parser.parse_known_args(list(words))[0].broker
    try:
        return given or load_settings().broker.provider
    except FoundryError:
        # The command tells what is wrong with them.
        return "paper"


def _add_outside(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--minutes", type=float, default=None, help="end after so many (default: until stopped)"
    )
    _add_schedule(parser)


def _prepare_outside(arguments: Parameters) -> Parameters:
    given = {name: arguments.pop(name) for name in ("minutes", *_SCHEDULE)}
    minutes = given["minutes"]
    if minutes is not None and not 0 < minutes <= MOST_MINUTES:
        raise ConfigurationError(
            f"--minutes {minutes:g}: must be above 0 and at most {MOST_MINUTES:,d}"
        )
    _check_seeding(given)
    return given


def _check_outside(
    settings: FoundrySettings, given: Parameters, say: Callable[[str], None]
) -> None:
    from alphafoundry.agents.true_clock import check_market, client_of
    from alphafoundry.research.run import load_simulated_market

    schedule = checked_schedule(Path(given["schedule"]), environment=given["environment"])
    # What needs no market is told before one is loaded.
    _outside_client(settings).close()
    panel = load_simulated_market(settings, say)
    with client_of(settings, panel) as client:
        check_market(panel, schedule)
        client.account()


def _finish(report: Any) -> int:
    return EXIT_ERROR if report.totals.differences else 0


def _replay_run(words: list[str]) -> None:
    """Replay a desk that lived on a clock, and end the process; return for a simulation."""
    names = [word for word in words if not word.startswith("-")]
    if len(names) > 1 or len(names) < len(words):
        return
    try:
        with _store() as store:
            found = read_agent_desk(store, names[0] if names else None)
            if found.clock == "simulated":
                return
            count, first = replayed(store, found)
    except FoundryError as problem:
        sys.exit(_told(str(problem)))
    console = report_console()
    if first is None:
        console.print(escape(f"replay: all {count:,} decisions of {found.name} are the same"))
        sys.exit(0)
    console.print(escape(f"replay: a decision of {found.name} differs: {first}"), soft_wrap=True)
    sys.exit(EXIT_DIFFERENT)


def _compare_command() -> Command:
    """Return the command that simulates a desk again without something, beside what it was."""
    return Command(
        "flows.desk compare",
        add_arguments=_add_comparison,
        prepare=_prepare_comparison,
        finish=lambda comparison: EXIT_ERROR if comparison.after["differences"] else 0,
    )


def _add_comparison(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="DESK", help="a simulation; default: the newest")
    parser.add_argument(
        "--without",
        action="append",
        required=True,
        metavar="WHAT",
        help="an agent; a limit of the schedule's section `desk`, as limits.sector; or a cost: "
        f"{', '.join(COSTS)}, or costs for all of them. May be given several times",
    )
    _add_workers(parser)


def _prepare_comparison(arguments: Parameters) -> Parameters:
    without, workers = arguments.pop("without"), arguments.pop("workers")
    _check_workers(workers)
    with _store() as store:
        found, given = finished_simulation(store, arguments.pop("name"))
    schedule_without(found.schedule, without, given["environment"])
    return {"like": found.name, "without": without, "workers": workers}


class _Replay:
    """A simulated desk done again, compared with what the store holds of it."""

    def __init__(self) -> None:
        self._before: Mapping[str, Any] = {}

    def command(self) -> Command:
        return replace(
            simulate_command(),
            module="flows.desk replay",
            add_arguments=self._add,
            prepare=self._prepare,
            check=_check_market,
            finish=self._compare,
        )

    def _add(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", nargs="?", metavar="DESK", help="default: the newest")

    def _prepare(self, arguments: Parameters) -> Parameters:
        with _store() as store:
            found, given = finished_simulation(store, arguments.pop("name"))
        assert found.report is not None
        self._before = found.report
        return {**given, "restart": True, "like": found.name}

    def _compare(self, report: Any) -> int:
        same = report.digest == self._before["digest"]
        console = report_console()
        before = self._before["desk"]
        with _store() as store:
            first = first_difference(store, before, report.desk)
        if same and first is None:
            console.print(f"replay: every row is the same as in {before}")
            return 0
        console.print(
            f"replay: the same was decided, but rows of {before} have changed since"
            if same
            else f"replay: rows differ from those of {before} "
            f"(digest {self._before['digest'][:16]}); code or market have changed"
        )
        console.print(escape(first or "the ticks are the same; orders or fills differ"))
        return EXIT_DIFFERENT


def _store() -> Store:
    settings = load_settings()
    url = settings.database_url
    return open_store(None if url is None else url.get_secret_value(), home=settings.home)


def _parser(name: str, *arguments: tuple[str, dict[str, Any]]) -> argparse.ArgumentParser:
    parser = Parser(prog=f"python -m flows.desk {name}", allow_abbrev=False)
    for flag, options in arguments:
        parser.add_argument(flag, **options)
    return parser


_DESK: tuple[str, dict[str, Any]] = ("desk", {"nargs": "?", "metavar": "DESK"})


def _status(words: list[str]) -> int:
    as_of: tuple[str, dict[str, Any]] = ("--as-of", {"metavar": "DAY", "type": _day})
    given = _parser("status", _DESK, as_of).parse_args(words)
    with _store() as store:
        if given.as_of is None:
            found = desk_status(store, given.desk)
            _show(found.lines(), found.headings(), found.rows())
        else:
            past = desk_as_of(store, given.desk, given.as_of)
            _show(past.lines(), HEADINGS, past.rows())
    return 0


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day; write 2024-01-02") from None


def _reason(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty; say why, it stands in the decision's row")
    return text


_REASON: tuple[str, dict[str, Any]] = ("reason", {"type": _reason})
_OF_DESK: tuple[str, dict[str, Any]] = ("--desk", {"default": None})


def _show(lines: Iterable[str], headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    console = report_console()
    for line in lines:
        console.print(escape(line))
    table = Table(title="Agents", title_justify="left", title_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)


def _retire(words: list[str]) -> int:
    return _set_state("retire", words)


def _reinstate(words: list[str]) -> int:
    return _set_state("reinstate", words)


def _set_state(name: str, words: list[str]) -> int:
    given = _parser(name, ("id", {}), _REASON, _OF_DESK).parse_args(words)
    state: StrategyState = "retired" if name == "retire" else "live"
    with _store() as store:
        told = person_sets_state(store, given.id, state, given.reason, desk=given.desk, at=_now())
    report_console().print(escape(told))
    return 0


def _account(words: list[str]) -> int:
    _parser("account").parse_args(words)
    from alphafoundry.research.run import load_simulated_market

    settings = load_settings()
    console = report_console()
    if settings.broker.provider == "paper":
        console.print("broker: paper, the one of this project; each desk has an account of its own")
        return 0
    panel = load_simulated_market(settings, console.print)
    client = chosen_broker(settings, synthetic=panel.synthetic, market=panel.label)
    assert client is not None
    with client:
        found = client.account()
    kind = "LIVE, real money" if client.live else "paper money"
    state = ", blocked" if found.blocked else ""
    console.print(
        f"broker: account {found.number}, {kind}{state}; cash {found.cash / 1e4:,.2f}, equity "
        f"{found.equity / 1e4:,.2f} dollars"
    )
    return 0


def _api(words: list[str]) -> int:
    parser = _parser("api", ("--port", {"type": int, "default": 4240}))
    parser.description = (
        "Serve desks as JSON on 127.0.0.1: reading is open to this machine, changes need the token "
        "of FOUNDRY_DESK_TOKEN as `Authorization: Bearer TOKEN`. /docs describes every address."
    )
    given = parser.parse_args(words)
    from flows.desk_api import serve

    serve(given.port)
    return 0


def _why(words: list[str]) -> int:
    given = _parser("why", ("what", {"metavar": "WHAT"}), _DESK).parse_args(words)
    with _store() as store:
        for line in why(store, given.what, given.desk):
            report_console().print(escape(line))
    return 0


def _pause(words: list[str]) -> int:
    given = _parser("pause", ("agent", {}), _REASON, _OF_DESK).parse_args(words)
    with _store() as store:
        told = pause_agent(store, given.agent, given.reason, desk=given.desk, at=_now())
    report_console().print(escape(told))
    return 0


def _resume(words: list[str]) -> int:
    parser = _parser("resume", ("agent", {"nargs": "?"}), _OF_DESK)
    given = parser.parse_args(words)
    with _store() as store:
        if given.agent is None:
            told = change_desk(store, "ACTIVE", "resumed", desk=given.desk, at=_now())
        else:
            told = pause_agent(store, given.agent, None, desk=given.desk, at=_now())
    report_console().print(escape(told))
    return 0


def _halt(words: list[str]) -> int:
    given = _parser("halt", _REASON, _OF_DESK).parse_args(words)
    with _store() as store:
        told = change_desk(store, "HALTED", given.reason, desk=given.desk, at=_now())
    report_console().print(escape(told))
    return 0


def _flatten(words: list[str]) -> int:
    parser = _parser("flatten", _REASON, _OF_DESK)
    parser.description = (
        "Cancel the open orders of a desk that runs and write reduce-only orders that close every "
        "position; its execution sends them. The desk then only reduces until it is resumed. A "
        "second call orders nothing twice."
    )
    given = parser.parse_args(words)
    with _store() as store:
        told = flatten_desk(store, given.reason, desk=given.desk, at=_now())
    report_console().print(escape(told))
    return 0


def _reconcile(words: list[str]) -> int:
    parser = _parser("reconcile", _DESK)
    parser.description = (
        "Hold a desk's ledger against its broker's own book: cash, equity and every position, to "
        "the cent. Each difference is named, and ends the command with status 2. Nothing changes, "
        "but with --adopt: of a desk at a broker outside that nobody runs, what differs is then "
        "taken as the broker has it."
    )
    parser.add_argument(
        "--adopt", type=_reason, metavar="REASON", help="such as 'split 2:1 of AAPL', for a person"
    )
    given = parser.parse_args(words)
    with _store() as store:
        if given.adopt is not None:
            adopt_outside(store, _outside_client, given.adopt, desk=given.desk, at=_now())
        found = reconcile_desk(
            store, load_settings().home, desk=given.desk, outside=_outside_client
        )
    for line in (str(found), *found.differences):
        report_console().print(escape(line))
    return 0 if found.agrees else EXIT_ERROR


def _outside_client(settings: FoundrySettings | None = None) -> BrokerClient:
    """Return a client of the account at Alpaca that the settings name, whatever broker they do."""
    given = settings or load_settings(broker="alpaca")
    client = chosen_broker(given, synthetic=False, market="")
    assert client is not None
    return client


def _check(words: list[str]) -> int:
    parser = _parser(
        "check",
        ("file", {"nargs": "?", "default": str(SCHEDULE), "metavar": "FILE"}),
        ("--environment", {"default": ENVIRONMENT}),
        ("--show", {"action": "store_true", "help": "print every value with its origin"}),
    )
    given = parser.parse_args(words)
    schedule = checked_schedule(Path(given.file), environment=given.environment)
    check_other_environments(schedule)
    console = report_console()
    for line in _checked(schedule, show=given.show):
        console.print(escape(line), soft_wrap=True)
    return 0


def _checked(schedule: Schedule, *, show: bool) -> list[str]:
    lines = [
        f"{schedule.path}, environment {schedule.environment}: {len(schedule.tasks)} agents, in "
        f"this order: {', '.join(schedule.tasks)}"
    ]
    lines += [f"left out: {key}: {reason}" for key, reason in schedule.left_out]
    lines += [f"never: {sentence}" for sentence in cautions(schedule)]
    lines += schedule.rules.lines()
    if show:
        lines += [f"{key} = {value}    ({origin})" for key, value, origin in schedule.shown()]
    return lines


def _now() -> datetime:
    return datetime.now(UTC)


def _told(problem: str) -> int:
    sys.stderr.write(f"error: {problem}\n")
    return EXIT_ERROR


_COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "status": _status,
    "why": _why,
    "pause": _pause,
    "resume": _resume,
    "halt": _halt,
    "retire": _retire,
    "reinstate": _reinstate,
    "flatten": _flatten,
    "account": _account,
    "api": _api,
    "reconcile": _reconcile,
    "report": report,
    "check": _check,
}
