"""explanation: the facts of the last session, as a text that holds nothing else."""

from __future__ import annotations

from bisect import bisect_right
from datetime import date
from typing import Literal

from alphafoundry.agents.explaining import (
    KINDS,
    Explanation,
    Kind,
    facts_of,
    prompt,
    template,
)
from alphafoundry.agents.fidelity import invented
from alphafoundry.agents.floor import TradingFloor, floor_of
from alphafoundry.agents.hours import utc
from alphafoundry.agents.registry import AgentContext, AgentResult, Parameters, agent
from alphafoundry.errors import LanguageModelError
from alphafoundry.store.performance import record_explanations

OWN = "explanation"


class ExplanationParameters(Parameters):
    """Parameters of explanation.

    Attributes
    ----------
    explanation_types : what is told
    detail_level : "detailed" tells ten orders and strategies one by one, "brief" three
    include_llm : whether the model of `explanation` in the settings rephrases; without one the
        template is the text
    auto_generate : whether anything is written; False leaves the agent without work
    """

    explanation_types: tuple[Kind, ...] = KINDS
    detail_level: Literal["brief", "detailed"] = "detailed"
    include_llm: bool = True
    auto_generate: bool = True


@agent(OWN, parameters=ExplanationParameters, seconds=3.0)
def explanation(context: AgentContext) -> AgentResult:
    """Tell the last session; a model changes the words at most, never what the desk does."""
    given: ExplanationParameters = context.parameters
    if not given.auto_generate:
        return AgentResult("auto_generate is false: nothing is told")
    floor = floor_of(context)
    session = _last_session(floor, context.now)
    told = explain_session(floor, given, session, context.mode, context.now)
    return AgentResult(
        f"{session}: {', '.join(one.kind for one in told)}",
        figures={
            "session": session.isoformat(),
            "facts": {one.kind: len(one.facts) for one in told},
        },
    )


def explain_session(
    floor: TradingFloor, given: ExplanationParameters, session: date, mode: str, now: int
) -> list[Explanation]:
    """Return what is told about a session, and keep it."""
    told = [
        _told(floor, given, kind, facts_of(floor, kind, session, mode, given.detail_level))
        for kind in given.explanation_types
    ]
    record_explanations(
        floor.store,
        floor.desk,
        [
            {
                "session": session,
                "kind": one.kind,
                "made_at": utc(now),
                "synthetic": floor.panel.synthetic,
                "data_version": floor.panel.fingerprint,
                "facts": list(one.facts),
                "text": one.text,
                "written_by": one.written_by,
                "refused": one.refused,
            }
            for one in told
        ],
    )
    return told


def _told(
    floor: TradingFloor, given: ExplanationParameters, kind: Kind, facts: list[str]
) -> Explanation:
    plain = Explanation(kind, facts, template(facts))
    model = floor.rephraser
    if model is None or not given.include_llm:
        return plain
    try:
        answer = " ".join(model.ask(prompt(facts)).split())
    except LanguageModelError as problem:
        return Explanation(kind, facts, plain.text, refused=str(problem))
    reason = invented(answer, facts)
    if reason is not None:
        return Explanation(kind, facts, plain.text, refused=f"{model.model}: {reason}")
    return Explanation(kind, facts, answer, written_by=model.model)


def _last_session(floor: TradingFloor, now: int) -> date:
    opened = bisect_right([one.opens for one in floor.hours.sessions], now)
    return floor.hours.sessions[max(opened - 1, 0)].day
