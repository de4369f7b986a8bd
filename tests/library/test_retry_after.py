"""How long a service asks to wait."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest

from alphafoundry.retry_after import retry_after


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5.0", 5.0),
        ("0", 0.0),
        ("-3", 0.0),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
        ("Mon, 01 Jan 2024 00:00:00 +9999999999999999", None),
        (" 7 ", 7.0),
        ("", None),
    ],
)
def test_seconds_and_dates_are_read_and_anything_else_counts_as_absent(
    text: str, expected: float | None
) -> None:
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert retry_after(httpx.Headers({"retry-after": text}), now=now) == expected
    assert retry_after(httpx.Headers()) is None
