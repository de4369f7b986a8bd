"""A score for a headline: -1 bad, 1 good, 0 says nothing.

    score_headline("Harlan cuts costs, lifts outlook").value      # above 0

First events by their patterns, then the words: what moves (up, down, stops, starts) is paired with
what it moves (an asset such as profit, a burden such as costs), within a clause. "no", "not" and
"without" turn what follows. What stands after "despite" and a question count for little.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from alphafoundry.sentiment.lexicon import DOUBT, EVENTS, ROLES, Role

LONGEST = 500
"""Characters of a headline that are read."""

_WORD = re.compile(r"[a-z]+(?:[-'&][a-z]+)*|\d+(?:\.\d+)?")
_CLAUSE = re.compile(r"[,;:]\s+|\s(?:as|after|but|while|amid|and)\s|\s[-–—]\s")
_CONCESSION = re.compile(r"\b(?:despite|in spite of|even as)\b.*")
_FROM_TO = re.compile(r"to \$?(\d+(?:\.\d+)?)[^\d]{0,12}from \$?(\d+(?:\.\d+)?)")
_ROLE_OF: dict[str, Role] = {}
for _role, _words in reversed(ROLES):
    _ROLE_OF.update(dict.fromkeys(_words, _role))

_MOVES: dict[tuple[Role, Role], float] = {
    ("up", "asset"): 1.0,
    ("up", "burden"): -1.0,
    ("down", "asset"): -1.0,
    ("down", "burden"): 1.0,
    ("stop", "asset"): -1.0,
    ("stop", "burden"): 1.0,
    ("start", "asset"): 0.5,
    ("start", "burden"): -0.7,
    ("up", "bad"): -1.0,
    ("down", "bad"): 0.7,
    ("stop", "bad"): 0.8,
    ("up", "good"): 1.0,
    ("down", "good"): -0.8,
    ("stop", "good"): -0.8,
}
_ALONE: dict[Role, float] = {"up": 0.5, "down": -0.5, "stop": -0.25, "good": 0.8, "bad": -0.8}
_REACH = 5
_NEGATION_REACH = 3
_EVENT_WEIGHT = 1.2


@dataclass(frozen=True)
class Score:
    """What a headline says.

    Attributes
    ----------
    value : -1 to 1; 0 says nothing
    events : names of the kinds of news that were found
    severe : whether one of them is severe
    """

    value: float
    events: tuple[str, ...] = ()
    severe: bool = False


def score_headline(text: str) -> Score:
    """Return the score of a headline, of its first 500 characters; any text has one."""
    given = text[:LONGEST].lower().replace("’", "'")
    plain = _CONCESSION.sub("", given)
    total, names, severe = 0.0, [], False
    for event in EVENTS:
        if event.pattern.search(plain):
            total += _EVENT_WEIGHT * event.score
            names.append(event.name)
            severe = severe or event.severe
    for clause in _CLAUSE.split(plain):
        total += _clause(_WORD.findall(clause))
    if (moved := _FROM_TO.search(plain)) is not None:
        total += 1.0 if float(moved[1]) > float(moved[2]) else -1.0
    words = set(_WORD.findall(plain))
    for doubt, share in DOUBT.items():
        if doubt in words:
            total *= share
    if "?" in plain:
        total *= 0.3
    return Score(round(math.tanh(0.8 * total), 4), tuple(dict.fromkeys(names)), severe)


def _clause(words: list[str]) -> float:
    """Return what the words of a clause add up to."""
    roles: list[tuple[int, Role]] = [
        (place, role) for place, word in enumerate(words) if (role := _ROLE_OF.get(word))
    ]
    negated = [place for place, role in roles if role == "not"]
    left: list[tuple[int, Role]] = [one for one in roles if one[1] != "not"]
    total = 0.0
    while left:
        place, role = left.pop(0)
        sign = -1.0 if any(0 < place - no <= _NEGATION_REACH for no in negated) else 1.0
        other = _partner(place, role, left)
        if other is None:
            alone = _ALONE.get(role, -0.35 if role == "burden" else 0.0)
            total += sign * alone
        else:
            left.remove(other)
            total += sign * _pair(role, other[1])
    return total


def _partner(place: int, role: Role, left: list[tuple[int, Role]]) -> tuple[int, Role] | None:
    """Return the nearest word after this one that the two make a pair with."""
    for other in left:
        if other[0] - place > _REACH:
            return None
        if (role, other[1]) in _MOVES or (other[1], role) in _MOVES:
            return other
    return None


def _pair(first: Role, second: Role) -> float:
    value = _MOVES.get((first, second))
    return _MOVES[second, first] if value is None else value
