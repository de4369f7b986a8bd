"""The cap on simulations holds over processes."""

from __future__ import annotations

import contextlib
from pathlib import Path

import httpx
import pytest

from tests.servers import brain_service
from tests.workplace import Workplace

CAP = 3
EACH = 12


@pytest.mark.slow
def test_two_generators_share_one_cap(
    workplace: Workplace, tmp_path: Path, market_cache: Path
) -> None:
    options = ("--max-concurrent", str(CAP), "--simulation-seconds", "0.4")
    with brain_service(tmp_path, market_cache, *options) as brain, contextlib.ExitStack() as stack:
        flags = ("--simulations", str(EACH), "--brain", brain)
        runs = [
            stack.enter_context(workplace.start("flows.generate", *flags, "--seed", str(seed)))
            for seed in (1, 2)
        ]
        assert [run.wait(90) for run in runs] == [0, 0], workplace.output("flows.generate")
        seen = httpx.get(f"{brain}/foundry/metrics", trust_env=False).json()
    assert seen["peak_running"] <= CAP
    assert seen["simulations"] == workplace.finished() == 2 * EACH
    assert seen["answered_429"] <= 2
    per_run = workplace.rows("SELECT count(*) FROM simulations GROUP BY run_id")
    assert per_run == [(EACH,), (EACH,)]
