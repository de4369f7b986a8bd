"""The orchestrator's command line: `alpha-orchestrator --mode continuous --max-concurrent 5`.

Each mode is one of the flows. A flag that a mode has no use for is checked all the same, so that
one command line serves every mode.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from alphafoundry.errors import FoundryError
from alphafoundry.settings import FLAGS, load_limits, load_settings

Loaded = TypeVar("Loaded")

MODES: Mapping[str, str] = {
    "continuous": "flows.continuous",
    "daily": "flows.daily",
    "miner": "flows.mine",
    "submitter": "flows.submit",
    "generator": "flows.generate",
}
EVERY_MODE = ("max_concurrent", "mining_interval", "batch_size", "credentials", "ollama_url")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Become the command of the mode's flow, with its exit status."""
    parser = argparse.ArgumentParser(
        prog="alpha-orchestrator",
        description="Generate, mine and submit alphas.",
        epilog="Every further flag goes to the mode's flow: `python -m flows.daily --help`.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--mode", choices=list(MODES), default="continuous", help="what runs (default: continuous)"
    )
    settings, caps = load_or_leave(load_settings), load_or_leave(load_limits)
    for name in EVERY_MODE:
        setting = FLAGS[name]
        shown = setting.shown(settings, caps)
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            metavar=setting.flag.metavar,
            help=f"{setting.help} (default: {shown})".replace("%", "%%"),
        )
    known, further = parser.parse_known_args(arguments)
    given = {name: getattr(known, name) for name in EVERY_MODE if getattr(known, name) is not None}
    load_or_leave(load_settings, **given)
    # As variables they hold for the flows that have no such flag, too.
    variables = {FLAGS[name].variable: value for name, value in given.items()}
    command = [sys.executable, "-m", MODES[known.mode], *further]
    sys.stdout.flush()
    os.execve(sys.executable, command, {**os.environ, **variables})  # noqa: S606 - our own module


def load_or_leave(load: Callable[..., Loaded], **given: Any) -> Loaded:
    """Return what is loaded; a mistake in it is told in one line and ends the command."""
    try:
        return load(**given)
    except FoundryError as problem:
        print(f"error: {problem}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
