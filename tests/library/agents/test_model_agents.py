"""model_innovation and model_validation: from a vault over the shadow to champion, and down."""

from __future__ import annotations

import importlib.util
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from alphafoundry.agents.hours import utc
from alphafoundry.agents.installed import known_agents
from alphafoundry.agents.model_signals import is_model, rule_weights
from alphafoundry.agents.schedule_check import checked_schedule
from alphafoundry.agents.strategy_book import set_model_state, set_state, strategy_returns
from alphafoundry.models import fit, predictions, read_model, samples_of
from alphafoundry.simulation.pnl import lag
from alphafoundry.store.agents import read_control_decisions
from alphafoundry.store.models import change_model, open_predictions, read_information, read_models
from alphafoundry.store.strategies import read_strategies
from alphafoundry.trading.portfolio import LiveStrategy
from alphafoundry.trading.portfolio.signals import signal_history
from tests.library.agents.desks import hours_of
from tests.library.agents.research_floor import research_floor, session_of, tick
from tests.library.agents.small_desks import small_panel
from tests.library.trading.markets import REVERSAL, market, strategy

INNOVATION = known_agents()["model_innovation"]
SCHEDULE = Path(__file__).parents[3] / "config/task_schedule.yaml"
VALIDATION = known_agents()["model_validation"]
RESEARCH = known_agents()["strategy_research"]
FEATURES = [
    REVERSAL,
    strategy("volume", "-rank(volume)"),
    strategy("slow", "-ts_delta(close, 20) / ts_delay(close, 20)"),
]


def at(floor, row: int) -> int:
    floor.data_until = floor.panel.dates[row].item()
    return session_of(floor, row).closes + 3600


def test_a_model_of_what_is_planted_becomes_champion_and_steps_down_when_it_fails(tmp_path):
    with research_floor(tmp_path, small_panel(effect=0.4)) as floor:
        floor.trade(FEATURES)
        found = tick(floor, INNOVATION, at(floor, 330), model_types=("ridge",))
        assert "goes into the shadow" in found.summary
        (model,) = read_models(floor.store, "small")
        assert (model.state, model.opening, model.trials) == ("shadow", 1, 2)
        told = tick(floor, VALIDATION, at(floor, 340))
        assert told.summary == "no champion"
        known = read_information(floor.store, "small", model.model)
        assert len(known) == 8
        assert min(known) > model.data_until
        tick(floor, VALIDATION, at(floor, 400))
        (champion,) = read_models(floor.store, "small", "champion")
        assert champion.bet["days"] >= 20
        assert champion.bet["wealth"] >= 20
        decision = read_control_decisions(floor.store, "small")[0]
        assert (decision.before, decision.after) == ("shadow", "champion")
        # Its days from now on are held against what its vault is said to have shown.
        evidence = {"vault": {**champion.evidence["vault"], "information": 5.0}}
        change_model(floor.store, "small", champion.model, {"evidence": evidence})
        told = tick(floor, VALIDATION, at(floor, 410))
        assert "champion -> retired: CUSUM" in told.summary


def test_what_is_not_installed_is_left_out_and_told(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "autograd" else find(name)
    )
    with research_floor(tmp_path, small_panel(effect=0.4)) as floor:
        floor.trade(FEATURES)
        types = ("lstm", "ridge", "transformer")
        found = tick(floor, INNOVATION, at(floor, 330), model_types=types)
    assert found.figures["trials"] == 2
    assert found.summary.endswith("left out: lstm, transformer")
    told = dict(checked_schedule(SCHEDULE).left_out)
    for kind in ("lstm", "transformer"):
        assert "EXTRAS=deep" in told[f"tasks.model_innovation.parameters.model_types: {kind}"]


@pytest.mark.long
def test_a_network_in_the_shadow_foretells_new_days_as_it_would_foretell_all(tmp_path):
    pytest.importorskip("autograd", reason="networks learn by the extra deep")
    with research_floor(tmp_path, small_panel(effect=0.4)) as floor:
        floor.trade(FEATURES)
        tick(floor, INNOVATION, at(floor, 330), model_types=("ridge", "lstm"))
        (row,) = read_models(floor.store, "small")
        assert set(row.evidence["walk_forward"]) > {"lstm (units 16, steps 50)"}
        scores = floor.rebalancer().history.scores
        samples = samples_of(floor.panel, scores, days=len(floor.panel.dates))
        network = fit("lstm", samples, 0, 300, settings={"units": 4, "steps": 2}, seed=1)
        change_model(floor.store, "small", row.model, {"kind": "lstm", "text": network.to_text()})
        tick(floor, VALIDATION, at(floor, 340))
        stored = open_predictions(floor.store, "small", row.model, until=date.max)
        assert stored
        for one in stored:
            place = int(np.searchsorted(samples.dates, np.datetime64(one.day)))
            expected = predictions(network, samples, place, place + 1)[0]
            found = np.frombuffer(one.forecasts, "<f4")
            np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_champion_s_forecasts_incubate_trade_and_end_with_it(tmp_path):
    with research_floor(tmp_path, small_panel(effect=0.4)) as floor:
        floor.strategies = FEATURES
        tick(floor, INNOVATION, at(floor, 330), model_types=("ridge",))
        tick(floor, VALIDATION, at(floor, 345))
        assert not [row for row in read_strategies(floor.store, "small") if row.state != "live"]
        tick(floor, VALIDATION, at(floor, 380))
        (champion,) = read_models(floor.store, "small", "champion")
        (row,) = read_strategies(floor.store, "small", state="incubating")
        assert row.alpha_id == champion.model and row.trials == champion.trials
        one = LiveStrategy.from_json(row.strategy)
        assert is_model(one) and one.counts_from == champion.data_until

        # It holds nothing on the days that it was learned from, and its forecasts on later ones.
        weights = rule_weights(floor.panel, one.rule)
        learned = int((floor.panel.dates <= np.datetime64(champion.data_until)).sum())
        assert not weights[:learned].any()
        np.testing.assert_allclose(np.abs(weights[learned:]).sum(axis=1), 1.0)
        (first, *_) = read_information(floor.store, "small", champion.model)
        history = signal_history(floor.panel, [*FEATURES, one], rules=rule_weights)
        assert not history.information[3][:, :learned].any()
        day = int(np.searchsorted(floor.panel.dates, np.datetime64(first)))
        raw = read_model(champion.kind, champion.text).predict(history.scores[:3, day].T)
        assert np.corrcoef(raw, weights[day])[0, 1] > 0.999

        # After twenty sessions it is judged by them as any other; then it trades.
        waiting = tick(floor, RESEARCH, at(floor, 390), most_in_simulation=0)
        assert champion.model not in waiting.summary
        judged = tick(floor, RESEARCH, at(floor, 401), most_in_simulation=0)
        assert f"{champion.model} " in judged.summary
        (row,) = [r for r in read_strategies(floor.store, "small") if r.alpha_id == champion.model]
        assert row.evidence["sessions"] == 21
        # It held nothing while it was learned, so those days say nothing of its likeness.
        ahead = floor.panel.fields["returns"][lag(1) :]
        own = np.einsum("di,di->d", weights[: -lag(1)], np.nan_to_num(ahead))
        dates, others = strategy_returns(floor)
        since = dates > np.datetime64(champion.data_until)
        alone = [np.corrcoef(own[: len(dates)][since], other[since])[0, 1] for other in others]
        np.testing.assert_allclose(row.evidence["correlation"], max(alone))
        alike = row.evidence["correlation"] > 0.7
        assert row.state == ("retired" if alike else "live")
        set_state(
            floor, row.alpha_id, "live", actor="test", now=at(floor, 401), reason="x", evidence={}
        )
        assert champion.model in {strategy.alpha_id for strategy in floor.strategies}
        tick(floor, INNOVATION, at(floor, 402), model_types=("ridge",), every_sessions=1)
        assert read_models(floor.store, "small")[-1].features == [s.alpha_id for s in FEATURES]

        evidence = {"vault": {**champion.evidence["vault"], "information": 5.0}}
        change_model(floor.store, "small", champion.model, {"evidence": evidence})
        tick(floor, VALIDATION, at(floor, 410))
        assert champion.model not in {strategy.alpha_id for strategy in floor.strategies}
        (row,) = [r for r in read_strategies(floor.store, "small") if r.alpha_id == champion.model]
        assert row.state == "retired" and row.reason.startswith("its model: CUSUM")


@pytest.mark.long
def test_a_champion_that_is_brought_back_wins_by_new_days_and_incubates_again(tmp_path):
    days = [one.day for one in hours_of("2021-06-01", "2024-03-15").sessions[-520:]]
    panel = market(days=520, dates=np.array(days, dtype="datetime64[D]"), effect=0.4)
    with research_floor(tmp_path, panel) as floor:
        floor.strategies = FEATURES
        tick(floor, INNOVATION, at(floor, 330))
        tick(floor, VALIDATION, at(floor, 400))
        (champion,) = read_models(floor.store, "small", "champion")

        def becomes(state):
            given = {"actor": "test", "at": utc(at(floor, 410)), "reason": "x", "evidence": {}}
            set_model_state(floor.store, "small", champion.model, state, **given)

        becomes("retired")
        becomes("shadow")
        tick(floor, VALIDATION, at(floor, 425))
        (shadow,) = read_models(floor.store, "small", "shadow")
        assert shadow.bet["days"] == 13
        assert not read_strategies(floor.store, "small", state="incubating")
        tick(floor, VALIDATION, at(floor, 480))
        assert read_models(floor.store, "small", "champion")
        (row,) = read_strategies(floor.store, "small", state="incubating")
        assert (row.alpha_id, row.found_on) == (champion.model, floor.data_until)
        # It waits for as many sessions as the first time.
        waits = tick(floor, RESEARCH, at(floor, 499), most_in_simulation=0)
        assert champion.model not in waits.summary
        judged = tick(floor, RESEARCH, at(floor, 500), most_in_simulation=0)
        assert f"{champion.model} " in judged.summary


def test_noise_is_refused_and_every_search_counts_its_trials(tmp_path):
    with research_floor(tmp_path, small_panel(effect=0.0)) as floor:
        floor.trade(FEATURES)
        tick(floor, INNOVATION, at(floor, 330))
        early = tick(floor, INNOVATION, at(floor, 340))
        assert "10 sessions away" in early.summary
        tick(floor, INNOVATION, at(floor, 350))
        third = tick(floor, INNOVATION, at(floor, 400))
        assert "searches are done" in third.summary
        rows = read_models(floor.store, "small")
        assert [row.state for row in rows] == ["refused", "refused"]
        assert [row.trials for row in rows] == [2, 4]
        assert [row.evidence["vault"]["level"] for row in rows] == [0.05, 0.025]
        assert tick(floor, VALIDATION, at(floor, 405)).summary == "no model is in the shadow"


def test_a_model_whose_alpha_trades_no_more_is_retired(tmp_path):
    with research_floor(tmp_path, small_panel(effect=0.4)) as floor:
        floor.trade(FEATURES)
        tick(floor, INNOVATION, at(floor, 330))
        floor.trade(FEATURES[:2])
        told = tick(floor, VALIDATION, at(floor, 340))
        assert "it reads slow, which trade no more" in told.summary
        assert not read_models(floor.store, "small", "shadow", "champion")


def test_what_will_come_changes_nothing_that_was_foretold(tmp_path):
    given = []
    for number in range(2):
        panel = small_panel(effect=0.4)
        if number:
            for name in ("close", "returns", "volume"):
                panel.fields[name][345:] = np.nan
        with research_floor(tmp_path / str(number), panel) as floor:
            floor.trade(FEATURES)
            tick(floor, INNOVATION, at(floor, 330))
            tick(floor, VALIDATION, at(floor, 340))
            (row,) = read_models(floor.store, "small")
            given.append((row.text, read_information(floor.store, "small", row.model)))
    assert given[0] == given[1]
