"""Twenty of the 101 Formulaic Alphas (Kakushadze 2015), in our language and for any vocabulary.

Fractional windows are cut to whole days. A vocabulary has the fields as attributes (open, high,
low, close, volume, vwap, returns) and the operators as methods; its values know + - * / and minus.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

OURS: dict[int, str] = {
    1: "rank(ts_arg_max(signed_power(returns < 0 ? ts_std_dev(returns, 20) : close, 2), 5)) - 0.5",
    2: "-ts_corr(rank(ts_delta(log(volume), 2)), rank((close - open) / open), 6)",
    3: "-ts_corr(rank(open), rank(volume), 10)",
    4: "-ts_rank(rank(low), 9)",
    6: "-ts_corr(open, volume, 10)",
    7: "ts_mean(volume, 20) < volume"
    " ? -ts_rank(abs(ts_delta(close, 7)), 60) * sign(ts_delta(close, 7)) : -1",
    13: "-rank(ts_covariance(rank(close), rank(volume), 5))",
    15: "-ts_sum(rank(ts_corr(rank(high), rank(volume), 3)), 3)",
    17: "-rank(ts_rank(close, 10)) * rank(ts_delta(ts_delta(close, 1), 1))"
    " * rank(ts_rank(volume / ts_mean(volume, 20), 5))",
    19: "-sign((close - ts_delay(close, 7)) + ts_delta(close, 7))"
    " * (1 + rank(1 + ts_sum(returns, 250)))",
    26: "-ts_max(ts_corr(ts_rank(volume, 5), ts_rank(high, 5), 5), 3)",
    31: "rank(rank(rank(ts_decay_linear(-rank(rank(ts_delta(close, 10))), 10))))"
    " + rank(-ts_delta(close, 3)) + sign(scale(ts_corr(ts_mean(volume, 20), low, 12)))",
    40: "-rank(ts_std_dev(high, 10)) * ts_corr(high, volume, 10)",
    43: "ts_rank(volume / ts_mean(volume, 20), 20) * ts_rank(-ts_delta(close, 7), 8)",
    50: "-ts_max(rank(ts_corr(rank(volume), rank(vwap), 5)), 5)",
    58: "-ts_rank(ts_decay_linear(ts_corr(group_neutralize(vwap, sector), volume, 3), 7), 5)",
    67: "-rank(high - ts_min(high, 2)) ^ rank(ts_corr(group_neutralize(vwap, sector),"
    " group_neutralize(ts_mean(volume, 20), sector), 6))",
    71: "max(ts_rank(ts_decay_linear(ts_corr(ts_rank(close, 3),"
    " ts_rank(ts_mean(volume, 180), 12), 18), 4), 15),"
    " ts_rank(ts_decay_linear(signed_power(rank((low + open) - (vwap + vwap)), 2), 16), 4))",
    98: "rank(ts_decay_linear(ts_corr(vwap, ts_sum(ts_mean(volume, 5), 26), 4), 7))"
    " - rank(ts_decay_linear(ts_rank(ts_arg_min("
    "ts_corr(rank(open), rank(ts_mean(volume, 15)), 20), 8), 6), 8))",
    101: "(close - open) / ((high - low) + 0.001)",
}

Vocabulary = Any
Formula = Callable[[Vocabulary], Any]


def _alpha_17(m: Vocabulary) -> Any:
    steps = m.rank(m.delta(m.delta(m.close, 1), 1))
    busy = m.rank(m.ts_rank(m.volume / m.mean(m.volume, 20), 5))
    return -m.rank(m.ts_rank(m.close, 10)) * steps * busy


def _alpha_19(m: Vocabulary) -> Any:
    direction = m.sign((m.close - m.delay(m.close, 7)) + m.delta(m.close, 7))
    return -direction * (m.rank(m.sum(m.returns, 250) + 1) + 1)


def _alpha_31(m: Vocabulary) -> Any:
    decayed = m.decay(-m.rank(m.rank(m.delta(m.close, 10))), 10)
    flow = m.sign(m.scale(m.corr(m.mean(m.volume, 20), m.low, 12)))
    return m.rank(m.rank(m.rank(decayed))) + m.rank(-m.delta(m.close, 3)) + flow


def _alpha_67(m: Vocabulary) -> Any:
    together = m.corr(m.neutralize(m.vwap), m.neutralize(m.mean(m.volume, 20)), 6)
    return -m.power(m.rank(m.high - m.min(m.high, 2)), m.rank(together))


def _alpha_71(m: Vocabulary) -> Any:
    trend = m.corr(m.ts_rank(m.close, 3), m.ts_rank(m.mean(m.volume, 180), 12), 18)
    place = m.rank((m.low + m.open) - (m.vwap + m.vwap))
    return m.larger(
        m.ts_rank(m.decay(trend, 4), 15), m.ts_rank(m.decay(m.signed_square(place), 16), 4)
    )


def _alpha_98(m: Vocabulary) -> Any:
    price = m.decay(m.corr(m.vwap, m.sum(m.mean(m.volume, 5), 26), 4), 7)
    order = m.arg_min(m.corr(m.rank(m.open), m.rank(m.mean(m.volume, 15)), 20), 8)
    return m.rank(price) - m.rank(m.decay(m.ts_rank(order, 6), 8))


FORMULAS: dict[int, Formula] = {
    1: lambda m: (
        m.rank(
            m.arg_max(
                m.signed_square(m.where(m.returns < 0, m.std(m.returns, 20), m.close, m.returns)),
                5,
            )
        )
        - 0.5
    ),
    2: lambda m: (
        -m.corr(m.rank(m.delta(m.log(m.volume), 2)), m.rank((m.close - m.open) / m.open), 6)
    ),
    3: lambda m: -m.corr(m.rank(m.open), m.rank(m.volume), 10),
    4: lambda m: -m.ts_rank(m.rank(m.low), 9),
    6: lambda m: -m.corr(m.open, m.volume, 10),
    7: lambda m: m.where(
        m.mean(m.volume, 20) < m.volume,
        -m.ts_rank(m.abs(m.delta(m.close, 7)), 60) * m.sign(m.delta(m.close, 7)),
        -1.0,
        m.mean(m.volume, 20),
    ),
    13: lambda m: -m.rank(m.cov(m.rank(m.close), m.rank(m.volume), 5)),
    15: lambda m: -m.sum(m.rank(m.corr(m.rank(m.high), m.rank(m.volume), 3)), 3),
    17: _alpha_17,
    19: _alpha_19,
    26: lambda m: -m.max(m.corr(m.ts_rank(m.volume, 5), m.ts_rank(m.high, 5), 5), 3),
    31: _alpha_31,
    40: lambda m: -m.rank(m.std(m.high, 10)) * m.corr(m.high, m.volume, 10),
    43: lambda m: (
        m.ts_rank(m.volume / m.mean(m.volume, 20), 20) * m.ts_rank(-m.delta(m.close, 7), 8)
    ),
    50: lambda m: -m.max(m.rank(m.corr(m.rank(m.volume), m.rank(m.vwap), 5)), 5),
    58: lambda m: -m.ts_rank(m.decay(m.corr(m.neutralize(m.vwap), m.volume, 3), 7), 5),
    67: _alpha_67,
    71: _alpha_71,
    98: _alpha_98,
    101: lambda m: (m.close - m.open) / ((m.high - m.low) + 0.001),
}
