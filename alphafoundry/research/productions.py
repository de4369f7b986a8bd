"""A typed grammar of alpha ideas: every sentence is free of units at the top.

Fields are sorted by unit. A level (a price, a volume, a fundamental) becomes a signal only in
comparison with itself (change, standing in its own past) or with another level of the same unit;
returns are signals already. Signals combine after they were made comparable across instruments.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from alphafoundry.expressions import FieldInfo
from alphafoundry.expressions.units import parse_unit

SHORT = (2, 3, 4, 5, 8)
MEDIUM = (10, 15, 20, 30)
LONG = (40, 60, 90, 120, 180, 250)

_Build = Callable[[], str]
_T = TypeVar("_T")
_CALLED = re.compile(r"[A-Za-z_]\w*(?=\()")


@dataclass(frozen=True)
class Vocabulary:
    """What a sentence may use.

    Attributes
    ----------
    levels : unit to the texts of its fields ("" holds fields of unknown unit); a vector field
        appears as its daily average
    flows : fields that are changes already, such as returns
    groups : fields for the group argument
    operators : names that are allowed
    """

    levels: Mapping[str, tuple[str, ...]]
    flows: tuple[str, ...]
    groups: tuple[str, ...]
    operators: frozenset[str]

    @classmethod
    def of(cls, fields: Mapping[str, FieldInfo], operators: Iterable[str]) -> Vocabulary:
        """Sort `fields` by what can be done with them."""
        allowed = frozenset(operators)
        levels: dict[str, list[str]] = {}
        flows: list[str] = []
        groups: list[str] = []
        for name in sorted(fields):
            info = fields[name]
            if info.type == "GROUP":
                groups.append(name)
            elif info.type == "VECTOR":
                if "vec_avg" in allowed:
                    levels.setdefault(info.unit, []).append(f"vec_avg({name})")
            elif "return" in name:
                flows.append(name)
            else:
                levels.setdefault(info.unit, []).append(name)
        return cls(
            {unit: tuple(names) for unit, names in levels.items()},
            tuple(flows),
            tuple(groups),
            allowed,
        )


class Sentence:
    """Draws random sentences of the grammar from one generator.

    Each method returns the text of one kind of phrase, or raises LookupError where the
    vocabulary has nothing for it.
    """

    def __init__(self, vocabulary: Vocabulary, rng: np.random.Generator) -> None:
        self.vocabulary = vocabulary
        self.rng = rng

    def alpha(self) -> str:
        """A whole alpha: an idea, its sign, and how it is put into positions."""
        idea = self._first_possible(
            (0.60, self.signal), (0.28, self.combination), (0.12, self.conditioned)
        )
        if self.rng.random() < 0.5:
            idea = f"reverse({idea})" if "reverse" in self.vocabulary.operators else f"-({idea})"
        return self.positioned(idea)

    def signal(self) -> str:
        """A number without unit for each instrument and day."""
        return self._first_possible(
            (0.34, self.move),
            (0.18, self.standing),
            (0.16, self.proportion),
            (0.10, self.risk),
            (0.10, self.co_movement),
            (0.12, self.seen_over_time),
        )

    def move(self) -> str:
        """How far something went over some days."""
        window = self._window(SHORT, MEDIUM, LONG)
        if self.vocabulary.flows and self.rng.random() < 0.5:
            flow = self._pick(self.vocabulary.flows)
            return self._pick_possible(
                flow,
                f"ts_sum({flow}, {window})",
                f"ts_mean({flow}, {window})",
                f"ts_decay_linear({flow}, {window})",
                f"ts_delay(ts_sum({flow}, {window}), {self._pick(SHORT + MEDIUM)})",
                f"divide(ts_mean({flow}, {window + 3}), ts_std_dev({flow}, {window + 3}))",
            )
        level = self._level()
        return self._pick_possible(
            f"divide(ts_delta({level}, {window}), ts_delay({level}, {window}))",
            f"divide({level}, ts_delay({level}, {window}))",
            f"divide({level}, ts_mean({level}, {window}))",
            f"divide(ts_delta({level}, {window}), ts_std_dev({level}, {window + 15}))",
            f"divide(ts_mean({level}, {self._pick(SHORT)}), ts_mean({level}, {window + 10}))",
        )

    def standing(self) -> str:
        """Where today stands in the past of the same instrument."""
        subject = self._level_or_flow()
        window = self._window(MEDIUM, LONG)
        return self._pick_possible(
            f"ts_zscore({subject}, {window})",
            f"ts_rank({subject}, {window})",
            f"ts_scale({subject}, {window})",
            f"ts_arg_max({subject}, {window})",
            f"ts_arg_min({subject}, {window})",
            f"divide(ts_av_diff({subject}, {window}), ts_std_dev({subject}, {window}))",
        )

    def proportion(self) -> str:
        """Two levels of one unit on the same day."""
        pairs = [unit for unit, names in self.vocabulary.levels.items() if len(names) > 1]
        if not pairs:
            raise LookupError("no two levels share a unit")
        names = self.vocabulary.levels[self._pick(pairs)]
        first, second = self._distinct(names, 2)
        choices = [
            f"divide({first}, {second})",
            f"divide(subtract({first}, {second}), {self._pick(names)})",
            f"divide(ts_mean({first}, {self._pick(SHORT)}), ts_mean({second}, "
            f"{self._window(MEDIUM, LONG)}))",
        ]
        if len(names) > 3:
            third, fourth = self._distinct([n for n in names if n not in (first, second)], 2)
            choices.append(f"divide(subtract({first}, {third}), subtract({second}, {fourth}))")
        return self._pick_possible(*choices)

    def risk(self) -> str:
        """How unsettled an instrument is."""
        window = self._window(MEDIUM, LONG)
        if self.vocabulary.flows and self.rng.random() < 0.6:
            flow = self._pick(self.vocabulary.flows)
            return self._pick_possible(
                f"ts_std_dev({flow}, {window})", f"ts_mean(abs({flow}), {window})"
            )
        level = self._level()
        return self._pick_possible(
            f"divide(ts_std_dev({level}, {window}), ts_mean({level}, {window}))"
        )

    def co_movement(self) -> str:
        """The correlation of two things over some days."""
        first, second = self._distinct(self._subjects(), 2)
        if self._made_of_each_other(first, second):
            raise LookupError("capitalisation moves with the price that it is made of")
        window = self._window((5, 8), MEDIUM, LONG)
        return self._pick_possible(
            f"ts_corr({first}, {second}, {window})",
            f"ts_corr(rank({first}), rank({second}), {window})",
            f"ts_corr(ts_rank({first}, {window}), ts_rank({second}, {window}), {window})",
        )

    def seen_over_time(self) -> str:
        """A simpler signal, smoothed or compared with its own past."""
        inner = self._first_possible((0.6, self.move), (0.4, self.proportion))
        window = self._window(SHORT, MEDIUM)
        return self._pick_possible(
            f"ts_mean({inner}, {window})",
            f"ts_decay_linear({inner}, {window})",
            f"ts_delta({inner}, {window})",
            f"ts_zscore({inner}, {window + 10})",
            f"ts_rank({inner}, {window + 10})",
            f"ts_std_dev({inner}, {window + 10})",
        )

    def combination(self) -> str:
        """Two signals that were made comparable first."""
        first, second = self.signal(), self.signal()
        if first == second:
            raise LookupError("a signal combined with itself")
        scale = self._pick_possible("rank({})", "zscore({})")
        one, other = scale.format(first), scale.format(second)
        return self._pick_possible(
            f"add({one}, {other})", f"subtract({one}, {other})", f"multiply({one}, {other})"
        )

    def conditioned(self) -> str:
        """A signal that counts, or turns, where another one is high."""
        signal, condition = self.signal(), self.signal()
        if signal == condition:
            raise LookupError("a signal under itself")
        level = self._pick((0.2, 0.3, 0.5, 0.7))
        return self._pick_possible(
            f"trade_when(greater(rank({condition}), {level}), {signal}, -1)",
            f"if_else(greater(rank({condition}), {level}), {signal}, reverse({signal}))",
        )

    def positioned(self, idea: str) -> str:
        """Zero to two steps from an idea to positions: over time, then across instruments."""
        operators = self.vocabulary.operators
        if self.rng.random() < 0.3:
            smoothing = [
                text
                for text in (
                    f"ts_decay_linear({idea}, {self._pick(SHORT + MEDIUM)})",
                    f"ts_mean({idea}, {self._pick(SHORT)})",
                )
                if _uses_only(text, operators)
            ]
            idea = self._pick(smoothing) if smoothing else idea
        if self.rng.random() < 0.85:
            across = [f"rank({idea})", f"zscore({idea})", f"winsorize({idea}, std=4)"]
            if self.vocabulary.groups:
                group = self._pick(self.vocabulary.groups)
                across += [
                    f"group_neutralize({idea}, {group})",
                    f"group_rank({idea}, {group})",
                    f"group_zscore({idea}, {group})",
                    f"group_neutralize(rank({idea}), {group})",
                ]
            possible = [text for text in across if _uses_only(text, operators)]
            idea = self._pick(possible) if possible else idea
        return idea

    def _subjects(self) -> list[str]:
        levels = [name for names in self.vocabulary.levels.values() for name in names]
        return [*self.vocabulary.flows, *levels]

    def _made_of_each_other(self, first: str, second: str) -> bool:
        """Return whether two levels share a factor of their units without having the same unit."""
        factors = [
            {name for name, _ in parse_unit(unit)}
            for unit, names in self.vocabulary.levels.items()
            for level in names
            if level in (first, second)
        ]
        return len(factors) == 2 and factors[0] != factors[1] and bool(factors[0] & factors[1])

    def _level(self) -> str:
        """A level; a unit is as likely as the square root of the number of its fields.

        So neither many variants of one thing nor a single odd field crowds out the rest.
        """
        if not self.vocabulary.levels:
            raise LookupError("no level")
        units = sorted(self.vocabulary.levels)
        sizes = np.sqrt([len(self.vocabulary.levels[unit]) for unit in units])
        unit = units[int(self.rng.choice(len(units), p=sizes / sizes.sum()))]
        return self._pick(self.vocabulary.levels[unit])

    def _level_or_flow(self) -> str:
        flows = self.vocabulary.flows
        if flows and (not self.vocabulary.levels or self.rng.random() < 0.4):
            return self._pick(flows)
        return self._level()

    def _window(self, *ranges: Sequence[int]) -> int:
        return self._pick(self._pick(ranges))

    def _pick(self, choices: Sequence[_T]) -> _T:
        if not choices:
            raise LookupError("nothing to choose from")
        return choices[int(self.rng.integers(len(choices)))]

    def _distinct(self, names: Sequence[str], count: int) -> list[str]:
        if len(names) < count:
            raise LookupError(f"fewer than {count} names")
        return [names[int(i)] for i in self.rng.choice(len(names), size=count, replace=False)]

    def _pick_possible(self, *texts: str) -> str:
        """Pick among the texts whose operators are all allowed."""
        return self._pick([t for t in texts if _uses_only(t, self.vocabulary.operators)])

    def _first_possible(self, *weighted: tuple[float, _Build]) -> str:
        """Build one of the phrases, likelier with more weight; another where it has no words."""
        weights = np.array([weight for weight, _ in weighted])
        order = self.rng.choice(
            len(weighted), len(weighted), replace=False, p=weights / weights.sum()
        )
        for position in order:
            try:
                return weighted[int(position)][1]()
            except LookupError:
                continue
        raise LookupError("the vocabulary is too small")


def _uses_only(text: str, operators: frozenset[str]) -> bool:
    """Return whether every function called in `text` is among `operators`."""
    return operators.issuperset(_CALLED.findall(text))
