"""Which error lines are the same error: numbers, addresses and paths do not count."""

from __future__ import annotations

import re

LONGEST = 200

_REPLACED = (
    (re.compile(r"0x[0-9a-fA-F]+"), "#"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "#"),
    (re.compile(r"(?:/[\w.@+-]+){2,}/?"), "PATH"),
    (re.compile(r"'[^']{1,80}'|\"[^\"]{1,80}\""), "'...'"),
    (re.compile(r"\d+(?:[.:,-]\d+)*"), "#"),
    (re.compile(r"\s+"), " "),
)

_ADVICE = (
    ("ModuleNotFoundError", "a package or module is not installed; make install"),
    ("ImportError", "a module does not hold what is imported from it; is the version right?"),
    ("FileNotFoundError", "a file is not there; look at the path and at the process's folder"),
    ("PermissionError", "a file or port is not allowed; look at owner and mode"),
    ("Address already in use", "another process has the port; choose another one"),
    ("429", "the service limits requests; loop_interval may be longer"),
    ("Too Many Requests", "the service limits requests; loop_interval may be longer"),
    ("Expecting value: line 1 column 1", "the answer was no JSON: often a limit of requests"),
    ("database is locked", "another process holds the database; is one stopped or too slow?"),
    ("No space left", "the disk is full"),
    ("MemoryError", "not enough memory; look at resource_limits"),
    (
        "Connection refused",
        "nothing listens there; does what it needs run? depends_on waits for it",
    ),
)


def fingerprint(line: str) -> str:
    """Return what lines of the same error have in common."""
    text = line.strip()[: 4 * LONGEST]
    for pattern, by in _REPLACED:
        text = pattern.sub(by, text)
    return text[:LONGEST]


def advice(line: str) -> str:
    """Return what to do about a known error, "" for an unknown one."""
    return next((text for sign, text in _ADVICE if sign in line), "")
