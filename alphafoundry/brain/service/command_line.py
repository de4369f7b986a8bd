"""`python -m alphafoundry.brain.server`: the local BRAIN server on a port."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from alphafoundry.brain.addresses import LOOPBACK_HOSTS
from alphafoundry.brain.credentials import load_credentials
from alphafoundry.brain.service.application import DEFAULT_STATE, create_app
from alphafoundry.errors import ConfigurationError, FoundryError
from alphafoundry.help_text import HelpFormatter
from alphafoundry.market import known_sources, load_market

EXIT_MISTAKE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C; return the exit status: 0, or 2 after a mistake, told in one line."""
    options = _parser().parse_args(arguments)
    try:
        _serve(options)
    except FoundryError as problem:
        sys.stderr.write(f"error: {problem}\n")
        return EXIT_MISTAKE
    except KeyboardInterrupt:
        pass
    return 0


def _serve(options: argparse.Namespace) -> None:
    credentials = None
    if options.credentials is not None:
        credentials = load_credentials(options.credentials, {})
    elif options.host not in LOOPBACK_HOSTS:
        raise ConfigurationError(
            f"--host {options.host}: anyone who reaches it could sign in with any password; "
            "name the one that may with --credentials FILE"
        )
    with _listening(options.host, options.port) as listener:
        panel = load_market(
            options.market,
            cache_dir=options.cache,
            seed=options.seed,
            sectors=options.sectors,
            progress=_say,
        )
        app = create_app(
            panel,
            state=options.state,
            credentials=credentials,
            max_concurrent=options.max_concurrent,
            daily_submissions=options.daily_submissions,
            daily_simulations=options.daily_simulations,
            simulation_seconds=options.simulation_seconds,
            poll_seconds=options.poll_seconds,
        )
        host, port = listener.getsockname()[:2]
        _say(panel.label)
        announcement = (
            f"serving the BRAIN API on http://{f'[{host}]' if ':' in host else host}:{port}\n"
            + (
                "any email and password may sign in"
                if credentials is None
                else "sign-in restricted"
            )
        )
        configuration = uvicorn.Config(app, log_level="warning", access_log=False)
        _Server(configuration, announcement).run(sockets=[listener])


class _Server(uvicorn.Server):
    """Says that it serves once it does: a Ctrl-C after that ends it in good order."""

    def __init__(self, configuration: uvicorn.Config, announcement: str) -> None:
        super().__init__(configuration)
        self._announcement = announcement

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            _say(self._announcement)


def _listening(host: str, port: int) -> socket.socket:
    # Before the market is loaded, so that a port in use is told at once.
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except OSError as problem:
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {problem.strerror}; choose another with --port"
        ) from None
    return listener


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _whole(text: str) -> int:
    return 0 if text == "0" else _count(text)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; choose 0 to 65535")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to 86400")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m alphafoundry.brain.server",
        description="Answer the WorldQuant BRAIN HTTP API from the local simulator.",
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    home = Path(os.environ.get("FOUNDRY_HOME") or ".foundry")
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=_port, default=8787, help="0 picks a free port")
    add(
        "--market",
        default="calibration",
        metavar="NAME|FILE",
        help=f"{', '.join(known_sources())}, or a file or folder (docs/data.md)",
    )
    add("--seed", type=_whole, default=0, help="seed of the calibration market")
    add("--sectors", type=Path, metavar="FILE", help="CSV with the sectors of a market file")
    add(
        "--max-concurrent", type=_count, default=3, metavar="N", help="simulations at the same time"
    )
    add(
        "--simulation-seconds",
        type=_seconds,
        default=0.0,
        metavar="S",
        help="minimum duration of a simulation",
    )
    add(
        "--daily-submissions",
        type=_whole,
        default=4,
        metavar="N",
        help="submissions accepted per US Eastern day",
    )
    add(
        "--daily-simulations",
        type=_count,
        metavar="N",
        help="successful simulations per US Eastern day; unlimited if left out",
    )
    add(
        "--poll-seconds",
        type=_seconds,
        default=0.5,
        metavar="S",
        help="how long a client is asked to wait between two polls",
    )
    add(
        "--credentials",
        type=Path,
        metavar="FILE",
        help='JSON list ["email", "password"] that may sign in; without it anybody may',
    )
    add("--state", type=Path, default=home / DEFAULT_STATE.name, metavar="FILE", help="SQLite file")
    add(
        "--cache",
        type=Path,
        default=home / "cache",
        metavar="FOLDER",
        help="folder for market data",
    )
    return parser
