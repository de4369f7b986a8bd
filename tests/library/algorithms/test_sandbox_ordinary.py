"""What ordinary algorithms do works behind the walls."""

from __future__ import annotations

import pytest

from alphafoundry.algorithms.sandbox import Sandbox
from tests.library.algorithms.bars import walking_bars
from tests.some_cases import one_in

HEAD = "def execute_trade(ticker, cash_balance, shares_held):\n    c = history.close\n"
TAIL = '    return "BUY" if shares_held == 0 else "SELL"\n'

WORK = {
    "moments": ["c.mean(); c.std(); c.var(); c.max(); c.argmin(); np.median(c); np.ptp(c)"],
    "percentiles": ["np.percentile(c, [5, 95]); np.nanmean(c); np.nanstd(c); np.quantile(c, 0.5)"],
    "differences": ["np.diff(np.log(c)); np.gradient(np.r_[c, c]); np.cumsum(c); np.sign(c)"],
    "convolution": ["np.convolve(c, np.ones(3) / 3, mode='valid'); np.correlate(c, c)"],
    "fits": [
        "np.polyfit(np.arange(len(c)), c, 0); np.polyval([1, 2], 3)",
        "np.interp(1, [0, 2], [3, 4])",
    ],
    "matrices": [
        "m = np.cov(np.vstack([c, c[::-1]])) if len(c) > 1 else np.eye(2)",
        "np.linalg.eigh(m); np.linalg.svd(m); np.linalg.pinv(m); np.linalg.norm(m)",
        "np.corrcoef(np.arange(3.0), [1.0, 3.0, 2.0]); m @ m; np.einsum('ij,jk', m, m)",
    ],
    "big matrices": ["a = np.ones((300, 300)); a @ a; np.linalg.lstsq(a, a[0], rcond=None)"],
    "fourier": ["np.abs(np.fft.rfft(c)); np.fft.ifft(np.fft.fft(c)).real"],
    "windows": ["np.lib.stride_tricks.sliding_window_view(np.r_[c, c], 2).mean(axis=1)"],
    "sorting": [
        "np.sort(c); np.argsort(c)[::-1]; np.where(c > 1, 1, 0); np.unique(c)",
        "np.clip(c, 1, 2)",
    ],
    "division by zero": [
        "np.array([1.0]) / 0.0; np.log(np.zeros(1)); np.float64(1) / np.float64(0)"
    ],
    "errstate": ["with np.errstate(divide='ignore', invalid='ignore'): x = c / 0"],
    "printing": ["print('price', c[-1], c); str(c); repr(c); f'{c[-1]:.2f} {ticker:>9}'"],
    "standard library": [
        "statistics.fmean(c); statistics.pstdev(c.tolist()); math.log1p(c[-1])",
        "math.isclose(1, 2)",
    ],
    "names in other letters": ["均线, durchschnitt_é = c.mean(), 1.0; 均线 + durchschnitt_é"],
    "format": ["format(c[-1], '.2f'); format(3, '>5')"],
    "kinds of collections": [
        "from collections.abc import Sequence",
        "from typing import TYPE_CHECKING, TypedDict, cast",
        "from dataclasses import asdict, dataclass, replace",
        "isinstance([1], Sequence); cast(float, 1)",
    ],
    "exceptions": ["try: int('x')", "except (ValueError, TypeError) as e: print(e)"],
    "rolling": [
        "s = pd.Series(c)",
        "s.rolling(5, min_periods=1).mean(); s.rolling(5).std(); s.rolling(5).max()",
        "s.rolling(3).sum()",
        "s.rolling(3).apply(lambda x: x[-1], raw=True); s.rolling(3).corr(s)",
        "s.rolling(3).quantile(0.5)",
        "s.ewm(span=12, adjust=False).mean().iloc[-1]; s.ewm(alpha=0.1).std()",
        "s.expanding().mean()",
    ],
    "series": [
        "s = pd.Series(c, index=pd.date_range('2021-01-01', periods=len(c)))",
        "s.pct_change().dropna().describe(); s.shift(1).fillna(0.0).cumsum()",
        "s.diff().abs().tail(3)",
        "s.rank(pct=True); s.nlargest(2); s.idxmax(); s.autocorr(1)",
        "s.where(s > 1).ffill().bfill()",
        "s.resample('W').last(); s.between(1, 2).any(); s.map(lambda v: v * 2)",
        "s.to_numpy(); s.tolist()",
        "str(s); print(s.tail())",
    ],
    "frames": [
        "f = pd.DataFrame({'c': history.close, 'v': history.volume, 'h': history.high})",
        "f['r'] = f['c'].pct_change(); f.loc[f.index[-1], 'c']; f.iloc[-5:].mean()",
        "f.dropna()",
        "f.assign(x=f.c * 2).sort_values('x'); f[['c', 'v']].corr(); f.agg(['mean', 'max'])",
        "f.apply(np.sum)",
        "f.groupby(f.c > 100).mean(); pd.concat([f, f]); f.merge(f, on='c')",
        "f.rolling(3).mean()",
        "f.describe(); print(f); f.iterrows(); list(f.itertuples()); pd.isna(f).sum()",
        "f.std().to_dict()",
        "pd.to_numeric(pd.Series(['1', 'x']), errors='coerce')",
        "pd.qcut(f.c, 2, duplicates='drop')",
    ],
}

MODULES = """
from __future__ import annotations
import bisect, heapq, itertools, functools
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from dataclasses import dataclass, field
from typing import Dict, List, NamedTuple, Optional, Tuple
import numpy.linalg as la
from numpy.lib.stride_tricks import sliding_window_view

Level = namedtuple("Level", "price size")

class Pair(NamedTuple):
    first: float
    second: float = 0.0

@dataclass
class State:
    prices: List[float] = field(default_factory=list)
    count: int = 0

    @property
    def last(self) -> Optional[float]:
        return self.prices[-1] if self.prices else None

@dataclass(frozen=True, order=True)
class Point:
    x: float

STATE: Dict[str, State] = defaultdict(State)
recent = deque(maxlen=5)

@functools.lru_cache(maxsize=None)
def weight(n):
    return 1.0 if n < 2 else weight(n - 1) * 0.9

def execute_trade(ticker: str, cash_balance: float, shares_held: int) -> str:
    state = STATE[ticker]
    state.prices.append(float(history.close[-1]))
    state.count += 1
    recent.append(Pair(state.last, weight(5)))
    heapq.nlargest(2, state.prices)
    bisect.bisect(sorted(state.prices), 3.0)
    Counter("abc").most_common(1)
    list(itertools.accumulate(state.prices))
    functools.reduce(max, state.prices)
    execute_trade.calls = getattr(execute_trade, "calls", 0) + 1
    if execute_trade.calls != len(history) or Point(1.0) > Point(2.0) or la.norm([3, 4]) != 5:
        raise ValueError("state is lost")
    return "BUY" if Level(1, 2)._asdict()["size"] == 2 else "SELL"
"""


@pytest.mark.parametrize("name", one_in(3, WORK))
def test_ordinary_work_is_done(name: str) -> None:
    source = HEAD + "".join(f"    {line}\n" for line in WORK[name]) + TAIL
    Sandbox().smoke(source, walking_bars(days=30))


def test_the_short_list_of_modules_works_and_state_is_kept() -> None:
    Sandbox().smoke(MODULES, walking_bars(days=30))
