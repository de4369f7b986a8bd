"""Whether a text says nothing but what some facts say."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import chain

_WORD = re.compile(r"[-+−]?[$€£]?[^\W_][\w.,:/@'’-]*%?", re.UNICODE)
_NUMBER_WORDS = frozenset(
    (
        *("zero", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
        *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
        *("eighteen", "nineteen", "twenty", "thirty", "forty", "fifty", "sixty", "seventy"),
        *("eighty", "ninety", "hundred", "hundreds", "thousand", "thousands", "million"),
        *("millions", "billion", "billions", "dozen", "dozens", "half", "third", "quarter"),
        *("double", "doubled", "triple", "twice", "thrice", "percent", "percentage"),
    )
)
_BUYS = frozenset(("buy", "buys", "buying", "bought", "purchase", "purchased", "purchases"))
_SELLS = frozenset(("sell", "sells", "selling", "sold", "sale", "sales", "shorted"))


def invented(text: str, facts: Sequence[str]) -> str | None:
    """Return why a text is not what the facts say, None where it tells nothing else.

    Refused are: a number, date, id, ticker or other name that no fact has; a number with another
    sign or unit; a number in words; a number in a sentence about a name that belongs to another
    one; a purchase that was a sale, or the other way round; talk of trading without a trade; a text
    that is empty, leaves out most of the facts, or is four times as long as they are.
    """
    return next(_objections(text, facts), None)


def _objections(text: str, facts: Sequence[str]) -> Iterator[str]:
    if not text.strip():
        yield "the text is empty"
    if len(text) > 4 * sum(map(len, facts)) + 200:
        yield "the text is four times as long as the facts"
    for char in text:
        if unicodedata.category(char) in ("No", "Nl"):
            yield f"{char!r} is a number that is not among the facts"
    lines = [_Sentence.read(one) for one in facts]
    known = _all(one.tokens for one in lines)
    words = _all(one.words for one in lines)
    for part in re.split(r"(?<=[.!?])\s+|\n+", text.strip()):
        found = _Sentence.read(part)
        for token in sorted(found.tokens - known):
            yield f"{token!r} is not among the facts"
        for word in sorted(found.words & (_NUMBER_WORDS - words)):
            yield f"{word!r} is a number that is not among the facts"
        for name in sorted(found.names - words):
            yield f"{name!r} is not among the facts"
        if found.words & (_BUYS | _SELLS) and not found.tokens:
            yield "it speaks of trading without saying which trade"
        yield from _misplaced(found, lines)
    if 2 * len(_Sentence.read(text).tokens & known) < len(known):
        yield "it leaves out most of the facts"


def _all(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset(chain.from_iterable(sets))


@dataclass(frozen=True)
class _Sentence:
    """What a sentence claims.

    tokens : numbers, dates, ids and tickers, numbers in one form
    names : words with a capital beyond the first word; words : all, in small letters
    tickers : those of the tokens that are names: capitals, with or without digits
    """

    tokens: frozenset[str]
    names: frozenset[str]
    words: frozenset[str]
    tickers: frozenset[str]

    @classmethod
    def read(cls, text: str) -> _Sentence:
        found = [one.group() for one in _WORD.finditer(re.sub(r"(?<=\d)\s+%", "%", text))]
        bare = [one.rstrip(".,:'’-/") for one in found]
        tokens, names = set(), set()
        for place, word in enumerate(bare):
            if any(char.isdigit() for char in word) or _is_ticker(word):
                tokens.add(_one_form(word))
            elif place and word[:1].isupper():
                names.add(word.casefold())
        return cls(
            frozenset(tokens),
            frozenset(names),
            frozenset(word.casefold() for word in bare),
            frozenset(word for word in bare if _is_ticker(word)),
        )

    @property
    def numbers(self) -> frozenset[str]:
        return self.tokens - self.tickers


def _is_ticker(word: str) -> bool:
    letters = [char for char in word if char.isalpha()]
    return len(letters) >= 2 and all(char.isupper() for char in letters)


def _one_form(word: str) -> str:
    """Return a number without what only its spelling adds; anything else as it is."""
    text = word.replace("−", "-").replace("$", "").replace(",", "")
    unit = "%" if text.endswith("%") else ""
    try:
        value = Decimal(text.removesuffix("%"))
    except InvalidOperation:
        return word
    return f"{value.normalize():f}{unit}"


def _misplaced(found: _Sentence, lines: Sequence[_Sentence]) -> Iterator[str]:
    """Yield what a sentence says of a name that only another one's facts hold."""
    about = found.tickers & _all(one.tickers for one in lines)
    if not about:
        return
    near = [one for one in lines if one.tickers & about or not one.tickers]
    for token in sorted(found.numbers - _all(one.tokens for one in near)):
        yield f"{token!r} belongs to another name than {', '.join(sorted(about))}"
    if len(about) == 1:
        own = _all(one.words for one in lines if one.tickers & about)
        for verbs, opposite in ((_BUYS, _SELLS), (_SELLS, _BUYS)):
            if found.words & verbs and own & opposite and not own & verbs:
                yield f"{min(about)} was traded the other way"
