"""Headlines from feeds: RSS 0.9 to 2.0, Atom and RDF, of files and of addresses.

    reader = FeedReader()
    answer = reader.read("https://example.org/feed.xml", now=moment)
    answer.entries, answer.state          # the state makes the next reading a short one

An address is asked with the ETag and date of its last answer; 304 is an answer without news.
"""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from alphafoundry.errors import NewsError, os_error_in_one_line
from alphafoundry.sentiment.scoring import LONGEST

MOST_BYTES = 5 * 2**20
CPU_SECONDS = 30
"""Processor time of reading one feed; 5 MiB of plain news take about seven."""

LONGEST_READING = 120.0
"""Seconds of the clock that the reading of one feed may take, on a busy machine."""

_CHILD = Path(__file__).with_name("feed_child.py")
_INSTALL = "reading feeds needs the package feedparser; run: make install EXTRAS=news"


@dataclass(frozen=True)
class Entry:
    """One entry of a feed.

    Attributes
    ----------
    identity : its guid, or its address and title where it has none
    title : at most 500 characters in one line, all of them printable
    published_at : seconds since 1970, at most the time of fetching
    """

    identity: str
    title: str
    url: str
    published_at: int


@dataclass(frozen=True)
class FeedAnswer:
    """What a reading gave.

    Attributes
    ----------
    state : "etag" and "modified" of the answer, where it had them, for the next reading
    """

    entries: tuple[Entry, ...]
    state: Mapping[str, str] = field(default_factory=dict)


class FeedReader:
    """Reads feeds; nothing is kept between readings.

    Parameters
    ----------
    timeout : seconds for each part of an answer
    """

    def __init__(self, *, timeout: float = 10.0) -> None:
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"FeedReader(timeout={self._timeout:g})"

    def read(self, where: str, *, now: int, state: Mapping[str, str] | None = None) -> FeedAnswer:
        """Return the entries of a feed.

        Parameters
        ----------
        where : an http or https address, or the path of a file
        now : seconds since 1970; what was published later, or without a date, counts as of now
        state : of the answer before

        Raises NewsError where it cannot be read, is larger than 5 MiB, or is no feed.
        """
        if where.startswith(("http://", "https://")):
            return self._from_address(where, now, state or {})
        try:
            with Path(where).open("rb") as file:
                content = file.read(MOST_BYTES + 1)
        except OSError as problem:
            raise NewsError(os_error_in_one_line(problem)) from None
        return FeedAnswer(tuple(_entries(_checked(content, where), where, now)))

    def _from_address(self, where: str, now: int, state: Mapping[str, str]) -> FeedAnswer:
        try:
            shown = str(httpx.URL(where).copy_with(query=None, userinfo=b""))
        except httpx.InvalidURL:
            raise NewsError("an address of a feed is none; look at the list of feeds") from None
        known = {"etag": "If-None-Match", "modified": "If-Modified-Since"}
        headers = {known[name]: value for name, value in state.items() if name in known}
        content = bytearray()
        try:
            with (
                httpx.Client(timeout=self._timeout, follow_redirects=True, max_redirects=3) as web,
                web.stream("GET", where, headers=headers) as answer,
            ):
                if answer.status_code == httpx.codes.NOT_MODIFIED:
                    return FeedAnswer((), dict(state))
                if answer.status_code != httpx.codes.OK:
                    raise NewsError(f"{shown}: answered {answer.status_code}")
                for part in answer.iter_bytes():
                    content += part
                    if len(content) > MOST_BYTES:
                        break
                found = {
                    "etag": answer.headers.get("ETag"),
                    "modified": answer.headers.get("Last-Modified"),
                }
        except httpx.HTTPError as problem:
            raise NewsError(f"{shown}: {type(problem).__name__}; no answer") from None
        entries = tuple(_entries(_checked(bytes(content), shown), shown, now))
        return FeedAnswer(entries, {name: value for name, value in found.items() if value})


def _checked(content: bytes, where: str) -> bytes:
    if len(content) > MOST_BYTES:
        raise NewsError(f"{where}: is larger than {MOST_BYTES >> 20} MiB; give a shorter feed")
    if b"<!ENTITY" in content:
        raise NewsError(f"{where}: declares entities, which no feed needs; it is not read")
    return content


def _entries(content: bytes, where: str, now: int) -> Iterator[Entry]:
    if importlib.util.find_spec("feedparser") is None:
        raise NewsError(_INSTALL)
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter, and a file of this package
            [sys.executable, "-P", str(_CHILD), str(now), str(CPU_SECONDS), str(LONGEST)],
            input=content,
            capture_output=True,
            timeout=LONGEST_READING,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NewsError(f"{where}: was not read in {LONGEST_READING:g} s") from None
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise NewsError(
            f"{where}: takes more than {CPU_SECONDS} s of processor time to read, which "
            "no feed does; it is left out"
        )
    try:
        found = json.loads(done.stdout)
    except ValueError:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2][:200]
        raise NewsError(f"{where}: cannot be read as a feed ({last})") from None
    if "problem" in found:
        raise NewsError(f"{where}: {found['problem']}")
    for one in found["entries"]:
        yield Entry(*one)
