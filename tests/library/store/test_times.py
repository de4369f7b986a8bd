"""Times are text of one form in SQLite, whatever zone they come in, and come back in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite

from alphafoundry.store.column_types import UtcDateTime

ZONES = st.sampled_from([UTC, timezone(timedelta(hours=-5)), timezone(timedelta(minutes=345))])


@given(st.datetimes(timezones=ZONES, min_value=datetime(2, 1, 1), max_value=datetime(9998, 12, 31)))
def test_a_time_is_written_as_its_iso_form_and_read_back(moment: datetime) -> None:
    dialect, kind = sqlite.dialect(), UtcDateTime()
    written = kind.bind_processor(dialect)(moment)
    plain = moment.astimezone(UTC).replace(tzinfo=None)
    assert written == plain.isoformat(" ", "microseconds")
    found = kind.result_processor(dialect, None)(written)
    assert found == moment and found.tzinfo is UTC


@given(st.integers(-(10**9), 4 * 10**9))
def test_whole_seconds_are_written_as_their_moment(seconds: int) -> None:
    dialect, kind = sqlite.dialect(), UtcDateTime()
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    assert kind.bind_processor(dialect)(seconds) == kind.bind_processor(dialect)(moment)
    assert kind.process_bind_param(seconds, postgresql.dialect()) == moment
