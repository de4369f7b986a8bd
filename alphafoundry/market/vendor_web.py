"""Requests to vendors over HTTP: keys stay with the vendor, limits end them, odd answers are told.

web = VendorWeb("alpaca", address, headers, secrets=(key, secret))
web.get("/v2/stocks/bars", query)     # the JSON object of the answer
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from alphafoundry.errors import MarketError
from alphafoundry.retry_after import retry_after

LONGEST_WAIT = 90.0
"""Seconds of a limit that are waited for; a longer one ends what was asked for."""

_TIMEOUT = 30.0
_MOST_PAGES = 1000
_LIMITS = ("rate limit", "requests per day", "call frequency", "premium", "per minute")
_OK, _BAD_KEY, _TOO_MANY = 200, (401, 403), 429


class QuotaExhausted(MarketError):
    """A vendor gives no more for now; what came is kept, and the same goes on later.

    Attributes
    ----------
    seconds : after which the vendor gives again; None where it does not say
    """

    transient = True

    def __init__(self, told: str, *, seconds: float | None = None) -> None:
        super().__init__(told)
        self.seconds = seconds


class NoAnswer(Exception):
    """Nothing usable came, and it may with the next attempt."""


@dataclass
class VendorWeb:
    """Requests to one vendor.

    Attributes
    ----------
    secrets : what stands in no message
    spacing : seconds between two requests, by the vendor's limit a minute
    wait : sleeps for the given seconds
    asks_for : what its plan has to hold, for the message of a refusal
    longest_wait : seconds of a limit that are waited for
    """

    vendor: str
    address: str
    headers: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    spacing: float = 0.0
    wait: Callable[[float], None] = time.sleep
    asks_for: str = "daily bars"
    longest_wait: float = LONGEST_WAIT
    _asked: bool = False

    def get(self, path: str, query: Mapping[str, Any]) -> dict[str, Any]:
        """Return the JSON object of an answer, after a limit that ends soon.

        Raises QuotaExhausted for a limit that does not, NoAnswer where nothing usable came,
        MarketError for a refusal.
        """
        for _ in range(3):
            if self._asked and self.spacing:
                self.wait(self.spacing)
            self._asked = True
            try:
                # Redirects are not followed: they would take the key elsewhere.
                answer = httpx.get(
                    self.address + path, params=query, headers=self.headers, timeout=_TIMEOUT
                )
            except httpx.HTTPError as problem:
                raise NoAnswer(type(problem).__name__) from None
            if answer.status_code != _TOO_MANY:
                return self._read(answer)
            seconds = _until_reset(answer.headers)
            if seconds > self.longest_wait:
                when = f"{datetime.now(UTC) + timedelta(seconds=seconds):%Y-%m-%d %H:%M} UTC"
                raise QuotaExhausted(
                    f"{self.vendor}: its limit is reached until {when}; ask again then",
                    seconds=seconds,
                )
            self.wait(seconds)
        raise QuotaExhausted(f"{self.vendor}: its limit is reached; ask again later")

    def _read(self, answer: httpx.Response) -> dict[str, Any]:
        if answer.status_code in _BAD_KEY:
            raise MarketError(
                f"{self.vendor}: answered {answer.status_code}: {self.shown(answer.text)}; see "
                f"whether the key is right and its plan holds {self.asks_for}"
            )
        if answer.is_server_error:
            raise NoAnswer(f"answered {answer.status_code}")
        if answer.status_code != _OK:
            raise MarketError(
                f"{self.vendor}: answered {answer.status_code}: {self.shown(answer.text)}"
            )
        try:
            found = answer.json()
        except ValueError:
            raise NoAnswer("the answer is no JSON") from None
        if not isinstance(found, dict):
            raise self.odd(f"an object was promised, and {type(found).__name__} came")
        return found

    def odd(self, what: str) -> MarketError:
        """Return the error for an answer that is not of the promised form."""
        return MarketError(f"{self.vendor}: {self.shown(what)}; nothing of it was stored")

    def shown(self, text: str) -> str:
        """Return the first 200 characters of a text in one line, without secrets."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return " ".join(text.split())[:200]

    def number(self, where: str, key: str, value: Any) -> float:
        """Return a number, which may be written as a text; raise MarketError for anything else."""
        try:
            found = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            found = math.nan
        if not math.isfinite(found):
            raise self.odd(f"{where}: {key} is {value!r}, no number")
        return found

    def objects(self, where: str, found: Any) -> list[dict[str, Any]]:
        """Return a list of objects; raise MarketError for anything else."""
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise self.odd(f"{where}: no list of objects came")
        return found

    def refuse_note(self, answer: Mapping[str, Any]) -> None:
        """Raise for what Alpha Vantage tells under HTTP 200 in place of an answer.

        Raises QuotaExhausted for a limit, MarketError for anything else. "Error Message" is left
        to the caller: for some questions it says that there is nothing.
        """
        told = str(answer.get("Note") or answer.get("Information") or "")
        if any(word in told.lower() for word in _LIMITS):
            raise QuotaExhausted(f"{self.vendor}: {self.shown(told)}")
        if told:
            raise MarketError(f"{self.vendor}: {self.shown(told)}")

    def massive_pages(
        self, path: str, query: Mapping[str, Any], what: str, *, ticker: str | None = None
    ) -> Iterator[list[dict[str, Any]]]:
        """Yield the results of each page of an answer of Massive.

        Parameters
        ----------
        what : is asked for, for messages
        ticker : which every page has to be of

        Raises MarketError for a page that is not of the promised form, comes twice or is on
        another host.
        """
        seen: set[str] = set()
        for _ in range(_MOST_PAGES):
            answer = self.get(path, query)
            if answer.get("status") not in ("OK", "DELAYED"):
                told = answer.get("error") or answer.get("message") or answer.get("status")
                raise self.odd(f"{what}: {told}")
            if ticker is not None and answer.get("ticker", ticker) != ticker:
                raise self.odd(f"{what} was asked for, and {answer.get('ticker')!r} came")
            # Where there is nothing, `results` is absent.
            yield self.objects(what, answer.get("results", []))
            following = answer.get("next_url")
            if following is None:
                return
            url = httpx.URL(str(following))
            if url.host != httpx.URL(self.address).host or str(url) in seen:
                raise self.odd(f"{what}: its next page is on {url.host}, or came before")
            seen.add(str(url))
            path, query = url.path, dict(url.params)
        raise self.odd(f"{what}: more than {_MOST_PAGES} pages")

    def alpaca_pages(self, path: str, query: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield each page of an answer of Alpaca; raise MarketError for one that comes twice."""
        seen: set[str] = set()
        token: str | None = None
        for _ in range(_MOST_PAGES):
            answer = self.get(path, query if token is None else {**query, "page_token": token})
            yield answer
            token = answer.get("next_page_token")
            if token is None:
                return
            if token in seen:
                raise self.odd("the same page came twice")
            seen.add(token)
        raise self.odd(f"more than {_MOST_PAGES} pages")


def _until_reset(headers: Mapping[str, str]) -> float:
    """Return the seconds that a 429 asks to wait: Retry-After, or the time of its reset."""
    asked = retry_after(headers)
    if asked is not None:
        return asked
    try:
        return max(1.0, float(headers.get("X-Ratelimit-Reset", "")) - time.time())
    except ValueError:
        return 60.0


@dataclass(frozen=True)
class Access:
    """What it takes to ask a vendor.

    Attributes
    ----------
    keys : in the order in which the vendor's headers name them
    address : that stands over the usual one; None leaves that
    """

    keys: tuple[str, ...]
    address: str | None


_VARIABLES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "alpha_vantage": ("FOUNDRY_ALPHA_VANTAGE_URL", ("ALPHAVANTAGE_API_KEY",)),
    "massive": ("FOUNDRY_MASSIVE_URL", ("MASSIVE_API_KEY",)),
    "alpaca": ("FOUNDRY_ALPACA_DATA_URL", ("APCA_API_KEY_ID", "APCA_API_SECRET_KEY")),
}
"""By name the variables that hold a vendor's address and its keys."""


def access_of(name: str, environment: Mapping[str, str]) -> Access:
    """Return a vendor's keys and address from the environment.

    POLYGON_API_KEY is taken where MASSIVE_API_KEY is not set or empty; FOUNDRY_MASSIVE_URL,
    FOUNDRY_ALPHA_VANTAGE_URL and FOUNDRY_ALPACA_DATA_URL stand over the addresses.

    Raises MarketError where a key is missing.
    """
    address, names = _VARIABLES[name]
    given = {one: value for one, value in environment.items() if value}
    given.setdefault("MASSIVE_API_KEY", given.get("POLYGON_API_KEY", ""))
    missing = [one for one in names if not given.get(one)]
    if missing:
        raise MarketError(f"{name}: set {' and '.join(missing)} to your key")
    elsewhere = given[address].rstrip("/") if address in given else None
    return Access(tuple(given[one] for one in names), elsewhere)
