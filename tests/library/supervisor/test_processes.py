"""`config/processes.yaml`: every mistake is one line with file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from alphafoundry.errors import ConfigurationError
from alphafoundry.supervisor.processes import chosen, load_processes

ROOT = Path(__file__).resolve().parents[3]


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "processes.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        ("proceses: []", 1, "unknown key 'proceses'; did you mean 'processes'?"),
        ("processes:\n  - name: a\n    script: a.py\n    max_restart: 3", 4, "did you mean"),
        ("processes:\n  - name: A\n    script: a.py", 2, "is not of the form"),
        ("processes:\n  - name: a", 2, "needs exactly one of script, module, command, flow"),
        ("processes:\n  - name: a\n    script: a\n    module: b", 2, "it has script and module"),
        ("processes:\n  - {name: a, script: a.py}\n  - {name: a, script: b.py}", 3, "twice"),
        ("processes:\n  - {name: prefect, script: a.py}", 2, "of the supervisor's own"),
        (
            "processes:\n  - name: a\n    script: a\n    depends_on:\n      b: ready",
            5,
            "there is no process 'b'",
        ),
        (
            "processes:\n  - name: a\n    script: a\n    depends_on: {a: ready}",
            4,
            "goes in a circle: a needs a",
        ),
        (
            "processes:\n  - name: a\n    script: a\n    error_patterns:\n      - match: '('",
            5,
            "is not a regular expression",
        ),
        ("processes:\n  - name: a\n    script: a\n    restart: sometimes", 4, "choose one of"),
        ("processes:\n  - name: a\n    script: a\n    loop_interval: 0", 4, "greater than 0"),
        ("processes:\n  - name: a\n    script: a\n    probe: {tcp: nowhere}", 4, "of the form"),
        ("processes:\n  - name: a\n    script: a\n    probe: {interval: 3}", 4, "exactly one of"),
        ("max_runtime_minutes: -1", 1, "is not at least 0"),
        ("max_runtime_minutes: 1e300", 1, "is not less than"),
        ("retention: {output_days: 999999}", 1, "is not at most 36500"),
        (
            "processes:\n  - name: a\n    script: a\n    max_restarts: 99999999999999999999",
            4,
            "at most",
        ),
        ("processes:\n  - name: a\n    script: a\n    quarantine_retry: 1e300", 4, "at most"),
        ("processes:\n  - name: a\n    command: echo 'x", 3, "is no command: No closing quotation"),
        ("processes:\n  - name: a\n    command: ' '", 3, "is no command: it is empty"),
        ("processes:\n  - name: a\n    command: []", 3, "is no command: it is empty"),
        (
            "processes:\n  - name: a\n    script: a\n    probe: {http: 'here:80'}",
            4,
            "is no address",
        ),
        ("processes:\n  - name: a\n    script: a\n    probe: {tcp: 'a:99999'}", 4, "has no port"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, line: int, complaint: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        load_processes(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert complaint in str(caught.value) and "\n" not in str(caught.value)


def test_the_defaults_are_those_of_the_document(tmp_path: Path) -> None:
    path = write(tmp_path, "processes:\n  - {name: a, script: a.py}")
    settings = load_processes(path)
    one = settings.processes[0]
    assert settings.max_runtime_minutes == 360
    assert (one.loop_interval, one.max_restarts, one.restart_delay) == (120, 50, 30)
    assert (one.health_threshold, one.requires_loop) == (0.3, False)


def test_only_takes_along_what_is_needed(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "processes:\n  - {name: a, script: a}\n  - {name: b, script: b, depends_on: {a: ready}}\n"
        "  - {name: c, script: c}",
    )
    settings = load_processes(path)
    assert [one.name for one in chosen(settings, ["b"]).processes] == ["a", "b"]
    with pytest.raises(KeyError, match="d"):
        chosen(settings, ["d"])


def test_what_is_missing_is_told_before_it_is_started(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        f"""processes:
  - {{name: a, script: a.py, folder: "{tmp_path}"}}
  - {{name: b, command: no-such-command-here}}
  - {{name: c, module: no.such.module}}
  - {{name: d, command: [sh, -c, "true"]}}
  - {{name: e, module: alphafoundry.brain.server}}
  - {{name: f, script: f.sh, folder: "{tmp_path}"}}
""",
    )
    (tmp_path / "f.sh").write_text("#!/bin/sh\n")
    found = {one.name: one.missing([str(ROOT)]) for one in load_processes(path).processes}
    assert found["a"] == f"there is no script {tmp_path / 'a.py'}"
    assert found["b"] == "there is no command no-such-command-here"
    assert found["c"] == "there is no module no.such.module"
    assert found["d"] is None and found["e"] is None
    assert "not executable" in str(found["f"])
