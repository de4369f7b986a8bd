"""`python -m alphafoundry broker`: the paper broker on a port."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from alphafoundry.errors import ConfigurationError, TradingError
from alphafoundry.market import load_market
from alphafoundry.trading.market_day import MarketDays
from alphafoundry.trading.paper_broker.application import PaperApplication
from alphafoundry.trading.paper_broker.broker import BEFORE_OPEN, PaperBroker
from alphafoundry.trading.paper_broker.faults import Faults
from alphafoundry.trading.paper_broker.intraday import LABEL

_SHARES = ("answer_lost", "gateway_timeout", "too_many")
_SWITCHES = ("duplicate_fills", "reordered_fills", "fill_after_cancel")


def broker_command(options: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Serve until Ctrl-C. Raises FoundryError before anything is served."""
    import uvicorn

    faults = read_faults(options.fault)
    with _listening(options.port) as listener:
        panel = load_market(options.market, cache_dir=options.state.parent, seed=options.seed)
        days = panel.dates[[0, -1]].tolist()
        first, last = options.first or days[0], options.last or days[1]
        market = MarketDays.from_panel(panel, first, last)
        if not market.days:
            raise ConfigurationError(
                f"{panel.label}: there is no day from {first} to {last}; correct --first and --last"
            )
        broker = PaperBroker(
            market,
            start=_start(market),
            cash=options.cash,
            faults=faults,
            seed=options.seed,
            state=options.state,
        )
        say(market.label)
        say(LABEL)
        say(f"account {broker.account_number}, {broker.equity} USD at {broker.now.isoformat()}")
        say(f"serving Alpaca's trading API on http://127.0.0.1:{listener.getsockname()[1]}")
        configuration = uvicorn.Config(
            PaperApplication(broker), log_level="critical", access_log=False
        )
        try:
            uvicorn.Server(configuration).run(sockets=[listener])
        finally:
            broker.close()


def read_faults(texts: Sequence[str]) -> Faults:
    """Return faults from texts such as "answer_lost=0.1" and "duplicate_fills=on".

    Raises ConfigurationError for another name or value.
    """
    values: dict[str, Any] = {}
    known = [one.name for one in fields(Faults) if one.name in (*_SHARES, *_SWITCHES)]
    for text in texts:
        name, _, value = text.partition("=")
        if name in _SWITCHES and value in ("on", "off"):
            values[name] = value == "on"
            continue
        try:
            values[name] = float(value)
        except ValueError:
            values[name] = -1.0
        if name not in _SHARES or not 0.0 <= values[name] <= 1.0:
            raise ConfigurationError(
                f"--fault {text}: write a share from 0 to 1 for {', '.join(_SHARES)}, and on or "
                f"off for {', '.join(one for one in known if one in _SWITCHES)}"
            )
    try:
        return Faults(**values)
    except TradingError as problem:
        raise ConfigurationError(f"--fault: {problem}") from None


def _start(market: MarketDays) -> datetime:
    first = min(market.days)
    return market.days[first].session.opens - BEFORE_OPEN - timedelta(minutes=1)


def _listening(port: int) -> socket.socket:
    # Before the market is loaded, so that a port in use is told at once.
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
    except OSError as problem:
        listener.close()
        raise ConfigurationError(
            f"cannot listen on 127.0.0.1:{port}: {problem.strerror}; choose another with --port"
        ) from None
    return listener
