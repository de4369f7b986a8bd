"""market_analysis, strategy_backtesting, alert_manager and cache_management on small floors."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest

from alphafoundry.agents.hours import utc
from alphafoundry.agents.installed import known_agents
from alphafoundry.errors import ConfigurationError, FoundryError
from alphafoundry.market.cache import cached_panel
from alphafoundry.store.agents import desk_transaction
from tests.library.agents.research_floor import research_floor, session_of, tick
from tests.library.agents.small_desks import small_panel
from tests.library.market.test_vendors import served
from tests.library.trading.markets import REVERSAL, strategy

AGENTS = known_agents()


def at(floor, row: int) -> int:
    floor.data_until = floor.panel.dates[row].item()
    return session_of(floor, row).closes + 3600


@contextmanager
def served_posts(came: list[bytes]) -> Iterator[str]:
    """An address of Apprise on this machine; what comes to it is kept."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=web.serve_forever, daemon=True).start()
    try:
        yield f"json://127.0.0.1:{web.server_port}"
    finally:
        web.shutdown()
        web.server_close()


def test_the_market_is_told_from_bars_that_are_known(tmp_path):
    panel = small_panel()
    with research_floor(tmp_path, panel) as floor:
        now = at(floor, 300)
        first = tick(floor, AGENTS["market_analysis"], now).figures
        panel.fields["returns"][301:] = np.nan
        panel.fields["close"][301:] = np.nan
        again = tick(floor, AGENTS["market_analysis"], now).figures
    assert first == again
    returns = panel.fields["returns"][281:301]
    known = np.isfinite(returns).all(axis=0)
    mean = returns[:, known].mean(axis=1)
    assert first["return"] == pytest.approx(np.prod(1 + mean) - 1, abs=1e-6)
    assert 0 < first["correlation"] < 1
    assert 0 <= first["breadth"] <= 1


def test_what_headlines_foretold_is_told_once_it_is_past(tmp_path):
    with research_floor(tmp_path, small_panel()) as floor:
        for row in range(250, 300):
            tick(floor, AGENTS["sentiment_fetch"], session_of(floor, row).closes)
        told = tick(floor, AGENTS["market_analysis"], at(floor, 300))
    assert "headlines" in told.summary
    assert " of " in told.figures["news"]


def test_each_backtest_has_its_band_trials_and_fresh_days(tmp_path):
    with research_floor(tmp_path, small_panel()) as floor:
        until = floor.panel.dates[380].item()
        floor.trade([REVERSAL, strategy("noise", "-rank(volume)", until=until)])
        found = tick(floor, AGENTS["strategy_backtesting"], at(floor, 400), days=252, draws=100)
    one = found.figures["reversal"]
    assert one["low"] < one["value"] < one["high"]
    assert one["trials"] >= 1
    assert found.figures["noise"]["fresh_days"] == 20
    assert found.summary.startswith("2 backtests; the band of")


def test_alerts_go_out_once_grouped_louder_and_when_they_are_over(tmp_path, monkeypatch):
    pytest.importorskip("apprise")
    came: list[bytes] = []
    with (
        research_floor(tmp_path, small_panel(), simulated=False) as floor,
        served_posts(came) as address,
    ):
        monkeypatch.setenv("FOUNDRY_ALERT_ADDRESSES", address)
        now = session_of(floor, 300).opens
        manager = AGENTS["alert_manager"]
        with desk_transaction(floor.store, "small") as rows:
            rows.alert("tripped:execution", utc(now), "8 failures")
            rows.alert("data:gap", utc(now), "3 bars")
        assert tick(floor, manager, now + 60).figures["sent"] == 0
        assert tick(floor, manager, now + 360).figures["sent"] == 1
        assert tick(floor, manager, now + 480).figures["sent"] == 0
        assert len(came) == 1
        assert b"tripped:execution" in came[0] and b"data:gap" in came[0]
        assert tick(floor, manager, now + 5000).figures["sent"] == 1
        assert b"still" in came[1]
        with desk_transaction(floor.store, "small") as rows:
            rows.resolve("tripped:execution", utc(now + 5100))
        assert tick(floor, manager, now + 5200).figures["sent"] == 1
        assert b"resolved: tripped:execution" in came[2]
        assert tick(floor, manager, now + 5300).figures == {"open": 1, "sent": 0}


def test_an_address_that_fails_is_told_without_itself_and_tried_again(tmp_path, monkeypatch):
    with (
        research_floor(tmp_path, small_panel(), simulated=False) as floor,
        served(lambda *_: (500, {}, {})) as service,
    ):
        now = session_of(floor, 300).opens
        with desk_transaction(floor.store, "small") as rows:
            rows.alert("data:gap", utc(now), "3 bars")
        address = service.address.replace("http://", "json://user:hush@")
        monkeypatch.setenv("FOUNDRY_ALERT_ADDRESSES", address)
        with pytest.raises(FoundryError, match="sent again") as told:
            tick(floor, AGENTS["alert_manager"], now + 600)
        assert "hush" not in str(told.value)
        assert "alert_manager" not in floor.results
        monkeypatch.setenv("FOUNDRY_ALERT_ADDRESSES", "nothing-known://hush")
        with pytest.raises(ConfigurationError, match="address 1 of 1 in alert_addresses") as told:
            tick(floor, AGENTS["alert_manager"], now + 600)
        assert "hush" not in str(told.value)


def test_unused_panels_and_leftovers_go_and_all_else_stays(tmp_path):
    panel = small_panel()
    old = time.time() - 40 * 86_400

    def keep(name: str) -> None:
        cached_panel(
            tmp_path / "cache" / "panels",
            name=name,
            state={"of": name},
            build=lambda: panel,
            progress=lambda _: None,
        )

    keep("old")
    keep("new")
    (stale,) = [path for path in (tmp_path / "cache").rglob("panel.json") if "old-" in str(path)]
    os.utime(stale, (old, old))
    market = tmp_path / "cache" / "market"
    market.mkdir()
    (market / "panel.json").write_text("{}")
    os.utime(market / "panel.json", (old, old))
    for name, moment in (("killed", old), ("running", time.time())):
        (tmp_path / "scratch" / name).mkdir(parents=True)
        os.utime(tmp_path / "scratch" / name, (moment, moment))
    with research_floor(tmp_path, panel, simulated=False) as floor:
        moment = int(datetime(2024, 3, 1, tzinfo=UTC).timestamp())
        found = tick(floor, AGENTS["cache_management"], moment).figures
    assert (found["panels"], found["leftovers"]) == (1, 1)
    assert found["bytes"] > 1000
    assert not stale.exists()
    assert (market / "panel.json").exists()
    assert (tmp_path / "scratch" / "running").exists()


def test_a_simulation_touches_nothing_outside(tmp_path):
    with research_floor(tmp_path, small_panel()) as floor:
        now = at(floor, 300)
        assert "tells nobody" in tick(floor, AGENTS["alert_manager"], now).summary
        assert "no cache" in tick(floor, AGENTS["cache_management"], now).summary
