"""Screening in bulk: ideas a second, and what screening does for what a search finds.

Two parts. *Speed*: the same ideas of the grammar, formulas and templates, screened one batch and two
batches at a time, and simulated one by one by `simulate()`, on a calibration market (500 names) and
on files of real prices where they are. *Search*: the daily search at the same number of simulations
without and with ideas screened before, on calibration markets whose truth is known; judged by the
mean true Sharpe ratio of the ten finalists. Seconds are of the clock, so nothing else should run.

    python -m benchmarks.screen [--quick] [--parts speed,search] [--file BARS.parquet ...]
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from alphafoundry.expressions.operators import OPERATORS
from alphafoundry.expressions.threads import available_cores
from alphafoundry.market import Panel, load_market
from alphafoundry.market.calibration import calibration_market
from alphafoundry.research.finalists import choose_finalists
from alphafoundry.research.ideas import IdeaGenerator
from alphafoundry.research.proposals import Proposal
from alphafoundry.research.run import research_run
from alphafoundry.research.whole_search import search_all
from alphafoundry.settings import load_settings
from alphafoundry.simulation import SimulationSettings, Simulator
from alphafoundry.simulation.screening import Screener
from alphafoundry.store import count_trials, read_alphas
from benchmarks.report import table
from benchmarks.results_file import RESULTS, write_result

CACHE = RESULTS.parent.parent / ".foundry" / "cache"
FILES = (
    "../shared/data/us_equities_2016_2021.parquet",
    "../shared/data/us_top3000_2012_2017.parquet",
)
SETTINGS = SimulationSettings(decay=4)
BATCH = 250
