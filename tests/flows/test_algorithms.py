"""The flow of the algorithms: models on a real socket, a real Prefect server, kill -9, and keys."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.artifacts import Artifact
from prefect.blocks.system import Secret

import alphafoundry.algorithms.asking
import tasks.algorithms.racing
import tasks.algorithms.run
from alphafoundry.algorithms.arena import race
from alphafoundry.algorithms.sandbox import Sandbox, SandboxLimits
from alphafoundry.errors import FoundryError
from alphafoundry.runs import Stop, lanes
from alphafoundry.store import open_store, read_candidates, read_model_requests, read_race
from flows.algorithms import algorithms
from tasks.prefect.server import Server
from tasks.run import running_from_terminal
from tests.library.llm.chat_server import (
    PROGRAM,
    ChatServer,
    Reply,
    chat,
    problem,
    program,
    running_chat_server,
)
from tests.some_cases import one_in
from tests.working_folder import WorkingFolder, wait_until

SHORT_RACE = {"FOUNDRY_ALGORITHMS__RACE_DAYS": "20"}
KEY = "sk-or-v1-9b1d77e05c2f4a6688aa"


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with running_chat_server() as state:
        yield state


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENROUTER_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def place(in_process: WorkingFolder, monkeypatch: pytest.MonkeyPatch) -> WorkingFolder:
    """A working directory in which races are short."""
    for name, value in SHORT_RACE.items():
        monkeypatch.setenv(name, value)
    return in_process


def told(report: Any) -> dict[str, tuple[str, int, str]]:
    return {one.model: (one.status, one.requests, one.reason or "") for one in report.models}


FAULTS: dict[str, tuple[list[Reply], str, int, str]] = {
    "good": ([program()], "ready", 1, ""),
    "limited": ([problem(429, Retry_After="0.7"), program()], "ready", 2, ""),
    "patient": ([problem(429, Retry_After="2"), program()], "ready", 2, ""),
    "never": ([problem(429, Retry_After="9999")], "failed", 1, "longer than this run"),
    "500": ([problem(500), program()], "ready", 2, ""),
    "503": ([problem(503)] * 4, "failed", 4, "HTTP 503"),
    "dropped": ([Reply(drop=True), program()], "ready", 2, ""),
    "late": ([program(delay=60), program()], "ready", 2, ""),
    "half": ([Reply(body=program().body[:90])], "refused-by-client", 1, "not a JSON object"),
    "html": (
        [Reply(body=b"<html>", headers={"Content-Type": "text/html"})],
        "refused-by-client",
        1,
        "text/html",
    ),
    "empty": ([Reply(body=b'{"choices": []}')], "refused-by-client", 1, "no choices"),
    "long": ([chat("x" * 10_000_000)], "refused-by-client", 1, "larger than"),
    "other": ([chat("```python\nx = 1\n```")], "refused", 1, "missing_execute_trade"),
    "mended": ([chat(PROGRAM.replace("WINDOW:", "UNKNOWN:")), program()], "ready", 2, ""),
    "crash": ([chat(PROGRAM.replace("WINDOW:", "(WINDOW,)[1]:"))], "refused", 1, "smoke run"),
    "gone": ([problem(404, "unknown model")], "failed", 1, "unknown model"),
}


SOME = ("limited", "503", "dropped", "half", "other")
"""A fault of each kind, apart from the one that is waited for."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "names", [SOME, pytest.param(tuple(FAULTS), marks=pytest.mark.long)], ids=["some", "all"]
)
async def test_each_fault_gets_the_right_retry_or_refusal(
    place: WorkingFolder,
    server: ChatServer,
    monkeypatch: pytest.MonkeyPatch,
    names: tuple[str, ...],
) -> None:
    """And the cap holds, the order is kept, and everything is in the database."""
    faults = {name: FAULTS[name] for name in names}
    monkeypatch.setattr(alphafoundry.algorithms.asking, "SHORT_WAIT", 1.0)
    monkeypatch.setenv("FOUNDRY_ALGORITHMS__REQUEST_TIMEOUT", "30.0")
    server.default = program(delay=0.1)
    for model, (replies, _, _, _) in faults.items():
        server.script(model, *replies)
    models = [*faults, "last", "last"]
    report = await algorithms(models=models, base_url=server.url)
    assert [one.model for one in report.models] == models
    wrong = {}
    for model, (_, status, requests, says) in faults.items():
        got = told(report)[model]
        expected = status.replace("refused-by-client", "failed")
        if got[:2] != (expected, requests) or says not in got[2] or server.sent[model] != requests:
            wrong[model] = (got, server.sent[model])
    assert not wrong
    assert server.peak <= 6
    for model, least in {"limited": 0.7, "patient": 2.0}.items():
        if model in faults:
            first, second = server.arrivals[model]
            assert second - first >= least

    with open_store(home=place.home) as store:
        rows = read_model_requests(store, report.run_id)
        race = read_race(store, report.run_id)
        candidates = [one.model for one in read_candidates(store)]
    assert len(rows) == sum(server.sent.values())
    outcomes = {"answered", "rate limit", "server", "network", "unusable"}
    outcomes |= {"time-out"} if "late" in faults else set()
    outcomes |= {"refused"} if "gone" in faults else set()
    assert {row.outcome for row in rows} == outcomes
    ready = [one.model for one in report.models if one.status == "ready"]
    assert len(race) == len(ready) + 1
    last = {f"last ({len(faults) + number})" for number in (1, 2)}
    assert {"buy-and-hold", *last} <= {one.name for one in race}
    assert len(candidates) == len(report.candidates)
    metrics = {one.model: one for one in report.metrics}
    assert (metrics["503"].requests, metrics["503"].retries, metrics["503"].answers) == (4, 3, 0)
    assert report.lowest_concurrency < 6


@pytest.mark.long
async def test_more_models_than_the_cap_run_six_at_a_time(
    place: WorkingFolder, server: ChatServer
) -> None:
    server.default = program(delay=0.1)
    models = [f"m{number:02}" for number in range(8)]
    for number, model in enumerate(models[:6]):
        server.script(model, program(delay=0.1 * (6 - number), after=6))
    report = await algorithms(models=",".join(models), base_url=server.url)
    assert [one.model for one in report.models] == models
    assert set(told(report).values()) == {("ready", 1, "")}
    assert server.peak == 6
    progress = await Artifact.aget(key="algorithms-progress")
    page = await Artifact.aget(key="algorithms-report")
    board = await Artifact.aget(key="algorithms-leader-board")
    measured = await Artifact.aget(key="algorithms-models")
    assert progress is not None and progress.data == 100.0
    assert page is not None and board is not None and measured is not None
    text = str(page.data)
    assert "SYNTHETIC" in text and report.prompt_version in text and "data:image/png" in text
    assert "SAFETY" in text
    assert len(json.loads(str(board.data))) == 9
    assert [row["requests"] for row in json.loads(str(measured.data))] == ["1"] * 8


async def test_a_key_comes_from_the_environment_or_a_secret_block(
    place: WorkingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await tasks.algorithms.run.api_key("openrouter") is None
    await Secret(value=KEY).save("openrouter-api-key")  # type: ignore[misc]
    try:
        key = await tasks.algorithms.run.api_key("openrouter")
        assert key is not None and key.reveal() == KEY
        monkeypatch.setenv("OPENROUTER_API_KEY", "sk-from-the-environment")
        key = await tasks.algorithms.run.api_key("openrouter")
        assert key is not None and key.reveal() == "sk-from-the-environment"
        assert await tasks.algorithms.run.api_key("templates") is None
    finally:
        await Secret.adelete("openrouter-api-key")


async def test_what_has_finished_when_the_time_is_over_is_raced(
    place: WorkingFolder, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time is over as soon as the quick one is ready, however long that takes."""

    def hurried() -> float:
        ready = place.count("SELECT count(*) FROM algorithms WHERE status = 'ready'")
        return time.monotonic() + 1000.0 * ready

    monkeypatch.setattr(lanes, "time", SimpleNamespace(monotonic=hurried))
    server.script("slow", program(delay=60))
    report = await algorithms(models="slow,quick", base_url=server.url, timeout=900.0)
    assert told(report)["quick"][0] == "ready"
    assert "not finished within the 900 s" in told(report)["slow"][2]
    assert [line["algorithm"] for line in report.leader_board if line["from"] != "benchmark"] == [
        "quick"
    ]


async def test_without_any_algorithm_the_flow_fails_in_one_line(
    place: WorkingFolder, server: ChatServer
) -> None:
    server.default = problem(401, "no such key")
    with pytest.raises(FoundryError) as caught:
        await algorithms(models="a,b", base_url=server.url)
    assert "none of 2 models" in str(caught.value) and "no such key" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert place.rows("SELECT status FROM runs") == [("failed",)]


@pytest.mark.long
async def test_a_dead_endpoint_is_left_alone_by_the_circuit(
    place: WorkingFolder, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alphafoundry.algorithms.asking, "MOST_REFUSED_BY_CIRCUIT", 0)
    server.default = Reply(drop=True)
    models = [f"m{number}" for number in range(20)]
    with pytest.raises(FoundryError, match="none of 20 models"):
        await algorithms(models=models, base_url=server.url)
    assert 12 <= sum(server.sent.values()) < 20
    assert max(server.sent.values()) <= 4


class Screen:
    """Keeps what the terminal would show."""

    def __init__(self) -> None:
        self.updates: list[tuple[str, int, int, str]] = []
        self.lines: list[str] = []

    def update(self, phase: str, done: int, total: int, note: str = "") -> None:
        self.updates.append((phase, done, total, note))

    def say(self, message: str) -> None:
        self.lines.append(message)


@pytest.mark.long
async def test_a_stop_keeps_what_has_finished_for_the_next_run(
    place: WorkingFolder, server: ChatServer
) -> None:
    server.script("slow", program(delay=60), program())
    server.script("quick", program(after=2))
    stop = Stop()
    screen = Screen()

    def update(phase: str, done: int, total: int, note: str = "") -> None:
        screen.updates.append((phase, done, total, note))
        if note == "quick: generated":
            stop.set()

    screen.update = update  # type: ignore[method-assign]
    prefect = Server(place.env["PREFECT_API_URL"], temporary=False, alone=False)
    with running_from_terminal(progress=screen, stop=stop, server=prefect):
        report = await algorithms(models="slow,quick", base_url=server.url)
    assert told(report) == {"quick": ("ready", 1, "")}
    assert report.stopped.endswith("(it was at: asking the models)")
    assert report.summary()[0] == ("stopped", report.stopped)
    assert place.rows("SELECT status FROM runs") == [("interrupted",)]
    assert ("ask", 1, 2, "quick: generated") in screen.updates
    report = await algorithms(models="slow,quick", base_url=server.url)
    assert [one.taken_over for one in report.models] == [False, True]
    assert server.sent == {"slow": 2, "quick": 1}
    report = await algorithms(models="slow,quick", base_url=server.url)
    assert server.sent == {"slow": 3, "quick": 2}


@pytest.mark.long
def test_without_an_account_templates_race(working_folder: WorkingFolder) -> None:
    report = working_folder.report("flows.algorithms", **SHORT_RACE)
    assert [one["status"] for one in report["models"]] == ["ready"] * 6
    assert report["synthetic"] and report["market"].startswith("SYNTHETIC")
    assert report["written_by"].startswith("TEMPLATE")
    names = [line["algorithm"] for line in report["leader_board"]]
    assert sorted(names) == ["buy-and-hold", *(f"template-{n}" for n in range(1, 7))]
    assert working_folder.count("SELECT count(*) FROM race_results WHERE failure IS NULL") == 7


@pytest.mark.long
def test_after_kill_9_finished_models_are_not_asked_again(
    working_folder: WorkingFolder, server: ChatServer
) -> None:
    many = 3
    quick = [f"quick-{number}" for number in range(many)]
    for number in range(many):
        server.script(f"slow-{number}", program(delay=120))
    models = [name for pair in zip(quick, server.replies, strict=True) for name in pair]
    flags = ("--models", ",".join(models), "--base-url", server.url)
    ready = "SELECT count(*) FROM algorithms WHERE status = 'ready'"
    with working_folder.start("flows.algorithms", *flags, **SHORT_RACE) as process:
        wait_until(
            lambda: (
                process.poll() is not None
                or (working_folder.count(ready) == many and len(server.sent) == 2 * many)
            ),
            what="finished models and as many that are asked",
        )
        assert process.poll() is None, working_folder.output("flows.algorithms")
        process.send_signal(signal.SIGKILL)
        process.wait()
    report = working_folder.report("flows.algorithms", *flags, **SHORT_RACE)
    assert [one["taken_over"] for one in report["models"]] == [True, False] * many
    assert {one["status"] for one in report["models"]} == {"ready"}
    assert [server.sent[name] for name in quick] == [1] * many
    assert [server.sent[f"slow-{number}"] for number in range(many)] == [2] * many
    assert working_folder.rows("PRAGMA integrity_check") == [("ok",)]


@pytest.mark.slow
def test_an_api_key_appears_nowhere(working_folder: WorkingFolder, server: ChatServer) -> None:
    """Not in the terminal, a log, an artifact, a database, an answer, or a file."""
    server.script("unauthorized", problem(401, f"Incorrect API key provided: {KEY}"))
    server.script("echo", *[problem(500, f"Authorization: Bearer {KEY}")] * 4)
    server.script("html", Reply(body=f"<p>{KEY}</p>".encode(), headers={"Content-Type": KEY}))
    server.script("cut", Reply(drop=True), Reply(body=b'{"half', announced_length=99), program())
    server.script("in-code", chat(f"```python\nKEY = {KEY!r}\n{PROGRAM}```"))
    server.script("refused", chat(f"My key is {KEY}"))
    models = "good,unauthorized,echo,html,cut,in-code,refused"
    flags = ("--models", models, "--provider", "openrouter", "--base-url", server.url)
    env = SHORT_RACE | {"OPENROUTER_API_KEY": KEY, "PREFECT_LOGGING_LEVEL": "DEBUG"}
    done = working_folder.run("flows.algorithms", *flags, "--json", "out.json", **env)
    assert done.returncode == 0, done.stderr
    assert set(server.authorization) == {f"Bearer {KEY}"}
    statuses = {one["model"]: one["status"] for one in working_folder.json("out.json")["models"]}
    assert statuses == {
        "good": "ready", "unauthorized": "failed", "echo": "failed", "html": "failed",
        "cut": "ready", "in-code": "ready", "refused": "refused",
    }  # fmt: skip
    assert not places_with(KEY[:16], done.stdout + done.stderr, working_folder)


def places_with(secret: str, printed: str, place: WorkingFolder) -> list[str]:
    """Return where a secret can be read; the UI shows what is in Prefect's database."""
    needle = secret.encode()
    files = [
        path
        for folder in (place.path, place.prefect_home)
        for path in folder.rglob("*")
        if path.is_file()
    ]
    names = {path.name for path in files}
    assert {"prefect.db", "foundry.sqlite", "out.json", "generation.json"} <= names
    found = [str(path) for path in files if needle in path.read_bytes()]
    return found + ["the terminal"] * (secret in printed)


MISTAKES: dict[str, tuple[dict[str, str], dict[str, str], str]] = {
    "no key": ({"provider": "openrouter"}, {}, "OPENROUTER_API_KEY"),
    "a key that is none": (
        {"provider": "openrouter"},
        {"OPENROUTER_API_KEY": "two words"},
        "OPENROUTER_API_KEY is not an API key",
    ),
    "an address with a password": (
        {"base_url": "http://me:hunter2@127.0.0.1:9/v1"},
        {},
        "'http://***@127.0.0.1:9/v1' holds a user or a password",
    ),
    "unknown ticker": ({"ticker": "NOSUCH"}, {}, "no ticker 'NOSUCH'"),
    "unusable model name": ({"models": "a::b"}, {}, "'a::b' is not the name of a model"),
    "the benchmark's name": ({"models": "a,buy-and-hold"}, {}, "cannot be a model's name"),
    "an empty list of models": ({"models": " ,"}, {}, "--models: the list is empty"),
    "an empty ticker": ({"ticker": [""]}, {}, "--ticker: the list is empty"),
    "no models": ({"base_url": "http://127.0.0.1:9/v1"}, {}, "--models a,b,c"),
    "unknown provider": ({"provider": "oracle"}, {}, "choose one of auto, templates"),
}


@pytest.mark.parametrize("mistake", one_in(3, MISTAKES))
async def test_each_mistake_is_told_in_one_line(
    place: WorkingFolder, monkeypatch: pytest.MonkeyPatch, mistake: str
) -> None:
    parameters, env, says = MISTAKES[mistake]
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(FoundryError) as caught:
        await algorithms(**parameters)  # type: ignore[arg-type]
    told = str(caught.value)
    assert says in told and "\n" not in told
    assert "hunter2" not in told and "two words" not in told
    assert place.count("SELECT count(*) FROM algorithms") == 0


def test_help_names_the_flags(lonely_folder: WorkingFolder) -> None:
    done = lonely_folder.run("flows.algorithms", "--help")
    text = " ".join(done.stdout.split())
    assert done.returncode == 0
    for flag in ("--models", "--ticker", "--provider", "--base-url", "--timeout", "--cache"):
        assert flag in text


def killed_after(model: str, place: WorkingFolder, *flags: str) -> None:
    """Run the flow until the process dies by SIGKILL right after this model's answer is stored."""
    done = place.run("tests.flows.killed_after_answer", model, *flags, **SHORT_RACE)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.slow
def test_an_answer_is_not_paid_for_twice_however_soon_the_run_dies(
    working_folder: WorkingFolder, server: ChatServer
) -> None:
    server.script("slow", program(delay=60), program())
    flags = ("--models", "slow,quick,quick", "--base-url", server.url)
    server.script("quick", program(after=3), program(delay=60))
    killed_after("quick", working_folder, *flags)
    assert server.sent["quick"] == 2
    kept = "SELECT model, requests FROM algorithms WHERE status = 'asking' AND answer IS NOT NULL"
    assert working_folder.rows(kept) == [("quick", 1)]
    assert working_folder.rows("SELECT model, outcome FROM model_requests") == [
        ("quick", "answered")
    ]
    report = working_folder.report("flows.algorithms", *flags, **SHORT_RACE)
    assert {one["status"] for one in report["models"]} == {"ready"}
    assert sorted(one["taken_over"] for one in report["models"]) == [False, False, True]
    assert [one["requests"] for one in report["models"]] == [1, 1, 1]
    assert server.sent == {"slow": 2, "quick": 3}


@pytest.mark.long
async def test_a_sandbox_that_does_not_start_is_no_fault_of_the_algorithm(
    place: WorkingFolder, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_time = Sandbox(SandboxLimits(start_seconds=0.0))
    with monkeypatch.context() as patch:
        patch.setattr(tasks.algorithms.racing, "Sandbox", lambda: no_time)
        with pytest.raises(FoundryError, match="a: the sandbox could not be started"):
            await algorithms(models="a", base_url=server.url)
    report = await algorithms(models="a", base_url=server.url)
    assert told(report) == {"a": ("ready", 1, "")}
    assert [one.taken_over for one in report.models] == [True]
    assert server.sent == {"a": 1}


@pytest.mark.long
async def test_a_race_whose_sandbox_does_not_start_is_run_again_without_asking(
    place: WorkingFolder, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def race_without_time(entries: Any, market: Any, settings: Any, **options: Any) -> Any:
        late = Sandbox(SandboxLimits(start_seconds=0.0))
        return race(entries, market, settings, late, **options)

    with monkeypatch.context() as patch:
        patch.setattr(tasks.algorithms.racing, "race", race_without_time)
        report = await algorithms(models="a", base_url=server.url)
    status, requests, reason = told(report)["a"]
    assert (status, requests) == ("failed", 1) and "sandbox could not be started" in reason
    report = await algorithms(models="a", base_url=server.url)
    assert told(report) == {"a": ("ready", 1, "")}
    assert server.sent == {"a": 1}
