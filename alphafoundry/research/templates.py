"""Ideas of one form: how a name stands among its peers in something seen over some days."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations

from alphafoundry.errors import ExpressionError
from alphafoundry.expressions import Expression, FieldInfo, check, parse
from alphafoundry.research.productions import Vocabulary
from alphafoundry.seeds import generator_for

DAYS = (3, 5, 10, 20, 60, 120)
OVER_TIME = (
    "ts_mean({x}, {d})",
    "ts_std_dev({x}, {d})",
    "ts_zscore({x}, {d})",
    "ts_rank({x}, {d})",
    "ts_scale({x}, {d})",
    "ts_delta({x}, {d})",
    "ts_skewness({x}, {d})",
    "ts_arg_max({x}, {d})",
    "ts_arg_min({x}, {d})",
    "ts_delay(ts_mean({x}, {d}), 5)",
    "divide({x}, ts_mean({x}, {d}))",
    "divide(ts_delta({x}, {d}), ts_delay({x}, {d}))",
    "divide(ts_std_dev({x}, {d}), ts_mean({x}, {d}))",
)
OF_TWO = ("ts_corr({x}, {y}, {d})",)
WITHIN_GROUPS = ("group_rank", "group_zscore", "group_neutralize")


def templates(
    fields: Mapping[str, FieldInfo], operators: Iterable[str]
) -> dict[str, tuple[str, ...]]:
    """Return every template `group_op(ts_op(field, days), group)` by what it is of.

    A field is one of the market or the ratio of two of the same unit. Texts under one key differ in
    nothing but days, group and group operator; not every text passes `check`.
    """
    words = Vocabulary.of(fields, operators)
    levels = [name for names in words.levels.values() for name in names]
    ratios = [
        f"divide({one}, {other})"
        for names in words.levels.values()
        for one, other in combinations(names, 2)
    ]
    seen = [(form, {"x": x}) for x in (*words.flows, *levels, *ratios) for form in OVER_TIME]
    pairs = combinations((*words.flows, *levels), 2)
    seen += [(form, {"x": x, "y": y}) for x, y in pairs for form in OF_TWO]
    return {
        form.format(d="days", **given): tuple(
            f"{across}({form.format(d=days, **given)}, {group})"
            for days in DAYS
            for group in words.groups
            for across in WITHIN_GROUPS
        )
        for form, given in seen
    }


def drawn_templates(
    fields: Mapping[str, FieldInfo], operators: Iterable[str], *, seed: int
) -> Iterator[Expression]:
    """Yield valid templates that compare no price levels, in an order of the seed.

    Each round goes through all kinds, with one text of each, so that no kind crowds out others.
    """
    allowed = frozenset(operators)
    rng = generator_for(seed, "templates")
    left = {
        what: [texts[place] for place in rng.permutation(len(texts))]
        for what, texts in templates(fields, allowed).items()
    }
    while left:
        kinds = list(left)
        for place in rng.permutation(len(kinds)):
            texts = left[kinds[place]]
            while texts:
                found = _valid(texts.pop(), fields, allowed)
                if found is not None:
                    yield found
                    break
        left = {what: texts for what, texts in left.items() if texts}


def _valid(
    text: str, fields: Mapping[str, FieldInfo], operators: frozenset[str]
) -> Expression | None:
    try:
        expression = parse(text)
        warnings = check(expression, fields, operators=operators, levels=True)
    except ExpressionError:
        return None
    return None if warnings else expression
