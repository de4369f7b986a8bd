"""What a lexicon makes of 300 headlines that were written before it, beside VADER.

`headlines.tsv` holds headlines of invented companies, labelled good, bad or neutral by hand: what
they would mean to a shareholder. They were written and committed before the first word of the
lexicon, by the same author; nothing was changed in the lexicon after the first measurement.

    python -m benchmarks.sentiment [--wrong]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alphafoundry.sentiment import balanced_accuracy, classified, score_headline
from benchmarks.results_file import write_result

HEADLINES = Path(__file__).parent / "headlines.tsv"
CLASSES = {"good": 1, "neutral": 0, "bad": -1}
OURS, VADER = 0.1, 0.05
"""Thresholds within which a score says nothing: the agent's own, and the one of VADER's page."""


def read_headlines() -> list[tuple[int, str]]:
    """Return the class and text of each headline."""
    lines = HEADLINES.read_text(encoding="utf-8").splitlines()
    return [(CLASSES[label], text) for label, text in (line.split("\t") for line in lines)]


def measure(name: str, score: Callable[[str], float], threshold: float) -> dict[str, Any]:
    """Return a scorer's row."""
    rows = read_headlines()
    score(rows[0][1])
    began = time.process_time()
    scores = [score(text) for _, text in rows]
    spent = time.process_time() - began
    told = [classified(one, threshold) for one in scores]
    truth = [kind for kind, _ in rows]
    toned = [n for n, kind in enumerate(truth) if kind]
    share = {
        label: sum(told[n] == kind for n, true in enumerate(truth) if true == kind)
        / truth.count(kind)
        for label, kind in CLASSES.items()
    }
    return {
        "scorer": name,
        "headlines": len(rows),
        "balanced_accuracy": round(balanced_accuracy(truth, told), 3),
        "good_or_bad_only": round(
            balanced_accuracy([truth[n] for n in toned], [told[n] for n in toned]), 3
        ),
        **{label: round(value, 3) for label, value in share.items()},
        "us_a_headline": round(spent / len(rows) * 1e6, 1),
    }


def main() -> None:
    """Measure, print, and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--wrong", action="store_true", help="list what the lexicon gets wrong")
    given = parser.parse_args()
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    vader = SentimentIntensityAnalyzer()
    rows = [
        measure("alphafoundry", lambda text: score_headline(text).value, OURS),
        measure("VADER", lambda text: float(vader.polarity_scores(text)["compound"]), VADER),
    ]
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    if given.wrong:
        for kind, text in read_headlines():
            score = score_headline(text).value
            if classified(score, OURS) != kind:
                print(f"{kind:+d} {score:+.2f} {text}")
    print(write_result("sentiment", rows, ["vaderSentiment"]))


if __name__ == "__main__":
    main()
