"""What every test may use."""

from __future__ import annotations

import functools
import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from alphafoundry.file_lock import file_lock
from tests.property_tests import register_profiles
from tests.servers import prefect_api
from tests.working_folder import WorkingFolder

ROOT = Path(__file__).resolve().parent.parent
register_profiles()


def pytest_configure(config: pytest.Config) -> None:
    """Let children hear Ctrl-C and SIGHUP, let everybody keep bytecode, and trust one certificate.

    No garbage is collected while the tests are, which would take each process 2 s.

    Background jobs and nohup switch the signals off, containers often the bytecode: then each
    process of pytest would rewrite the tests' assertions at each start. A client of HTTP reads all
    trusted certificates, 20 ms of processor time, and no test but the fresh ones speaks to others.
    """
    if config.option.markexpr != "fresh":
        os.environ["SSL_CERT_FILE"] = str(ROOT / "tests" / "one_certificate.pem")
    gc.disable()
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_finish() -> None:
    """Let tests begin with tables that were made once, and kernels be compiled once.

    And collect no garbage from a million objects of imported modules, 0.3 s each time.
    """
    gc.freeze()
    gc.enable()
    if "numba" in sys.modules:
        from tests.compiled_once import compile_once

        compile_once()
    if "alphafoundry.store.database" in sys.modules:
        from tests.ready_tables import use_ready_tables

        use_ready_tables()


def starts_commands(file: str) -> bool:
    """Return whether the tests of a file start commands, for which they wait half of their time."""
    return file.startswith(("tests/flows/", "tests/deployments/", "tests/tasks/"))


@functools.cache
def is_apart(file: str) -> bool:
    """Return whether the tests of a file may run in several processes.

    A test of a file that starts commands takes seconds to minutes, so a file of them would keep one
    process busy when the others have finished. Where tests share what is expensive they stay
    together.
    """
    return starts_commands(file) and 'scope="module"' not in (ROOT / file).read_text()


def scope_of(nodeid: str) -> str:
    """Return the tests that one process does together: a file, or one test of those apart."""
    file = nodeid.split("::", maxsplit=1)[0]
    return nodeid if is_apart(file) else file


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the tests that wait over the others, and begin with what is slow.

    While one process waits for a command, another one computes. Those that wait are done with when
    a fifth of the others is left: no process has one of them when the others have finished.
    """
    scopes = dict.fromkeys(scope_of(item.nodeid) for item in items)
    slow = {scope_of(item.nodeid) for item in items if item.get_closest_marker("slow")}
    waiting = [one for one in scopes if one in slow or starts_commands(one)]
    waiting.sort(key=lambda one: one not in slow)
    others = [one for one in scopes if one not in set(waiting)]
    place = {one: 0.8 * number / len(waiting) for number, one in enumerate(waiting)}
    place |= {one: number / len(others) for number, one in enumerate(others)}
    items.sort(key=lambda item: place[scope_of(item.nodeid)])


class ByFileOrTest(LoadScopeScheduling):
    """Gives each process the tests of a scope at a time, as `scope_of` names it."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Share the tests among the processes of `pytest -n` as `ByFileOrTest` does."""
    return ByFileOrTest(config, log)


@pytest.fixture(scope="session")
def market_data() -> Path:
    """The folder with real daily bars; skips where it is absent."""
    folder = Path(os.environ.get("FOUNDRY_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "us_equities_2016_2021.parquet").exists():
        pytest.skip(
            f"no real market data in {folder}; set FOUNDRY_TEST_DATA to a folder with "
            "us_equities_2016_2021.parquet and us_top3000_2012_2017.parquet"
        )
    return folder


def of_all_workers(factory: pytest.TempPathFactory) -> Path:
    """Return the temporary folder of this session, the same in each of its processes."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def market_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that holds the calibration market.

    The process that makes it compiles the commonest kernels, too: on a fresh checkout all
    processes would otherwise compile the same ones at the same time.
    """
    from alphafoundry.market import load_market
    from alphafoundry.market.effects import PLANTED
    from alphafoundry.simulation import SimulationSettings, Simulator

    folder = of_all_workers(tmp_path_factory) / "cache"
    with file_lock(folder.with_suffix(".lock"), wait=600) as held:
        assert held is not None
        if not folder.exists():
            draft = folder.with_suffix(".draft")
            simulator = Simulator(load_market("calibration", cache_dir=draft))
            for effect in PLANTED:
                simulator.simulate(effect.expression, SimulationSettings(decay=effect.decay))
            draft.rename(folder)
    return folder


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The PREFECT_HOME of the server that the tests of a process share."""
    return tmp_path_factory.mktemp("prefect")


@pytest.fixture(scope="session")
def prefect_url(prefect_home: Path) -> Iterator[str]:
    """The API address of one Prefect server for all tests of a process of pytest."""
    with prefect_api(prefect_home) as url:
        yield url


@pytest.fixture
def working_folder(
    tmp_path: Path, market_cache: Path, prefect_url: str, prefect_home: Path
) -> WorkingFolder:
    """A working directory of its own, on the shared Prefect server."""
    return WorkingFolder(
        tmp_path / "work", cache=market_cache, api=prefect_url, prefect_home=prefect_home
    )


@pytest.fixture
def lonely_folder(tmp_path: Path, market_cache: Path) -> WorkingFolder:
    """A working directory of its own, without a Prefect server."""
    return WorkingFolder(tmp_path / "work", cache=market_cache)


@pytest.fixture
def in_process(
    working_folder: WorkingFolder, monkeypatch: pytest.MonkeyPatch
) -> Iterator[WorkingFolder]:
    """`working_folder` as this process's own, for flows and tasks that are called here."""
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_HOME,
        PREFECT_LOGGING_TO_API_ENABLED,
        temporary_settings,
    )

    monkeypatch.chdir(working_folder.path)
    for name in [name for name in os.environ if name.startswith("FOUNDRY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FOUNDRY_HOME", str(working_folder.home))
    with temporary_settings(
        {
            PREFECT_API_URL: working_folder.env["PREFECT_API_URL"],
            PREFECT_HOME: working_folder.prefect_home,
            PREFECT_LOGGING_TO_API_ENABLED: False,
        }
    ):
        yield working_folder
