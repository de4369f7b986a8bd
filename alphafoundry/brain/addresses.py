"""Addresses of the BRAIN API: which are trusted, and how a Location is read."""

from __future__ import annotations

import re

import httpx

from alphafoundry.errors import BrainRequestError, ConfigurationError

BRAIN_URL = "https://api.worldquantbrain.com"

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


def is_worldquant(url: httpx.URL) -> bool:
    """Tell whether the host is one of the real service."""
    return url.host == "worldquantbrain.com" or url.host.endswith(".worldquantbrain.com")


def base_address(text: str) -> httpx.URL:
    """Return the address of a service without a trailing slash.

    Raises ConfigurationError where `text` is not an http or https address.
    """
    try:
        url = httpx.URL(text.rstrip("/"))
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigurationError(
            f"{text!r} is not the address of a BRAIN service; give one such as {BRAIN_URL} or "
            "http://127.0.0.1:8787"
        )
    return _secured(url)


def absolute_location(location: str, base: httpx.URL) -> httpx.URL:
    """Return the address that a Location header names, absolute or relative to `base`.

    The real service answers `http://api.worldquantbrain.com:443/...`, which is read as https.

    Raises BrainRequestError where it leads to another host, port or scheme than `base`: the
    session's cookie and credentials go to `base` only.
    """
    try:
        url = _secured(httpx.URL(f"{base}/").join(location))
    except httpx.InvalidURL:
        raise BrainRequestError(
            f"{base.host} sent a Location that cannot be read", status=0, detail=location[:500]
        ) from None
    if _origin(url) != _origin(base):
        raise BrainRequestError(
            f"{base.host} points to {url.scheme}://{url.netloc.decode()}, which is not where "
            "it was asked; not followed",
            status=0,
            detail=location[:500],
        )
    return url


def simulation_at(location: str, base: httpx.URL) -> httpx.URL | None:
    """Return the address below `base` of the simulation that a Location header names.

    Where a proxy in between lets the Location lead to another host, port or scheme, the simulation
    runs all the same, and is asked for by its path at `base`. None where the header names none.
    """
    try:
        return absolute_location(location, base) if location else None
    except BrainRequestError:
        _, found, number = location.partition("/simulations/")
    if not found or not re.fullmatch(r"[\w-]+", number, re.ASCII):
        return None
    return httpx.URL(f"{base}/simulations/{number}")


def _secured(url: httpx.URL) -> httpx.URL:
    if url.scheme == "http" and is_worldquant(url) and url.port in (None, 443):
        return url.copy_with(scheme="https", port=None)
    return url


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme, 0)
