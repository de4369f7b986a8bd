"""The broker of the settings: paper by default, live only where it is typed twice."""

from __future__ import annotations

import pytest

from alphafoundry.agents.chosen_broker import chosen_broker
from alphafoundry.errors import BrokerError, ConfigurationError
from alphafoundry.settings import BrokerSettings, FoundrySettings
from tests.library.market.test_vendors import served

KEYS = {"APCA_API_KEY_ID": "id", "APCA_API_SECRET_KEY": "hush"}


def chosen(synthetic: bool = False, keys: dict[str, str] | None = None, **given):
    settings = FoundrySettings(broker=BrokerSettings(**given))
    return chosen_broker(
        settings,
        synthetic=synthetic,
        market="SYNTHETIC market",
        environment=KEYS if keys is None else keys,
    )


def test_the_usual_broker_is_the_one_of_this_project() -> None:
    assert chosen() is None
    assert chosen(synthetic=True) is None


def test_generated_prices_never_trade_at_a_real_account() -> None:
    with pytest.raises(ConfigurationError, match="never trades generated prices") as told:
        chosen(synthetic=True, provider="alpaca")
    assert "\n" not in str(told.value)


def test_the_paper_address_is_the_usual_one_and_live_is_typed_twice() -> None:
    with chosen(provider="alpaca") as client:
        assert not client.live
    live = {"provider": "alpaca", "address": "https://api.alpaca.markets"}
    for missing in ({}, {"allow_live": True}, {"account_number": "123"}):
        with pytest.raises(ConfigurationError, match="real money"):
            chosen(**live, **missing)
    with chosen(**live, allow_live=True, account_number="123") as client:
        assert client.live


def test_missing_keys_are_named() -> None:
    with pytest.raises(ConfigurationError, match="APCA_API_SECRET_KEY"):
        chosen(provider="alpaca", keys={"APCA_API_KEY_ID": "x"})


@pytest.mark.parametrize("secret", ["hush ", "hush\n", "hu\u200bsh", "ключ"])
def test_a_key_that_was_copied_wrong_is_refused_and_not_told(secret: str) -> None:
    with pytest.raises(ConfigurationError, match="APCA_API_SECRET_KEY holds a space") as told:
        chosen(provider="alpaca", keys={**KEYS, "APCA_API_SECRET_KEY": secret})
    assert secret.strip() not in str(told.value)


def test_another_account_than_the_one_typed_is_refused() -> None:
    body = {"account_number": "PA1", "cash": "10", "equity": "10", "status": "ACTIVE"}
    with served(lambda *_: (200, body, {})) as service:
        given = {"provider": "alpaca", "address": service.address}
        with chosen(**given, account_number="PA1") as client:
            assert client.account().number == "PA1"
        with (
            chosen(**given, account_number="PA2") as client,
            pytest.raises(BrokerError, match="this is account PA1"),
        ):
            client.account()
