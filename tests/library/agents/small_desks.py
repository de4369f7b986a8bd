"""A whole desk on sixty names: fast enough to be simulated many times."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from alphafoundry.agents.clocks import ReplayClock
from alphafoundry.agents.desk_account import broker_file, open_paper_account
from alphafoundry.agents.schedule import Schedule
from alphafoundry.agents.schedule_check import checked_schedule
from alphafoundry.agents.simulation import DeskSimulation, sessions_of
from alphafoundry.market.panel import Panel
from alphafoundry.store import Store
from alphafoundry.trading.portfolio import LiveStrategy
from tests.library.agents.desks import hours_of
from tests.library.trading.markets import DAYS, REVERSAL, market
from tests.schedules import SCHEDULE, with_little_learning

SETTINGS = {"sessions": 3, "cash": 1_000_000.0, "seed": 3}


def small_panel(last: str = "2024-03-15", **given: Any) -> Panel:
    """Return a market on the last sessions of XNYS up to a day."""
    sessions = hours_of("2021-06-01", last).sessions[-DAYS:]
    dates = np.array([one.day for one in sessions], dtype="datetime64[D]")
    return market(dates=dates, **given)


@functools.cache
def quick_schedule() -> Schedule:
    """Return the project's schedule, whose models learn little."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, SCHEDULE.name)
        path.write_text(with_little_learning(SCHEDULE.read_text("utf-8")), encoding="utf-8")
        return checked_schedule(path)


@contextlib.contextmanager
def small_desk(
    store: Store,
    panel: Panel,
    home: Path,
    *,
    name: str = "small",
    sessions: int = 3,
    run_id: int | None = None,
    checkpoint: dict[str, Any] | None = None,
    replay_from: int | None = None,
    schedule: Schedule | None = None,
    strategies: Sequence[LiveStrategy] | None = None,
    more: Mapping[str, Any] | None = None,
) -> Iterator[DeskSimulation]:
    plan = schedule or quick_schedule()
    hours, days = sessions_of(panel, "XNYS", sessions)
    known = days[0].day - timedelta(days=30)
    traded = strategies or [
        LiveStrategy(REVERSAL.alpha_id, REVERSAL.expression, REVERSAL.settings, known, "unproven")
    ]
    with open_paper_account(
        store,
        name=name,
        panel=panel,
        hours=hours,
        sessions=days,
        cash=1_000_000.0,
        seed=3,
        rules=plan.rules.broker,
        state=broker_file(home, name),
        hold=replay_from is None,
        kept=None if checkpoint is None else checkpoint["account"],
    ) as account:
        yield DeskSimulation(
            store,
            name=name,
            run_id=run_id,
            panel=panel,
            schedule=plan,
            hours=hours,
            sessions=days,
            strategies=traded,
            account=account,
            seed=3,
            home=home,
            settings={
                **SETTINGS,
                "sessions": sessions,
                "strategies": [one.to_json() for one in traded],
                **(more or {}),
            },
            replay_from=replay_from,
            checkpoint=checkpoint,
        )


class SkippingClock(ReplayClock):
    """A clock that is at once where a desk would sleep to; meanwhile it goes as the true one."""

    def sleep_until(self, moment: int) -> None:
        """Go on to that moment at once, unless asked to stop."""
        if not self._asked_to_stop():
            self._start += max(0.0, moment - self.exact())


def patient_schedule(folder: Path) -> Schedule:
    """Return the quick schedule, for which no host is too busy: a test runs on any."""
    text = with_little_learning(SCHEDULE.read_text(encoding="utf-8"))
    busy = "{cpu: 80, memory: 85, disk: 90}"
    assert busy in text
    path = folder / "task_schedule.yaml"
    path.write_text(text.replace(busy, "{cpu: 1000, memory: 1000, disk: 1000}"), encoding="utf-8")
    return checked_schedule(path)
