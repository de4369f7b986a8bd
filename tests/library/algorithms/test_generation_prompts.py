"""Prompts that differ by model and tell nothing of the race, and the templates that follow them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphafoundry.algorithms import Entry, Sandbox, race, race_course, validate
from alphafoundry.algorithms.prompt_directives import STRATEGIES, directives_for
from alphafoundry.algorithms.prompts import (
    MarketNote,
    build_prompt,
    describe_bars,
    prompt_version,
)
from alphafoundry.algorithms.race_course import lay_out, most_traded
from alphafoundry.algorithms.template_provider import TemplateProvider
from alphafoundry.algorithms.template_strategies import compose
from alphafoundry.errors import MarketError
from alphafoundry.finance.bars import TickerBars
from alphafoundry.llm import Sampling
from alphafoundry.market import Panel, load_market
from alphafoundry.settings import AlgorithmsSettings, FoundrySettings
from tests.library.llm.chat_server import PROGRAM
from tests.property_tests import examples

NOTE = MarketNote("- nothing is known")


def bars(days: int = 400, seed: int = 0) -> TickerBars:
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, days)))
    dates = np.datetime64("2020-01-01") + np.arange(days)
    return TickerBars(
        "X",
        dates.astype("datetime64[D]"),
        close * np.exp(rng.normal(0, 0.005, days)),
        close * 1.01,
        close * 0.99,
        close,
        rng.uniform(1e5, 1e6, days),
    )


def test_the_same_model_gets_the_same_prompt_and_another_one_another() -> None:
    prompts = {name: build_prompt(name, NOTE).text for name in ("a", "b", "c", "d")}
    assert len(set(prompts.values())) == 4
    assert build_prompt("a", NOTE).text == prompts["a"]
    assert build_prompt("a", NOTE, seed=1).text != prompts["a"]


def test_many_models_cover_every_strategy_and_both_forms() -> None:
    drawn = [directives_for(f"vendor/model-{number}") for number in range(200)]
    assert {one.strategy for one in drawn} == set(STRATEGIES)
    assert {one.signature for one in drawn} == {"simple", "full"}
    assert len({one.prefix for one in drawn}) == 200


def test_a_prompt_asks_for_nothing_that_would_be_refused() -> None:
    for number in range(50):
        text = build_prompt(f"model-{number}", NOTE).text
        assert "$" not in text
        for word in ("yfinance", "PROBABILISTIC", "download", "cache dict"):
            assert word not in text
        assert "No random numbers" in text
        assert "execute_trade(ticker" in text


@pytest.mark.parametrize("form", ["simple", "full"])
def test_the_example_passes_the_checks_that_it_illustrates(form: str) -> None:
    texts = (build_prompt(f"model-{number}", NOTE) for number in range(50))
    prompt = next(one for one in texts if one.directives.signature == form)
    example = prompt.text.split("```python\n")[1].split("```")[0]
    checked = validate(example)
    assert checked.signature == form
    Sandbox().smoke(checked, bars(80))


def test_a_prompt_says_nothing_of_the_days_of_the_race() -> None:
    known = bars(300)
    changed = bars(300, seed=1)
    future = TickerBars(
        "X",
        known.dates,
        *(
            np.concatenate([a[:200], b[200:]])
            for a, b in (
                (known.open, changed.open),
                (known.high, changed.high),
                (known.low, changed.low),
                (known.close, changed.close),
                (known.volume, changed.volume),
            )
        ),
    )
    told = describe_bars([known], label="L", first_race_day=200)
    assert told == describe_bars([future], label="L", first_race_day=200)
    assert told != describe_bars([known], label="L", first_race_day=201)
    assert str(known.dates[199]) in told.text and str(known.dates[200]) not in told.text


def test_the_version_names_the_content_of_the_templates() -> None:
    assert prompt_version().startswith("v1-")
    assert build_prompt("a", NOTE).version == prompt_version()


@settings(max_examples=examples(120), deadline=None)
@given(st.text(min_size=1, max_size=30), st.integers(0, 5), st.integers(0, 3))
def test_every_template_passes_the_check(name: str, occurrence: int, seed: int) -> None:
    directives = directives_for(name, occurrence=occurrence, seed=seed)
    source = compose(directives)
    assert validate(source).signature == directives.signature
    assert source == compose(directives_for(name, occurrence=occurrence, seed=seed))


def test_templates_of_every_strategy_run_in_the_sandbox() -> None:
    left = set(STRATEGIES)
    for number in range(300):
        directives = directives_for(f"model-{number}")
        if directives.strategy in left:
            left.remove(directives.strategy)
            Sandbox().smoke(compose(directives), bars(260))
    assert not left


async def test_the_provider_follows_the_directives_of_the_prompt() -> None:
    provider = TemplateProvider(seed=3)
    for occurrence in (0, 1, 4):
        prompt = build_prompt("m", NOTE, occurrence=occurrence, seed=3)
        answer = await provider.complete("m", prompt.text, Sampling())
        assert compose(prompt.directives) in answer.text


@pytest.fixture
def home(tmp_path: Path, market_cache: Path) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "cache").symlink_to(market_cache)
    return tmp_path / "home"


def chosen(home: Path, **algorithms: object) -> FoundrySettings:
    return FoundrySettings(home=home, algorithms=AlgorithmsSettings.model_validate(algorithms))


def test_the_race_is_on_the_last_days_and_the_tickers_are_chosen_before_it(home: Path) -> None:
    course = lay_out(chosen(home, race_days=500))
    panel = course.panel
    assert course.first_race_day == len(panel.dates) - 500
    traded = panel.fields["close"] * panel.fields["volume"]
    before = traded[course.first_race_day - 252 : course.first_race_day].sum(axis=0)
    slowly = [str(panel.symbols[i]) for i in np.argsort(-before)[:4]]
    assert list(course.tickers) == slowly == list(most_traded(panel, course.first_race_day))
    text = course.prompt_note().text
    assert str(panel.dates[course.first_race_day]) not in text
    assert str(panel.dates[course.first_race_day - 1]) in text
    assert course.smoke_bars().dates[-1] < panel.dates[course.first_race_day]
    assert "SYNTHETIC" in text


def test_a_real_ticker_takes_the_sample_unless_a_market_was_chosen(home: Path) -> None:
    course = lay_out(chosen(home, tickers="AAPL,MSFT"))
    assert course.tickers == ("AAPL", "MSFT")
    assert not course.panel.synthetic and "'sample'" in course.note
    with pytest.raises(MarketError, match="'calibration' has no ticker 'AAPL'"):
        lay_out(chosen(home, tickers="AAPL"), market_was_chosen=True)
    with pytest.raises(MarketError, match="did you mean 'SYN"):
        lay_out(chosen(home, tickers="SYN00l"))


def test_a_ticker_that_only_a_missing_market_has_is_told_with_both_reasons(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: str, **options: Any) -> Panel:
        if name == "sample":
            raise MarketError("market 'sample' needs the package skfolio")
        return load_market(name, **options)

    monkeypatch.setattr(race_course, "load_market", load)
    with pytest.raises(MarketError, match=r"no ticker 'AAPL', and .* needs the package") as caught:
        lay_out(chosen(home, tickers="AAPL"))
    assert "\n" not in str(caught.value)


def test_directives_can_be_followed_with_the_form_and_the_data() -> None:
    closes = TickerBars(
        "X",
        bars(300).dates,
        *(np.full(300, np.nan), np.full(300, np.nan), np.full(300, np.nan)),
        bars(300).close,
        np.full(300, np.nan),
    )
    note = describe_bars([closes], label="L", first_race_day=200)
    strategies = set()
    for number in range(300):
        prompt = build_prompt(f"model-{number}", note)
        told = prompt.directives
        strategies.add(told.strategy)
        assert told.signature == "full" or told.portfolio == "all in, all out"
        assert "volume" not in " ".join(told.lines())
        assert "filled at the close of the next day" in prompt.text
        assert "Date,Close\n" in prompt.text and ",,," not in prompt.text
    assert strategies == set(STRATEGIES) - {"volume confirmation"}
    whole = build_prompt("m", describe_bars([bars(300)], label="L", first_race_day=200)).text
    assert "filled at the open of the next day" in whole
    assert "Date,Open,High,Low,Close,Volume\n" in whole


def test_a_blind_course_shows_neither_ticker_nor_date_nor_level(tmp_path: Path) -> None:
    market = FoundrySettings(home=tmp_path, market="sample")
    algorithms = market.algorithms.model_copy(update={"blind": True, "tickers": ("AAPL", "MSFT")})
    course = lay_out(market.model_copy(update={"algorithms": algorithms}))
    text = course.prompt_note().text
    assert "AAPL" not in text and "sample" not in text and not re.search(r"(19|20)\\d\\d-", text)
    bars, chosen = course.arena()
    assert not isinstance(bars, Panel) and chosen.tickers == ()
    open_ = TickerBars.from_panel(course.panel, "AAPL")
    assert bars[0].ticker == "STOCK1" and bars[0].close[0] == pytest.approx(100.0)
    assert np.diff(np.log(bars[0].close)) == pytest.approx(np.diff(np.log(open_.close)))
    days = replace(chosen, first_day=None)
    result = course.shown(race([Entry("one", PROGRAM)], bars, days))
    assert result.tickers == ("AAPL", "MSFT") and "blind" in result.label
