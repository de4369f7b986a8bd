"""Output: lines, files, patterns."""

from __future__ import annotations

import re
import select
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphafoundry.supervisor import output
from alphafoundry.supervisor.fingerprints import advice, fingerprint
from alphafoundry.supervisor.matcher import ERRORS, Glance, Match, Matcher, simple
from alphafoundry.supervisor.output import Bucket, LogFiles, Stream, first_lines, plain


@given(st.lists(st.binary(max_size=50), max_size=20), st.integers(1, 9))
def test_no_byte_is_lost_however_the_pipe_cuts_it(lines: list[bytes], size: int) -> None:
    lines = [line.replace(b"\n", b"") for line in lines]
    text = b"".join(line + b"\n" for line in lines)
    stream = Stream()
    pieces = [stream.feed(text[at : at + size]) for at in range(0, len(text), size)]
    assert all(piece.endswith(b"\n") for piece in pieces if piece)
    assert b"".join(pieces) + stream.finish() == text and stream.size == len(text)


def test_files_turn_over_and_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "FILE_BYTES", 1000)
    files = LogFiles(tmp_path)
    for number in range(400):
        files.put("a", f"line {number:04}\n".encode())
    files.close()
    names = ["a.log.4", "a.log.3", "a.log.2", "a.log.1", "a.log"]
    text = "".join((tmp_path / name).read_text() for name in names if (tmp_path / name).exists())
    assert text.split("\n")[:-1] == [f"line {number:04}" for number in range(400)]
    assert len(list(tmp_path.iterdir())) <= 5 and files.waiting == 0


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = Bucket(20)
    assert bucket.take(1000, 0.0) == 200
    assert bucket.take(1000, 1.0) == 20
    assert Bucket(0).take(5, 0.0) == 0


def test_control_characters_do_not_reach_a_terminal() -> None:
    assert plain("a\x1b[31mred\x07\tb\r") == "a[31mred\tb"
    assert first_lines(b"one\n\x00two\nthree\n", 2) == ["one", "two"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ValueError: row 17 of /a/b/c.csv", "ValueError: row 9 of /x/y.csv"),
        ("object at 0x7f00aa", "object at 0x1b"),
        ("no ticker 'AAPL'", "no ticker 'MSFT'"),
    ],
)
def test_the_same_error_has_one_fingerprint(one: str, other: str) -> None:
    assert fingerprint(one) == fingerprint(other) != fingerprint("KeyError: else")


def test_known_errors_come_with_advice() -> None:
    assert "make install" in advice("ModuleNotFoundError: No module named 'x'")
    assert advice("something else") == ""


def wait_for(matcher: Matcher, count: int) -> list[Match | str]:
    found: list[Match | str] = []
    deadline = time.monotonic() + 300
    while len(found) < count:
        assert time.monotonic() < deadline
        answer, question = matcher.descriptors
        wanted = [question] if matcher.wants_to_write else []
        readable, writable, _ = select.select([answer], wanted, [], 1)
        if writable:
            matcher.write()
        if readable:
            found += matcher.read()
    return found


def test_errors_are_found_and_a_catastrophic_pattern_is_switched_off() -> None:
    matcher = Matcher()
    try:
        text = b"fine\nTraceback (most recent call last):\nValueError: wrong\nerror: no\nERRORS 0\n"
        matcher.submit("a", [ERRORS, "f.ne"], text)
        found = wait_for(matcher, 2)
        lines = {one.pattern: one.lines for one in found if isinstance(one, Match)}
        assert lines == {ERRORS: ["ValueError: wrong", "error: no"], "f.ne": ["fine"]}
        slow = r"(a+)+$"
        matcher.submit("b", [slow, "good"], b"a" * 60 + b"!\ngood\n")
        found = wait_for(matcher, 2)
        assert slow in found and matcher.off == {slow}
        assert [one.lines for one in found if isinstance(one, Match)] == [["good"]]
    finally:
        matcher.close()


def test_every_line_of_an_error_is_counted_and_each_once() -> None:
    matcher = Matcher()
    try:
        text = b"ERROR: 429 for row 1\nfine\n" + b"ERROR: 429 for row 2\n" * 60 + b"429 again\n"
        matcher.submit("a", [ERRORS, "429"], text)
        found = {one.pattern: one for one in wait_for(matcher, 2) if isinstance(one, Match)}
        assert found[ERRORS].errors == [("ERROR: 429 for row 1", 61)]
        assert found["429"].errors == [("429 again", 1)]
        assert (found["429"].count, len(found["429"].lines)) == (62, 20)
    finally:
        matcher.close()


def test_an_error_comes_with_the_lines_before_it_also_of_earlier_pieces() -> None:
    matcher = Matcher()
    try:
        matcher.submit("a stderr", [ERRORS], b"row 16\nrow 17\n")
        matcher.submit("b stderr", [ERRORS], b"of another\n")
        matcher.submit("a stderr", [ERRORS], b"  in parse\nValueError: wrong\nafter\n")
        (found,) = wait_for(matcher, 1)
        assert isinstance(found, Match) and found.key == "a stderr"
        assert found.context == ["row 16", "row 17", "  in parse", "ValueError: wrong"]
    finally:
        matcher.close()


def test_a_killed_matcher_is_replaced() -> None:
    import os
    import signal

    matcher = Matcher()
    try:
        os.kill(matcher.pid, signal.SIGKILL)
        deadline = time.monotonic() + 300
        found: list[Match | str] = []
        while not found:
            assert time.monotonic() < deadline
            matcher.submit("a", ["x"], b"x\n")
            select.select([matcher.descriptors[0]], [], [], 0.5)
            found += matcher.read()
    finally:
        matcher.close()


@pytest.mark.parametrize(
    "expression",
    [
        ERRORS, "a", "^a", "a$", "^$", r"a\b", r"\Ba", "[^a]b", r"a\s*b", "a+?b|xx", "(a)(b|:)\\1",
        r"\Aa", r"a\Z", "a(?!b)", "(?<!b)a", "(?<=b)a", "(?s)a.b", "(?i)A", "a++b", "(?>a+)b",
        r"a\++",
    ],
)  # fmt: skip
@given(text=st.text(alphabet="ab :xE\n\t+", max_size=40))
def test_a_glance_never_overlooks_a_line(expression: str, text: str) -> None:
    matches = any(re.search(expression, line) for line in text.split("\n"))
    assert not (matches and Glance(expression).finds_nothing(text))


def test_most_expressions_are_glanced_with_and_those_that_could_overlook_are_not() -> None:
    assert all(map(simple, (ERRORS, "429|Too Many Requests", r"^\s*WARN", "a$")))
    assert not any(map(simple, (r"\Aa", r"a\Z", "a(?!b)", "(?<!b)a", "(?>a+)b", "a++b")))
    assert Glance("never").finds_nothing("nothing\nof it\n")
    assert not Glance("never(?!again)").finds_nothing("nothing\nof it\n")
