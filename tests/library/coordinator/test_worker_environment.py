"""What worker processes see of the environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from alphafoundry.coordinator.batches import Batch, Setting
from alphafoundry.coordinator.worker_environment import worker_environment
from alphafoundry.coordinator.worker_pool import WorkerPool
from tests.own_strategies import LOG

PRIVATE = {
    "OPENROUTER_API_KEY": "sk-1",
    "OPENAI_API_KEY": "sk-2",
    "PREFECT_API_KEY": "pnu_3",
    "PREFECT_API_AUTH_STRING": "admin:pass",
    "PREFECT_SERVER_DATABASE_CONNECTION_URL": "postgresql+asyncpg://u:p@db/prefect",
    "FOUNDRY_BRAIN_EMAIL": "a@b.c",
    "FOUNDRY_BRAIN_PASSWORD": "p",
    "FOUNDRY_BRAIN__PASSWORD": "p",
    "FOUNDRY_DATABASE_URL": "postgresql://u:p@db/foundry",
    "AWS_ACCESS_KEY_ID": "AKIA",
    "AWS_SECRET_ACCESS_KEY": "s",
    "GITHUB_TOKEN": "ghp",
    "HF_TOKEN": "hf",
    "MYSQL_PWD": "p",
    "PGPASSWORD": "p",
    "GOOGLE_APPLICATION_CREDENTIALS": "/key.json",
    "npm_config__authToken": "n",
    "HTTPS_PROXY": "http://user:word@proxy:3128",
    "SOME_SERVICE": "redis://:word@cache:6379/0",
}
PLAIN = {
    "PATH": "/usr/bin",
    "HOME": "/home/a",
    "LANG": "C.UTF-8",
    "PWD": "/home/a",
    "NUMBA_CACHE_DIR": "/cache",
    "TMPDIR": "/scratch",
    "HTTP_PROXY": "http://proxy:3128/a@b",
    LOG: "calls.log",
}


def test_what_signs_in_is_left_out_and_the_rest_stays() -> None:
    kept = worker_environment(PRIVATE | PLAIN)
    assert {name: kept.get(name) for name in PLAIN} == PLAIN
    assert not set(PRIVATE) & set(kept)
    assert kept["OMP_NUM_THREADS"] == "1"


def test_a_worker_process_has_no_credentials(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in PRIVATE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MY_STRATEGY_DATA", "kept")
    cross = {"type": "moving_average_cross", "template": None, "defaults": []}
    batch = Batch("a", 0, "trials", ({"fast": 3, "slow": 9},), (0,), {"strategy": cross})
    with WorkerPool(1) as pool:
        assert pool.run(setting.to_json(), batch.to_json())["results"]
        (pid,) = pool.pids()
        text = Path(f"/proc/{pid}/environ").read_bytes().decode()
    names = dict(line.split("=", 1) for line in text.split("\0") if line)
    assert names["MY_STRATEGY_DATA"] == "kept"
    assert not set(PRIVATE) & set(names)
    assert set(PRIVATE) <= set(os.environ)
