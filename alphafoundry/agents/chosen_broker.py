"""The broker that the settings name: the one of this project, or an account at Alpaca."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from alphafoundry.errors import ConfigurationError
from alphafoundry.settings import FoundrySettings
from alphafoundry.trading.broker_client import PAPER_URL, BrokerClient

KEYS = ("APCA_API_KEY_ID", "APCA_API_SECRET_KEY")


def chosen_broker(
    settings: FoundrySettings,
    *,
    synthetic: bool,
    market: str,
    environment: Mapping[str, str] | None = None,
) -> BrokerClient | None:
    """Return a client of the account at Alpaca; None where the settings name the paper broker here.

    Nothing is asked yet: `BrokerClient.account` compares the number before the first order.

    Parameters
    ----------
    synthetic : whether the market's prices are generated; such a market never has an account
    market : its label, for the refusal
    environment : holds the keys; None is that of this process

    Raises ConfigurationError for a generated market, for missing or odd keys, and for an address
    that may trade real money without `allow_live: true` and the account's number.
    """
    chosen = settings.broker
    if chosen.provider == "paper":
        return None
    if synthetic:
        raise ConfigurationError(
            f"broker: alpaca never trades generated prices ({market}); choose another market, or "
            "set broker.provider: paper"
        )
    given = os.environ if environment is None else environment
    missing = [name for name in KEYS if not given.get(name)]
    if missing:
        raise ConfigurationError(f"broker: alpaca needs {' and '.join(missing)} in the environment")
    odd = [name for name in KEYS if not re.fullmatch(r"[\x21-\x7e]+", given[name])]
    if odd:
        raise ConfigurationError(
            f"broker: {odd[0]} holds a space or a character that no key has; copy it again"
        )
    return BrokerClient(
        chosen.address or PAPER_URL,
        key=given[KEYS[0]],
        secret=given[KEYS[1]],
        allow_live=chosen.allow_live,
        account_number=chosen.account_number,
    )
