"""A desk over a week of the paper broker: the ledger agrees with the broker's own book."""

from __future__ import annotations

from pathlib import Path

from alphafoundry.store import open_store
from alphafoundry.trading import BrokerRules, check_ledger, compare
from tests.library.trading.week import make_desk, run_week


def test_a_week_reconciles_to_the_cent(tmp_path: Path) -> None:
    with open_store(home=tmp_path) as store:
        desk = make_desk(store, rules=BrokerRules(borrow_rate=0.05, interest_rate=0.03))
        run_week(desk)
        found = compare(store, desk.desk_id, desk.broker)
        assert str(found) == "ledger: reconciled to $0.00", found
        assert check_ledger(store, desk.desk_id) == []
        assert [one.trouble for one in desk.done if one.trouble] == []
