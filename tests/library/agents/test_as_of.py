"""A desk as of a day is what it was on that day, whatever has come since."""

from __future__ import annotations

from datetime import date

import pytest

from alphafoundry.agents.as_of import desk_as_of
from alphafoundry.errors import FoundryError
from alphafoundry.store import open_store
from tests.library.agents.small_desks import small_desk, small_panel


@pytest.mark.long
def test_what_comes_later_changes_no_day_before(tmp_path):
    with open_store(home=tmp_path) as store, small_desk(store, small_panel(), tmp_path) as desk:
        desk.prepare()
        days = [one.day for one in desk.sessions]
        for session in desk.sessions[:2]:
            desk.run_session(session)
        # The day goes on after its session: the nights' ticks belong to the next transaction.
        then = desk_as_of(store, "small", days[0])
        desk.run_session(desk.sessions[2])
        again = desk_as_of(store, "small", days[0])
        last = desk_as_of(store, "small", days[2])
        assert desk_as_of(store, "small", date.max).fills == last.fills
        with pytest.raises(FoundryError, match="began on"):
            desk_as_of(store, "small", days[0].replace(year=2000))
    assert (list(then.lines()), list(then.rows())) == (list(again.lines()), list(again.rows()))
    assert then.sessions < last.sessions
    assert then.orders > 0
    assert last.fills > then.fills
    assert then.strategies == ("reversal",)
    for agent, count in then.counts.items():
        assert sum(last.counts[agent].values()) > sum(count.values()) - 1
    assert last.health["system_health"] == 1.0
