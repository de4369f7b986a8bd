"""Alphas from a language model that answers over a real socket."""

from __future__ import annotations

import pytest

from alphafoundry.errors import LanguageModelError
from alphafoundry.expressions import DEFAULT_FIELDS, OPERATORS, FieldInfo, check
from alphafoundry.llm import ModelFleet, OllamaClient
from alphafoundry.research import OllamaGenerator, Outcome
from tests.library.llm.ollama_server import OllamaServer, error, running_server, text

FIELDS = {
    **DEFAULT_FIELDS,
    "equity": FieldInfo("equity", "MATRIX", "", "Common equity"),
    "news": FieldInfo("news", "VECTOR", "", "News scores"),
}
BASE = sorted(name for name, operator in OPERATORS.items() if operator.tier == "base")


@pytest.fixture
def server():
    with running_server() as state:
        yield state


def generator(client: OllamaClient, **options) -> OllamaGenerator:
    return OllamaGenerator(ModelFleet(client, ["m"]), FIELDS, BASE, seed=3, **options)


async def test_every_valid_line_becomes_a_proposal_and_the_rest_says_why(
    server: OllamaServer,
) -> None:
    server.replies.append(
        text("1. rank(divide(equity, cap))\n2. rank(eqity)\n3. `-ts_zscore(close, 5)`\n")
    )
    async with OllamaClient(server.url) as client:
        proposals = await generator(client).propose(2)
    assert [one.canonical for one in proposals.kept] == [
        "rank(divide(equity, cap))",
        "reverse(ts_zscore(close, 5))",
    ]
    assert {one.origin for one in proposals.kept} == {"ollama"}
    (refusal,) = proposals.refused
    assert refusal.text == "2. rank(eqity)" and "did you mean 'equity'" in refusal.reason


async def test_it_asks_again_until_enough_are_new_and_then_gives_up(server: OllamaServer) -> None:
    for answer in (
        "rank(returns)",
        "rank( returns )",
        "rank(cap)",
        "no idea",
        "no idea",
        "no idea",
    ):
        server.replies.append(text(answer))
    history = [Outcome("rank(cap)", 0.4)]
    async with OllamaClient(server.url) as client:
        proposals = await generator(client, history=history, per_request=1).propose(3)
    assert [one.canonical for one in proposals.kept] == ["rank(returns)"]
    assert [one.reason for one in proposals.refused][:2] == ["proposed or simulated before"] * 2
    assert len(server.requests) == 6


async def test_more_than_asked_for_is_reported_not_lost(server: OllamaServer) -> None:
    server.replies.append(text("rank(returns)\nrank(cap)"))
    async with OllamaClient(server.url) as client:
        proposals = await generator(client).propose(1)
    assert len(proposals.kept) == 1
    assert [one.text for one in proposals.refused] == ["rank(cap)"]


async def test_an_operator_that_the_account_lacks_is_refused(server: OllamaServer) -> None:
    server.replies.extend([text("ts_mean(returns, 5)"), text("nothing")])
    async with OllamaClient(server.url) as client:
        narrow = OllamaGenerator(ModelFleet(client, ["m"]), FIELDS, ["rank"], seed=3)
        proposals = await narrow.propose(1)
    assert "inaccessible or unknown operator" in proposals.refused[0].reason


async def test_a_dead_model_is_an_error_but_later_trouble_keeps_what_came(
    server: OllamaServer,
) -> None:
    async with OllamaClient(server.url) as client:
        server.replies.append(error("trouble", 500))
        with pytest.raises(LanguageModelError, match="trouble"):
            await generator(client).propose(2)
        server.replies.extend([text("rank(returns)"), error("trouble", 500)])
        proposals = await generator(client).propose(2)
    assert len(proposals.kept) == 1
    assert "trouble" in proposals.refused[-1].reason


def test_the_prompt_shows_a_seeded_part_of_the_vocabulary() -> None:
    many = {f"fact_{i}": FieldInfo(f"fact_{i}", "MATRIX", "", f"Fact {i}") for i in range(300)}
    client = OllamaClient()
    one = OllamaGenerator(ModelFleet(client, ["m"]), FIELDS | many, BASE, seed=1)
    same = OllamaGenerator(ModelFleet(client, ["m"]), FIELDS | many, BASE, seed=1)
    assert one.prompt(0) == same.prompt(0)
    assert one.prompt(0) != one.prompt(1)
    assert (
        one.prompt(0).count("- fact_") + sum(f"- {name}: " in one.prompt(0) for name in FIELDS)
        == 60
    )
    shown = [name for name in BASE if f"- {OPERATORS[name].signature}: " in one.prompt(0)]
    assert len(BASE) * 0.4 < len(shown) < len(BASE) * 0.6


def test_the_prompt_tells_fields_groups_units_and_count() -> None:
    prompt = OllamaGenerator(
        ModelFleet(OllamaClient(), ["m"]), FIELDS, BASE, seed=1, per_request=7
    ).prompt(0)
    assert "- equity: Common equity" in prompt
    assert "- close: Daily close price [CSPrice:1]" in prompt
    assert "- news: News scores (list of values: put it into vec_avg first)" in prompt
    assert "industry, market, sector, subindustry" in prompt
    assert "Write 7 unique alpha factor expressions, one per line" in prompt
    assert "$" not in prompt


def test_examples_in_the_prompt_fit_the_market() -> None:
    thin = {name: DEFAULT_FIELDS[name] for name in ("close", "returns")}
    prompt = OllamaGenerator(ModelFleet(OllamaClient(), ["m"]), thin, BASE, seed=1).prompt(0)
    examples = prompt.partition("Examples of the form:\n")[2].partition("\n\n")[0].splitlines()
    assert len(examples) == 3
    for example in examples:
        assert check(example, thin) == ()
