"""How often a desk's model is promoted: on markets without effects, and where effects are planted.

Each seed is a calibration market of 500 names over 1260 days. Six alphas are the features: the four
straightforward ones of the planted effects and two of noise. A search learns from 750 days up to
day 1000, the vault is the last fifth of these, and whoever passes it collects the fresh days that
are left, up to 250, in the shadow of nothing. "Promoted" is what the desk calls so: the vault
passed, and the bet on fresh days won.

Each kind has a column with the best mean daily rank correlation of its candidates in the search's
walk-forward; rows of their own tell what one fit of each costs.

    python -m benchmarks.models [--seeds 20] [--kinds ridge lightgbm lstm] [--effects 1 2]
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import multiprocessing
import resource
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from alphafoundry.market.calibration import PLANTED, at_strength, generate_market
from alphafoundry.market.panel import Panel
from alphafoundry.models import (
    HORIZON,
    Bet,
    Kind,
    Samples,
    book_returns,
    candidates,
    fit,
    missing_package,
    predictions,
    rank_information,
    samples_of,
    search,
)
from alphafoundry.simulation import SimulationSettings
from alphafoundry.trading.portfolio import LiveStrategy
from alphafoundry.trading.portfolio.signals import signal_history
from benchmarks.results_file import write_result

KINDS: tuple[Kind, ...] = ("ridge", "lightgbm", "ensemble", "lstm", "transformer")
LEARN, DAYS, SHADOW = 1000, 750, 20
COST = 2.5e-4
NOISE = ("rank(ts_delta(volume, 3))", "-ts_corr(rank(open), rank(volume), 10)")


def features(panel: Panel) -> list[LiveStrategy]:
    """Return the six alphas."""
    until = panel.dates[0].item()
    given = [(one.name, one.expression, one.decay) for one in PLANTED]
    given += [(f"noise{number}", text, 0) for number, text in enumerate(NOISE)]
    return [
        LiveStrategy(
            name,
            text,
            SimulationSettings(decay=decay, neutralization="INDUSTRY"),
            until,
            "unproven",
        )
        for name, text, decay in given
    ]


def known_samples(panel: Panel, scores: Any) -> tuple[Panel, Samples]:
    """Return the market as of the day of the search, and what is learned from."""
    known = panel.until(panel.dates[LEARN - 1].item())
    return known, samples_of(known, scores, days=DAYS)


def one_market(seed: int, strength: float, kinds: Sequence[Kind], rows: int) -> dict[str, Any]:
    """Return what became of a search on one market."""
    effects = at_strength(PLANTED, strength) if strength else ()
    panel = generate_market(seed, progress=lambda _: None, effects=effects)
    scores = signal_history(panel, features(panel)).scores
    known, samples = known_samples(panel, scores)
    found = search(
        samples,
        candidates(kinds, "exploratory"),
        known.fields["returns"][-DAYS:],
        vault_share=0.2,
        opening=1,
        earlier_trials=0,
        cost=COST,
        seed=seed,
        most_rows=rows,
    )
    whole = samples_of(panel, scores, days=len(panel.dates))
    told = predictions(found.model, whole, LEARN, len(whole))
    fresh = rank_information(told, whole.target[LEARN:])[:-HORIZON]
    bet, won = Bet(), 0
    for value in fresh:
        bet = bet.after(float(value))
        if bet.is_won and bet.days >= SHADOW:
            won = bet.days
            break
    returns = panel.fields["returns"][LEARN:]
    truth = sum(panel.truth.values()) if panel.truth else np.zeros(panel.shape)
    gross = float(book_returns(told, returns, cost=0.0).sum())
    planted = float(book_returns(told, np.asarray(truth)[LEARN:], cost=0.0).sum())
    return {
        "chosen": found.chosen.kind,
        "walk-forward": {
            kind: max(
                value for name, value in found.information.items() if name.partition(" ")[0] == kind
            )
            for kind in {"ridge": None, **dict.fromkeys(kinds)}
        },
        "vault": found.vault.passed,
        "promoted": bool(found.vault.passed and won),
        "days": won,
        "fresh": float(np.nanmean(fresh)),
        "net": float(book_returns(told, returns, cost=COST).mean()),
        "gross": gross,
        "planted": planted,
    }


def fits(kinds: Sequence[Kind], rows: int) -> list[dict[str, Any]]:
    """Return what one fit of the first candidate of each kind costs, each in a process of its own.

    Memory is what the process grew by at its peak.
    """
    panel = generate_market(0, progress=lambda _: None)
    _, samples = known_samples(panel, signal_history(panel, features(panel)).scores)
    context = multiprocessing.get_context("fork")
    found = []
    for kind in kinds:
        one = next(one for one in candidates([kind], "conservative") if one.kind == kind)
        here, there = context.Pipe(duplex=False)

        def measure(one: Any = one, there: Any = there) -> None:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            began = time.process_time()
            model = fit(one.kind, samples, 0, 580, settings=one.settings, seed=1, most_rows=rows)
            took = time.process_time() - began
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            there.send((round(took, 2), round(grown / 1024), round(len(model.to_text()) / 1024)))

        process = context.Process(target=measure)
        process.start()
        seconds, memory, text = here.recv()
        process.join()
        row = {"kind": str(one), "seconds": seconds, "MiB at its peak": memory, "KiB kept": text}
        print("  ".join(f"{name} {value}" for name, value in row.items()))
        found.append(row)
    return found


def interval(count: int, of: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share."""
    z, share = 1.96, count / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return max(0.0, middle - half), min(1.0, middle + half)


def main() -> None:
    """Measure, print, and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--rows", type=int, default=20_000, help="samples of one fit at most")
    parser.add_argument("--effects", type=float, nargs="*", default=[0.0, 1.0, 2.0])
    parser.add_argument("--kinds", nargs="*", default=list(KINDS))
    given = parser.parse_args()
    kinds = [kind for kind in given.kinds if missing_package(kind) is None]
    rows = []
    for strength in given.effects:
        began = time.process_time()
        found = [one_market(seed, strength, kinds, given.rows) for seed in range(given.seeds)]
        promoted = sum(one["promoted"] for one in found)
        low, high = interval(promoted, len(found))
        gross, planted = (sum(one[name] for one in found) for name in ("gross", "planted"))
        net = np.array([one["net"] for one in found])
        row = {
            "effects": strength,
            "markets": len(found),
            "vault passed": sum(one["vault"] for one in found),
            "promoted": promoted,
            "share": f"{promoted / len(found):.0%} [{low:.0%}, {high:.0%}]",
            "days to promotion": round(
                float(np.mean([one["days"] for one in found if one["promoted"]])), 1
            )
            if promoted
            else "",
            "rank correlation": round(float(np.mean([one["fresh"] for one in found])), 4),
            "bp a day after costs": round(float(net.mean()) * 1e4, 3),
            "error": round(float(net.std() / math.sqrt(len(net))) * 1e4, 3),
            "planted share": f"{planted / gross:.0%}" if strength and gross > 0 else "",
            **{
                kind: round(float(np.mean([one["walk-forward"][kind] for one in found])), 4)
                for kind in found[0]["walk-forward"]
            },
            "not ridge": sum(one["chosen"] != "ridge" for one in found),
            "seconds a market": round((time.process_time() - began) / len(found), 1),
        }
        print("  ".join(f"{name} {value}" for name, value in row.items() if value != ""))
        rows.append(row)
    used = [one for one in ("lightgbm", "autograd") if importlib.util.find_spec(one)]
    print(write_result("models", [*rows, *fits(kinds, given.rows)], ["numpy", *used]))


if __name__ == "__main__":
    main()
