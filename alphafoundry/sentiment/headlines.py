"""A headline as the desk comes to know it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_CASHTAG = re.compile(r"\$([A-Z][A-Z.]{0,5})\b|\((?:[A-Za-z ]+:\s*)?([A-Z][A-Z.]{0,5})\)")


@dataclass(frozen=True)
class Headline:
    """A headline, not yet scored.

    Attributes
    ----------
    identity : what makes it this one at its source: a guid, or its address and title
    source : feed or generator that it is from
    title, url : url is "" where there is none
    symbols : names of the market that it is about; none is about the market as a whole
    published_at : seconds since 1970; the time of fetching where its source gives none, or one
        that has not come yet
    """

    identity: str
    source: str
    title: str
    url: str
    symbols: tuple[str, ...]
    published_at: int

    @property
    def key(self) -> str:
        """The SHA-256 of source and identity."""
        return hashlib.sha256(f"{self.source}\x1f{self.identity}".encode()).hexdigest()


def symbols_in(title: str, known: Iterable[str], aliases: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names that a headline is about.

    A name is told by "$ABC", by "(NYSE: ABC)" or "(ABC)", by its symbol as a word of three or more
    capitals, or by an alias, such as a company's name, whatever its capitals.
    """
    names = set(known)
    found = {one for pair in _CASHTAG.findall(title) for one in pair if one in names}
    words = re.findall(r"[A-Z][A-Z0-9.]{2,}", title)
    found.update(word for word in words if word in names)
    lowered = title.lower()
    for alias, symbol in aliases.items():
        if symbol in names and re.search(rf"\b{re.escape(alias.lower())}\b", lowered):
            found.add(symbol)
    return tuple(sorted(found))


class Told:
    """What was told already, by whatever source.

    Two headlines are one where they have the same words and share a name, or either is about none.

    Parameters
    ----------
    earlier : (title, symbols) of those that are known
    """

    def __init__(self, earlier: Iterable[tuple[str, Iterable[str]]]) -> None:
        self._names: dict[str, list[set[str]]] = {}
        for title, symbols in earlier:
            self._names.setdefault(_words(title), []).append(set(symbols))

    def is_new(self, one: Headline) -> bool:
        """Return whether a headline was not told before; from now on it was."""
        names, before = set(one.symbols), self._names.setdefault(_words(one.title), [])
        repeats = any(not names or not other or names & other for other in before)
        before.append(names)
        return not repeats


def _words(title: str) -> str:
    return " ".join(re.findall(r"\w+", title.casefold()))
