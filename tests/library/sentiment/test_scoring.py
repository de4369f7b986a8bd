"""What single words and their order do to a score."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphafoundry.sentiment import balanced_accuracy, classified, score_headline
from tests.property_tests import examples

HEADLINES = Path(__file__).resolve().parents[3] / "benchmarks" / "headlines.tsv"
CLASSES = {"good": 1, "neutral": 0, "bad": -1}


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("Acme profit rises", "Acme profit falls"),
        ("Acme costs fall", "Acme costs rise"),
        ("Acme loss narrows", "Acme loss widens"),
        ("Acme not affected by fraud", "Acme affected by fraud"),
        ("Acme beats estimates", "Acme fails to beat estimates"),
        ("Regulator ends probe of Acme", "Regulator opens probe of Acme"),
        ("Court dismisses lawsuit against Acme", "Lawsuit filed against Acme"),
        ("Acme upgraded to buy", "Acme downgraded to sell"),
        ("Acme raises guidance to $5.20 from $4.80", "Acme cuts guidance to $4.80 from $5.20"),
        # VADER gives 0 to each of these.
        ("Acme beats earnings estimates, raises full-year guidance", "Acme downgraded to sell"),
        ("Acme emerges from bankruptcy", "SEC opens probe into accounting at Acme"),
    ],
)
def test_direction_object_and_negation_decide(good: str, bad: str) -> None:
    assert score_headline(good).value > 0.1
    assert score_headline(bad).value < -0.1


@pytest.mark.parametrize("text", ["Acme to report results on Tuesday", "", "ACME", "1 2 3"])
def test_nothing_said_is_zero(text: str) -> None:
    assert abs(score_headline(text).value) <= 0.1


def test_severe_events_are_named() -> None:
    found = score_headline("Acme files for Chapter 11 after data breach")
    assert found.severe
    assert set(found.events) >= {"insolvency", "breach"}


@settings(max_examples=examples(100), deadline=None)
@given(st.text(max_size=2000))
def test_any_text_has_a_score(text: str) -> None:
    assert -1.0 <= score_headline(text).value <= 1.0


def test_headlines_of_the_bench_are_told_apart() -> None:
    rows = [line.split("\t") for line in HEADLINES.read_text(encoding="utf-8").splitlines()]
    truth = [CLASSES[label] for label, _ in rows]
    told = [classified(score_headline(title).value, 0.1) for _, title in rows]
    assert len(rows) == 300
    assert balanced_accuracy(truth, told) >= 0.85
