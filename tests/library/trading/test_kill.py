"""A week ended at any commit of the desk: no order twice, no fill lost, the same end."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from alphafoundry.store import Store, open_store
from alphafoundry.trading import (
    BrokerRules,
    Faults,
    books_of,
    check_ledger,
    compare,
    read_fills,
    read_orders,
)
from tests.library.trading.week import Desk, make_desk, market, run_week
from tests.working_folder import ROOT

RULES = BrokerRules(borrow_rate=0.05, interest_rate=0.02)
FAULTS = Faults(
    answer_lost=0.25,
    gateway_timeout=0.25,
    too_many=0.1,
    duplicate_fills=True,
    reordered_fills=True,
    unknown_positions={list(market().days)[2]: ("FOX", 30)},
)


@dataclass(frozen=True)
class Ending:
    """What must be the same, however often the desk was killed."""

    cash: int
    equity: int
    held: dict[str, int]
    fills: list[tuple[str, int, int]]
    at_broker: list[str]


def ending(desk: Desk) -> Ending:
    books = books_of(desk.store, desk.desk_id)
    orders = {one.id: one.client_order_id for one in read_orders(desk.store, desk.desk_id)}
    return Ending(
        books.cash,
        books.equity,
        {name: one.quantity for name, one in books.holdings.items()},
        sorted(
            (orders[one.order_id], one.quantity, one.price)
            for one in read_fills(desk.store, desk.desk_id)
        ),
        sorted(one.client_order_id for one in desk.paper.orders.values()),
    )


def a_desk(store: Store, folder: Path) -> Desk:
    return make_desk(store, state=folder / "broker.sqlite", faults=FAULTS, rules=RULES)


def check_end(desk: Desk) -> None:
    found = compare(desk.store, desk.desk_id, desk.broker)
    assert found.agrees, found
    assert check_ledger(desk.store, desk.desk_id) == []
    ids = [one.client_order_id for one in desk.paper.orders.values()]
    assert len(ids) == len(set(ids))


class Copies:
    """Copies both stores before and after each commit of the desk."""

    def __init__(self, desk: Desk, source: Path, target: Path) -> None:
        self.kept: list[tuple[Path, datetime]] = []
        self._desk, self._source, self._target = desk, source, target

    def take(self, *_: Any) -> None:
        folder = self._target / str(len(self.kept))
        folder.mkdir(parents=True)
        for name in ("foundry.sqlite", "broker.sqlite"):
            # Another connection sees what is committed.
            with (
                closing(sqlite3.connect(self._source / name)) as one,
                closing(sqlite3.connect(folder / name)) as other,
            ):
                one.backup(other)
        self.kept.append((folder, self._desk.now))


def copies_of_a_week(folder: Path) -> tuple[Ending, list[tuple[Path, datetime]]]:
    source = folder / "whole"
    with open_store(home=source) as store:
        desk = a_desk(store, source)
        copies = Copies(desk, source, folder / "copies")
        event.listen(store.engine, "commit", copies.take)
        event.listen(Session, "after_commit", copies.take)
        try:
            run_week(desk)
        finally:
            event.remove(Session, "after_commit", copies.take)
            event.remove(store.engine, "commit", copies.take)
        check_end(desk)
        return ending(desk), copies.kept


def finish(folder: Path, after: datetime) -> Ending:
    with open_store(home=folder) as store:
        desk = a_desk(store, folder)
        run_week(desk, after=after)
        check_end(desk)
        found = ending(desk)
        desk.paper.close()
        return found


def kill_at(tmp_path: Path, points: int, *, part: int = 0, parts: int = 1) -> None:
    """End a week at `points` boundaries, evenly spread, of which this is one part."""
    whole, kept = copies_of_a_week(tmp_path)
    assert whole.fills
    assert whole.held["FOX"] == 30_000_000
    chosen = sorted({round(n * (len(kept) - 1) / (points - 1)) for n in range(points)})
    assert len(chosen) == points
    for number in chosen[part::parts]:
        folder, now = kept[number]
        assert finish(folder, now) == whole, f"killed at boundary {number}"
        shutil.rmtree(folder)


def test_a_week_ended_at_six_boundaries_ends_the_same(tmp_path: Path) -> None:
    kill_at(tmp_path, 6)


@pytest.mark.long
@pytest.mark.parametrize("part", range(4))
def test_a_week_ended_at_192_boundaries_ends_the_same(tmp_path: Path, part: int) -> None:
    kill_at(tmp_path, 192, part=part, parts=4)


@pytest.mark.long
def test_a_week_ended_by_sigkill_ten_times_ends_the_same(tmp_path: Path) -> None:
    whole, kept = copies_of_a_week(tmp_path)
    home = tmp_path / "killed"
    shutil.copytree(kept[0][0], home)
    commits = len(kept) // 22
    for _ in range(10):
        done = subprocess.run(
            [sys.executable, "-m", "tests.library.trading.test_kill", str(home), str(commits)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            check=False,
        )
        assert done.returncode == -signal.SIGKILL
    assert finish(home, datetime.fromisoformat((home / "now").read_text())) == whole


def test_the_brokers_own_store_survives_a_restart(tmp_path: Path) -> None:
    with open_store(home=tmp_path) as store:
        desk = a_desk(store, tmp_path)
        run_week(desk)
        book, orders, activities = desk.paper.book, desk.paper.orders, desk.paper.activities
        desk.paper.close()
        again = a_desk(store, tmp_path).paper
        assert (again.book, again.orders, again.activities) == (book, orders, activities)
        assert again.book.cash != Decimal(1_000_000)


def work_until_killed(home: Path, commits: int) -> None:
    """Go on with the week and die by SIGKILL right before a commit."""
    left = commits

    def die(*_: Any) -> None:
        nonlocal left
        (home / "now").write_text(desk.now.isoformat())
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    with open_store(home=home) as store:
        desk = a_desk(store, home)
        place = home / "now"
        after = datetime.fromisoformat(place.read_text()) if place.exists() else None
        event.listen(store.engine, "commit", die)
        run_week(desk, after=after)


if __name__ == "__main__":
    work_until_killed(Path(sys.argv[1]), int(sys.argv[2]))
