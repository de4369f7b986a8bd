"""Choices where the official texts are silent or contradict each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Literal, get_args, get_type_hints

from alphafoundry.errors import ConfigurationError


@dataclass(frozen=True)
class Conventions:
    """How operators are read whose definition is open; the first choice is the usual one.

    Attributes
    ----------
    rank_ties : place of equal values in rank, group_rank, ts_rank and what is made of them, no
        rule is published. "average" shares the mean of their places, "lowest" and "highest" give
        all the first or the last of them, "order" gives one after another: by column across a
        day, older first along time
    hump : the limit of hump. "share" is hump times the day's sum of |x|, which fits the official
        example; "amount" is hump itself
    ts_quantile : "rank" maps the rank through the inverse distribution, as the article says;
        "zscore" is the distribution function of the z-score with sample deviation, which gives
        the catalogue's example
    last_change : what days_from_last_change counts from. "zero" on the day of the change, as in
        the article; "one", as in the catalogue's example
    group_mean : "weighted" is sum(x * weight) / sum(weight); "harmonic" is sum(weight) /
        sum(weight / x), as one article calls it

    Raises ConfigurationError where a choice does not exist.
    """

    rank_ties: Literal["average", "lowest", "highest", "order"] = "average"
    hump: Literal["share", "amount"] = "share"
    ts_quantile: Literal["rank", "zscore"] = "rank"
    last_change: Literal["zero", "one"] = "zero"
    group_mean: Literal["weighted", "harmonic"] = "weighted"

    def __post_init__(self) -> None:
        for name, allowed in self.choices().items():
            given = getattr(self, name)
            if given not in allowed:
                raise ConfigurationError(
                    f"{name} {given!r}: unknown; choose one of {', '.join(allowed)}"
                )

    @classmethod
    def read(cls, texts: Iterable[str]) -> Conventions:
        """Return the conventions that texts such as "rank_ties=lowest" name.

        Raises ConfigurationError where a text is not NAME=CHOICE of these.
        """
        chosen: dict[str, Any] = {}
        for text in texts:
            name, _, choice = text.partition("=")
            if name not in cls.choices():
                raise ConfigurationError(
                    f"convention {text!r}: unknown; write NAME=CHOICE with one of "
                    f"{', '.join(cls.choices())}"
                )
            chosen[name] = choice
        return cls(**chosen)

    @classmethod
    @cache
    def choices(cls) -> dict[str, tuple[str, ...]]:
        """Return the choices of each convention by its name, the usual one first."""
        kinds = get_type_hints(cls)
        return {item.name: get_args(kinds[item.name]) for item in fields(cls)}


USUAL = Conventions()
"""The conventions that apply where none are given."""
