"""The pages in a browser: both themes, two widths, the keyboard, many tabs, a server that restarts.

They need Debian's chromium (FOUNDRY_BROWSER names another), and skip where there is none; the
driver and axe-core are development packages.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from alphafoundry.dashboard import Access, Sources, create_application
from alphafoundry.dashboard.rendering import NAVIGATION
from alphafoundry.store import AlphaRow, Store
from alphafoundry.supervisor import database
from tests.library.dashboard.conftest import PrefectOfTests
from tests.library.dashboard.rows import NOW, SERVICE
from tests.library.dashboard.test_attacks import served
from tests.library.dashboard.test_pages import ALPHA, PAGES

WAIT = 120_000
MOST_TABS = 400
NARROW, WIDE = 390, 1280
SOME_PAGES = ("/", "/alphas", f"/alpha?{ALPHA}", "/desk", "/processes/alphas")

# What the keyboard must reach: everything on the page that does something.
REACHABLE = """() => [...document.querySelectorAll(
    'a[href], button:not(:disabled), input:not([type=hidden]), select, textarea, summary, '
    + '[tabindex="0"]'
)].filter((one) => one.checkVisibility({visibilityProperty: true}))
  .filter((one) => !(one.type === 'radio' && !one.checked))"""
WIDEST = """() => [...document.querySelectorAll('main *, header *, footer *, aside *')]
    .filter((one) => one.getBoundingClientRect().right > innerWidth && !one.closest('.scroll'))
    .map((one) => one.outerHTML.slice(0, 200))[0]"""
FOCUSED = """() => {
    const one = document.activeElement;
    if (!one || one === document.body) return null;
    const style = getComputedStyle(one);
    return [window.reachable.indexOf(one), style.outlineStyle !== 'none'];
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    path = os.environ.get("FOUNDRY_BROWSER") or shutil.which("chromium")
    if path is None:
        pytest.skip("no browser: apt install chromium, or set FOUNDRY_BROWSER")
    with playwright.sync_playwright() as driver:
        flags = ["--no-sandbox"] if os.getuid() == 0 else []
        started = driver.chromium.launch(executable_path=path, args=flags)
        yield started
        started.close()


@pytest.fixture(scope="module")
def axe() -> str:
    """The script of axe-core, as a package of the development environment carries it."""
    found = importlib.util.find_spec("axe_playwright_python")
    if found is None or found.origin is None:
        pytest.skip("no axe-core: pip install axe-playwright-python")
    return Path(found.origin).with_name("axe.min.js").read_text(encoding="utf-8")


def listen(page: Any, base: str) -> list[str]:
    """Collect what a page complains of, and what it asks others for."""
    wrong: list[str] = []
    page.on("console", lambda one: wrong.append(one.text) if one.type == "error" else None)
    page.on("pageerror", lambda one: wrong.append(str(one)))
    page.on(
        "request",
        lambda one: None if one.url.startswith((base, "data:")) else wrong.append(one.url),
    )
    return wrong


def walk(
    browser: Any,
    axe: str,
    sources: Sources,
    folder: Path,
    how: tuple[str, int],
    pages: Sequence[str],
) -> None:
    """Look at pages in a theme and a width; fail at the first that has anything wrong."""
    theme, width = how
    access = Access(folder / "browser", port=1)
    with served(create_application(sources, access)) as port:
        base = f"http://127.0.0.1:{port}"
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=theme, reduced_motion="reduce"
        )
        page = context.new_page()
        page.set_default_timeout(WAIT)
        wrong = listen(page, base)
        page.goto(f"{base}/enter?code={access.code()}")
        for path in pages:
            page.goto(base + path)
            for chart in page.locator(".plot").all():
                chart.locator("canvas, :scope:not(:empty)").first.wait_for(state="attached")
            page.evaluate(axe)
            found = page.evaluate("async () => (await axe.run()).violations")
            wrong += [f"{one['id']}: {one['nodes'][0]['html']}" for one in found]
            if (wide := page.evaluate("document.documentElement.scrollWidth")) > width:
                wrong.append(f"{wide} pixels wide: {page.evaluate(WIDEST)}")
            assert wrong == [], (theme, width, path)
        context.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", [("light", NARROW), pytest.param(("dark", WIDE), marks=pytest.mark.long)]
)
def test_some_pages(
    sources: Sources, tmp_path: Path, browser: Any, axe: str, how: tuple[str, int]
) -> None:
    walk(browser, axe, sources, tmp_path, how, SOME_PAGES)


@pytest.mark.long
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_every_page(
    sources: Sources, tmp_path: Path, browser: Any, axe: str, theme: str, width: int
) -> None:
    walk(browser, axe, sources, tmp_path, (theme, width), PAGES)


@pytest.mark.long
def test_the_keyboard_reaches_all_that_does_something_and_shows_where_it_is(
    sources: Sources, tmp_path: Path, browser: Any
) -> None:
    access = Access(tmp_path / "browser", port=1)
    with served(create_application(sources, access)) as port:
        base = f"http://127.0.0.1:{port}"
        page = browser.new_page()
        page.set_default_timeout(WAIT)
        page.goto(f"{base}/enter?code={access.code()}")
        for path in (*PAGES, "/alphas?only=hopeful"):
            page.goto(base + path)
            page.wait_for_load_state("networkidle")
            count = page.evaluate(f"() => (window.reachable = ({REACHABLE})()).length")
            seen, dark = set[int](), set[int]()
            for _ in range(min(count + 20, MOST_TABS)):
                page.keyboard.press("Tab")
                at = page.evaluate(FOCUSED)
                if at is not None:
                    seen.add(at[0])
                    if not at[1]:
                        dark.add(at[0])
            missed = set(range(min(count, MOST_TABS - 20))) - seen
            told = [
                page.evaluate("(one) => window.reachable[one].outerHTML.slice(0, 200)", one)
                for one in sorted(missed | (dark - {-1}))
            ]
            assert told == [], (path, sorted(missed), sorted(dark))
        page.close()


@pytest.mark.long
def test_everything_is_done_by_the_keyboard_alone(
    sources: Sources, store: Store, prefect: PrefectOfTests, tmp_path: Path, browser: Any
) -> None:
    access = Access(tmp_path / "browser", port=1)
    with served(create_application(sources, access)) as port:
        base = f"http://127.0.0.1:{port}"
        page = browser.new_page()
        page.set_default_timeout(WAIT)
        wrong = listen(page, base)

        def tab_to(what: str) -> None:
            for _ in range(MOST_TABS):
                page.keyboard.press("Tab")
                if page.evaluate("(what) => document.activeElement.matches(what)", what):
                    return
            raise AssertionError(f"{what} is not reached")

        # A key after `g` counts for a moment only; here time stands, however slow the machine is.
        page.clock.set_fixed_time(NOW)
        page.goto(f"{base}/enter?code={access.code()}")
        for name, address, _, key in NAVIGATION:
            page.keyboard.press("g")
            page.keyboard.press(key)
            page.wait_for_url(base + address)
            current = page.locator("nav a[aria-current]").get_attribute("data-key")
            assert current == key, name
        page.keyboard.press("?")
        assert page.locator("#keys").is_visible()
        page.keyboard.press("Escape")
        page.keyboard.press("/")
        page.keyboard.type("rank")
        page.keyboard.press("Enter")
        page.wait_for_url("**/alphas?q=rank")
        tab_to("td a[href*='alpha?']")
        page.keyboard.press("Enter")
        page.wait_for_url("**/alpha?**")
        tab_to("[name=favourite]")
        page.keyboard.press("Space")
        tab_to("[name=note]")
        page.keyboard.type("by hand")
        tab_to("form[action='/alpha/mark'] button")
        page.keyboard.press("Enter")
        page.wait_for_url("**#mine")
        assert page.locator("[name=note]").input_value() == "by hand"
        page.goto(f"{base}/runs")
        tab_to("a[href^='/start']")
        page.keyboard.press("Enter")
        page.wait_for_url("**/start?**")
        tab_to("button.main")
        page.keyboard.press("Enter")
        page.wait_for_url("**/actions/*")
        assert [name for name, _ in prefect.started] == ["daily/daily"]
        assert wrong == []
        tab_to("footer button")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Sign in").wait_for()
        page.close()


def sample(sources: Sources, *ago: float) -> None:
    """Let the samples of the process `alphas` be those of so many minutes ago, without health."""
    with contextlib.closing(database.open_for_writing(sources.supervisor)) as connection:
        connection.execute("DELETE FROM resource_usage")
        for minutes in ago:
            at = database.stamp(datetime.now(UTC) - timedelta(minutes=minutes))
            connection.execute(
                "INSERT INTO resource_usage VALUES ('alphas', ?, 5.0, ?, 3, 1, 1, NULL)",
                (at, 2**30 + int(minutes) * 2**20),
            )


@pytest.mark.long
def test_a_chart_of_one_point_says_its_value_and_is_drawn_when_there_are_more(
    sources: Sources, tmp_path: Path, browser: Any
) -> None:
    access = Access(tmp_path / "browser", port=1)
    sample(sources, 3)
    with served(create_application(sources, access)) as port:
        base = f"http://127.0.0.1:{port}"
        page = browser.new_page()
        page.set_default_timeout(WAIT)
        wrong = listen(page, base)
        page.goto(f"{base}/enter?code={access.code()}")
        page.goto(f"{base}/processes/alphas")
        memory = page.locator("figure[data-chart*='/memory?'] .plot")
        health = page.locator("figure[data-chart*='/health?'] .plot")
        for _ in range(2):
            memory.filter(has_text=re.compile("^One point so far: Memory 1.0 GB at ")).wait_for()
            health.filter(has_text="Nothing to draw yet").wait_for()
            sample(sources, 3, 2)
            memory.locator("canvas").wait_for()
            assert "One point" not in memory.inner_text()
            sample(sources, 2)
        assert wrong == []
        page.close()


@pytest.mark.long
def test_seven_tabs_are_live_and_outlast_a_restart_of_the_server(
    sources: Sources, store: Store, tmp_path: Path, browser: Any
) -> None:
    access = Access(tmp_path / "browser", port=1)
    context = browser.new_context()
    context.set_default_timeout(WAIT)
    # The script asks only while its tab is seen; all tabs of a headless browser are.
    pages = [context.new_page() for _ in range(7)]
    with served(create_application(sources, access)) as port:
        base = f"http://127.0.0.1:{port}"
        pages[0].goto(f"{base}/enter?code={access.code()}")
        for page in pages:
            page.goto(f"{base}/alphas")
        for page in pages:
            page.locator("#live", has_text=re.compile(r"^live$")).wait_for()
    for page in pages:
        page.locator("#live", has_text=re.compile(r"^not live since \d\d:\d\d:\d\d")).wait_for()
    with store.write() as session:
        old = session.get_one(AlphaRow, (SERVICE, "alpha1"))
        session.add(
            AlphaRow(
                service=SERVICE,
                alpha_id="afterwards",
                expression="rank(open)",
                settings=old.settings,
                checks=[],
                source=old.source,
                hopeful=False,
                created_at=NOW,
            )
        )
    with served(create_application(sources, access), port=port):
        for page in pages:
            page.locator("#live", has_text=re.compile(r"^live$")).wait_for()
            page.locator("#table", has_text="afterwards").wait_for()
    context.close()
