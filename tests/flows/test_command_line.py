"""Each mistake of a user is one line that says what to do, and no secret is ever shown."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from alphafoundry.brain import Credentials
from tests.flows.misbehaving import FITTING, Service
from tests.servers import free_port
from tests.working_folder import ROOT, WorkingFolder, plain_environment

PASSWORD = "corr3ct-h0rse-battery"
EMAIL = "researcher@example.com"


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one line on standard error."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stdout == ""
    (line,) = [line for line in done.stderr.splitlines() if line.strip()]
    assert line.startswith("error: ")
    return line


MISTAKES: dict[str, tuple[tuple[str, ...], dict[str, str], str]] = {
    "missing market file": (("--market", "no/such.parquet"), {}, "no/such.parquet"),
    "unknown market": (("--market", "mars"), {}, "mars"),
    "missing folder for the report": (("--json", "nowhere/out.json"), {}, "nowhere/out.json"),
    "folder for the report": (("--json", "."), {}, "this is a folder"),
    "absurd number": (("--simulations", "9" * 20), {}, "at most 1000000"),
    "unknown service": (("--brain", "quantum"), {}, "choose one of local, worldquant"),
    "wrong variable": ((), {"FOUNDRY_SIMULATIONS": "many"}, "FOUNDRY_SIMULATIONS"),
    "no credentials": (("--brain", "worldquant"), {}, "./credential.txt|credential.txt"),
    "missing credentials file": (
        ("--brain", "worldquant", "--credentials", "mine.json"),
        {},
        "mine.json",
    ),
    "malformed credentials": (
        ("--brain", "worldquant", "--credentials", "bad.json"),
        {},
        'expected a JSON list of two texts, \\["email", "password"\\]',
    ),
    "no BRAIN server there": (("--brain", "http://127.0.0.1:9"), {}, "127.0.0.1:9"),
}


@pytest.fixture
def run_all(working_folder: WorkingFolder) -> dict[str, subprocess.CompletedProcess[str]]:
    """Each mistake in a process of its own."""
    (working_folder.path / "bad.json").write_text(
        json.dumps({"email": EMAIL, "password": PASSWORD})
    )
    commands = [
        ("flows.generate", ("--simulations", "2", *flags), env)
        for flags, env, _ in MISTAKES.values()
    ]
    return dict(zip(MISTAKES, working_folder.run_each(*commands), strict=True))


@pytest.mark.slow
def test_each_mistake_is_one_line(
    run_all: dict[str, subprocess.CompletedProcess[str]], working_folder: WorkingFolder
) -> None:
    wrong: dict[str, Any] = {}
    for name, done in run_all.items():
        try:
            line = complaint(done)
        except (AssertionError, ValueError) as problem:
            wrong[name] = f"{problem}\n{done.stderr[-2000:]}"
            continue
        if not re.search(MISTAKES[name][2], line):
            wrong[name] = line
        if PASSWORD in line or EMAIL in line:
            wrong[name] = f"shows a secret: {line}"
    assert not wrong, "\n\n".join(f"{name}: {told}" for name, told in wrong.items())
    assert working_folder.count("SELECT count(*) FROM simulations") == 0


def test_wrong_flags_are_told_and_help_names_every_flag_with_its_default(
    lonely_folder: WorkingFolder,
) -> None:
    unknown, zero, help_asked = lonely_folder.run_each(
        ("flows.daily", ("--simulation", "3"), {}),
        ("flows.daily", ("--simulations", "0"), {}),
        ("flows.daily", ("--help",), {"FOUNDRY_MARKET": "sample"}),
    )
    assert unknown.returncode == zero.returncode == 2
    assert unknown.stderr.startswith("error: unrecognized arguments: --simulation 3; did you mean ")
    assert "--simulations?" in unknown.stderr and unknown.stderr.count("\n") == 1
    assert zero.stderr == "error: --simulations: '0' is not at least 1\n"
    assert help_asked.returncode == 0
    assert "Generate alphas, mine the hopeful ones" in help_asked.stdout
    text = " ".join(help_asked.stdout.split())
    assert "(default: 60; FOUNDRY_SIMULATIONS)" in text and "--json FILE" in text
    assert "(default: sample; FOUNDRY_MARKET)" in text
    assert "(default: 3, the cap in config/limits.yaml; FOUNDRY_MAX_CONCURRENT)" in text


def test_a_malformed_configuration_is_one_line_with_its_place(lonely_folder: WorkingFolder) -> None:
    config = lonely_folder.path / "config"
    (config / "foundry.yaml").write_text("simulations: 5\nmarket: [calibration\n")
    line = complaint(lonely_folder.run("flows.daily"))
    assert "config/foundry.yaml:" in line
    (config / "foundry.yaml").write_text("simulations: 5\nsimulatoins: 6\n")
    line = complaint(lonely_folder.run("flows.daily"))
    assert "config/foundry.yaml:2" in line and "simulatoins" in line and "simulations" in line


def test_an_unreachable_prefect_server_is_one_line(lonely_folder: WorkingFolder) -> None:
    url = f"http://127.0.0.1:{free_port()}/api"
    line = complaint(lonely_folder.run("flows.daily", PREFECT_API_URL=url))
    assert url in line and "PREFECT_API_URL" in line


@pytest.mark.slow
def test_a_password_appears_nowhere(working_folder: WorkingFolder, tmp_path: Path) -> None:
    """A refused sign-in at a real port: not in the terminal, a log, or a database."""
    service = Service(tmp_path, credentials=Credentials(EMAIL, "another-password"))
    (working_folder.path / "credential.txt").write_text(json.dumps([EMAIL, PASSWORD]))
    with service.on_a_port() as url:
        flags = ("--brain", url, "--credentials", "credential.txt", "--simulations", "2")
        done = working_folder.run("flows.generate", *flags)
    assert "another-password" not in done.stderr
    line = complaint(done)
    assert "credential" in line.lower()
    assert not places_with(PASSWORD, line, working_folder)


@pytest.mark.long
def test_an_accepted_password_appears_nowhere(
    working_folder: WorkingFolder, tmp_path: Path
) -> None:
    service = Service(tmp_path, credentials=Credentials(EMAIL, PASSWORD))
    with service.on_a_port() as url:
        secret = {"FOUNDRY_BRAIN_EMAIL": EMAIL, "FOUNDRY_BRAIN_PASSWORD": PASSWORD}
        flags = ("--brain", url, "--simulations", "3", "--json", "out.json")
        done = working_folder.run("flows.daily", *flags, **FITTING, **secret)
    assert done.returncode == 0, done.stderr
    assert not places_with(PASSWORD, done.stdout + done.stderr, working_folder)


def places_with(secret: str, printed: str, place: WorkingFolder) -> list[str]:
    """Return where a secret, or its form in an Authorization header, can be read."""
    needles = [secret.encode(), base64.b64encode(f"{EMAIL}:{secret}".encode())]
    files = [
        path
        for folder in (place.path, place.prefect_home)
        for path in folder.rglob("*")
        if path.is_file() and path.name != "credential.txt"
    ]
    assert any(path.name.startswith("prefect.db") for path in files)
    found = [str(path) for path in files if any(n in path.read_bytes() for n in needles)]
    return found + ["the terminal"] * any(n in printed.encode() for n in needles)


@pytest.mark.long
def test_prefect_has_the_same_settings_in_any_folder(tmp_path: Path) -> None:
    """Prefect itself reads prefect.toml in the working directory only."""
    program = (
        "import flows\n"
        "from prefect.settings import get_current_settings\n"
        "found = get_current_settings()\n"
        "print(found.home, found.server.services.task_run_recorder.batch_size,"
        " found.server.concurrency.lease_storage)"
    )

    def settings_in(folder: Path) -> str:
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=folder,
            env=plain_environment() | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    assert settings_in(tmp_path) == settings_in(ROOT)


@pytest.mark.long
def test_a_file_that_cannot_be_written_is_named(working_folder: WorkingFolder) -> None:
    """/dev/full is a disk without room."""
    done = working_folder.run("flows.submit", "--json", "/dev/full")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "error: No space left on device"
    assert "SYNTHETIC" in done.stdout, "the report is shown all the same"
