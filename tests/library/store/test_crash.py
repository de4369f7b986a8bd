"""kill -9 in the middle of writes."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from sqlalchemy import select, text

from alphafoundry.store import AlphaRow, SimulationRow, Store, is_alive, read_runs
from alphafoundry.store.tables import PnlRow
from tests.library.store.child import N_DAYS
from tests.library.store.processes import child, line


@pytest.mark.parametrize("rounds", [2, pytest.param(10, marks=pytest.mark.long)])
def test_a_killed_writer_leaves_whole_results_only(
    store: Store, database_url: str, tmp_path: Path, rounds: int
) -> None:
    seed = random.Random(5)
    (tmp_path / "go").touch()
    for _ in range(rounds):
        with child("finish_forever", database_url, tmp_path / "go") as process:
            assert line(process) == "ready"
            said = [int(line(process))]
            time.sleep(seed.uniform(0, 0.2))
            process.kill()
            said += [int(number) for number in process.stdout.read().splitlines()]
        assert set(said) <= whole_results(store)
    if store.engine.dialect.name == "sqlite":
        with store.engine.connect() as connection:
            assert connection.execute(text("PRAGMA integrity_check")).scalar() == "ok"
            assert connection.execute(text("PRAGMA foreign_key_check")).all() == []
    assert not any(is_alive(run) for run in read_runs(store))


def whole_results(store: Store) -> set[int]:
    """Return the finished simulations, after a look that nothing is half there."""
    with store.session() as session:
        finished = session.execute(
            select(SimulationRow.id, SimulationRow.alpha_id).where(
                SimulationRow.status == "complete"
            )
        ).all()
        alphas = set(session.scalars(select(AlphaRow.alpha_id)))
        pnl = {row.alpha_id: len(row.amounts) for row in session.scalars(select(PnlRow))}
    assert {alpha for _, alpha in finished} == alphas == set(pnl)
    assert set(pnl.values()) == {4 * N_DAYS}  # float32
    return {number for number, _ in finished}
