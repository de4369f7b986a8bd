"""Serves the dashboard: `python -m flows.web`."""

from __future__ import annotations

import argparse
import gc
import ipaddress
import os
import re
import socket
import ssl
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from alphafoundry.errors import ConfigurationError
from alphafoundry.heap import keep_little
from alphafoundry.settings import FoundrySettings, load_settings
from alphafoundry.supervisor.processes import ProcessConfig
from flows.plain_command import Parser, end_with

if TYPE_CHECKING:
    from alphafoundry.dashboard.access import Access

PORT = 4210
STOP_SECONDS = 3
MOST_CONNECTIONS = 1000
CACHE_MB = 1
"""Of each connection to SQLite: tabs that ask at the same moment fill several, for good."""


def main(words: Sequence[str] | None = None) -> NoReturn:
    """Do what the flags say, and end the process."""
    keep_little()  # pages are made in many threads
    end_with(lambda: _run(_parser().parse_args(words)), interrupted=0)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m flows.web",
        description="Serve the web dashboard over the store, the supervisor and Prefect, and print "
        "a link that opens signed in.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--port", type=int, default=PORT, metavar="N", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="to listen at; one that others reach needs --certificate or --behind-proxy "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        metavar="HOST",
        help="a further name by which browsers call it; may be given again",
    )
    parser.add_argument(
        "--behind-proxy", action="store_true", help="a proxy speaks TLS with the browsers"
    )
    parser.add_argument("--certificate", type=Path, metavar="FILE", help="for TLS, in PEM")
    parser.add_argument("--key", type=Path, metavar="FILE", help="of the certificate, in PEM")
    parser.add_argument(
        "--link", action="store_true", help="only print a new link to a dashboard that runs"
    )
    parser.add_argument(
        "--read-only", action="store_true", help="with --link: it may look, and do nothing"
    )
    parser.add_argument(
        "--sign-out-all", action="store_true", help="only revoke the sessions of every browser"
    )
    return parser


def port_of(processes: Iterable[ProcessConfig]) -> int | None:
    """Return the port of the dashboard among supervised processes, None where it is not."""
    for one in processes:
        if one.module == "flows.web":
            given, _ = _parser().parse_known_args(one.args)
            return int(given.port)
    return None


def _run(given: argparse.Namespace) -> int:
    """Do what the flags say; return the exit status."""
    settings = load_settings()
    _check(given)
    from alphafoundry.dashboard.access import FOLDER, Access

    settings.home.mkdir(parents=True, exist_ok=True)
    access = Access(settings.home / FOLDER, port=given.port)
    if given.sign_out_all:
        print(f"{access.sign_out_all()} sessions revoked")
        return 0
    link = _link(given, access)
    if given.link:
        print(link)
        return 0
    _serve(given, settings, access, link)
    return 0


def _check(given: argparse.Namespace) -> None:
    """Refuse flags that do not go together.

    Raises
    ------
    ConfigurationError : one line that names the flag
    """
    if not 1 <= given.port <= 65535:
        raise ConfigurationError(f"--port {given.port}: is not a port from 1 to 65535")
    if (given.certificate is None) != (given.key is None):
        raise ConfigurationError("--certificate and --key go together; give both")
    for flag, path in (("--certificate", given.certificate), ("--key", given.key)):
        if path is not None and not path.is_file():
            raise ConfigurationError(f"{flag} {path}: there is no such file")
    if given.certificate is not None:
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
                given.certificate, given.key, password=""
            )
        except (OSError, ValueError) as problem:
            raise ConfigurationError(
                f"--certificate {given.certificate}, --key {given.key}: are no certificate in PEM "
                f"and its key without a password ({problem})"
            ) from None
    for name in given.name:
        if not re.fullmatch(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]", name):
            raise ConfigurationError(
                f"--name {name}: is no host name; write it without http:// or port"
            )
    if given.read_only and not given.link:
        raise ConfigurationError("--read-only needs --link")
    if given.host != "localhost":
        try:
            own = ipaddress.ip_address(given.host).is_loopback
        except ValueError:
            raise ConfigurationError(
                f"--host {given.host}: is no address; write 127.0.0.1, ::1 or 0.0.0.0"
            ) from None
        if not own and given.certificate is None and not given.behind_proxy:
            raise ConfigurationError(
                f"--host {given.host}: others could read what is sent; give --certificate and "
                "--key, or --behind-proxy, or use ssh -L"
            )


def sign_in_link(home: Path, port: int) -> str:
    """Return an address on this machine that opens a dashboard signed in, once, for a minute."""
    from alphafoundry.dashboard.access import FOLDER, Access

    return _link(_parser().parse_args(["--port", str(port)]), Access(home / FOLDER, port=port))


def _link(given: argparse.Namespace, access: Access) -> str:
    scheme = "https" if given.certificate or given.behind_proxy else "http"
    host = given.name[0] if given.name else "127.0.0.1"
    place = host if given.behind_proxy and given.name else f"{host}:{given.port}"
    return f"{scheme}://{place}/enter?code={access.code('reads' if given.read_only else 'acts')}"


def _serve(given: argparse.Namespace, settings: FoundrySettings, access: Access, link: str) -> None:
    import uvicorn

    from alphafoundry.impatient import ImpatientProtocol

    with socket.socket(socket.AF_INET6 if ":" in given.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((given.host, given.port))
        except OSError as problem:
            raise ConfigurationError(
                f"port {given.port} of {given.host} is not to be had ({problem.strerror}); does a "
                "dashboard run already? Choose another --port"
            ) from None

    from alphafoundry.dashboard import Sources, create_application
    from alphafoundry.store import open_store
    from alphafoundry.supervisor.child import ready
    from tasks.dashboard import PrefectServer

    url = settings.database_url
    given_url = None if url is None else url.get_secret_value()
    with open_store(given_url, home=settings.home, cache_mb=CACHE_MB) as store:
        application = create_application(
            Sources(store, settings.home, prefect=PrefectServer()),
            access,
            hosts=[*given.name, *settings.server_hosts],
            secure=bool(given.certificate or given.behind_proxy),
        )

        class Server(uvicorn.Server):
            """Says where it is once it listens."""

            async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
                await super().startup(sockets)  # type: ignore[arg-type]
                if self.started:
                    # What is loaded stays; a collection of garbage need not look through it.
                    gc.collect()
                    gc.freeze()
                    ready()
                    if "FOUNDRY_PROCESS" in os.environ:
                        print(f"serves the dashboard on port {given.port}", flush=True)
                    else:
                        print(f"dashboard  {link}", flush=True)
                        print("The link holds for a minute, and once; --link makes another.")

        configuration = uvicorn.Config(
            application,
            host=given.host,
            port=given.port,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ssl_certfile=given.certificate,
            ssl_keyfile=given.key,
            timeout_graceful_shutdown=STOP_SECONDS,
            limit_concurrency=MOST_CONNECTIONS,
            http=ImpatientProtocol,
        )
        Server(configuration).run()


if __name__ == "__main__":
    main()
