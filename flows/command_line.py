"""Run a flow from the command line: flags from the settings, a progress bar, clean exits.

A flow's parameters are its flags. One left out takes its value from `config/foundry.yaml` or
`FOUNDRY_*`; `--help` shows that value and the variable. Help, names and limits stand with the
settings in `alphafoundry/settings.py`, and nowhere else.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import inspect
import json
import logging
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import httpx
from prefect import Flow
from prefect.exceptions import PrefectHTTPStatusError

from alphafoundry.errors import FoundryError, RunStopped, os_error_in_one_line
from alphafoundry.runs import Report, Stop
from alphafoundry.settings import FLAGS, FoundrySettings, load_limits, load_settings
from alphafoundry.store import open_store
from flows.later_imports import import_later_ones, import_plots_in_background
from flows.plain_command import EXIT_ERROR, EXIT_INTERRUPTED, Parser
from flows.stopping import (
    ServerWatch,
    Signals,
    leave,
    leave_at_once,
    run_until_stopped,
)
from flows.terminal import ProgressBar, print_report
from tasks.prefect.cancellation import CancelledInPrefect
from tasks.prefect.server import is_away, prefect_server
from tasks.run import running_from_terminal

EXIT_BUG = 1

Parameters = dict[str, Any]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Command:
    """What the command of a flow does besides running it.

    Attributes
    ----------
    module : `python -m` runs it
    check : finds mistakes that need no server; gets the settings, the flow's parameters that were
        given, and what shows a line for a person
    add_arguments : adds arguments that are no settings
    prepare : takes them from the arguments and returns the flow's parameters; an exit status
        where there is nothing to run
    finish : looks at the report once it was printed, and returns the exit status
    interrupted_status : exit status after Ctrl-C or SIGTERM
    """

    module: str
    check: Callable[[FoundrySettings, Parameters, Say], None] = lambda settings, given, say: None
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    prepare: Callable[[Parameters], Parameters | int] = lambda arguments: {}
    finish: Callable[[Any], int] = lambda report: 0
    interrupted_status: int = EXIT_INTERRUPTED


def main(flow: Flow[..., Any], command: Command) -> NoReturn:
    """Run `flow` with the flags of this process, print its report, and end the process.

    Exit status: 0 done, 2 a mistake of the user or a failure that was reported, 130 stopped by
    Ctrl-C or SIGTERM (`interrupted_status` for a flow that is meant to be stopped) or cancelled
    in Prefect, and what `command.finish` gives.
    """
    # Where the server is away, Prefect would print for every batch of log lines that they could not
    # be sent; the run says so once.
    logging.raiseExceptions = False
    signals = Signals()
    signals.obey()
    leave(_status(flow, command, signals))


def _status(flow: Flow[..., Any], command: Command, signals: Signals) -> int:
    """Run the flow; return the exit status."""
    try:
        return _run(flow, command, signals)
    except SystemExit as ended:  # argparse has told what is wrong, or printed its help
        return ended.code if isinstance(ended.code, int) else EXIT_ERROR
    except (RunStopped, CancelledInPrefect) as stopped:
        status, line = EXIT_INTERRUPTED, str(stopped)
    except FoundryError as problem:
        status, line = EXIT_ERROR, str(problem)
    except OSError as problem:
        status, line = EXIT_ERROR, os_error_in_one_line(problem)
    except (KeyboardInterrupt, asyncio.CancelledError):
        status, line = EXIT_INTERRUPTED, "stopped; what had finished is saved"
    except Exception:
        traceback.print_exc()
        return EXIT_BUG
    print(f"error: {line}", file=sys.stderr)
    return status


def _run(flow: Flow[..., Any], command: Command, signals: Signals) -> int:
    settings = load_settings()
    arguments = vars(_parser(flow, command, settings).parse_args())
    json_file: Path | None = arguments.pop("json")
    own = command.prepare(arguments)
    if isinstance(own, int):
        return own
    _check_writable(json_file)
    given = _given(arguments)
    stop = Stop()
    with contextlib.ExitStack() as stack:
        progress = stack.enter_context(ProgressBar())
        wanted = load_settings(**given)
        _check_database(wanted)
        command.check(wanted, own | given, progress.say)
        server = stack.enter_context(prefect_server(meanwhile=import_later_ones))
        stack.enter_context(running_from_terminal(progress=progress, stop=stop, server=server))
        import_plots_in_background()
        watch = ServerWatch(server.url, has_ended=server.has_ended, refuses=is_away)
        try:
            report: Report = run_until_stopped(
                partial(_call, flow, own | given), stop, signals=signals, lost=watch.lost
            )
        except (PrefectHTTPStatusError, httpx.TransportError) as problem:
            # Nothing is awaited: what would have to be flushed goes to the server that failed.
            leave_at_once(EXIT_ERROR, _about_the_server(problem))
    print_report(report)
    if json_file is not None:
        json_file.write_text(json.dumps(report.to_json(), indent=2) + "\n")
    return command.finish(report) or (command.interrupted_status if stop.is_set() else 0)


async def _call(flow: Flow[..., Any], parameters: Parameters) -> Any:
    running: Any = flow(**parameters)
    return await running


def _parser(
    flow: Flow[..., Any], command: Command, settings: FoundrySettings
) -> argparse.ArgumentParser:
    parser = Parser(
        prog=f"python -m {command.module}",
        description=inspect.getdoc(flow.fn),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    caps = load_limits()
    for name in inspect.signature(flow.fn).parameters:
        if name in FLAGS:
            setting = FLAGS[name]
            default = f"default: {setting.shown(settings, caps)}; {setting.variable}"
            parser.add_argument(
                f"--{name.replace('_', '-')}",
                metavar=setting.flag.metavar,
                help=f"{setting.help} ({default})".replace("%", "%%"),
            )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the final report to FILE as JSON"
    )
    return parser


def _given(arguments: Mapping[str, Any]) -> Parameters:
    """Return the flags that were given, as the settings read them.

    Raises
    ------
    ConfigurationError : one line that names the flag
    """
    texts = {name: text for name, text in arguments.items() if text is not None}
    settings = load_settings(**texts)
    return {name: FLAGS[name].value(settings) for name in texts}


def _check_database(settings: FoundrySettings) -> None:
    """Open the database and close it: what is wrong with it is told before anything slow."""
    url = settings.database_url
    open_store(None if url is None else url.get_secret_value(), home=settings.home).close()


def _check_writable(path: Path | None) -> None:
    """Find out before the run whether its report can be written at its end."""
    if path is None:
        return
    if not path.resolve().parent.is_dir():
        raise FoundryError(f"--json {path}: the folder {path.resolve().parent} does not exist")
    if path.is_dir():
        raise FoundryError(f"--json {path}: this is a folder; name a file")
    new = not path.exists()
    try:
        path.open("ab").close()
        if new:
            path.unlink()
    except OSError as problem:
        raise FoundryError(f"--json {path}: cannot be written: {problem.strerror}") from None


def _about_the_server(problem: Exception) -> str:
    if isinstance(problem, PrefectHTTPStatusError):
        answer = problem.response
        where = f"{answer.request.method} {answer.request.url}"
        reason = f"it answered {answer.status_code} {answer.reason_phrase} to {where}"
    else:
        reason = (str(problem) or type(problem).__name__).splitlines()[0]
    return (
        f"the Prefect server failed ({reason}); is it still running, and is there room on its "
        "disk? What had finished is saved"
    )
