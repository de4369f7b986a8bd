"""`python -m flows.desk run --broker alpaca`: what is wrong is told before anything starts."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from alphafoundry.market.sessions import last_closed_session
from alphafoundry.market.update import update_market
from alphafoundry.market.update_command import source_named
from tests.library.agents.test_true_clock import alpaca_of, market_until
from tests.library.trading.alpaca_server import KEY, NUMBER, SECRET, Alpaca, serving
from tests.working_folder import WorkingFolder, wait_until

DESK = "flows.desk"
AT_ALPACA = ("run", "--broker", "alpaca", "--market", "bars")
FOR_SOME_ALPHAS = (*AT_ALPACA, "--seeding", "12")


@pytest.fixture
def alpaca(working_folder: WorkingFolder) -> Iterator[Alpaca]:
    """An account, and a folder `bars` of its market up to the last session that has closed."""
    now = datetime.now(UTC)
    account = alpaca_of(market_until(last_closed_session("XNYS", now)), lambda: datetime.now(UTC))
    with serving(account), pytest.MonkeyPatch.context() as patch:
        given = {
            "APCA_API_KEY_ID": KEY,
            "APCA_API_SECRET_KEY": SECRET,
            "FOUNDRY_ALPACA_DATA_URL": account.address,
        }
        for name, value in given.items():
            patch.setenv(name, value)
        folder = working_folder.path / "bars"
        names = ",".join(account.bars)
        source = source_named("alpaca", folder, symbols=names, progress=lambda line: None)
        update_market(folder, source, exchange="XNYS", now=now)
        working_folder.env |= given | {"FOUNDRY_BROKER__ADDRESS": account.address}
        yield account


def one_line(place: WorkingFolder, *words: str, **env: str) -> str:
    """Run a command that must fail with one line, and return that; no key stands in it.

    Lines before it tell of the market that is loaded.
    """
    done = place.run(DESK, *words, **env)
    assert done.returncode == 2, done
    *before, last = done.stderr.splitlines()
    assert last.startswith("error: ") and all(one.startswith("bars: ") for one in before), done
    assert SECRET not in done.stdout + done.stderr
    return last


@pytest.mark.long
def test_what_is_wrong_is_one_line_before_anything_starts(
    working_folder: WorkingFolder, alpaca: Alpaca
) -> None:
    place = working_folder
    told = one_line(place, "run", "--broker", "alpaca")
    assert "alpaca never trades generated prices" in told
    told = one_line(place, *AT_ALPACA, APCA_API_SECRET_KEY="")
    assert "alpaca needs APCA_API_SECRET_KEY in the environment" in told
    told = one_line(place, *AT_ALPACA, APCA_API_SECRET_KEY=f"{SECRET} ")
    assert "APCA_API_SECRET_KEY holds a space" in told
    told = one_line(place, *AT_ALPACA, APCA_API_KEY_ID="another")
    assert "HTTP 403, forbidden" in told
    told = one_line(place, *AT_ALPACA, FOUNDRY_BROKER__ADDRESS="https://api.alpaca.markets")
    assert "may trade real money; set allow_live: true" in told
    told = one_line(place, *AT_ALPACA, FOUNDRY_BROKER__ACCOUNT_NUMBER="PA2")
    assert f"this is account {NUMBER}, the configuration names PA2" in told
    assert "--minutes 0: must be above 0" in one_line(place, *AT_ALPACA, "--minutes", "0")
    (place.path / "config" / "task_schedule.yaml").write_text(
        Path("config/task_schedule.yaml").read_text().replace(", alpaca]", "]")
    )
    assert "data_sources: leaves out alpaca" in one_line(place, *AT_ALPACA)
    assert alpaca.posts() == []
    assert place.count("SELECT count(*) FROM agent_desks") == 0


@pytest.mark.long
def test_a_desk_at_a_broker_ends_with_a_report(
    working_folder: WorkingFolder, alpaca: Alpaca
) -> None:
    ended_with_a_report(working_folder)


def ended_with_a_report(place: WorkingFolder) -> None:
    """Run the desk for some seconds."""
    done = place.run(DESK, *FOR_SOME_ALPHAS, "--minutes", "0.05", timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"account-{NUMBER} trades at 127.0.0.1 (paper money)" in done.stdout + done.stderr
    assert "ledger" in done.stdout and SECRET not in done.stdout + done.stderr
    assert place.count("SELECT count(*) FROM agent_desks WHERE clock = 'wall'") == 1
    assert place.count("SELECT count(*) FROM desks WHERE broker = '127.0.0.1'") == 1
    assert place.count(f"SELECT count(*) FROM runs WHERE settings LIKE '%{SECRET}%'") == 0


@pytest.mark.long
def test_a_desk_at_a_broker_is_taken_up_again_and_reconciled(
    working_folder: WorkingFolder, alpaca: Alpaca
) -> None:
    place = working_folder
    ended_with_a_report(place)
    output = place.path / f"{DESK}.out"
    with place.start(DESK, *FOR_SOME_ALPHAS) as command:
        wait_until(lambda: "on the true clock" in output.read_text(), 600, "the second start")
        command.send_signal(signal.SIGTERM)
        assert command.wait(300) == 0, output.read_text()
    assert SECRET not in output.read_text()
    assert place.count("SELECT count(*) FROM agent_desks WHERE clock = 'wall'") == 1
    assert place.count("SELECT count(*) FROM desks WHERE broker = '127.0.0.1'") == 1
    assert place.count(f"SELECT count(*) FROM runs WHERE settings LIKE '%{SECRET}%'") == 0
    del place.env["FOUNDRY_ALPACA_DATA_URL"]
    done = place.run(DESK, "reconcile")
    assert done.returncode == 0, done.stderr
    assert f"ledger of account-{NUMBER}: reconciled to $0.00 (cash, 0 positions)" in done.stdout
    alpaca.cash += 5
    done = place.run(DESK, "reconcile")
    assert done.returncode == 2
    assert "cash: ledger $1,000,000.00, broker $1,000,005.00, difference -$5.00" in done.stdout
    done = place.run(DESK, "reconcile", "--adopt", "five dollars were paid in")
    assert done.returncode == 0 and "reconciled to $0.00" in done.stdout
    assert place.count("SELECT count(*) FROM control_decisions WHERE subject = 'ledger'") == 1
