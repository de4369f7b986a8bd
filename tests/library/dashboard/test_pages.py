"""What every page says of a store with a little of everything, and of an empty one."""

from __future__ import annotations

import contextlib
import csv
import html
import io
import re
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import httpx
import numpy as np
import pytest
from sqlalchemy import event, update

from alphafoundry.coordinator.luck import deflated
from alphafoundry.dashboard import Access, Sources, create_application, evidence, facts
from alphafoundry.dashboard.application import TABLES
from alphafoundry.dashboard.pages import now, workflows
from alphafoundry.errors import StoreError
from alphafoundry.store import (
    AlphaRow,
    PhaseRow,
    RunRow,
    Store,
    TrialRow,
    open_store,
    read_daily_pnl,
)
from alphafoundry.store.agents import open_agent_desk
from alphafoundry.supervisor import database
from tests.library.dashboard.conftest import ORIGIN, PORT, PrefectOfTests
from tests.library.dashboard.rows import LABEL, NOW, OF_DATA, SERVICE, fill
from tests.postgres import PostgresServer

ALPHA = f"service={SERVICE}&id=alpha1"
PAGES = (
    "/",
    "/alphas",
    "/alphas?q=rank+volume&name=ts_mean&sharpe=0.1&sort=-fitness&only=hopeful",
    "/alphas?verdict=not+confirmed&tag=x&since=2026-11-01&only=unsubmitted",
    "/alphas?only=favourites&verdict=not+judged",
    f"/alpha?{ALPHA}",
    f"/alpha?service={SERVICE}&id=alpha5",
    f"/alpha/nearest?{ALPHA}",
    f"/compare?a={SERVICE}~alpha1&a={SERVICE}~alpha2",
    "/compare",
    "/runs",
    "/runs/1",
    "/runs/1/simulations",
    "/runs/1/refusals",
    "/runs/3/requests",
    "/start?deployment=daily",
    "/workflows",
    "/workflows/2",
    "/workflows/4",
    "/workflows/4/search",
    "/workflows/4/search/parameters",
    "/runs/4",
    "/workflows/2/search?sort=-sharpe",
    "/workflows/2/search/parameters",
    "/algorithms",
    "/algorithms/1",
    "/races/3",
    "/data",
    "/desk",
    "/desk/orders?desk=desk1&symbol=x",
    "/desk/fills",
    "/desk/holdings?desk=desk1",
    "/desk/sessions",
    "/desk/drift",
    "/desk/decisions",
    "/desk/why?what=1",
    "/agents",
    "/agents/ticks?agent=risk_management",
    "/processes",
    "/processes/alphas",
    "/processes/alphas/events",
    "/processes/alphas/output?q=script",
    "/machine",
    "/actions",
    "/settings",
)
VOID = {"meta", "link", "input", "br", "img", "wbr"}


class Checked(HTMLParser):
    """Finds tags that are not closed, and ids that are there twice."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.scripts = 0
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.scripts += tag == "script" and not any(name == "src" for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


async def test_pages_are_whole_name_what_is_generated_and_run_nothing_from_outside(
    client: httpx.AsyncClient,
) -> None:
    for page in PAGES:
        answer = await client.get(page)
        assert answer.status_code == 200, page
        seen = Checked()
        seen.feed(answer.text)
        assert (seen.wrong, seen.open, seen.scripts) == ([], [], 0), page
        assert len(seen.ids) == len(set(seen.ids)), page
        for bad in ("<script>alert", "\x1b", "\u202e"):
            assert bad not in answer.text, page
        assert LABEL in answer.text, page
        assert len(answer.content) < 100_000, page
        assert 'lang="en"' in answer.text


@pytest.mark.long
async def test_every_page_works_on_postgresql(
    postgres: PostgresServer, tmp_path: Path, prefect: PrefectOfTests
) -> None:
    with open_store(postgres.database(), home=tmp_path) as opened:
        fill(opened, tmp_path)
        access = Access(tmp_path / "dashboard", port=PORT)
        sources = Sources(opened, tmp_path, prefect=prefect, now=lambda: NOW)
        transport = httpx.ASGITransport(create_application(sources, access))
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
            await client.get("/enter", params={"code": access.code()})
            for page in PAGES:
                assert (await client.get(page)).status_code == 200, page
            for name in TABLES:
                assert (await client.get(f"/export/{name}.csv")).status_code == 200, name
        sources.close()


async def test_an_empty_page_says_what_will_fill_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    home = tmp_path_factory.mktemp("empty")
    with open_store(home=home) as opened:
        access = Access(home / "dashboard", port=PORT)
        sources = Sources(opened, home, now=lambda: NOW)
        transport = httpx.ASGITransport(create_application(sources, access))
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
            await client.get("/enter", params={"code": access.code()})
            for page in (
                *("/", "/alphas", "/runs", "/workflows", "/algorithms", "/data", "/desk"),
                *("/agents", "/processes"),
            ):
                answer = await client.get(page)
                assert answer.status_code == 200, page
                assert 'class="empty"' in answer.text, page
                assert re.search(r"<code>(make|python -m) ", answer.text), page
            for page in ("/processes/x", "/runs/1", "/desk/drift", "/processes/x/output"):
                assert (await client.get(page)).status_code == 404, page
            for name in ("scatter", "machine", "compared"):
                assert (await client.get(f"/api/charts/{name}")).status_code == 200, name
                table = (await client.get(f"/charts/{name}")).text
                assert "There is nothing to draw yet." in table, name


async def test_the_newest_desk_is_shown_before_a_newer_counterfactual(
    client: httpx.AsyncClient, store: Store
) -> None:
    open_agent_desk(
        store,
        "desk2",
        market_label="generated",
        clock="simulated",
        began_at=NOW,
        schedule={},
        settings={"like": "desk1", "without": ["costs", "limits.sector"]},
    )
    assert "Desk desk1" in (await client.get("/desk")).text
    other = (await client.get("/desk?desk=desk2")).text
    assert "a counterfactual: desk1 without costs and limits.sector" in other


async def test_no_sharpe_ratio_stands_alone(client: httpx.AsyncClient) -> None:
    text = (await client.get("/alphas?sort=sharpe")).text
    cells = re.findall(r'<td class="of-sharpe">(.*?)</td>', text, re.S)
    assert len(cells) == 5
    for cell in cells:
        assert ("DSR" in cell and "[" in cell) or "no band: daily returns" in cell, cell
    assert "not confirmed" in cells[0]
    assert "DSR 0.42 of 7" in cells[0]


async def test_what_is_to_be_expected_of_a_finalist_stands_beside_its_sharpe_ratio(
    client: httpx.AsyncClient,
) -> None:
    finalist = (await client.get(f"/alpha?{ALPHA}")).text
    other = (await client.get(f"/alpha?service={SERVICE}&id=alpha2")).text
    assert re.search(r"<dt>shrunk</dt><dd>0\.21 is to be expected", finalist)
    assert "<dt>shrunk</dt>" not in other
    (cell, *others) = re.findall(
        r'<td class="of-sharpe">(.*?)</td>', (await client.get("/alphas?sort=sharpe")).text, re.S
    )
    assert "shrunk 0.21" in cell
    assert not any("shrunk" in one for one in others)
    (row,) = csv.DictReader(io.StringIO((await client.get("/export/alphas.csv?id=alpha1")).text))
    assert "0.21" in row.values()


async def test_sharpe_ratios_of_workflows_and_trials_have_a_band_and_count_their_trials(
    client: httpx.AsyncClient,
) -> None:
    cell = re.compile(r'<td class="of-sharpe">(.*?)</td>', re.S)
    (held, *_) = cell.findall((await client.get("/workflows?status=finished")).text)
    # 2.28 a year on 378 days: 1.6449 x sqrt(252 / 378) x sqrt(1 + (2.28^2 / 252) / 2) = 1.35
    assert "2.28" in held
    assert "[0.9, 3.6]" in held
    assert "DSR 0.99" in held
    trials = cell.findall((await client.get("/workflows/2/search")).text)
    assert len(trials) == 40
    for one in trials:
        assert re.search(r"\[-?\d+\.\d, -?\d+\.\d\] DSR \d\.\d\d of 40", one) or "no band" in one


async def test_the_nearest_are_told_by_three_queries(
    client: httpx.AsyncClient, sources: Sources, store: Store
) -> None:
    await client.get("/alphas?id=alpha5")  # the edge of the page and the number of trials
    asked: list[str] = []

    def keep(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    for engine in sources.engines:
        event.listen(engine, "before_cursor_execute", keep)
    answer = await client.get(f"/alpha/nearest?{ALPHA}")
    assert len([one for one in asked if one != "BEGIN"]) <= 3, asked
    known = read_daily_pnl(store, SERVICE, ["alpha1", "alpha2", "alpha3"])
    own = known.pop("alpha1").values
    wanted = {one: float(np.corrcoef(own, pnl.values)[0, 1]) for one, pnl in known.items()}
    told = re.findall(
        r'<code>(alpha\d)</code></a></td><td class="right">(-?[\d.]+)</td>', answer.text
    )
    assert told == [
        (one, f"{value:.2f}") for one, value in sorted(wanted.items(), key=lambda of: -abs(of[1]))
    ]


QUESTIONS = (
    ("why an alpha was not submitted", ("/alpha?",), "It was not submitted: "),
    ("which process restarted, and why", ("/processes/alphas",), "because: "),
    ("whether a workflow holds", ("/workflows", "/workflows/2"), "that no search had seen"),
    ("what the desk holds", ("/desk",), "Largest holdings"),
    ("what would stop the desk", ("/desk",), "What would stop it"),
)


async def test_a_stranger_gets_an_answer_in_words_from_now_within_three_clicks(
    client: httpx.AsyncClient,
) -> None:
    for question, clicks, answer in QUESTIONS:
        text = (await client.get("/")).text
        assert len(clicks) <= 3
        for click in clicks:
            links = [html.unescape(one) for one in re.findall(r'href="([^"]+)"', text)]
            address = next(one for one in links if one.startswith(click))
            text = (await client.get(address)).text
        assert answer in text, question


async def test_an_alpha_says_why_it_was_not_submitted(client: httpx.AsyncClient) -> None:
    text = (await client.get(f"/alpha?service={SERVICE}&id=alpha4")).text
    assert "It was not submitted" in text
    assert "LOW_SHARPE" in text


async def test_a_desk_says_what_would_stop_it(client: httpx.AsyncClient) -> None:
    text = (await client.get("/desk")).text
    assert "gross exposure" in text
    assert "110.0 %" in text
    assert "near" in text


async def test_a_process_says_why(client: httpx.AsyncClient) -> None:
    text = (await client.get("/processes/alphas")).text
    assert "quarantined" in text
    assert "crash" in text
    assert "memory 0.40" in text


async def test_a_workflow_says_whether_it_holds(client: httpx.AsyncClient) -> None:
    text = (await client.get("/workflows/2")).text
    assert "Sharpe ratio 2.28 (90 % band 0.93 to 3.63) on 378 days that no search had seen" in text


MISTAKES = (
    ("/nothing", 404),
    ("/alpha?service=x&id=y", 404),
    ("/runs/99999999999999999999", 404),
    *(
        (f"{page}/-{10**25}", 404)
        for page in ("/runs", "/races", "/algorithms", "/workflows", "/actions")
    ),
    (f"/api/charts/equity?run=-{10**25}", 400),
    (f"/api/charts/resources?run=-{10**25}", 400),
    ("/runs/x", 422),
    ("/alphas?sharpe=high", 400),
    ("/alphas?sharpe=nan", 400),
    ("/alphas?sort=expression", 400),
    ("/alphas?sort=-nothing", 400),
    ("/alphas?only=all", 400),
    ("/alphas?since=yesterday", 400),
    ("/alphas?name=a%27b", 400),
    ("/alphas?after=%00", 400),
    ("/alphas?after=WzFd", 400),
    ("/compare?a=x", 400),
    ("/desk?desk=none", 404),
    ("/desk/why?what=99", 404),
    ("/start?deployment=none", 404),
    ("/workflows/1", 404),
    ("/export/alphas.csv?sharpe=high", 400),
    ("/export/nothing.csv", 404),
    ("/export/alphas.xlsx", 404),
    ("/api/charts/nothing", 404),
    ("/api/charts/equity?run=x", 400),
    ("/api/charts/memory?name=alphas&hours=x", 400),
    ("/api/charts/scatter?width=x", 422),
)


async def test_a_mistake_is_one_line(client: httpx.AsyncClient) -> None:
    for path, status in MISTAKES:
        answer = await client.get(path)
        assert answer.status_code == status, path
        assert "Traceback" not in answer.text


async def test_what_a_person_notes_is_kept_and_found(
    client: httpx.AsyncClient, access: Access, store: Store
) -> None:
    session = access.session(client.cookies[access.cookie])
    assert session is not None
    form = {
        "service": SERVICE,
        "id": "alpha2",
        "favourite": "yes",
        "tags": "mine, <b>",
        "note": "x\r\ny",
    }
    answer = await client.post(
        "/alpha/mark", data=form | {"nonce": access.nonce(session)}, headers={"origin": ORIGIN}
    )
    assert answer.status_code == 303
    text = (await client.get(f"/alpha?service={SERVICE}&id=alpha2")).text
    assert "x\ny</textarea>" in text
    assert "&lt;b&gt;" in text
    listed = (await client.get("/alphas?tag=mine")).text
    assert "1 in all" in listed
    assert "favourite" in listed
    missing = await client.post(
        "/alpha/mark",
        data=form | {"nonce": access.nonce(session), "id": "none"},
        headers={"origin": ORIGIN},
    )
    assert missing.status_code == 404


async def test_a_desk_is_halted_and_goes_on(
    client: httpx.AsyncClient, access: Access, store: Store
) -> None:
    session = access.session(client.cookies[access.cookie])
    assert session is not None

    async def post(path: str, **form: str) -> str:
        answer = await client.post(
            path, data=form | {"nonce": access.nonce(session)}, headers={"origin": ORIGIN}
        )
        assert answer.status_code == 303, answer.text
        return (await client.get(answer.headers["location"])).text

    assert "ACTIVE -&gt; HALTED" in await post("/desk/halt", desk="desk1", reason="lunch")
    assert "lunch" in (await client.get("/desk")).text
    assert "HALTED -&gt; ACTIVE" in await post("/desk/resume", desk="desk1")
    rests = await post("/agents/pause", desk="desk1", agent="risk_management", reason="tired")
    assert "rests: tired" in rests
    assert "no agent" in await post("/agents/pause", desk="desk1", agent="x", reason="tired")
    assert "nothing to restart" in await post("/processes/alphas/restart")
    assert "will leave it stopped" in await post("/processes/alphas/stop")


async def test_changes_are_told_once(client: httpx.AsyncClient, store: Store) -> None:
    first = await client.get("/api/changes", params={"since": ""})
    assert first.status_code == 200
    marker = first.json()["marker"]
    assert (await client.get("/api/changes", params={"since": marker})).status_code == 304


async def test_a_page_of_a_server_that_ended_is_read_anew_from_the_next(
    client: httpx.AsyncClient, access: Access, sources: Sources
) -> None:
    marker = (await client.get("/api/changes")).json()["marker"]
    transport = httpx.ASGITransport(create_application(sources, access))
    async with httpx.AsyncClient(
        transport=transport, base_url=ORIGIN, cookies=client.cookies
    ) as later:
        answer = await later.get("/api/changes", params={"since": marker})
    assert answer.status_code == 200
    assert answer.json()["changed"] == ["store", "processes"]


async def test_the_tail_of_a_log_goes_on_where_it_was(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    log = tmp_path / "supervisor" / "logs" / "alphas.log"
    first = (await client.get("/api/output/alphas?offset=0")).json()
    assert first["lines"][0] == "first"
    assert first["offset"] == log.stat().st_size
    with log.open("a") as file:
        file.write("new\nhalf")
    then = (await client.get(f"/api/output/alphas?offset={first['offset']}")).json()
    assert then["lines"] == ["new"]
    log.write_text("turned over\n")
    again = (await client.get(f"/api/output/alphas?offset={then['offset']}")).json()
    assert again["lines"] == ["turned over"]


async def test_generated_numbers_are_named_where_the_newest_market_is_real(
    client: httpx.AsyncClient, store: Store
) -> None:
    with store.write() as session:
        session.get_one(RunRow, 4).market_label = "real stocks"
    for page in ("/", "/alphas"):
        text = (await client.get(page)).text
        assert "real stocks" in text
        assert f"Also here: {LABEL}" in text
    cells = re.findall(r'<td class="of-sharpe">(.*?)</td>', text, re.S)
    assert cells
    assert all("SYNTHETIC" in cell for cell in cells)


def test_a_supervisor_that_was_killed_is_noticed_though_nothing_was_written(
    sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(facts, "is_running", lambda home: True)
    keeper = facts.FactsKeeper(sources)
    assert keeper.look().supervised
    monkeypatch.setattr(facts, "is_running", lambda home: False)
    monkeypatch.setattr(facts, "REREAD_SECONDS", 0.0)
    assert keeper.look().supervised is False
    keeper.close()


def test_a_process_that_waits_to_start_again_needs_a_person(
    sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "is_running", lambda home: True)
    with contextlib.closing(database.open_for_writing(sources.supervisor)) as connection:
        connection.execute("DELETE FROM process_events")
        for state in ("running", "backing off"):
            connection.execute(
                "UPDATE processes SET state = ?, why = 'ended by exit 2', restarts = 4", [state]
            )
            keeper = facts.FactsKeeper(sources)
            needs = [one for one in keeper.look().needs if one.link.startswith("/processes/")]
            told = "waits to start again: ended by exit 2, 4 restarts"
            assert all(one.text == told for one in needs)
            assert bool(needs) == (state == "backing off")
            keeper.close()


async def test_a_screening_says_how_many_ideas_luck_had(
    client: httpx.AsyncClient, store: Store
) -> None:
    report = {"kind": "screening", "ideas": 200, "trials": 1227, "luck": 2.33}
    with store.write() as session:
        session.get_one(RunRow, 1).report = report
    text = (await client.get("/runs/1")).text
    assert "200 ideas, 1,227 trials in all on these prices" in text


async def test_every_page_has_a_letter_of_its_own_in_the_list_of_keys(
    client: httpx.AsyncClient,
) -> None:
    text = (await client.get("/settings")).text
    listed = re.findall(r'<kbd>g</kbd> <kbd>(.)</kbd></dt><dd><a href="(.*?)"', text)
    followed = re.findall(r'<a href="(.*?)" data-key="(.)"', text)
    assert listed == [(key, address) for address, key in followed]
    assert len(dict(listed)) == len(listed) == 10


async def test_a_sample_of_trials_reaches_to_the_last_and_says_how_many(
    client: httpx.AsyncClient, sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workflows, "MOST_WEIGHED", 30)
    with sources.connect("store") as connection:
        drawn = workflows._sample(connection, "search-1", 40)
    assert len(drawn) == 30
    assert max(parameters["slow"] for parameters, _ in drawn) > 20 + 30
    assert {parameters["fast"] for parameters, _ in drawn} == set(range(7))
    text = (await client.get("/workflows/2/search/parameters")).text
    assert "Calculated from 30 of 40 trials" in text


async def test_a_list_of_a_desk_leads_back_to_that_desk(client: httpx.AsyncClient) -> None:
    for page in ("/desk/orders", "/agents/ticks"):
        back = page.rpartition("/")[0]
        assert (
            f'<a href="{back}?desk=desk1">Back</a>' in (await client.get(f"{page}?desk=desk1")).text
        )
        assert f'<a href="{back}">Back</a>' in (await client.get(page)).text


async def test_no_new_alpha_names_the_time_that_was_searched(
    client: httpx.AsyncClient, store: Store
) -> None:
    with store.write() as session:
        session.execute(update(AlphaRow).values(created_at=NOW - timedelta(days=2)))
    text = (await client.get("/")).text
    assert re.search(r"None since <time [^>]*>2026-11-29 12:00:00 UTC</time>", text)


async def test_restarts_are_counted_however_many_turns_came_after_them(
    client: httpx.AsyncClient, sources: Sources
) -> None:
    causes = ["probe"] * 3 + ["person", "end", "asked", "supervisor died"] + ["turn"] * 1000
    with contextlib.closing(database.open_for_writing(sources.supervisor)) as connection:
        connection.executemany(
            "INSERT INTO process_runs (supervision, process, life, started_at, ended_at, cause) "
            "VALUES ('s', 'feed', ?, ?, ?, ?)",
            [
                (life, database.stamp(NOW - timedelta(hours=1)), database.stamp(NOW), cause)
                for life, cause in enumerate(causes)
            ],
        )
    text = (await client.get("/")).text
    assert "5 restarts in 24 hours" in text
    assert re.search(r">feed</a> 4 times, last <time [^>]*>[^<]*</time> \(supervisor died\)", text)
    assert re.search(r">alphas</a> <time [^>]*>[^<]*</time> \(crash, exit 3\)", text)
    with contextlib.closing(database.open_for_writing(sources.supervisor)) as connection:
        connection.executemany(
            "INSERT INTO process_runs (supervision, process, life, started_at, ended_at, cause, "
            "signal) VALUES ('s', ?, 1, ?, ?, 'crash', 9)",
            [(f"p{n}", database.stamp(NOW), database.stamp(NOW)) for n in range(1, 6)],
        )
    text = (await client.get("/")).text
    assert "10 restarts in 24 hours" in text
    assert "(crash, signal 9)" in text
    assert ">6 more</a>" in text  # of three processes that are not named
    assert "alphas: crash" in text  # on the timeline, too


async def test_trials_of_a_phase_that_runs_or_failed_count_as_many_as_were_evaluated(
    client: httpx.AsyncClient, store: Store
) -> None:
    with store.write() as session:
        for number in range(30):
            session.add(
                TrialRow(
                    phase_key="search-2",
                    number=number,
                    run_id=4,
                    workflow="new",
                    phase="search",
                    batch=0,
                    seed=number,
                    item={"fast": number},
                    metrics={"sharpe": 2.0, "days": 500},
                    status="done",
                    attempts=1,
                    executions=1,
                    **OF_DATA,
                )
            )
    lucky = deflated({"sharpe": 2.0, "days": 500}, trials=30, bars_a_year=252.0)
    alone = deflated({"sharpe": 2.0, "days": 500}, trials=1, bars_a_year=252.0)
    assert lucky is not None and alone is not None
    assert f"{lucky:.2f}" != f"{alone:.2f}"
    for status in ("running", "failed", "interrupted"):
        with store.write() as session:
            session.execute(update(PhaseRow).where(PhaseRow.run_id == 4).values(status=status))
        text = (await client.get("/workflows/4/search")).text
        assert f"DSR {lucky:.2f} of 30" in text
        assert " 30 trials, " in text
        listed = (await client.get("/export/workflows.csv")).text
        assert next(csv.DictReader(io.StringIO(listed)))["trials_made"] == "30"
        assert '<td class="right">30</td>' in (await client.get("/workflows/4")).text


def test_a_count_of_trials_that_fails_does_not_make_the_last_one_look_new(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(evidence.time, "monotonic", lambda: clock[0])
    counted = threading.Semaphore(0)

    def count(*_: object) -> int:
        if clock[0] == 0.0:
            return 7
        counted.release()
        raise StoreError("the disk is full")

    monkeypatch.setattr(evidence, "count_trials", count)
    book = evidence.EvidenceBook(store)
    assert book.trials(SERVICE, None) == 7
    for clock[0] in (100.0, 200.0):
        assert book.trials(SERVICE, None) == 7
        assert counted.acquire(timeout=60)
        while book._counting:
            threading.Event().wait(0.01)
    clock[0] = evidence.MOST_SECONDS + 1
    with pytest.raises(StoreError):
        book.trials(SERVICE, None)


async def test_a_chart_says_what_of_several_samples_it_shows(
    client: httpx.AsyncClient, sources: Sources
) -> None:
    at = datetime.now(UTC)
    with contextlib.closing(database.open_for_writing(sources.supervisor)) as connection:
        connection.executemany(
            "INSERT INTO resource_usage VALUES ('alphas', ?, 5.0, 9, ?, 1, 1, NULL)",
            [(database.stamp(at - timedelta(seconds=5 * n)), n % 12) for n in range(600)],
        )
    chart = "/api/charts/{}?name=alphas&hours={}"
    raw = (await client.get(chart.format("files", 6))).json()
    assert raw["note"] == ""
    assert len(raw["x"]) == 600
    for hours, step, counts in ((24, "minute", (50, 51)), (720, "hour", (1, 2))):
        found = (await client.get(chart.format("files", hours))).json()
        assert found["note"].startswith(f"Thinned: the most of each {step}.")
        assert len(found["x"]) in counts
        assert max(found["series"][0]["values"]) == 11
        memory = (await client.get(chart.format("memory", hours))).json()
        assert memory["note"] == f"Thinned: the most of each {step}."
    table = (await client.get("/charts/files?name=alphas&hours=6")).text
    assert "500 of 600 points" in table
    assert (
        "Thinned: the most of each minute."
        in (await client.get("/charts/files?name=alphas&hours=24")).text
    )


@pytest.mark.parametrize("hours", now.WINDOWS)
def test_the_ticks_of_the_timeline_are_whole_steps_of_the_day(hours: float) -> None:
    until = NOW + timedelta(minutes=7, seconds=31)
    drawn = now.timeline([], [], hours=hours, until=until)
    places = [one["x"] for one in drawn["ticks"]]
    minutes = [60 * int(one["told"][:2]) + int(one["told"][3:]) for one in drawn["ticks"]]
    assert 4 <= len(places) <= 7
    assert all(one % now.WINDOWS[hours] == 0 for one in minutes)
    assert np.allclose(np.diff(places), 100 * now.WINDOWS[hours] / (60 * hours))


def test_a_timeline_keeps_what_failed_and_says_how_much_it_leaves_out() -> None:
    def life(name: str, *, restart: bool) -> dict[str, object]:
        began = NOW - timedelta(minutes=5)
        return {"lane": name, "start": began, "end": NOW, "cause": "", "restart": restart}

    lives = [life(f"p{number}", restart=number == 40) for number in range(50)]
    drawn = now.timeline([], lives, hours=1, until=NOW)
    assert len(drawn["lanes"]) == now.LANES
    assert drawn["left"] == 50 - now.LANES
    assert "p40" in dict(drawn["lanes"])


def test_turns_that_follow_each_other_closely_are_one_bar_and_no_failure_is_among_them() -> None:
    def life(ago: float, *, restart: bool = False) -> dict[str, object]:
        began = NOW - timedelta(seconds=ago)
        end = began + timedelta(seconds=1)
        return {"lane": "p", "start": began, "end": end, "cause": "turn", "restart": restart}

    near = [life(10.0 * number) for number in range(1, 101)]
    lives = [*near, life(505.0, restart=True), life(40_000.0)]
    ((_, bars),) = now.timeline([], lives, hours=24, until=NOW)["lanes"]
    assert sorted((bar["is"], bar["turns"]) for bar in bars) == [
        ("failed", 1),
        ("turn", 1),
        ("turn", 100),
    ]
    whole = next(bar for bar in bars if bar["turns"] == 100)
    assert whole["told"] == "p: 100 turns"
    assert whole["width"] == pytest.approx(100 * 991 / 86_400)


@pytest.mark.long
def test_importances_are_those_of_optuna_and_load_no_more_than_they_need() -> None:
    program = """
import random, sys
from alphafoundry.dashboard.pages import workflows
draw = random.Random(5)
trials = []
for _ in range(200):
    fast, slow = draw.random(), draw.randint(1, 9)
    trials.append(({"fast": fast, "slow": slow}, fast + 0.1 * slow))
found = workflows.importances(trials)
assert not {"sklearn", "pandas"} & set(sys.modules), "too much is loaded"
import optuna, sklearn
study = optuna.create_study(direction="maximize")
spaces = {"fast": optuna.distributions.FloatDistribution(
    min(one["fast"] for one, _ in trials), max(one["fast"] for one, _ in trials)
), "slow": optuna.distributions.IntDistribution(1, 9)}
for parameters, value in trials:
    study.add_trial(
        optuna.create_trial(params=parameters, distributions=spaces, value=value)
    )
evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.2)
expected = optuna.importance.get_param_importances(study, evaluator=evaluator)
assert found == list(expected.items()), (found, expected)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)


async def test_the_costs_of_a_run_have_two_decimals(
    client: httpx.AsyncClient, store: Store
) -> None:
    with store.write() as session:
        session.get_one(RunRow, 1).report = {"costs": {"borrow": 1.9900999999999993}}
    assert "borrow 1.99<" in (await client.get("/runs/1")).text
