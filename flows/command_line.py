"""Run a flow from the command line: flags from its parameters, a progress bar, clean exits.

A flow's parameters are its flags. One left out takes its value from `config/foundry.yaml` or
`FOUNDRY_*`, and `--help` shows which value that is.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from prefect import Flow
from prefect.exceptions import PrefectHTTPStatusError

from alphafoundry.errors import FoundryError
from alphafoundry.settings import FoundrySettings, load_limits, load_settings
from flows.later_imports import import_later_ones, import_plots_in_background
from flows.stopping import interrupt_on_signals, leave_on_signals, run_until_stopped
from flows.terminal import ProgressBar, print_report
from tasks.prefect.cancellation import CancelledInPrefect
from tasks.prefect.server import prefect_server
from tasks.research.workbench import SIMULATION_CAP, running_from_terminal

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def _positive(text: str) -> int:
    value = _whole(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _not_negative(text: str) -> int:
    value = _whole(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


def _above_zero(text: str, unit: str, end: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < end:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of {unit} above 0")
    return value


def _hours(text: str) -> float:
    return _above_zero(text, "hours", 24 * 365)


def _seconds(text: str) -> float:
    return _above_zero(text, "seconds", 1e7)


def _switch(text: str) -> bool:
    if text not in ("on", "off"):
        raise argparse.ArgumentTypeError(f"{text} is neither on nor off")
    return text == "on"


@dataclass(frozen=True)
class Flag:
    """How a parameter shows on the command line.

    default : reads the value that applies where the flag is left out
    """

    help: str
    parse: Callable[[str], Any]
    default: Callable[[FoundrySettings], object]
    metavar: str


FLAGS: dict[str, Flag] = {
    "simulations": Flag(
        "simulations to spend in this run", _positive, lambda s: s.simulations, "N"
    ),
    "max_concurrent": Flag(
        "simulations that run at the same time",
        _positive,
        lambda s: s.max_concurrent or load_limits()[SIMULATION_CAP],
        "N",
    ),
    "mining_interval": Flag(
        "longest time between two looks of the miner, in hours",
        _hours,
        lambda s: s.mining_interval_hours,
        "HOURS",
    ),
    "batch_size": Flag(
        "expressions that the language model is asked for at a time",
        _positive,
        lambda s: s.batch_size,
        "N",
    ),
    "credentials": Flag(
        'file with BRAIN credentials, a JSON list ["email", "password"]',
        str,
        lambda s: s.credentials,
        "FILE",
    ),
    "ollama_url": Flag("address of the Ollama server", str, lambda s: s.ollama.url, "URL"),
    "brain": Flag(
        "what simulates: local (in this process), worldquant, or the address of a local server",
        str,
        lambda s: s.brain,
        "local|worldquant|URL",
    ),
    "market": Flag(
        "market data of the local simulator: calibration, sample, yfinance, or a parquet or "
        "CSV file",
        str,
        lambda s: s.market,
        "NAME|FILE",
    ),
    "generator": Flag(
        "what invents expressions: grammar (embedded) or ollama",
        str,
        lambda s: s.generator,
        "grammar|ollama",
    ),
    "seed": Flag("master seed of every random draw", _not_negative, lambda s: s.seed, "N"),
    "models": Flag(
        "names of the models that write algorithms, with commas between them",
        str,
        lambda s: ",".join(s.algorithms.models) or "up to six that the provider offers",
        "A,B,C",
    ),
    "ticker": Flag(
        "what the algorithms are raced on, with commas between several",
        str,
        lambda s: ",".join(s.algorithms.tickers) or "the most traded of the market",
        "TICKER",
    ),
    "provider": Flag(
        "what writes algorithms: auto (OpenRouter where there is a key, otherwise templates), "
        "templates, openrouter, openai (any server with that API) or ollama",
        str,
        lambda s: s.algorithms.provider,
        "NAME",
    ),
    "base_url": Flag(
        "address of an OpenAI-compatible server, before /chat/completions",
        str,
        lambda s: s.algorithms.base_url or "that of the provider",
        "URL",
    ),
    "timeout": Flag(
        "seconds for all models together; what has finished by then is kept",
        _seconds,
        lambda s: f"{s.algorithms.timeout:g}",
        "SECONDS",
    ),
    "cache": Flag(
        "keep answers on disk and use them again, for development",
        _switch,
        lambda s: "on" if s.algorithms.cache else "off",
        "on|off",
    ),
}


def _parser(
    flow: Flow[..., Any], module: str, settings: FoundrySettings
) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=inspect.getdoc(flow.fn),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for name in inspect.signature(flow.fn).parameters:
        flag = FLAGS[name]
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=flag.parse,
            metavar=flag.metavar,
            default=None,
            help=f"{flag.help} (default: {flag.default(settings)})",
        )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the final report to FILE as JSON"
    )
    return parser


def _check_writable(path: Path | None) -> None:
    if path is not None and not path.resolve().parent.is_dir():
        raise FoundryError(f"--json {path}: the folder {path.resolve().parent} does not exist")
    if path is not None and path.is_dir():
        raise FoundryError(f"--json {path}: this is a folder; name a file")


def run(
    flow: Flow[..., Any],
    module: str,
    *,
    interrupted_status: int = EXIT_INTERRUPTED,
    show: Callable[[Any], None] = print_report,
) -> None:
    """Run `flow` with the flags of this process, print its report with `show`, and exit.

    Exit status: 0 done, 2 a mistake of the user or a failure that was reported, 130 stopped by
    Ctrl-C or SIGTERM (`interrupted_status` for a flow that is meant to be stopped) or cancelled
    in Prefect.
    """
    interrupt_on_signals()
    try:
        settings = load_settings()
        arguments = vars(_parser(flow, module, settings).parse_args())
        json_file = arguments.pop("json")
        _check_writable(json_file)
        given = {name: value for name, value in arguments.items() if value is not None}
        load_settings(**given)
        stop = asyncio.Event()
        with (
            ProgressBar() as progress,
            prefect_server(meanwhile=import_later_ones) as server,
            running_from_terminal(progress=progress, stop=stop, server=server),
        ):
            import_plots_in_background()
            report = run_until_stopped(lambda: flow(**given), stop)
        show(report)
        if json_file is not None:
            json_file.write_text(json.dumps(report.to_json(), indent=2) + "\n")
        sys.exit(interrupted_status if stop.is_set() else 0)
    except FoundryError as problem:
        sys.exit(complain(str(problem)))
    except OSError as problem:
        sys.exit(complain(in_one_line(problem)))
    except (PrefectHTTPStatusError, httpx.TransportError) as problem:
        sys.exit(complain(_about_the_server(problem)))
    except CancelledInPrefect as problem:
        complain(str(problem))
        sys.exit(EXIT_INTERRUPTED)
    except (KeyboardInterrupt, asyncio.CancelledError):
        complain("stopped; what had finished is saved")
        sys.exit(EXIT_INTERRUPTED)
    finally:
        leave_on_signals(EXIT_INTERRUPTED)


def in_one_line(problem: OSError) -> str:
    """Return which file or folder could not be used, and why."""
    where = f"{problem.filename}: " if problem.filename is not None else ""
    return f"{where}{problem.strerror or problem}"


def _about_the_server(problem: Exception) -> str:
    reason = (str(problem) or type(problem).__name__).splitlines()[0]
    return (
        f"the Prefect server failed ({reason}); is it still running, and is there room on its "
        "disk? What had finished is saved"
    )


def complain(message: str) -> int:
    """Print the one line of a mistake; return the exit status that goes with it."""
    print(f"error: {message}", file=sys.stderr)
    return EXIT_ERROR
