"""The cap on simulations holds over processes."""

from __future__ import annotations

import contextlib
from pathlib import Path

import httpx
import pytest

from tests.servers import brain_service
from tests.working_folder import WorkingFolder

CAP = 3
EACH = 12


@pytest.mark.slow
def test_two_generators_share_one_cap(
    working_folder: WorkingFolder, tmp_path: Path, market_cache: Path
) -> None:
    options = ("--max-concurrent", str(CAP), "--simulation-seconds", "0.4")
    with brain_service(tmp_path, market_cache, *options) as brain, contextlib.ExitStack() as stack:
        flags = ("--simulations", str(EACH), "--brain", brain)
        runs = [
            stack.enter_context(working_folder.start("flows.generate", *flags, "--seed", str(seed)))
            for seed in (1, 2)
        ]
        assert [run.wait(90) for run in runs] == [0, 0], working_folder.output("flows.generate")
        seen = httpx.get(f"{brain}/foundry/metrics", trust_env=False).json()
    assert seen["peak_running"] <= CAP
    assert seen["simulations"] == working_folder.finished() == 2 * EACH
    assert seen["answered_429"] <= 2
    per_run = working_folder.rows("SELECT count(*) FROM simulations GROUP BY run_id")
    assert per_run == [(EACH,), (EACH,)]
