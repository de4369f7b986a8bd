"""A page in somebody's browser cannot use the Prefect server; its UI and clients can."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import websockets
from hypothesis import given
from hypothesis import strategies as st

from alphafoundry.errors import ConfigurationError
from alphafoundry.settings import load_settings
from tasks.prefect.access import GuardedApplication
from tasks.prefect.temporary_server import TemporaryServer
from tests.servers import prefect_api
from tests.some_cases import one_in

EVIL = "http://evil.example"
FLOWS = "/api/flows/"


@pytest.fixture(
    scope="module", params=["make server", pytest.param("temporary", marks=pytest.mark.long)]
)
def address(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """`host:port` of each kind of server, on a real port."""
    if request.param == "make server":
        url = request.getfixturevalue("prefect_url")
        yield urlsplit(url).netloc
        return
    home = tmp_path_factory.mktemp("temporary")
    server = TemporaryServer(home)
    try:
        server.begin()
        assert server.wait()
        yield urlsplit(server.url).netloc
    finally:
        server.stop()


def ask(address: str, method: str, path: str, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = b'{"name": "from-a-page"}' if method == "POST" else None
    return httpx.request(
        method,
        f"http://{address}{path}",
        headers={"content-type": "application/json"} | named,
        content=body,
        timeout=60,
        trust_env=False,
    )


def preflight(address: str, origin: str) -> httpx.Response:
    return ask(
        address,
        "OPTIONS",
        FLOWS,
        origin=origin,
        access_control_request_method="POST",
        access_control_request_headers="content-type",
    )


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1.evil.example",
        "localhost.evil.example:{port}",
        "localhost@evil.example",
        "10.1.2.3:{port}",
        "evil.example/localhost",
        "",
    ],
)
@pytest.mark.parametrize("path", one_in(3, [FLOWS, "/api/health", "/"]))
def test_a_foreign_host_is_refused(address: str, host: str, path: str) -> None:
    named = host.format(port=address.rpartition(":")[2])
    method = "POST" if path == FLOWS else "GET"
    assert 400 <= ask(address, method, path, host=named).status_code < 500


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "LOCALHOST:1", "[::1]:9", "127.9.9.9"])
def test_this_machine_is_answered_whatever_the_port(address: str, host: str) -> None:
    assert ask(address, "GET", "/api/health", host=host).status_code == 200


@pytest.mark.parametrize(
    "origin",
    one_in(
        2,
        [
            EVIL,
            "null",
            "https://evil.example:4200",
            "http://localhost:9",
            "file://",
            "",
            "ftp://{address}",
        ],
    ),
)
def test_a_page_from_elsewhere_gets_no_permission_and_changes_nothing(
    address: str, origin: str
) -> None:
    origin = origin.format(address=address)
    asked = preflight(address, origin)
    assert 400 <= asked.status_code < 500
    assert "access-control-allow-origin" not in asked.headers
    for method in ("GET", "POST"):
        answer = ask(address, method, FLOWS if method == "POST" else "/api/health", origin=origin)
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers
    plain = ask(address, "POST", FLOWS, origin=origin, content_type="text/plain")
    assert plain.status_code == 403
    found = httpx.post(f"http://{address}{FLOWS}filter", json={}, trust_env=False).json()
    assert "from-a-page" not in [flow["name"] for flow in found]


def test_two_hosts_or_two_origins_are_refused(address: str) -> None:
    host, _, port = address.partition(":")
    for twice in (f"Host: {address}\r\nHost: evil.example", f"Host: {address}\r\nOrigin: {EVIL}"):
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(
                f"GET /api/health HTTP/1.1\r\n{twice}\r\nConnection: close\r\n\r\n".encode()
            )
            status = connection.recv(4096).split()[1]
        assert status[:1] == b"4", status


def test_what_a_page_from_elsewhere_embeds_is_refused_and_a_link_to_here_is_not(
    address: str,
) -> None:
    for site in ("cross-site", "same-site"):
        for mode, dest in (("no-cors", "image"), ("no-cors", "script"), ("navigate", "iframe")):
            headers = {"sec_fetch_site": site, "sec_fetch_mode": mode, "sec_fetch_dest": dest}
            assert ask(address, "GET", "/api/health", **headers).status_code == 403, headers
    for site, mode, dest in (
        ("cross-site", "navigate", "document"),
        ("same-origin", "cors", "empty"),
        ("none", "navigate", "document"),
    ):
        headers = {"sec_fetch_site": site, "sec_fetch_mode": mode, "sec_fetch_dest": dest}
        assert ask(address, "GET", "/api/health", **headers).status_code == 200, headers


def test_a_request_that_says_its_length_in_two_ways_is_refused(address: str) -> None:
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(
            f"POST {FLOWS}filter HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n"
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
            "Content-Length: 7\r\n\r\n2\r\n{}\r\n0\r\n\r\n".encode()
        )
        assert connection.recv(4096).split()[1] == b"400"


def test_the_own_pages_may_ask(address: str) -> None:
    answer = ask(address, "POST", f"{FLOWS}filter", origin=f"http://{address}")
    assert answer.status_code == 200


async def _subscribe(address: str, named: str | None = None, origin: str | None = None) -> str:
    """Return what the server answers to a subscription to its events.

    named : what the client takes the server's name to be
    """
    host, _, port = address.partition(":")
    async with websockets.connect(
        f"ws://{named or address}/api/events/out",
        subprotocols=[websockets.Subprotocol("prefect")],
        origin=None if origin is None else websockets.Origin(origin),
        proxy=None,
        host=host,
        port=int(port),
    ) as connection:
        await connection.send(json.dumps({"type": "auth", "token": None}))
        return str(json.loads(await asyncio.wait_for(connection.recv(), 60))["type"])


async def test_websockets_are_guarded_too(address: str) -> None:
    assert await _subscribe(address) == "auth_success"
    assert await _subscribe(address, origin=f"http://{address}") == "auth_success"
    for named, origin in ((None, EVIL), ("evil.example", None), ("evil.example", EVIL)):
        with pytest.raises(websockets.InvalidStatus) as refused:
            await _subscribe(address, named, origin)
        assert refused.value.response.status_code == 403


@pytest.mark.long
async def test_a_teams_names_are_configured(tmp_path: Path) -> None:
    told = {
        "FOUNDRY_SERVER_HOSTS": "prefect.team.example, proxy",
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": "https://tools.team.example",
    }
    with prefect_api(tmp_path, env=told) as url:
        there = urlsplit(url).netloc
        for host in ("prefect.team.example", "prefect.team.example:8443", "PROXY"):
            assert ask(there, "GET", "/api/health", host=host).status_code == 200
        name = "prefect.team.example"
        own = ask(there, "POST", f"{FLOWS}filter", host=name, origin=f"https://{name}")
        assert own.status_code == 200
        for host in ("team.example", "other.prefect.team.example"):
            assert ask(there, "GET", "/api/health", host=host).status_code == 421
        allowed = preflight(there, "https://tools.team.example")
        assert allowed.headers["access-control-allow-origin"] == "https://tools.team.example"
        assert preflight(there, f"https://{name}").status_code == 403


@pytest.mark.parametrize("wrong", ["http://a", "a:4200", "a/b", "a b", "*"])
def test_what_is_no_host_name_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="FOUNDRY_SERVER_HOSTS"):
        load_settings(environment={"FOUNDRY_SERVER_HOSTS": wrong})


async def passed(headers: list[tuple[bytes, bytes]], server: tuple[str, int]) -> bool:
    """Return whether a request with these headers reaches the application."""
    reached = False

    async def application(*_: object) -> None:
        nonlocal reached
        reached = True

    async def send(_: object) -> None:
        pass

    scope = {"type": "http", "headers": headers, "server": server}
    await GuardedApplication(application)(scope, None, send)  # type: ignore[arg-type]
    return reached


@given(address=st.ip_addresses(), here=st.ip_addresses())
async def test_an_address_is_answered_where_the_connection_came_in(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
    here: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    def host(one: ipaddress.IPv4Address | ipaddress.IPv6Address) -> list[tuple[bytes, bytes]]:
        text = f"[{one}]:4200" if one.version == 6 else f"{one}:4200"
        return [(b"host", text.encode())]

    assert await passed(host(here), (str(here), 4200))
    assert await passed(host(address), (str(here), 4200)) == (
        address == here or address.is_loopback
    )
