"""Feeds of files and of a server on loopback, whole and broken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from alphafoundry.errors import NewsError
from alphafoundry.sentiment import FeedReader, symbols_in

NOW = 1_704_200_000
RSS = b"""<?xml version="1.0"?><rss version="2.0"><channel><title>x</title>
<item><title>Acme (NYSE: ACM) beats estimates</title><guid>g1</guid><link>http://x/1</link>
<pubDate>Tue, 02 Jan 2024 10:00:00 GMT</pubDate></item>
<item><title>No date, no guid</title><link>http://x/2</link></item>
<item><title>From the future</title><guid>g3</guid>
<pubDate>Tue, 02 Jan 2074 10:00:00 GMT</pubDate></item>
<item><title>  </title><guid>g4</guid></item></channel></rss>"""
ATOM = b"""<feed xmlns="http://www.w3.org/2005/Atom"><title>x</title><entry><id>e1</id>
<title type="text">Acme wins contract</title><link rel="alternate" href="http://x/3"/>
<updated>2024-01-02T05:00:00-05:00</updated></entry></feed>"""


def test_rss_and_atom_give_title_identity_and_time(tmp_path: Path) -> None:
    rss, atom = tmp_path / "a.xml", tmp_path / "b.xml"
    rss.write_bytes(RSS)
    atom.write_bytes(ATOM)
    first, second, third = FeedReader().read(str(rss), now=NOW).entries
    assert (first.identity, first.published_at) == ("g1", 1_704_189_600)
    assert second.published_at == NOW
    assert third.published_at == NOW
    (only,) = FeedReader().read(str(atom), now=NOW).entries
    assert (only.identity, only.published_at) == ("e1", 1_704_189_600)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"<html><body>Sign in</body></html>", "neither RSS nor Atom"),
        (b"", "neither RSS nor Atom"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><rss version="2.0"/>', "entities"),
        (b"<rss>" + b"x" * (5 * 2**20), "larger than 5 MiB"),
        (RSS.replace(b"No date", b"&#xD800;"), "cannot be read as a feed"),
    ],
)
def test_what_is_no_feed_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "feed.xml"
    path.write_bytes(content)
    with pytest.raises(NewsError, match=told):
        FeedReader().read(str(path), now=NOW)


@pytest.mark.parametrize(
    "day", [b"0000-00-00", b"0000-01-01T00:00:00Z", b"9999-12-31T23:59:59-23:59"]
)
def test_a_date_that_no_calendar_has_counts_as_of_now(tmp_path: Path, day: bytes) -> None:
    path = tmp_path / "feed.xml"
    path.write_bytes(RSS.replace(b"Tue, 02 Jan 2074 10:00:00 GMT", day))
    assert [one.published_at for one in FeedReader().read(str(path), now=NOW).entries][2] == NOW


def test_a_title_is_one_short_line_that_can_be_printed(tmp_path: Path) -> None:
    path = tmp_path / "feed.xml"
    path.write_bytes(RSS.replace(b"No date", b"&#27;[31m&#x202e;" + b"No date " * 1000))
    title = FeedReader().read(str(path), now=NOW).entries[1].title
    assert title.startswith("[31mNo date No date")
    assert len(title) == 500


def test_an_address_that_is_none_is_told_in_one_line() -> None:
    with pytest.raises(NewsError, match="is none"):
        FeedReader().read("https://\x00/", now=NOW)


@contextmanager
def server(status: int = 200) -> Iterator[tuple[str, list[str | None]]]:
    """A server of one feed that knows its ETag; and the tags that it was asked with."""
    tags: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            tags.append(self.headers.get("If-None-Match"))
            known = tags[-1] == '"v1"'
            self.send_response(304 if known else status)
            self.send_header("ETag", '"v1"')
            self.send_header("Content-Length", "0" if known else str(len(RSS)))
            self.end_headers()
            if not known:
                self.wfile.write(RSS)

        def log_message(self, *_: object) -> None: ...

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=web.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{web.server_port}/feed", tags
    finally:
        web.shutdown()
        web.server_close()


def test_an_address_is_asked_for_what_is_new() -> None:
    with server() as (address, tags):
        first = FeedReader().read(address, now=NOW)
        again = FeedReader().read(address, now=NOW, state=first.state)
    assert len(first.entries) == 3
    assert again.entries == ()
    assert tags == [None, '"v1"']


def test_a_refusal_does_not_tell_the_key_in_the_address() -> None:
    with server(status=403) as (address, _), pytest.raises(NewsError) as told:
        FeedReader().read(f"{address}?apikey=hush", now=NOW)
    assert "answered 403" in str(told.value)
    assert "hush" not in str(told.value)


def test_names_are_found_by_tag_bracket_word_and_alias() -> None:
    known, aliases = ["ACM", "F", "XYZ"], {"Acme Corp": "ACM"}
    assert symbols_in("acme corp falls", known, aliases) == ("ACM",)
    assert symbols_in("Ford (NYSE: F) and $XYZ rise", known, aliases) == ("F", "XYZ")
    assert symbols_in("F is a letter, QQQ is not known", known, aliases) == ()


def test_a_small_feed_that_keeps_the_parser_busy_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alphafoundry.sentiment.feeds.CPU_SECONDS", 1)
    attributes = " ".join(f"a{number}='1'" for number in range(30_000))
    path = tmp_path / "busy.xml"
    path.write_text(f"<rss version='2.0'><channel><item {attributes}><title>x</title></item>")
    assert path.stat().st_size < 400_000
    with pytest.raises(NewsError, match=r"takes more than 1 s of processor time to read"):
        FeedReader().read(str(path), now=NOW)
