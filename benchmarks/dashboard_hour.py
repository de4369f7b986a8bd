"""What a page that stays open costs: memory of browser and server over the polls of one hour.

Serves a home in a process of its own, opens pages in Debian's chromium, and lets each ask as often
as it would in an hour. The page's script asks every two seconds; here it is sent with a shorter
time between (`--every`), and everything else as it is. At every twentieth question the store has a
new row, so that the live parts of the page are read and its charts drawn anew. Memory of the
browser is the heap of the page after a collection of garbage, from the first tenth of the polls to
the last; that of the server is what it has resident, from when it says that it is ready on.

    python -m benchmarks.dashboard_hour HOME [--every 60]
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from alphafoundry.store import open_store
from alphafoundry.store.marks import mark_alpha
from benchmarks.dashboard import SERVICE
from benchmarks.results_file import write_result

HOUR = 1800
"""Questions of one tab in an hour."""

CHANGED_EVERY = 20
MOST_GROWTH = 20e6
PAGES = {"now": "/", "process": "/processes/p00"}


def measure(home: Path, every: int) -> list[dict[str, Any]]:
    """Return the growth of each page and of the server."""
    from playwright.sync_api import sync_playwright

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "FOUNDRY_HOME": str(home)}
    command = [sys.executable, "-m", "flows.web", "--port", str(port)]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    rows = []
    try:
        assert server.stdout is not None
        found = re.search(r"http://\S+", server.stdout.readline())
        assert found is not None
        ready = psutil.Process(server.pid).memory_info().rss
        with sync_playwright() as driver, open_store(home=home) as store:
            path = os.environ.get("FOUNDRY_BROWSER") or shutil.which("chromium")
            flags = ["--no-sandbox"] if os.getuid() == 0 else []
            browser = driver.chromium.launch(executable_path=path, args=flags)
            context = browser.new_context()
            context.route(
                "**/dashboard.js*",
                lambda route: route.fulfill(
                    response=(answer := route.fetch()),
                    body=answer.text().replace("const EVERY = 2000;", f"const EVERY = {every};"),
                ),
            )
            page = context.new_page()
            page.set_default_timeout(120_000)
            page.goto(found.group())
            for name, address in PAGES.items():
                rows.append(
                    _watch(page, f"http://127.0.0.1:{port}{address}", name, server, store, ready)
                )
                print(rows[-1], flush=True)
            browser.close()
    finally:
        server.terminate()
        server.wait(30)
    return rows


def _watch(
    page: Any, address: str, name: str, server: Any, store: Any, ready: int
) -> dict[str, Any]:
    asked = 0

    def count(request: Any) -> None:
        nonlocal asked
        asked += "/api/changes" in request.url

    page.goto(address)
    page.on("request", count)
    session = page.context.new_cdp_session(page)
    process = psutil.Process(server.pid)
    busy = sum(process.cpu_times()[:2])
    first: float | None = None
    changed = 0
    while asked < HOUR:
        page.wait_for_timeout(500)
        if asked >= HOUR // 10 and first is None:
            first = _heap(session)
        while changed < asked // CHANGED_EVERY:
            changed += 1
            note = f"change {changed} at {time.time()}"
            mark_alpha(store, SERVICE, "a0000001", favourite=False, note=note, tags=[])
    page.remove_listener("request", count)
    assert first is not None
    return {
        "case": name,
        "questions": asked,
        "changes": changed,
        "browser_growth_mb": round((_heap(session) - first) / 1e6, 1),
        "server_growth_mb": round((process.memory_info().rss - ready) / 1e6, 1),
        "browser_mb": round(_heap(session) / 1e6, 1),
        "server_mb": round(process.memory_info().rss / 1e6, 1),
        "server_cpu_seconds": round(sum(process.cpu_times()[:2]) - busy, 1),
    }


def _heap(session: Any) -> float:
    session.send("HeapProfiler.collectGarbage")
    return float(session.send("Runtime.getHeapUsage")["usedSize"])


def main() -> None:
    """Measure, print, and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("home", type=Path, help="with a store, as `benchmarks.dashboard` builds it")
    parser.add_argument("--every", type=int, default=60, help="milliseconds between questions")
    given = parser.parse_args()
    rows = measure(given.home, given.every)
    for row in rows:
        for who in ("browser", "server"):
            if row[f"{who}_growth_mb"] * 1e6 > MOST_GROWTH:
                print(f"too much: {row['case']}: {who} grew by {row[f'{who}_growth_mb']} MB")
    write_result("dashboard_hour", rows, ["fastapi", "playwright"])


if __name__ == "__main__":
    main()
