"""The report says which days its numbers are from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest

from alphafoundry.backtest import Bars
from alphafoundry.coordinator.batches import Batch, Setting, perform
from alphafoundry.coordinator.context import PhaseContext
from alphafoundry.coordinator.isolation import BatchOutcome, carry_out
from alphafoundry.coordinator.luck import deflated
from alphafoundry.coordinator.phase_types import TopTrial, type_of
from alphafoundry.coordinator.report import WorkflowReport, best_trials, build_report
from alphafoundry.coordinator.results import PhaseResult
from alphafoundry.coordinator.workflow import Workflow
from alphafoundry.evidence import Moments, expected_maximum, probabilistic_sharpe_ratio
from alphafoundry.runs import to_markdown
from tests.library.coordinator.searches import search_outputs

Load = Callable[[str], Workflow]

DOCUMENT = """
workflow: {type: multi_phase}
strategies: [{type: moving_average_cross, name: trend, params: {fast: 5, slow: 20}}]
phases:
  - {name: search, type: optimization}
  - {name: last, type: backtest, inputs: [search.best_params], config: {period: PERIOD}}
"""


def reported(
    load: Load, text: str, bars: Bars, setting: Setting, *, trials: int = 0
) -> WorkflowReport:
    """Run the phase `last` after a search of days 0 to 200, and report it."""
    workflow = load(text)
    phase = workflow.phase("last")
    search = search_outputs(best_params={"trend": {"fast": 5, "slow": 20}})
    upstream = {"search": search} if phase.inputs else {}

    def run(batches: Sequence[Batch]) -> Iterator[BatchOutcome]:
        for batch in batches:
            yield carry_out(
                batch, lambda part: perform(setting.to_json(), part.to_json()), retries=0
            )

    context = PhaseContext(
        workflow=workflow,
        phase=phase,
        bars=bars,
        split=200,
        setting=setting,
        inputs={},
        upstream=upstream,
        run=run,
    )
    outputs = type_of(phase).run(context)
    result = PhaseResult(outputs, trials=trials, notes=tuple(context.notes), seconds=1.0)
    return build_report(
        workflow,
        {"last": result},
        market=bars.label,
        folder="folder",
        runner="threads",
        analysis={},
        bars_a_year=bars.bars_a_year,
    )


@pytest.mark.parametrize(
    ("period", "sample", "subject", "days"),
    [("test", "out_of_sample", "out of sample", 100), ("all", "in_sample", "in sample", 300)],
)
def test_days_after_the_search_are_out_of_sample_and_others_are_not(
    load: Load, bars: Bars, setting: Setting, period: str, sample: str, subject: str, days: int
) -> None:
    report = reported(load, DOCUMENT.replace("PERIOD", period), bars, setting)
    assert report.sample == sample
    assert report.measured is not None and report.measured["days"] == days
    assert (report.out_of_sample is None) == (sample == "in_sample")
    assert subject in dict(report.summary())
    assert any("not out of sample" in note for note in report.notes) == (sample == "in_sample")


def test_a_backtest_without_a_search_is_not_called_out_of_sample(
    load: Load, bars: Bars, setting: Setting
) -> None:
    text = "workflow: {type: multi_phase}\nphases: [{name: last, type: backtest}]\n"
    report = reported(load, text, bars, setting)
    assert (report.sample, report.out_of_sample) == ("given", None)
    assert report.measured is not None and report.measured["days"] == 300
    said = dict(report.summary())
    assert "nothing was searched" in said["backtest"]
    assert "out of sample" not in to_markdown(report)


@pytest.mark.parametrize(
    ("period", "said"),
    [("test", "of one trial, since no search saw these days"), ("all", "after 40 trials on")],
)
def test_a_sharpe_ratio_has_trials_and_deflated_one_beside_it(
    load: Load, bars: Bars, setting: Setting, period: str, said: str
) -> None:
    report = reported(load, DOCUMENT.replace("PERIOD", period), bars, setting, trials=40)
    assert report.measured is not None and report.measured["sharpe"] is not None
    expected = probabilistic_sharpe_ratio(
        Moments(
            int(report.measured["days"] or 0),
            report.measured["sharpe"] / bars.bars_a_year**0.5,
            0.0,
            3.0,
        ),
        threshold=0.0
        if period == "test"
        else expected_maximum(40) / (report.measured["days"] or 0) ** 0.5,
    )
    assert report.deflated == pytest.approx(expected)
    subject = "out of sample" if period == "test" else "in sample"
    assert f"DSR {expected:.2f} {said}" in dict(report.summary())[subject]
    assert report.to_json()["deflated_trials"] == (1 if period == "test" else 40)


def test_more_trials_deflate_more_and_no_sharpe_ratio_has_no_deflated_one() -> None:
    found = [
        deflated({"days": 500, "sharpe": 1.5}, trials=trials, bars_a_year=252.0)
        for trials in (1, 10, 1000)
    ]
    assert all(value is not None for value in found)
    assert found == sorted(found, reverse=True)
    assert deflated({"days": 500, "sharpe": None}, trials=5, bars_a_year=252.0) is None


def test_the_best_trials_have_their_deflated_sharpe_ratio(load: Load, bars: Bars) -> None:
    workflow = load(DOCUMENT.replace("PERIOD", "test"))
    metrics = {"days": 200, "sharpe": 1.2}
    trial = TopTrial(3, "trend", {"fast": 5, "slow": 20}, 1.2, metrics)
    outputs = replace(search_outputs(best_params={"trend": {}}), top_trials=(trial,))
    results = {"search": PhaseResult(outputs, trials=25, notes=(), seconds=1.0)}
    (row,) = best_trials(workflow, results, bars_a_year=bars.bars_a_year)
    expected = deflated(metrics, trials=25, bars_a_year=bars.bars_a_year)
    assert row["DSR"] == f"{expected:.2f} of 25"
