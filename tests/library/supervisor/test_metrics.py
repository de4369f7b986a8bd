"""What Prometheus reads."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from wsgiref.simple_server import make_server

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from alphafoundry.supervisor import database, metrics
from alphafoundry.supervisor.metrics import application, main, metrics_text, serving


def home_with_a_process(home: Path) -> Path:
    with database.open_for_writing(home / database.FILE) as connection:
        connection.execute(
            "INSERT INTO supervisions (id, started_at, status, runtime_minutes, host, pid, config) "
            "VALUES ('s', '2026-03-02 11:00:00.000', 'running', 0, 'h', 1, 'c')"
        )
        connection.execute(
            "INSERT INTO processes (name, supervision, state, desired, since, standing, health, "
            "rss, cpu_percent, turns) VALUES ('a', 's', 'backing off', 'run', "
            "'2026-03-02 12:00:00.000', '{}', 0.5, 1000, 150, 3)"
        )
        connection.execute(
            "INSERT INTO process_runs (supervision, process, life, started_at, ended_at, cause) "
            "VALUES ('s', 'a', 1, '2026-03-02', '2026-03-02', 'crash')"
        )
    return home


def values(text: str) -> dict[str, float]:
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(sample.labels.values())
            found[f"{sample.name} {labels}".strip()] = sample.value
    return found


def test_every_process_has_state_health_memory_and_ends(tmp_path: Path) -> None:
    found = values(metrics_text(home_with_a_process(tmp_path)))
    assert found["foundry_up"] == 0
    assert found["foundry_process_state a,backing_off"] == 1
    assert found["foundry_process_health a"] == 0.5
    assert found["foundry_process_cpu_cores a"] == 1.5
    assert found["foundry_process_turns_total a"] == 3
    assert found["foundry_process_lives crash,a"] == 1
    assert found["foundry_database_bytes"] > 0


def test_a_home_without_a_supervision_says_that_none_runs(tmp_path: Path) -> None:
    assert values(metrics_text(tmp_path)) == {"foundry_up": 0.0}


def test_only_metrics_and_only_under_a_name_of_this_machine(tmp_path: Path) -> None:
    with serving(application(home_with_a_process(tmp_path)), 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        with httpx.Client(trust_env=False) as client:
            assert "foundry_process_state" in client.get(f"{url}/metrics").text
            assert client.get(f"{url}/").status_code == 404
            foreign = client.get(f"{url}/metrics", headers={"host": "evil.example"})
            assert foreign.status_code == 400 and "foundry" not in foreign.text
        server.shutdown()


def test_a_caller_that_says_nothing_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics._Quiet, "timeout", 600)
    with serving(application(tmp_path), 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with socket.create_connection(server.server_address), httpx.Client(trust_env=False) as web:
            found = web.get(f"http://127.0.0.1:{server.server_port}/metrics", timeout=60)
        assert "foundry_up" in found.text
        server.shutdown()


def test_a_taken_port_is_one_line(tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    with make_server("127.0.0.1", 0, application(tmp_path)) as server:
        assert main(["--home", str(tmp_path), "--port", str(server.server_port)]) == 2
    assert "choose another --port" in capsys.readouterr().err
    assert main(["--home", str(tmp_path), "--port", "99999"]) == 2


def test_a_damaged_database_is_no_crash(tmp_path: Path) -> None:
    (tmp_path / database.FILE).write_bytes(b"no database" * 100)
    assert values(metrics_text(tmp_path)) == {"foundry_up": 0.0}
