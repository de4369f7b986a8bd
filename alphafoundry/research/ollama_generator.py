"""Alphas written by a language model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from string import Template

import numpy as np

from alphafoundry.errors import ExpressionError, LanguageModelError
from alphafoundry.expressions import OPERATORS, Expression, FieldInfo, check, parse
from alphafoundry.expressions.checking import COMPARES_LEVELS
from alphafoundry.llm import TextModel
from alphafoundry.research.expression_extraction import read_answer
from alphafoundry.research.proposals import KNOWN_ALREADY, Outcome, Proposal, Proposals, Refusal
from alphafoundry.seeds import generator_for
from alphafoundry.simulation.settings import SimulationSettings

PROMPT_VERSION = 1
_ORIGIN = "ollama"


class OllamaGenerator:
    """Asks a language model for alphas and keeps every valid expression of its answers.

    Each request shows a seeded random part of the fields and operators, so that repeated requests
    lead to different ideas; a small vocabulary is shown whole. The answer may use any field and
    operator of the market, shown or not.

    Parameters
    ----------
    model : a `ModelFleet`, or anything that completes a prompt
    fields : what the market offers
    operators : names that the account may use, or the registry itself
    settings : what the proposals are to be simulated with
    seed : not negative
    history : past simulations; their expressions are not proposed again
    per_request : how many expressions one request asks for
    fields_shown : most fields in a prompt, groups not counted
    operator_share : share of each category's operators in a prompt
    temperature, top_p, num_predict, think : see `TextModel.generate`
    """

    def __init__(
        self,
        model: TextModel,
        fields: Mapping[str, FieldInfo],
        operators: Iterable[str],
        *,
        seed: int,
        settings: SimulationSettings | None = None,
        history: Sequence[Outcome] = (),
        per_request: int = 5,
        fields_shown: int = 60,
        operator_share: float = 0.5,
        temperature: float = 0.3,
        top_p: float = 0.9,
        num_predict: int = 4000,
        think: bool | None = False,
    ) -> None:
        self.model = model
        self.fields = fields
        self.operators = frozenset(operators)
        self.seed = seed
        self.settings = settings or SimulationSettings()
        self.per_request = per_request
        self.fields_shown = fields_shown
        self.operator_share = operator_share
        self._sampling = (temperature, top_p, num_predict, think)
        self._proposed = {
            expression.canonical
            for outcome in history
            if (expression := _readable(outcome.expression)) is not None
        }
        self._requests = 0

    def __repr__(self) -> str:
        return f"OllamaGenerator({self.model!r}, {len(self.fields)} fields, seed={self.seed})"

    async def propose(self, count: int) -> Proposals:
        """Return up to `count` new proposals.

        Asks again while proposals are missing, at most twice as often as it would need with
        answers that are all new and valid; so fewer than `count` may come. Raises
        LanguageModelError when the model fails before anything was kept; later failures end the
        request and stand last among the refusals.
        """
        kept: list[Proposal] = []
        refused: list[Refusal] = []
        for _ in range(2 * -(-count // self.per_request)):
            if len(kept) >= count:
                break
            try:
                answer = await self._ask()
            except LanguageModelError as error:
                if not kept:
                    raise
                refused.append(Refusal("", str(error)))
                break
            reading = read_answer(answer, self._judged)
            refused.extend(reading.refused)
            for expression in reading.kept:
                if expression.canonical in self._proposed:
                    refused.append(Refusal(expression.text, KNOWN_ALREADY))
                elif len(kept) == count:
                    refused.append(Refusal(expression.text, f"more than the {count} asked for"))
                else:
                    self._proposed.add(expression.canonical)
                    kept.append(
                        Proposal(expression.text, expression.canonical, self.settings, _ORIGIN)
                    )
        return Proposals(kept, refused)

    def prompt(self, number: int) -> str:
        """Return the prompt of request `number`; the same for the same seed and vocabulary."""
        rng = generator_for(self.seed, "prompt", number)
        return Template(_read(f"alphas_v{PROMPT_VERSION}.txt")).substitute(
            fields=self._fields_text(rng),
            groups=", ".join(sorted(self._of_type("GROUP"))) or "(none)",
            operators=self._operators_text(rng),
            examples="\n".join(self._examples(rng)),
            count=self.per_request,
        )

    async def _ask(self) -> str:
        prompt = self.prompt(self._requests)
        self._requests += 1
        temperature, top_p, num_predict, think = self._sampling
        return await self.model.generate(
            prompt, temperature=temperature, top_p=top_p, num_predict=num_predict, think=think
        )

    def _judged(self, text: str) -> Expression:
        """Return the text as an alpha; ExpressionError where it cannot be simulated."""
        expression = parse(text)
        warnings = check(expression, self.fields, operators=self.operators, levels=True)
        if COMPARES_LEVELS in warnings:
            raise ExpressionError(COMPARES_LEVELS, expression=text)
        if not expression.operators or not expression.fields:
            raise ExpressionError(
                "an alpha needs at least one field and one operator", expression=text
            )
        return expression

    def _of_type(self, *types: str) -> list[str]:
        return [name for name in sorted(self.fields) if self.fields[name].type in types]

    def _fields_text(self, rng: np.random.Generator) -> str:
        names = _some(self._of_type("MATRIX", "VECTOR"), self.fields_shown, rng)
        return "\n".join(_describe(self.fields[name]) for name in names)

    def _operators_text(self, rng: np.random.Generator) -> str:
        by_category: dict[str, list[str]] = defaultdict(list)
        for name in sorted(self.operators & OPERATORS.names("REGULAR")):
            by_category[OPERATORS[name].category].append(name)
        lines: list[str] = []
        for category in sorted(by_category):
            names = by_category[category]
            share = max(1, round(len(names) * self.operator_share))
            lines.append(f"{category}:")
            lines.extend(
                f"- {OPERATORS[name].signature}: {OPERATORS[name].definition}"
                for name in _some(names, share, rng)
            )
        return "\n".join(lines)

    def _examples(self, rng: np.random.Generator) -> list[str]:
        """Return three of our own examples that this market and account can simulate."""
        valid = []
        for line in _read(f"examples_v{PROMPT_VERSION}.txt").splitlines():
            try:
                self._judged(line)
            except ExpressionError:
                continue
            valid.append(line)
        return _some(valid, 3, rng) or ["(none fit the fields above)"]


def _read(name: str) -> str:
    prompts = resources.files("alphafoundry.research").joinpath("prompts", name)
    return prompts.read_text(encoding="utf-8")


def _some(names: Sequence[str], count: int, rng: np.random.Generator) -> list[str]:
    """Return at most `count` random names in their order."""
    if len(names) <= count:
        return list(names)
    return [names[int(i)] for i in sorted(rng.choice(len(names), size=count, replace=False))]


def _describe(info: FieldInfo) -> str:
    text = f"- {info.name}: {info.description or 'no description'}"
    if info.unit:
        text += f" [{info.unit}]"
    return text + " (list of values: put it into vec_avg first)" * (info.type == "VECTOR")


def _readable(text: str) -> Expression | None:
    try:
        return parse(text)
    except ExpressionError:
        return None
