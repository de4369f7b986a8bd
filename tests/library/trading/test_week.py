"""A desk over a week of the paper broker: the ledger agrees with the broker's own book."""

from __future__ import annotations

from pathlib import Path

import pytest

from alphafoundry.store import open_store
from alphafoundry.trading import BrokerRules, books_of, check_ledger, compare, read_fills
from tests.library.trading.week import make_desk, run_week
from tests.postgres import running_postgres


def test_a_week_reconciles_to_the_cent(tmp_path: Path) -> None:
    with open_store(home=tmp_path) as store:
        desk = make_desk(store, rules=BrokerRules(borrow_rate=0.05, interest_rate=0.03))
        run_week(desk)
        found = compare(store, desk.desk_id, desk.broker)
        assert str(found) == "ledger: reconciled to $0.00", found
        assert check_ledger(store, desk.desk_id) == []
        assert [one.trouble for one in desk.done if one.trouble] == []


@pytest.mark.long
def test_a_week_on_postgresql_ends_like_one_on_sqlite(tmp_path: Path) -> None:
    ends = []
    with running_postgres() as server:
        for url in (None, server.database()):
            with open_store(url, home=tmp_path) as store:
                desk = make_desk(store)
                run_week(desk)
                assert compare(store, desk.desk_id, desk.broker).agrees
                assert check_ledger(store, desk.desk_id) == []
                fills = [
                    (one.broker_fill_id, one.quantity) for one in read_fills(store, desk.desk_id)
                ]
                ends.append((books_of(store, desk.desk_id), fills))
    assert ends[0] == ends[1]
