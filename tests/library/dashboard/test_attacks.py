"""What another page, a neighbour on the machine, or a text from outside may try."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
import uvicorn
from sqlalchemy import select

from alphafoundry import impatient
from alphafoundry.dashboard import Access, Sources, create_application
from alphafoundry.dashboard.export import csv_lines
from alphafoundry.dashboard.guard import Guard
from alphafoundry.dashboard.tables import Column
from alphafoundry.store import Store
from alphafoundry.store.mark_tables import ActionRow
from tests.library.dashboard.conftest import ORIGIN, PORT, PrefectOfTests

START = {"deployment": "daily/daily", "parameters": '{"simulations": 5}'}


def nonce_of(client: httpx.AsyncClient, access: Access) -> str:
    session = access.session(client.cookies[access.cookie])
    assert session is not None
    return access.nonce(session)


async def test_another_name_gets_nothing(client: httpx.AsyncClient) -> None:
    for host in (
        *["evil.example", "evil.example:4210", "127.0.0.1.evil.example", "", "a@127.0.0.1", "[::1"],
    ):
        answer = await client.get("/alphas", headers={"host": host})
        assert answer.status_code == 421, host
        assert "alpha1" not in answer.text


async def test_names_of_this_machine_do(client: httpx.AsyncClient) -> None:
    for host in ["localhost:4210", "127.0.0.1:9999", "[::1]:4210", "LOCALHOST"]:
        answer = await client.get("/static/theme.js", headers={"host": host})
        assert answer.status_code == 200, host


async def test_another_page_starts_nothing(
    client: httpx.AsyncClient, access: Access, prefect: PrefectOfTests
) -> None:
    form = START | {"nonce": nonce_of(client, access)}
    for headers in [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": f"http://127.0.0.1:{PORT + 1}"},
        {},
        {"origin": ORIGIN, "sec-fetch-site": "cross-site"},
        {"origin": ORIGIN, "sec-fetch-site": "same-site"},
    ]:
        answer = await client.post("/start", data=form, headers=headers)
        assert answer.status_code == 403, headers
    assert prefect.started == []


async def test_another_page_reads_nothing(client: httpx.AsyncClient) -> None:
    for headers in (
        {"origin": "http://evil.example"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "script"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
    ):
        answer = await client.get("/api/charts/scatter", headers=headers)
        assert answer.status_code == 403, headers
    opened = {
        "sec-fetch-site": "cross-site",
        "sec-fetch-mode": "navigate",
        "sec-fetch-dest": "document",
    }
    assert (await client.get("/alphas", headers=opened)).status_code == 200


async def test_a_forged_nonce_does_nothing(
    client: httpx.AsyncClient, prefect: PrefectOfTests
) -> None:
    for nonce in ["", "x", "abc.def", "é", "a" * 5000]:
        form = START | {"nonce": nonce}
        answer = await client.post("/start", data=form, headers={"origin": ORIGIN})
        assert answer.status_code == 403, nonce
    assert prefect.started == []


async def test_a_form_that_is_sent_twice_acts_once(
    client: httpx.AsyncClient, access: Access, prefect: PrefectOfTests, store: Store
) -> None:
    form = START | {"nonce": nonce_of(client, access)}
    first = await client.post("/start", data=form, headers={"origin": ORIGIN})
    second = await client.post("/start", data=form, headers={"origin": ORIGIN})
    assert first.status_code == second.status_code == 303
    assert first.headers["location"] == second.headers["location"]
    assert prefect.started == [("daily/daily", {"simulations": 5})]
    with store.session() as session:
        (row,) = session.scalars(select(ActionRow)).all()
    assert (row.status, row.told) == ("done", "run quick-fox is scheduled")


async def test_a_session_that_reads_may_not_act(
    stranger: httpx.AsyncClient, access: Access, prefect: PrefectOfTests
) -> None:
    await stranger.get("/enter", params={"code": access.code("reads")})
    form = START | {"nonce": nonce_of(stranger, access)}
    answer = await stranger.post("/start", data=form, headers={"origin": ORIGIN})
    assert answer.status_code == 403
    assert "only reads" in answer.text
    assert prefect.started == []


async def test_the_cookie_of_another_port_is_nothing(
    stranger: httpx.AsyncClient, access: Access, tmp_path_factory: pytest.TempPathFactory
) -> None:
    neighbour = Access(tmp_path_factory.mktemp("neighbour"), port=PORT + 1)
    given = neighbour.redeem(neighbour.code())
    stranger.cookies.set(neighbour.cookie, given)
    stranger.cookies.set(access.cookie, given)
    assert (await stranger.get("/alphas")).status_code == 401


async def test_no_path_leads_out(client: httpx.AsyncClient) -> None:
    for path in (
        "/static/../application.py",
        "/static/%2e%2e/%2e%2e/access.py",
        "/static//etc/passwd",
        "/static/vendor",
        "/processes/..%2f..%2ftoken",
        "/api/output/..%2f..%2fdashboard%2ftoken",
        "/api/output/%2e%2e",
        "/export/..%2ftoken.csv",
        "/api/charts/..%2ftoken",
    ):
        answer = await client.get(path)
        assert answer.status_code == 404, path
        assert "root:" not in answer.text


async def test_a_form_of_ten_megabytes_is_not_taken(
    client: httpx.AsyncClient, access: Access
) -> None:
    sent = 0

    async def body() -> object:
        nonlocal sent
        for _ in range(160):
            sent += 1
            yield b"a" * 65_536

    answer = await client.post(
        "/alpha/mark", content=body(), headers={"origin": ORIGIN, "content-type": "text/plain"}
    )
    assert answer.status_code == 413
    assert sent < 5


async def test_a_form_of_a_thousand_fields_is_not_taken(client: httpx.AsyncClient) -> None:
    body = "&".join(f"f{number}=1" for number in range(1000))
    for path in ("/alpha/mark", "/sign-in"):
        for content in (body.encode(), b"token=\xff"):
            answer = await client.post(path, content=content, headers={"origin": ORIGIN})
            assert answer.status_code == 403, path


async def test_a_slow_form_is_given_up() -> None:
    async def never(scope: object, receive: object, send: object) -> None:
        raise AssertionError("the application was asked")

    answers = []

    async def receive() -> dict[str, object]:
        await asyncio.sleep(3600)
        return {}

    async def send(message: dict[str, object]) -> None:
        answers.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/start",
        "server": ("127.0.0.1", PORT),
        "headers": [(b"host", f"127.0.0.1:{PORT}".encode()), (b"origin", ORIGIN.encode())],
    }
    await Guard(never, body_seconds=0.05)(scope, receive, send)
    assert answers[0]["status"] == 408


@contextlib.contextmanager
def served(application: object, port: int = 0, **options: Any) -> Iterator[int]:
    """Serve an application on a port of this machine, 0 for a free one."""
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", port))
        port = free.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(
            application,  # type: ignore[arg-type]
            host="127.0.0.1",
            port=port,
            log_level="error",
            ws="none",
            **options,
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    try:
        yield port
    finally:
        server.should_exit = server.force_exit = True
        thread.join(20)


@pytest.mark.long
def test_two_hundred_connections_that_say_little_hold_nobody_up(
    sources: Sources, access: Access
) -> None:
    with served(create_application(sources, access)) as port, contextlib.ExitStack() as stack:
        for number in range(200):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            if number % 2:
                slow.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        answer = httpx.get(f"http://127.0.0.1:{port}/static/theme.js", timeout=60, trust_env=False)
        assert answer.status_code == 200


async def test_the_policy_lets_no_script_of_a_page_run(client: httpx.AsyncClient) -> None:
    answer = await client.get("/alphas")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "script-src 'self'" in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["cache-control"] == "no-store"
    assert not re.search(r"<script(?![^>]*\ssrc=)[^>]*>", answer.text)
    assert " style=" not in answer.text
    assert not re.search(r"\son\w+=", answer.text)


async def test_only_what_pages_send_is_a_method(client: httpx.AsyncClient) -> None:
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        answer = await client.request(method, "/alphas", headers={"origin": ORIGIN})
        assert answer.status_code == 405, method


async def test_a_token_never_comes_back(
    client: httpx.AsyncClient, access: Access, sources: Sources
) -> None:
    token = (sources.home / "dashboard" / "token").read_text().strip()
    for path in ("/", "/settings", "/machine", "/enter?code=x", "/actions"):
        assert token not in (await client.get(path)).text


async def test_parameters_that_are_no_json_numbers_start_nothing(
    client: httpx.AsyncClient, access: Access, prefect: PrefectOfTests
) -> None:
    for text in ('{"a": NaN}', '{"a": 1e999}'):
        form = {**START, "parameters": text, "nonce": nonce_of(client, access)}
        answer = await client.post("/start", data=form, headers={"origin": ORIGIN})
        assert answer.status_code == 400, text
    assert prefect.started == []


async def test_what_is_no_number_of_a_chart_draws_nothing(client: httpx.AsyncClient) -> None:
    for query in ("hours=nan", "hours=-inf", "hours=1e999", "hours=-5", "width=-1"):
        answer = await client.get(f"/api/charts/memory?name=alphas&{query}")
        assert answer.status_code == 200, query
        assert all(one is None or isinstance(one, float) for one in answer.json()["x"]), query
    huge = await client.get("/api/charts/scatter?width=999999999999999999")
    assert huge.status_code == 200


async def test_parameters_of_a_thousand_brackets_are_no_json(
    client: httpx.AsyncClient, access: Access, prefect: PrefectOfTests
) -> None:
    for text in ("[" * 15_000, '{"a":' * 3_000, "[]", '"x"', "9" * 15_000):
        form = {**START, "parameters": text, "nonce": nonce_of(client, access)}
        answer = await client.post("/start", data=form, headers={"origin": ORIGIN})
        assert answer.status_code == 400, text[:9]
    assert prefect.started == []


async def test_a_name_with_line_ends_makes_no_header(
    client: httpx.AsyncClient, access: Access
) -> None:
    for name in ("x\r\nSet-Cookie: a=b", "alpha1\x00", "\u2028", "/../../x", "{alpha_id}"):
        form = {"service": name, "id": name, "nonce": nonce_of(client, access)}
        answer = await client.post("/alpha/mark", data=form, headers={"origin": ORIGIN})
        assert answer.status_code in (403, 404), name
        assert "set-cookie" not in answer.headers, name
        looked = await client.get("/alpha", params={"service": name, "id": name})
        assert looked.status_code in (400, 404), name


async def test_a_token_of_scripts_changes_nothing(
    stranger: httpx.AsyncClient, sources: Sources, prefect: PrefectOfTests
) -> None:
    token = (sources.home / "dashboard" / "token").read_text().strip()
    headers = {"origin": ORIGIN, "authorization": f"Bearer {token}"}
    assert (await stranger.get("/alphas", headers=headers)).status_code == 200
    for path in ("/start", "/desk/halt", "/processes/alphas/stop", "/alpha/mark", "/sign-out"):
        assert (await stranger.post(path, data=START, headers=headers)).status_code == 401, path
    assert prefect.started == []


async def test_headers_of_proxies_and_two_hosts_change_nothing(client: httpx.AsyncClient) -> None:
    told = {"x-forwarded-host": "evil.example", "x-forwarded-proto": "https", "forwarded": "host=e"}
    answer = await client.get("/alphas", headers=told)
    assert answer.status_code == 200
    assert "evil.example" not in answer.text
    twice = [("host", f"127.0.0.1:{PORT}"), ("host", "evil.example")]
    assert (await client.get("/alphas", headers=twice)).status_code == 421


async def test_who_guesses_the_token_learns_nothing(
    stranger: httpx.AsyncClient, access: Access, sources: Sources
) -> None:
    for token in ("", "x", " " * 200, "\u0000", "é"):
        answer = await stranger.post("/sign-in", data={"token": token}, headers={"origin": ORIGIN})
        assert answer.status_code == 401
        assert str(sources.home) not in answer.text
        assert "set-cookie" not in answer.headers


async def test_the_nonce_of_another_session_does_nothing(
    client: httpx.AsyncClient, access: Access, prefect: PrefectOfTests
) -> None:
    other = access.session(access.redeem(access.code()))
    assert other is not None
    form = START | {"nonce": access.nonce(other)}
    answer = await client.post("/start", data=form, headers={"origin": ORIGIN})
    assert answer.status_code == 403
    assert prefect.started == []


async def test_a_refused_parameter_is_named_with_what_was_sent(client: httpx.AsyncClient) -> None:
    for sent in ("<img src=x onerror=alert(1)>", "\u202e\x1b[31m", "x" * 5000, "\ud800"):
        query = urlencode({"width": sent}, errors="surrogatepass")
        told = await client.get(f"/api/charts/scatter?{query}")
        assert told.status_code == 422
        error = told.json()["error"]
        assert error.startswith("width: Input should be a valid integer")
        assert "; sent was '" in error
        assert error.isascii() and error.isprintable()
        assert len(error) < 250
        page = await client.get(f"/charts/memory?name=alphas&{query}")
        assert page.status_code == 200
        page = await client.get(f"/runs/{quote(sent, safe='', errors='surrogatepass')}")
        assert page.status_code == 422
        assert "<img" not in page.text
        assert "number: Input should be a valid integer" in page.text


async def test_a_request_that_says_its_length_in_two_ways_or_too_much_of_it_is_not_read(
    sources: Sources, access: Access
) -> None:
    own = "Host: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\n"
    hidden = f"0\r\n\r\nGET /static/theme.js HTTP/1.1\r\n{own}\r\n"
    with served(create_application(sources, access)) as port:
        for lengths, status in (
            ("Transfer-Encoding: chunked\r\nContent-Length: 4", b"400"),
            (f"Content-Length: {'9' * 15}", b"413"),
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"POST /start HTTP/1.1\r\n{own}{lengths}\r\n\r\n{hidden}".encode())
            answer = await asyncio.wait_for(reader.read(), 60)
            assert answer.split()[1] == status
            assert answer.count(b"HTTP/1.1") == 1
            writer.close()


def told_by(port: int, request: bytes) -> bytes:
    """Send bytes as they are; return everything that comes until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(request)
        parts = []
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(65_536):
                parts.append(part)
    return b"".join(parts)


def test_requests_that_no_browser_sends_get_one_answer_and_nothing_of_the_store(
    sources: Sources, access: Access
) -> None:
    own = b"Host: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\nConnection: close\r\n"
    cookie = f"Cookie: {access.cookie}={access.redeem(access.code())}\r\n".encode()
    hidden = b"GET /alphas HTTP/1.1\r\n" + own + cookie + b"\r\n"
    form = b"POST /start HTTP/1.1\r\n" + own + cookie
    with served(create_application(sources, access)) as port:
        assert b"alpha1" in told_by(port, hidden)
        for request, statuses in (
            (form + b"Content-Length: 0\r\nContent-Length: 90\r\n\r\n" + hidden, "400"),
            (form + b"Content-Length: +4\r\n\r\nabcd", "400"),
            (form + b"Content-Length: -1\r\n\r\nabcd", "400"),
            (form + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nabcd", "400"),
            (form + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + hidden, "400"),
            (form + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + hidden, "400"),
            (form + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + hidden, "400"),
            (form + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden, "403"),
            (form + b"Expect: 100-continue\r\nContent-Length: 70000\r\n\r\n", "413"),
            (b"get /alphas HTTP/1.1\r\n" + own + cookie + b"\r\n", "405"),
            (b"CONNECT evil.example:443 HTTP/1.1\r\n" + own + cookie + b"\r\n", "405"),
            (b"GET /alphas HTTP/1.0\r\n" + cookie + b"\r\n", "421"),
            (b"GET http://127.0.0.1/alphas HTTP/1.1\r\nHost: evil.example\r\n\r\n", "421"),
            (b"GET http://evil.example/alphas HTTP/1.1\r\n" + own + cookie + b"\r\n", "404"),
            (b"GET //evil.example/alphas/ HTTP/1.1\r\n" + own + cookie + b"\r\n", "404"),
            (b"GET /\\evil.example/ HTTP/1.1\r\n" + own + cookie + b"\r\n", "404"),
            (b"GET /static/%c0%ae%c0%ae/a HTTP/1.1\r\n" + own + b"\r\n", "404"),
            (b"GET /runs/\xff HTTP/1.1\r\n" + own + cookie + b"\r\n", "400"),
            (b"GET /runs/%zz%f HTTP/1.1\r\n" + own + cookie + b"\r\n", "422"),
            (b"GET /alphas HTTP/1.1\r\n" + own + b"X: a\x00b\r\n" + cookie + b"\r\n", "400"),
            (b"GET /alphas HTTP/1.1\r\n" + own + b"Cookie: foundry_1=\xff\r\n\r\n", "401"),
            (b"GET /alphas HTTP/1.1\r\n" + own + b"Authorization: Bearer \xff\r\n\r\n", "401"),
            (b"GET /alphas HTTP/1.1\r\n" + own + b"X: " + b"a" * 200_000 + b"\r\n\r\n", "400"),
        ):
            answer = told_by(port, request)
            shown = request[:90], answer[:90]
            # One that is cut off while it is sent may not see why.
            assert not answer or answer.split()[1].decode() == statuses, shown
            assert answer.count(b"HTTP/1.1 ") <= 1, shown
            assert b"alpha1" not in answer, shown
            assert b"\r\nlocation:" not in answer.lower(), shown


async def test_an_address_that_a_page_would_repeat_too_often_is_not_taken(
    client: httpx.AsyncClient,
) -> None:
    for query in (
        urlencode({f"q{number}": 1 for number in range(1000)}),
        urlencode({"q": "a" * 60_000}),
        "&".join(f"a=x~{number}" for number in range(5000)),
    ):
        answer = await client.get(f"/alphas?{query}")
        assert answer.status_code == 414
        assert len(answer.content) < 20_000
    assert (await client.get(f"/alphas?q={'a' * 5_000}")).status_code == 400


def test_who_never_ends_the_head_of_a_request_is_cut_off_and_who_waits_for_a_page_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(impatient, "HEAD_SECONDS", 0.2)

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await asyncio.sleep(1.0)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"at last"})

    with served(slow, http=impatient.ImpatientProtocol) as port:
        for begun in (b"", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: "):
            assert told_by(port, begun) == b""
        asked = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        assert told_by(port, asked).endswith(b"at last\r\n0\r\n\r\n")


def test_no_text_is_a_formula_of_a_spreadsheet() -> None:
    bad = ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1", "\uff1d1+1", "\uff0b1", "\uff20x"]
    columns = [Column("a", "a")]
    text = b"".join(csv_lines(columns, [[{"a": one} for one in [*bad, "x=1", " x"]]])).decode()
    read = [row[0] for row in csv.reader(io.StringIO(text, newline=""))]
    assert read == ["a", *(f"'{one}" for one in bad), "x=1", " x"]
