"""`python feed_child.py NOW CPU_SECONDS TITLE`: reads a feed from stdin, in bounded time.

A few kilobytes can keep a parser of feeds busy for hours, so it has a process of its own that is
ended. Printed is JSON: `entries`, each of identity, title (of at most TITLE characters), address
and time, or `problem`. It is run as a file, so that it imports nothing of this package.
"""

from __future__ import annotations

import calendar
import contextlib
import importlib
import json
import resource
import sys
from collections.abc import Iterator
from datetime import MAXYEAR
from typing import Any, Final

MEMORY_BYTES: Final = 2 * 2**30

MOST_ENTRIES: Final = 5_000
"""Entries of a feed that are taken, the first ones."""


def main() -> None:
    """Read the feed on stdin and print what it holds."""
    now, cpu_seconds, longest = map(int, sys.argv[1:])
    for kind, most in ((resource.RLIMIT_CPU, cpu_seconds), (resource.RLIMIT_AS, MEMORY_BYTES)):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(kind, (most, most))
    content = sys.stdin.buffer.read()
    try:
        found: dict[str, Any] = {"entries": list(_entries(content, now, longest))}
    except _NoFeed as problem:
        found = {"problem": str(problem)}
    sys.stdout.write(json.dumps(found))


class _NoFeed(Exception):
    """Why the bytes are no feed, for people."""


def _entries(content: bytes, now: int, longest: int) -> Iterator[tuple[str, str, str, int]]:
    feedparser: Any = importlib.import_module("feedparser")
    # Bytes, never a name: feedparser would open an address or a file by itself.
    try:
        parsed = feedparser.parse(content)
    except Exception as problem:  # it lets through what signs and tags of no feed raise in it
        raise _NoFeed(f"cannot be read as a feed ({type(problem).__name__})") from None
    if not parsed.get("version"):
        raise _NoFeed("is neither RSS nor Atom")
    for one in parsed.entries[:MOST_ENTRIES]:
        title = printable(one.get("title"))[:longest]
        if not title:
            continue
        url = printable(one.get("link"))
        stamp = one.get("published_parsed") or one.get("updated_parsed")
        # A date without a zone is taken as UTC; one that has not come yet cannot be true.
        published = calendar.timegm(stamp) if stamp and 1 <= stamp[0] <= MAXYEAR else now
        identity = printable(one.get("id")) or f"{url} {title}"
        yield identity, title, url, min(max(published, 0), now)


def printable(value: object) -> str:
    """Return a text in one line, without what steers terminals or no database takes."""
    words = ("" if value is None else str(value)).split()
    return "".join(sign for sign in " ".join(words) if sign.isprintable())


if __name__ == "__main__":
    main()
