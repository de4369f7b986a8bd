"""The library's own command: simulate one alpha, keep a market up to date, serve a paper broker."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from alphafoundry.errors import FoundryError, SimulationError
from alphafoundry.expressions import Conventions
from alphafoundry.help_text import HelpFormatter
from alphafoundry.market import known_sources, load_market
from alphafoundry.market.update_command import add_update_command, update_command
from alphafoundry.simulation import SimulationResult, SimulationSettings, simulate
from alphafoundry.simulation.checks import Check
from alphafoundry.simulation.plots import plot_simulation

EXIT_MISTAKE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status: 0, or 2 after a mistake, told in one line."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "data":
            command = _shown if options.data_command == "show" else _updated
            sys.stdout.write("\n".join(command(options)) + "\n")
            return 0
        if options.command == "broker":
            from alphafoundry.trading.paper_broker.command_line import broker_command

            broker_command(options, _say)
            return 0
        if options.plot is not None and not options.plot.resolve().parent.is_dir():
            raise FoundryError(f"--plot {options.plot}: there is no such folder")
        result = _simulated(options)
    except FoundryError as problem:
        sys.stderr.write(f"error: {problem}\n")
        return EXIT_MISTAKE
    sys.stdout.write(f"{result!r}\n\n{_checks(result)}\n")
    if options.plot is not None:
        try:
            options.plot.write_bytes(plot_simulation(result))
        except OSError as problem:
            sys.stderr.write(f"error: {options.plot}: {problem.strerror}; choose another path\n")
            return EXIT_MISTAKE
        sys.stdout.write(f"plot: {options.plot}\n")
    return 0


def _updated(options: argparse.Namespace) -> list[str]:
    return update_command(options, _say)


def _shown(options: argparse.Namespace) -> list[str]:
    """Return the data screen of a market."""
    cache = Path(os.environ.get("FOUNDRY_HOME") or ".foundry")
    screen = load_market(options.market, cache_dir=cache, seed=options.seed, progress=_say).screen()
    return [json.dumps(screen.to_json(), indent=2)] if options.json else screen.lines()


def _simulated(options: argparse.Namespace) -> SimulationResult:
    cache = Path(os.environ.get("FOUNDRY_HOME") or ".foundry")
    panel = load_market(options.market, cache_dir=cache, seed=options.seed, progress=_say)
    settings = SimulationSettings(
        universe=options.universe,
        delay=options.delay,
        decay=options.decay,
        neutralization=options.neutralization,
        truncation=options.truncation,
        test_period=options.test_period,
    )
    try:
        return simulate(
            options.expression,
            panel,
            settings,
            keep_positions=False,
            conventions=Conventions.read(options.convention),
            order="neutralization first" if options.neutralization_first else "decay first",
        )
    except SimulationError as problem:
        raise FoundryError(f"{problem} ({panel.label})") from None


def _checks(result: SimulationResult) -> str:
    lines = [f"{'check':28}{'result':9}{'value':>12}{'limit':>12}"]
    lines.extend(map(_check_row, result.checks))
    return "\n".join(lines)


def _check_row(check: Check) -> str:
    line = (
        f"{check.name:28}{check.result:9}{_number(check.value):>12}{_number(check.limit):>12}"
        f"{'  ' + check.message if check.message else ''}"
    )
    return line.rstrip()


def _number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.4g}"


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m alphafoundry", description="Alpha Foundry's library in the terminal."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser(
        "simulate",
        help="simulate one alpha and print its statistics, years and checks",
        description="Simulate one alpha and print its statistics, years and checks.",
        formatter_class=HelpFormatter,
    )
    defaults = SimulationSettings()
    sources = ", ".join(known_sources())
    one.add_argument("expression", help='FASTEXPR text, such as "rank(-ts_delta(close, 5))"')
    one.add_argument(
        "--market", default="calibration", help=f"{sources}, or a file or folder (docs/data.md)"
    )
    one.add_argument("--seed", type=int, default=0, help="seed of the calibration market")
    one.add_argument("--universe", default=defaults.universe, help="TOP3000, TOP1000, ...")
    one.add_argument(
        "--delay",
        type=int,
        choices=(0, 1),
        default=defaults.delay,
        help="0 trades at the close of the last day of data, 1 a day later",
    )
    one.add_argument("--decay", type=int, default=defaults.decay, help="days of linear decay")
    one.add_argument(
        "--neutralization",
        default=defaults.neutralization,
        type=str.upper,
        help="NONE, MARKET, SECTOR, INDUSTRY or SUBINDUSTRY, as far as the market has these groups",
    )
    one.add_argument(
        "--neutralization-first",
        action="store_true",
        help="neutralize before the decay, not after it",
    )
    one.add_argument(
        "--convention",
        action="append",
        default=[],
        metavar="NAME=CHOICE",
        help="how operators are read whose definition is open, such as rank_ties=lowest: see "
        "docs/operators.md",
    )
    one.add_argument(
        "--truncation",
        type=float,
        default=defaults.truncation,
        help="largest share of the book in one instrument; 0 sets no limit",
    )
    one.add_argument(
        "--test-period",
        default=defaults.test_period,
        help="last part of the period, kept as a test, such as P1Y0M",
    )
    one.add_argument("--plot", type=Path, help="write PnL, drawdown and turnover to a PNG file")
    data = commands.add_parser("data", help="look at a market's data, keep a market that grows")
    of_data = data.add_subparsers(dest="data_command", required=True)
    show = of_data.add_parser("show", help="print what the bars are and what was found in them")
    show.add_argument("market", metavar="FILE", help=f"a file's or folder's path, or {sources}")
    show.add_argument("--seed", type=int, default=0, help="of the calibration market")
    show.add_argument("--json", action="store_true", help="print everything, every fault in full")
    add_update_command(of_data)
    _add_broker(commands)
    return parser


def _add_broker(commands: Any) -> None:
    parser = commands.add_parser(
        "broker",
        help="serve a paper broker that speaks Alpaca's trading API",
        description="Serve a paper broker that speaks Alpaca's trading API on this machine. Its "
        'time moves only by POST /foundry/advance {"now": "2023-03-06T20:41:00Z"}, which the '
        "desk sends. Prices within the day are modelled: only open, high, low and close are data.",
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    home = Path(os.environ.get("FOUNDRY_HOME") or ".foundry")
    add = parser.add_argument
    add("--port", type=_port, default=8788, help="0 picks a free port")
    add(
        "--market",
        default="calibration",
        metavar="NAME|FILE",
        help=f"{', '.join(known_sources())}, or a file or folder (docs/data.md)",
    )
    add("--seed", type=int, default=0, help="of the calibration market, the path and the faults")
    add("--first", type=date.fromisoformat, metavar="DAY", help="first day; the market's first")
    add("--last", type=date.fromisoformat, metavar="DAY", help="last day; the market's last")
    add("--cash", type=_cash, default=Decimal(100_000), help="opening dollars")
    add("--state", type=Path, default=home / "paper-broker.sqlite", metavar="FILE")
    add(
        "--fault",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="answer_lost, gateway_timeout or too_many with a share of the orders, such as 0.1; "
        "duplicate_fills, reordered_fills or fill_after_cancel with on",
    )


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; choose 0 to 65535")
    return int(text)


def _cash(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount <= 0 or amount != amount.quantize(Decimal("0.01")):
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount of dollars above 0, in cents")
    return amount
