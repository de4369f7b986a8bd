"""The number of the rules by which an alpha becomes PnL and statistics."""

from __future__ import annotations

SIMULATION_RULES = 5
"""Raised whenever the same alpha on the same bars gets other numbers.

It is part of the name of the local service, so that results of different rules are never mixed:
those of earlier rules stay in the store under their own service.
1: returns over missing bars were lost; 2: a held name earns close over its last known close.
3: with a test period, an alpha's own statistics and checks are of the days before it.
4: ranks, along time too, take for equal what differs by rounding alone; -0 is 0; a correlation
below 1e-14 is 0.
5: lines of ts_regression are of sums over blocks; they differ in the last digits.
"""
