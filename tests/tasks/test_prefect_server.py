"""How this process, and the UI, talk to the Prefect server of this folder."""

from __future__ import annotations

import fcntl
import socket
import sys
import threading
from pathlib import Path

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_SSL_CERT_FILE, PREFECT_HOME, temporary_settings

from tasks.prefect.discovery import SERVER_LOCK
from tasks.prefect.server import PrefectServerError, _client_settings, is_away, main, prefect_server
from tests.piped_commands import PipedCommand
from tests.servers import free_port


async def test_plain_http_reads_one_certificate_and_works(prefect_url: str, tmp_path: Path) -> None:
    with (
        temporary_settings({PREFECT_HOME: tmp_path}),
        temporary_settings(_client_settings(prefect_url)),
    ):
        file = Path(str(PREFECT_API_SSL_CERT_FILE.value()))
        assert file.read_text().count("BEGIN CERTIFICATE") == 1
        async with get_client() as client:
            assert await client.api_healthcheck() is None
        with prefect_server() as server:
            assert server.url == prefect_url


@pytest.mark.parametrize("url", ["https://127.0.0.1/api", "http://prefect.example/api"])
def test_other_servers_are_verified_as_ever(url: str) -> None:
    assert PREFECT_API_SSL_CERT_FILE not in _client_settings(url)


def test_the_ui_asks_the_server_that_it_came_from(prefect_url: str) -> None:
    """Whatever the port: Prefect's default is that of its default port."""
    settings = httpx.get(f"{prefect_url.removesuffix('/api')}/ui-settings")
    assert settings.json()["api_url"] == "/api"


@pytest.mark.parametrize(
    ("arguments", "home", "says"),
    [
        (["--port", "99999"], "home", "from 1 to 65535"),
        (["--port", "-1"], "home", "from 1 to 65535"),
        (["--port", "http"], "home", "from 1 to 65535"),
        (["--host", "no.such.host.invalid"], "home", "--host no.such.host.invalid: "),
        (["--host", "192.0.2.1", "--port", "4200"], "home", "192.0.2.1:4200"),
        ([], "file", "file: File exists"),
        ([], "file/below", "Not a directory"),
    ],
)
def test_mistakes_of_the_server_are_told_in_a_line(
    tmp_path: Path,
    arguments: list[str],
    home: str,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "argv", ["server", *arguments])
    with temporary_settings({PREFECT_HOME: tmp_path / home}), pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert says in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.long
def test_a_server_on_an_address_of_ipv6_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", port))
        except OSError:
            pytest.skip("this machine has no IPv6")
    home = tmp_path / "deep" / "home"
    monkeypatch.setenv("PREFECT_HOME", str(home))
    flags = ["--host", "::1", "--port", str(port)]
    with PipedCommand("tasks.prefect.server", flags) as process:
        line = process.stdout.readline()
        assert line.startswith(f"Prefect server and UI: http://[::1]:{port} ")
        with (
            temporary_settings({PREFECT_HOME: home}),
            prefect_server(temporary=False) as server,
        ):
            assert server.url == f"http://[::1]:{port}/api"


def test_a_server_that_is_still_starting_is_waited_for(
    prefect_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make server` and the next command may be typed at the same moment."""
    listening = threading.Event()
    monkeypatch.setattr("tasks.prefect.server.refuses", lambda _: not listening.is_set())
    with (tmp_path / SERVER_LOCK).open("w") as lock, temporary_settings({PREFECT_HOME: tmp_path}):
        lock.write(prefect_url)
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        threading.Timer(0.5, listening.set).start()
        with prefect_server() as server:
            assert listening.is_set() and server.url == prefect_url


def test_a_server_that_starts_again_is_not_away(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/api"
    with (tmp_path / SERVER_LOCK).open("w") as lock, temporary_settings({PREFECT_HOME: tmp_path}):
        lock.write(url)
        lock.flush()
        assert is_away(url)
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert not is_away(url)
        assert is_away(url.replace("127.0.0.1", "127.0.0.2"))


def test_a_server_that_ends_while_it_starts_is_not_waited_for(tmp_path: Path) -> None:
    with (tmp_path / SERVER_LOCK).open("w") as lock, temporary_settings({PREFECT_HOME: tmp_path}):
        lock.write(f"http://127.0.0.1:{free_port()}/api")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        threading.Timer(0.5, fcntl.flock, (lock, fcntl.LOCK_UN)).start()
        with (
            pytest.raises(PrefectServerError, match="no Prefect server runs"),
            prefect_server(temporary=False),
        ):
            pass
