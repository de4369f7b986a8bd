"""A broker on paper that answers Alpaca's trading API, stricter than Alpaca's own paper account.

Its fills, fees and payments are modelled (auctions, an intraday path through the day's prices,
participation, spread and impact); its book is kept in decimals by code of its own, so that a
ledger that agrees with it agrees with something. Time passes only when `advance` says so.
"""

from alphafoundry.trading.paper_broker.application import PaperApplication, in_process
from alphafoundry.trading.paper_broker.broker import BrokerRules, PaperBroker
from alphafoundry.trading.paper_broker.faults import Faults

__all__ = ["BrokerRules", "Faults", "PaperApplication", "PaperBroker", "in_process"]
