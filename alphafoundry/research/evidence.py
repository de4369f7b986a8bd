"""What stands beside the numbers of a report: days, luck, verdicts, decay, overfit, cautions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alphafoundry.evidence import (
    band,
    common_block_length,
    draw_days,
    drawn_sharpe_ratios,
    independent_trials,
    luck_line,
    overfitting,
    sharpe_ratio,
)
from alphafoundry.evidence.climbing import MEASURED
from alphafoundry.finance.statistics import TOO_GOOD
from alphafoundry.research.comparison import compare
from alphafoundry.research.finalists import sees_the_future, shrunk_of, sureness
from alphafoundry.research.run import ResearchRun
from alphafoundry.research.seal import Seal
from alphafoundry.research.standing import verdicts_of
from alphafoundry.research.trial_pnl import TrialPnl, read_trial_pnl
from alphafoundry.seeds import generator_for
from alphafoundry.settings import CostSettings
from alphafoundry.store import (
    AlphaRow,
    OpeningRow,
    VerdictRow,
    count_elsewhere,
    count_trials,
    judged_pnl,
    latest_placebos,
    read_opening,
    read_simulations,
    read_submissions,
    read_trial_count,
    read_verdicts,
)

MOST_COMPARED = 1000
"""Trials, an even sample of all, whose PnL is compared for dependence and overfitting."""

BLOCKS = 12
"""Blocks of days for the overfitting: 924 ways to halve them, a second for 1,000 trials."""


@dataclass(frozen=True)
class JudgedFinalist:
    """One finalist on sealed days; see `VerdictRow`. Sharpe ratios are annual.

    Attributes
    ----------
    shrunk : Sharpe ratio that was to be expected after what all trials say
    low, high : 90 % band of the sealed Sharpe ratio
    years_needed : of days like the sealed ones that would prove it; None where no number is enough
    """

    alpha_id: str
    verdict: str
    trials: int
    sharpe: float | None
    dsr: float | None
    shrunk: float | None
    sealed_sharpe: float | None
    low: float | None
    high: float | None
    p: float | None
    settled: float | None
    net: float | None
    impact: tuple[float | None, float | None, float | None]
    capacity: float | None
    calm: float | None
    wild: float | None
    years: int | None
    years_up: int | None
    worst_year: float | None
    years_needed: float | None

    def shown(self) -> dict[str, str]:
        """Return its row of the table of finalists."""
        sealed = _number(self.sealed_sharpe)
        if self.low is not None and self.high is not None:
            sealed += f" [{self.low:.1f}, {self.high:.1f}]"
        up = "" if self.years is None else f"{self.years_up}/{self.years}"
        return {
            "alpha": self.alpha_id,
            "verdict": self.verdict,
            "sharpe": f"{_number(self.sharpe)} of {self.trials}",
            "DSR": _number(self.dsr),
            "shrunk": _number(self.shrunk),
            "sealed": sealed,
            "p": "" if self.p is None else f"{self.p:.3f}",
            "settled": _number(self.settled),
            "net": _number(self.net),
            "impact 0.1 / 0.5 / 1": " / ".join(map(_number, self.impact)),
            "capacity": "" if self.capacity is None else f"{self.capacity / 1e6:,.1f} M",
            "calm / wild": f"{_number(self.calm)} / {_number(self.wild)}",
            "years up": up,
            "worst year": _number(self.worst_year),
            "proof needs": "never"
            if self.years_needed is None
            else f"{self.years_needed:.1f} years",
        }


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


@dataclass(frozen=True)
class Evidence:
    """What tells the findings of a run from luck; Sharpe ratios are annual.

    Attributes
    ----------
    search_from, search_to, search_days : what the search saw; None where the service does not tell
    sealed_from, sealed_to, sealed_days : what it did not see; None without sealed days
    unsealed : why there are no sealed days, "" where there are
    opening, level : how often these days were looked at, this time included, and the level of the
        test; None without an opening
    reused : whether what was submitted after an earlier opening of these days steered this search
    trials : all ever made on these prices; screened : those among them that were only screened
    independent : clusters among those that were simulated
    luck : mean of the best Sharpe ratio of such a search where there is nothing to find
    luck_high : what the best stays below in 95 of 100 such searches
    placebo : what a placebo of this market said, "" without one
    finalists : verdict to number
    search_sharpe, shrunk_sharpe, sealed_sharpe : mean of the finalists; shrunk is what was to be
        expected of them after what all trials say
    pooled_search, pooled_sealed, pooled_low, pooled_high : of all finalists at equal risk, the last
        two are the 90 % band on sealed days
    overfitting : PBO, None for fewer than two trials
    cautions : what flatters the numbers of this market, in a few words each
    """

    search_from: str | None
    search_to: str | None
    search_days: int | None
    sealed_from: str | None
    sealed_to: str | None
    sealed_days: int | None
    unsealed: str
    opening: int | None
    level: float | None
    reused: bool
    trials: int
    independent: int | None
    luck: float | None
    luck_high: float | None
    finalists: dict[str, int]
    search_sharpe: float | None
    sealed_sharpe: float | None
    pooled_search: float | None
    pooled_sealed: float | None
    pooled_low: float | None
    pooled_high: float | None
    overfitting: float | None
    placebo: str
    cautions: tuple[str, ...]
    judged: tuple[JudgedFinalist, ...] = ()
    screened: int = 0
    shrunk_sharpe: float | None = None

    def summary(self) -> list[tuple[str, str]]:
        """Return the head of the report: (subject, sentence) pairs."""
        rows = [("verdicts", self._verdicts()), ("days", self._days())]
        if self.luck is not None:
            rows.append(
                (
                    "luck",
                    luck_told(self.trials, self.luck, self.luck_high, kinds=self._kinds()),
                )
            )
        if self.sealed_sharpe is not None and self.search_sharpe is not None:
            share = (
                f" ({self.sealed_sharpe / self.search_sharpe:.0%})"
                if self.search_sharpe > 0
                else ""
            )
            expected = (
                ""
                if self.shrunk_sharpe is None
                else f"{self.shrunk_sharpe:.2f} to be expected after what all trials say, "
            )
            text = (
                f"Sharpe {self.search_sharpe:.2f} when searched, {expected}"
                f"{self.sealed_sharpe:.2f} sealed{share}"
            )
            if self.pooled_search is not None and self.pooled_sealed is not None:
                text += (
                    f"; pooled {self.pooled_search:.2f} and {self.pooled_sealed:.2f} "
                    f"[{self.pooled_low:.1f}, {self.pooled_high:.1f}]"
                )
            rows.append(("decay", text))
        if self.overfitting is not None:
            text = f"PBO {self.overfitting:.2f} (0.5 where there is nothing)"
            rows.append(("overfit", f"{text}; {self.placebo}" if self.placebo else text))
        rows.append(("cautions", "; ".join(self.cautions)))
        return rows

    def _kinds(self) -> str:
        if self.screened:
            return f", {self.screened} of them screened in bulk"
        return f", {self.independent} of them independent"

    def _verdicts(self) -> str:
        if self.opening is None:
            why = self.unsealed or "the sealed days were not opened"
            return f"nothing is found and nothing refuted: {why}"
        total = sum(self.finalists.values())
        finalists = "finalist" if total == 1 else "finalists"
        told = [f"{total} {finalists} judged on days that no search had seen"]
        found = [one for one in self.judged if one.verdict == "found"]
        if found:
            best = max(found, key=lambda one: one.sealed_sharpe or 0.0)
            told.append(
                f"{len(found)} found (chance that any is luck: {self.level:.2g}), the best with a "
                f"sealed Sharpe ratio of {best.sealed_sharpe:.2f} [{best.low:.1f}, {best.high:.1f}]"
            )
        else:
            told.append("nothing found")
        if (unproven := self.finalists.get("unproven", 0)) > 0:
            told.append(f"{unproven} unproven: neither effect nor luck is ruled out")
        if (dead := self.finalists.get("not confirmed", 0)) > 0:
            told.append(f"{dead} not confirmed: luck explains them")
        text = "; ".join(told)
        return f"{text}; REUSED days, so less sure than that" if self.reused else text

    def _days(self) -> str:
        if self.search_from is None:
            return f"every number is in sample: {self.unsealed}"
        searched = f"searched {self.search_from} to {self.search_to} ({self.search_days})"
        if self.sealed_from is None:
            return f"{searched}; every number is in sample: {self.unsealed}"
        text = f"{searched}, sealed {self.sealed_from} to {self.sealed_to} ({self.sealed_days})"
        if self.opening is None:
            return f"{text}, not opened"
        return f"{text}, opening {self.opening} of these days (level {self.level:.2g})"


def luck_told(trials: int, luck: float, luck_high: float | None, *, kinds: str = "") -> str:
    """Return the sentence on what luck alone gives; `kinds` says what the trials were."""
    text = (
        f"{trials} trials{kinds}: with nothing to find, the best Sharpe ratio of such a search "
        f"would be about {luck:.2f} (below {luck_high:.2f} in 95 of 100)"
    )
    if trials > MEASURED[-1].trials:
        text += f", or more: searches of over {MEASURED[-1].trials} trials were not measured"
    return text


@dataclass(frozen=True)
class AlphaEvidence:
    """What stands beside the Sharpe ratio of one alpha; None where unknown.

    Attributes
    ----------
    low, high : 5 % and 95 % quantile of its Sharpe ratio on search days
    dsr : probability that this Sharpe ratio is more than the luck of all trials
    shrunk : Sharpe ratio that is to be expected of it after what all trials say
    sealed : Sharpe ratio on sealed days, of a finalist
    net : Sharpe ratio on search days after the costs of the settings
    verdict : "found", "unproven", "not confirmed", or "sees the future"
    """

    low: float | None = None
    high: float | None = None
    dsr: float | None = None
    shrunk: float | None = None
    sealed: float | None = None
    net: float | None = None
    verdict: str = ""


def evidence_of(run: ResearchRun) -> Evidence:
    """Return what tells the findings of everything that was searched from luck."""
    seal = run.seal if isinstance(run.seal, Seal) else None
    rows = read_simulations(run.store, service=run.service, status=("complete", "warning"))
    ids = [row.alpha_id for row in rows if row.alpha_id]
    if len(ids) > MOST_COMPARED:
        ids = [ids[i] for i in np.linspace(0, len(ids) - 1, MOST_COMPARED).astype(int)]
    known = read_trial_pnl(run.store, run.service, ids)
    tried = read_trial_count(run.store, run.service, run.market_id)
    trials = tried.trials
    days = int(np.median((~np.isnan(known.pnl)).sum(axis=0))) if known.alpha_ids else 0
    line = luck_line(trials, days, climbing=True) if trials and days > 1 else None
    year = math.sqrt(known.periods)
    opening, finalists = None, list[VerdictRow]()
    if run.tally.opening is not None:
        opening, finalists = read_opening(run.store, run.tally.opening)
    pooled = _pooled(finalists, seal) if seal else None
    data = run.brain.data
    first, last = (data.first, data.last) if data else (None, None)
    counts = Counter(str(row.verdict) for row in finalists if row.verdict is not None)
    return Evidence(
        search_from=str(first) if first else None,
        search_to=str(last) if last else None,
        search_days=seal.search_days if seal else len(known.dates),
        sealed_from=str(seal.sealed_from) if seal else None,
        sealed_to=str(seal.sealed_to) if seal else None,
        sealed_days=seal.sealed_days if seal else None,
        unsealed="" if seal else str(run.seal),
        opening=opening.number if opening else None,
        level=opening.level if opening else None,
        reused=opening is not None and _steered(run, opening),
        trials=trials,
        independent=independent_trials(known.filled()).clusters if known.alpha_ids else None,
        luck=line.mean * year if line else None,
        luck_high=line.quantile * year if line else None,
        finalists=dict(counts),
        search_sharpe=_mean([row.sharpe for row in finalists]),
        sealed_sharpe=_mean([row.sealed_sharpe for row in finalists]),
        pooled_search=pooled[0] if pooled else None,
        pooled_sealed=pooled[1] if pooled else None,
        pooled_low=pooled[2] if pooled else None,
        pooled_high=pooled[3] if pooled else None,
        overfitting=_overfitting(known),
        placebo=_placebo(run),
        cautions=(*_too_good(known), *_cautions(run, seal)),
        judged=tuple(_judged(row, opening.trials, known.periods) for row in finalists)
        if opening
        else (),
        screened=tried.only_screened,
        shrunk_sharpe=_mean([row.shrunk_sharpe for row in finalists]),
    )


def evidence_of_alphas(run: ResearchRun, alphas: Sequence[AlphaRow]) -> dict[str, AlphaEvidence]:
    """Return what stands beside the Sharpe ratio of each alpha."""
    known = read_trial_pnl(run.store, run.service, [alpha.alpha_id for alpha in alphas])
    by_id = {alpha.alpha_id: alpha for alpha in alphas}
    numbers: dict[str, tuple[float | None, ...]] = {}
    if known.alpha_ids:
        sure = sureness(known, count=count_trials(run.store, run.service, run.market_id))
        columns = zip(sure.low.tolist(), sure.high.tolist(), sure.dsr.tolist(), strict=True)
        numbers = {
            alpha_id: tuple(map(_plain, column))
            for alpha_id, column in zip(known.alpha_ids, columns, strict=True)
        }
    standings = verdicts_of(run, alphas)
    judged = read_verdicts(run.store, run.service, list(by_id))
    shrunk = run.tally.shrunk
    if shrunk is None:
        shrunk = shrunk_of(run.store, run.service) if by_id else {}
    found = {}
    for alpha_id, alpha in by_id.items():
        row = judged.get(alpha_id)
        low, high, dsr = numbers.get(alpha_id, (None, None, None))
        found[alpha_id] = AlphaEvidence(
            low=low,
            high=high,
            dsr=dsr,
            shrunk=_plain(shrunk.get(alpha_id, math.nan)),
            sealed=row.sealed_sharpe if row else None,
            net=_net(alpha, run.settings.costs),
            verdict="sees the future" if sees_the_future(alpha) else standings[alpha_id].verdict,
        )
    return found


def _net(alpha: AlphaRow, costs: CostSettings) -> float | None:
    """Return the Sharpe ratio after costs; they lower the mean and hardly change the spread.

    Margin is PnL over dollars traded, and returns are annual PnL over half the book, which is what
    the shorts are.
    """
    if alpha.sharpe is None or not alpha.margin or not alpha.returns:
        return None
    return alpha.sharpe * (1.0 - costs.rate / alpha.margin - costs.borrow / alpha.returns)


def _plain(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return float(np.mean(there)) if there else None


def _overfitting(known: TrialPnl) -> float | None:
    if len(known.alpha_ids) < 2 or len(known.dates) < 2 * BLOCKS:
        return None
    return overfitting(known.filled(), blocks=BLOCKS).probability


def _pooled(
    finalists: Sequence[VerdictRow], seal: Seal
) -> tuple[float, float, float, float] | None:
    """Return Sharpe ratios of the finalists at equal risk: searched, sealed, and its 90 % band."""
    searched: list[NDArray[np.float64]] = []
    sealed: list[NDArray[np.float64]] = []
    dates = np.array([], "datetime64[D]")
    for row in finalists:
        pnl = judged_pnl(row)
        if pnl is None:
            continue
        before = pnl.values[pnl.dates <= np.datetime64(seal.search_to)]
        after = pnl.dates >= np.datetime64(seal.sealed_from)
        deviation = float(before.std())
        if deviation > 0.0:
            searched.append(before / deviation)
            sealed.append(pnl.values[after] / deviation)
            dates = pnl.dates
    if not searched:
        return None
    shortest = min(map(len, searched))
    before = np.mean([values[-shortest:] for values in searched], axis=0)
    after_pnl = np.mean(sealed, axis=0)
    year = math.sqrt(TrialPnl((), dates, np.empty((0, 0))).periods)
    counts = draw_days(
        len(after_pnl),
        generator=generator_for(0, "pooled"),
        mean_block=common_block_length(after_pnl),
    )
    found = band(drawn_sharpe_ratios(after_pnl, counts) * year, sharpe_ratio(after_pnl) * year)
    return sharpe_ratio(before) * year, found.value, found.low, found.high


def _too_good(known: TrialPnl) -> tuple[str, ...]:
    """Name what is too good to be true: a leak in the data until it is shown to be none."""
    if not known.alpha_ids:
        return ()
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.nanmean(known.pnl, axis=0) / np.nanstd(known.pnl, axis=0)
    beyond = np.abs(ratio) * math.sqrt(known.periods) > TOO_GOOD
    seeing = [known.alpha_ids[column] for column in np.flatnonzero(beyond)]
    if not seeing:
        return ()
    more = f" and {len(seeing) - 3} more" if len(seeing) > 3 else ""
    return (
        f"{', '.join(seeing[:3])}{more} too good to be true (Sharpe ratio beyond {TOO_GOOD:g}): "
        "look for data that know what came later before believing any verdict on them",
    )


def _judged(row: VerdictRow, trials: int, periods: float) -> JudgedFinalist:
    return JudgedFinalist(
        alpha_id=row.alpha_id,
        verdict=row.verdict or "",
        trials=trials,
        sharpe=row.sharpe,
        dsr=row.dsr,
        shrunk=row.shrunk_sharpe,
        sealed_sharpe=row.sealed_sharpe,
        low=row.sealed_low,
        high=row.sealed_high,
        p=row.p,
        settled=row.settled_sharpe,
        net=row.net_sharpe,
        impact=(row.impact_small, row.impact_middle, row.impact_large),
        capacity=row.capacity,
        calm=row.calm_sharpe,
        wild=row.wild_sharpe,
        years=row.years,
        years_up=row.years_up,
        worst_year=row.worst_year,
        years_needed=None if row.days_needed is None else row.days_needed / periods,
    )


def _steered(run: ResearchRun, opening: OpeningRow) -> bool:
    """Tell whether an alpha was submitted by its verdict before this opening was planned.

    A search counts what moves like a submitted alpha for less, so it has read such a verdict.
    """
    if opening.number == 1:
        return False
    return any(
        one.status == "accepted"
        and one.settled_at is not None
        and one.settled_at < opening.planned_at
        for one in read_submissions(run.store, run.service)
    )


def _placebo(run: ResearchRun) -> str:
    """Return what the last placebo of this market said, or how to make one; "" elsewhere."""
    if run.market_id is None:
        return ""
    rows = latest_placebos(run.store, run.market_id, "all")
    best, alike, made = compare(rows)
    if best.p is None or alike.p is None or not made:
        return "placebo not run (python -m flows.placebo)"
    return (
        f"placebo p = {best.p:.2f} for the best and {alike.p:.2f} for the unlike ({made} searches "
        f"of {rows[0].budget} simulations)"
    )


def _cautions(run: ResearchRun, seal: Seal | None) -> tuple[str, ...]:
    data = run.brain.data
    found = [text.split(":")[0].lower() for text in (data.cautions if data else ())]
    if run.synthetic:
        found.insert(0, "prices are synthetic")
    if data is not None and seal is not None:
        whole = count_elsewhere(run.store, data.source, run.service).other_days
        if whole:
            found.append(f"{whole} alphas were simulated on the sealed days as well")
    return (*found, f"before costs, net is after {run.settings.costs.told()}")
