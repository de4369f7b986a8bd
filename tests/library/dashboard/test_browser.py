"""The pages in a browser: both themes, two widths, the keyboard, many tabs, a server that restarts.

Needs Debian's chromium (FOUNDRY_BROWSER names another), `pip install playwright` without its own
browsers, and npm, from which axe-core comes; skips where any is missing.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alphafoundry.dashboard import Access, Sources, create_application
from alphafoundry.store import Store
from tests.library.dashboard.test_attacks import served
from tests.library.dashboard.test_pages import PAGES

pytestmark = pytest.mark.long

AXE = "axe-core@4.14.1"
WAIT = 60_000


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
def axe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script of axe-core, from npm."""
    folder = tmp_path_factory.mktemp("axe")
    if shutil.which("npm") is None:
        pytest.skip("no npm, from which axe-core comes")
    done = subprocess.run(
        ["npm", "pack", AXE], cwd=folder, capture_output=True, check=False, timeout=120
    )
    if done.returncode:
        pytest.skip("npm cannot be reached")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        archive.extract("package/axe.min.js", folder, filter="data")
    return folder / "package" / "axe.min.js"


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


def test_every_page_in_both_themes_and_widths(
    sources: Sources, tmp_path: Path, browser: Any, axe: Path
) -> None:
    access = Access(tmp_path / "browser", port=1)
    with served(create_application(sources, access)) as port:
        base = f"http://127.0.0.1:{port}"
        for theme, width in itertools.product(("light", "dark"), (390, 1280)):
            context = browser.new_context(
                viewport={"width": width, "height": 900}, color_scheme=theme, bypass_csp=True
            )
            page = context.new_page()
            page.set_default_timeout(WAIT)
            wrong = listen(page, base)
            page.goto(f"{base}/enter?code={access.code()}")
            for path in PAGES:
                page.goto(base + path)
                page.wait_for_load_state("load")
                page.add_script_tag(path=str(axe))
                found = page.evaluate("async () => (await axe.run()).violations")
                wrong += [f"{path}: {one['id']}: {one['nodes'][0]['html']}" for one in found]
                wide = page.evaluate("document.documentElement.scrollWidth")
                assert wide <= width, (theme, width, path)
                assert wrong == [], (theme, width, path)
            context.close()


def test_keys_tabs_and_a_restart(
    sources: Sources, store: Store, tmp_path: Path, browser: Any
) -> None:
    access = Access(tmp_path / "keys", port=1)
    context = browser.new_context()
    application = create_application(sources, access)
    with served(application) as port:
        base = f"http://127.0.0.1:{port}"
        pages = [context.new_page() for _ in range(7)]
        pages[0].goto(f"{base}/enter?code={access.code()}")
        for page in pages:
            page.set_default_timeout(WAIT)
            page.goto(base)
        for page in pages:
            page.bring_to_front()
            page.locator("#live", has_text=re.compile(r"^live$")).wait_for()
        page = pages[-1]
        page.keyboard.press("/")
        page.keyboard.type("rank")
        page.keyboard.press("Enter")
        page.wait_for_url("**/alphas?q=rank")
        page.keyboard.press("g")
        page.keyboard.press("p")
        page.wait_for_url("**/processes")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("#live", has_text=re.compile(r"^not live")).wait_for()
    context.close()
