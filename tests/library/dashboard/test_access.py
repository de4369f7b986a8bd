"""Who is let in, and who may act."""

from __future__ import annotations

import stat
from pathlib import Path

import httpx
import pytest

from alphafoundry.dashboard import Access, NotSignedIn
from flows import web
from tests.library.dashboard.conftest import PORT


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def door(tmp_path: Path, clock: Clock) -> Access:
    return Access(tmp_path / "door", port=PORT, clock=clock)


def test_a_link_signs_in_once(door: Access) -> None:
    code = door.code()
    session = door.session(door.redeem(code))
    assert session is not None
    assert session.role == "acts"
    with pytest.raises(NotSignedIn, match="used already"):
        door.redeem(code)


def test_a_used_link_stays_used_over_a_restart(door: Access, tmp_path: Path, clock: Clock) -> None:
    code = door.code()
    door.redeem(code)
    again = Access(tmp_path / "door", port=PORT, clock=clock)
    with pytest.raises(NotSignedIn, match="used already"):
        again.redeem(code)


def test_a_link_holds_for_a_minute(door: Access, clock: Clock) -> None:
    code = door.code()
    clock.now += 61
    with pytest.raises(NotSignedIn, match="holds no more"):
        door.redeem(code)


@pytest.mark.parametrize("code", ["", "acts", "acts.9999999999.x.y", "root.1.2.3", "a.b.c.d", "é"])
def test_a_forged_link_is_refused(door: Access, code: str) -> None:
    with pytest.raises(NotSignedIn):
        door.redeem(code)


def test_a_link_that_only_reads_cannot_be_made_to_act(door: Access) -> None:
    code = door.code("reads")
    with pytest.raises(NotSignedIn):
        door.redeem(code.replace("reads", "acts", 1))


def test_a_link_of_another_port_is_refused(door: Access, tmp_path: Path, clock: Clock) -> None:
    other = Access(tmp_path / "door", port=PORT + 1, clock=clock)
    with pytest.raises(NotSignedIn):
        door.redeem(other.code())
    assert other.cookie != door.cookie


def test_sessions_end_and_can_be_revoked(door: Access, clock: Clock) -> None:
    one, other = door.redeem(door.code()), door.redeem(door.code())
    door.sign_out(one)
    assert door.session(one) is None
    assert door.session(other) is not None
    clock.now += 31 * 86_400
    assert door.session(other) is None
    third = door.redeem(door.code())
    assert door.sign_out_all() >= 1
    assert door.session(third) is None


def test_revoking_from_another_process_is_heard(door: Access, tmp_path: Path, clock: Clock) -> None:
    given = door.redeem(door.code())
    Access(tmp_path / "door", port=PORT, clock=clock).sign_out_all()
    assert door.session(given) is None


def test_a_session_file_that_is_damaged_is_nobody(door: Access, tmp_path: Path) -> None:
    given = door.redeem(door.code())
    (tmp_path / "door" / "sessions.json").write_text("{")
    assert door.session(given) is None
    assert door.session(door.redeem(door.code())) is not None


def test_files_are_private_and_hold_no_session(door: Access, tmp_path: Path) -> None:
    given = door.redeem(door.code())
    for path in (tmp_path / "door").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        assert given not in path.read_text()


def test_a_nonce_is_of_one_session(door: Access) -> None:
    one = door.session(door.redeem(door.code()))
    other = door.session(door.redeem(door.code()))
    assert one is not None
    assert other is not None
    nonce = door.nonce(one)
    assert door.is_nonce(one, nonce)
    assert not door.is_nonce(other, nonce)
    assert not door.is_nonce(one, "x" + nonce)
    assert not door.is_nonce(one, "")


def test_what_changed_since_the_visit_before(door: Access, clock: Clock) -> None:
    given = door.redeem(door.code())
    left = clock.now = clock.now + 100
    assert door.session(given) is not None
    clock.now += 8 * 3600
    session = door.session(given)
    assert session is not None
    assert session.visit == left


async def test_the_token_signs_in(
    stranger: httpx.AsyncClient, access: Access, tmp_path: Path
) -> None:
    origin = {"origin": str(stranger.base_url).rstrip("/")}
    wrong = await stranger.post("/sign-in", data={"token": "guess"}, headers=origin)
    assert wrong.status_code == 401
    token = (tmp_path / "dashboard" / "token").read_text().strip()
    right = await stranger.post("/sign-in", data={"token": token}, headers=origin)
    assert right.status_code == 303
    cookie = right.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert token not in cookie
    assert (await stranger.get("/alphas")).status_code == 200


async def test_nobody_else_sees_anything(stranger: httpx.AsyncClient) -> None:
    for path in ("/", "/alphas", "/runs/1", "/nothing", "/export/alphas.csv", "/api/changes"):
        answer = await stranger.get(path)
        assert answer.status_code == 401, path
        assert "alpha1" not in answer.text
    assert (await stranger.get("/static/dashboard.css")).status_code == 200


async def test_scripts_read_with_the_token_that_reads(
    stranger: httpx.AsyncClient, tmp_path: Path
) -> None:
    token = (tmp_path / "dashboard" / "read-token").read_text().strip()
    bearer = {"authorization": f"Bearer {token}"}
    answer = await stranger.get("/export/alphas.csv", headers=bearer)
    assert answer.status_code == 200
    assert "alpha1" in answer.text
    refused = await stranger.get("/export/alphas.csv", headers={"authorization": "Bearer x"})
    assert refused.status_code == 401


async def test_signing_out_revokes(client: httpx.AsyncClient, access: Access) -> None:
    given = client.cookies[access.cookie]
    session = access.session(given)
    assert session is not None
    answer = await client.post(
        "/sign-out",
        data={"nonce": access.nonce(session)},
        headers={"origin": str(client.base_url).rstrip("/")},
    )
    assert answer.status_code == 303
    assert access.session(given) is None


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--name", "http://x"], "--name http://x: is no host name"),
        (["--certificate", __file__, "--key", __file__], f"--certificate {__file__}"),
    ],
)
def test_a_wrong_flag_is_named(
    words: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("FOUNDRY_HOME", str(tmp_path))
    with pytest.raises(SystemExit) as end:
        web.main(["--link", *words])
    assert end.value.code == 2
    assert told in capsys.readouterr().err
