"""What people are told, when, and that no address is told to anybody."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from alphafoundry.alert_addresses import open_addresses, send
from alphafoundry.errors import ConfigurationError
from alphafoundry.supervisor import database
from alphafoundry.supervisor.alert_sender import Sender, send_test, sender_process
from alphafoundry.supervisor.alerts import (
    AlertSettings,
    Known,
    addresses,
    digest,
    digest_due,
    load_alerts,
    news,
)
from alphafoundry.supervisor.control import SupervisorError, folder_of
from tests.library.supervisor.mailbox import Mailbox

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
Row = dict[str, object]


def event(
    number: int, kind: str, *, severity: str = "alert", name: str = "a", minute: int = 0
) -> Row:
    at = database.stamp(NOON + timedelta(minutes=minute))
    return {
        "id": number,
        "at": at,
        "process": name,
        "kind": kind,
        "severity": severity,
        "text": kind,
    }


def standing(state: str, *, minute: int = 0, name: str = "a") -> Row:
    return {"name": name, "state": state, "since": database.stamp(NOON + timedelta(minutes=minute))}


def told(
    known: Known, *events: Row, minute: int = 0, rows: tuple[Row, ...] = ()
) -> tuple[Known, str]:
    now = NOON + timedelta(minutes=minute)
    known, message = news(known, events, rows, now=now, again=DAY)
    return known, "" if message is None else f"{message.title}\n{message.body}"


def test_alerts_are_gathered_into_one_message_and_info_is_not_told() -> None:
    known, text = told(
        Known(),
        event(1, "started", severity="info"),
        event(2, "quarantined"),
        event(3, "leak", name="b"),
    )
    assert text.startswith("2 alerts\n12:00 a: quarantined\n12:00 b: leak")
    assert known.seen == 3 and set(known.open) == {"a/quarantined", "b/leak"}


def test_what_stands_is_told_once_and_again_after_a_day() -> None:
    known, _ = told(Known(), event(1, "pattern"))
    known, text = told(known, event(2, "pattern", minute=5), minute=5)
    assert text == "" and known.open["a/pattern"].count == 2
    known, text = told(known, event(3, "pattern", minute=1500), minute=1500)
    assert text.startswith("1 alert")


def test_a_quarantine_is_over_when_its_process_has_been_well_for_five_minutes() -> None:
    known, _ = told(Known(), event(1, "quarantined"))
    running = (standing("running", minute=30),)
    known, text = told(known, minute=33, rows=running)
    assert text == ""
    known, text = told(known, minute=36, rows=running)
    assert "resolved after 30 min 00 s: a: quarantined" in text and not known.open
    assert told(known, minute=37, rows=running)[1] == ""


def test_a_quarantine_that_stands_for_a_day_is_told_again() -> None:
    known, _ = told(Known(), event(1, "quarantined"))
    rows = (standing("quarantined"),)
    assert told(known, minute=60, rows=rows)[1] == ""
    known, text = told(known, minute=1441, rows=rows)
    assert "still, since 2026-03-02 12:00: a: quarantined" in text
    assert told(known, minute=1442, rows=rows)[1] == ""


def test_a_process_that_is_not_supervised_any_more_needs_nobody(
    home: Path, mailbox: Mailbox
) -> None:
    alert(home, "there is no script gone.py")
    made = sender(home, mailbox)
    made.step(0.0)
    made.step(31.0)
    with contextlib.closing(database.open_for_writing(home / database.FILE)) as connection:
        connection.execute(
            "INSERT INTO supervisions (id, started_at, status, runtime_minutes, host, pid, config) "
            "VALUES ('t', '2026-03-02 13:00:00.000', 'running', 0, 'h', 1, 'c')"
        )
    made.step(62.0)
    known = json.loads((folder_of(home) / "alerts.json").read_text())["known"]
    assert known["open"] == {} and len(mailbox.taken) == 1


def test_room_on_the_disk_ends_the_alert_about_it() -> None:
    known, _ = told(Known(), event(1, "disk", name=""))
    assert "resolved" in told(known, event(2, "disk", severity="info", name="", minute=1))[1]


@pytest.mark.parametrize(
    "login", ["me:secret", "me:my@secret", "me:my/secret", ":secret", "secret"]
)
def test_a_login_that_a_program_printed_is_not_passed_on(login: str) -> None:
    one = event(1, "pattern") | {"text": f"failed: postgresql://{login}@host/db"}
    text = told(Known(), one)[1]
    assert "secret" not in text and "failed: postgresql://***@host/db" in text


def test_a_message_shows_twenty_and_counts_the_rest() -> None:
    text = told(Known(), *(event(n, "leak", name=f"p{n}") for n in range(1, 31)))[1]
    assert text.startswith("30 alerts") and "and 10 more" in text


def test_the_digest_is_due_once_a_day() -> None:
    assert not digest_due(Known(), time(13), NOON)
    assert digest_due(Known(), time(11), NOON)
    assert not digest_due(Known(digest_on="2026-03-02"), time(11), NOON)
    assert not digest_due(Known(), None, NOON)


@pytest.mark.parametrize("digest", ["7", '"07:00+02:00"', '"07:00Z"', "[7]"])
def test_the_digest_has_a_time_of_day_without_a_zone(tmp_path: Path, digest: str) -> None:
    path = tmp_path / "alerts.yaml"
    path.write_text(f"digest: {digest}\n")
    with pytest.raises(ConfigurationError, match=r"alerts.yaml:1: digest: .*time of day in UTC"):
        load_alerts(path)


def test_a_file_of_addresses_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "addresses"
    path.write_text("# mine\njson://user:secret@127.0.0.1:1\n")
    path.chmod(0o644)
    settings = AlertSettings(addresses=path)
    with pytest.raises(ConfigurationError, match="chmod 600") as caught:
        addresses(settings, {})
    assert "secret" not in str(caught.value)
    path.chmod(0o600)
    found = addresses(settings, {"FOUNDRY_ALERTS": "json://a json://b"})
    assert found == ["json://a", "json://b", "json://user:secret@127.0.0.1:1"]


def test_an_address_that_is_none_is_told_by_its_number() -> None:
    with pytest.raises(ConfigurationError, match="address 2 of 2") as caught:
        open_addresses(["json://127.0.0.1:1", "bogus://user:secret@there"])
    assert "secret" not in str(caught.value)


def test_nobody_to_tell_is_no_process() -> None:
    assert sender_process({}) == []
    assert [one.name for one in sender_process({"FOUNDRY_ALERTS": "json://127.0.0.1:1"})] == [
        "alerts"
    ]
    assert len(sender_process({"FOUNDRY_HEARTBEAT": "http://x"})) == 1
    with pytest.raises(ConfigurationError, match="address 1 of 1"):
        sender_process({"FOUNDRY_ALERTS": "bogus://x"})


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    made = Mailbox()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_service_of_html_shows_each_line_and_what_stands_in_it(mailbox: Mailbox) -> None:
    services = open_addresses([f"json://127.0.0.1:{mailbox.port}/?format=html"])
    for one in services.values():
        assert send(one, "title", "first\n<Connection object>")
    assert mailbox.taken[0]["message"] == "first<br/>&lt;Connection&nbsp;object&gt;"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a supervision and one process in quarantine."""
    folder_of(tmp_path).mkdir()
    with database.open_for_writing(tmp_path / database.FILE) as connection:
        connection.execute(
            "INSERT INTO supervisions (id, started_at, status, runtime_minutes, host, pid, config) "
            "VALUES ('s', '2026-03-02 11:00:00.000', 'running', 0, 'h', 1, 'c')"
        )
        connection.execute(
            "INSERT INTO processes (name, supervision, state, desired, since, standing) "
            "VALUES ('a', 's', 'quarantined', 'run', '2026-03-02 12:00:00.000', '{}')"
        )
    return tmp_path


def alert(home: Path, text: str, process: str = "a", kind: str = "quarantined") -> None:
    connection = sqlite3.connect(home / database.FILE)
    with connection:
        connection.execute(
            "INSERT INTO process_events (supervision, process, at, kind, severity, text) "
            "VALUES ('s', ?, '2026-03-02 12:00:00.000', ?, 'alert', ?)",
            (process, kind, text),
        )
    connection.close()


def sender(home: Path, mailbox: Mailbox, **more: str) -> Sender:
    services = open_addresses([f"json://user:secret@127.0.0.1:{mailbox.port}"])
    settings = AlertSettings(gather_seconds=30, digest=time(12, 30))
    return Sender(home, settings, services, clock=lambda: NOON, **more)


def test_an_alert_is_gathered_sent_once_and_not_again_after_a_restart(
    home: Path, mailbox: Mailbox
) -> None:
    first = sender(home, mailbox)
    alert(home, "there is no script gone.py")
    first.step(100.0)
    assert mailbox.taken == []
    alert(home, "leaks", "b", "leak")
    first.step(131.0)
    (message,) = mailbox.taken
    assert "2 alerts" in message["title"] and "no script gone.py" in message["message"]
    second = sender(home, mailbox)
    second.step(0.0)
    second.step(100.0)
    assert len(mailbox.taken) == 1
    file = folder_of(home) / "alerts.json"
    assert "secret" not in file.read_text() and file.stat().st_mode & 0o077 == 0


def test_a_refusing_address_gets_it_later_by_another_sender_too(
    home: Path, mailbox: Mailbox, capsys: pytest.CaptureFixture[str]
) -> None:
    mailbox.status = 503
    alert(home, "one")
    first = sender(home, mailbox)
    first.step(0.0)
    first.step(31.0)
    said = capsys.readouterr()
    assert "address 1 (JSON) refuses" in said.out and "secret" not in said.out + said.err
    mailbox.status = 200
    first.step(40.0)
    assert mailbox.taken == []
    sender(home, mailbox).step(0.0)
    assert len(mailbox.taken) == 1


def test_the_digest_says_where_everything_stands(home: Path, mailbox: Mailbox) -> None:
    moments = iter([NOON, *[NOON + timedelta(hours=1)] * 9])
    services = open_addresses([f"json://127.0.0.1:{mailbox.port}"])
    made = Sender(home, AlertSettings(digest=time(12, 30)), services, clock=lambda: next(moments))
    made.step(0.0)
    assert mailbox.taken == []
    made.step(1.0)
    made.step(2.0)
    (message,) = mailbox.taken
    assert "nothing needs a person" in message["title"] and "quarantined: a" in message["message"]


def test_the_digest_counts_what_it_leaves_out_and_names_only_what_is_supervised(
    home: Path,
) -> None:
    with contextlib.closing(database.open_for_writing(home / database.FILE)) as connection:
        connection.row_factory = sqlite3.Row
        connection.execute(
            "INSERT INTO processes (name, supervision, state, desired, since, standing) "
            "VALUES ('gone', 'earlier', 'running', 'run', '2026-03-01 12:00:00.000', '{}')"
        )
        connection.executemany(
            "INSERT INTO process_runs (supervision, process, life, started_at, ended_at, cause) "
            "VALUES ('s', ?, 1, '2026-03-02 11:00:00.000', '2026-03-02 11:30:00.000', 'crash')",
            [(f"p{number}",) for number in range(12)],
        )
        lines = digest(connection, Known(), now=NOON).body.splitlines()
    assert "gone" not in "".join(lines)
    assert sum("ended 1 times: crash" in line for line in lines) == 10
    assert "and 2 more" in lines


def test_the_heartbeat_is_sent_while_the_supervisor_writes(home: Path, mailbox: Mailbox) -> None:
    made = sender(home, mailbox, heartbeat=f"http://127.0.0.1:{mailbox.port}/alive")
    made.step(0.0)
    assert mailbox.asked == []
    connection = sqlite3.connect(home / database.FILE)
    with connection:
        connection.execute(
            "INSERT INTO machine_usage VALUES (?, 1, 1, 1, 'fine')", (database.stamp(NOON),)
        )
    connection.close()
    made.step(61.0)
    made.step(62.0)
    assert mailbox.asked == ["/alive"]


def test_a_test_says_which_address_took_it(mailbox: Mailbox) -> None:
    environment = {"FOUNDRY_ALERTS": f"json://user:secret@127.0.0.1:{mailbox.port}"}
    assert send_test(environment) == ["address 1 (JSON): has taken the test"]
    mailbox.status = 401
    with pytest.raises(SupervisorError, match=r"address 1 \(JSON\): refuses") as caught:
        send_test(environment)
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="FOUNDRY_ALERTS"):
        send_test({})
