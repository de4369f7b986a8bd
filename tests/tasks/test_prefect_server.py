"""The server behind `make server`."""

from __future__ import annotations

import httpx


def test_the_ui_talks_to_the_server_it_comes_from(prefect_url: str) -> None:
    """On a port of its own the pages would otherwise ask port 4200 and show nothing."""
    settings = httpx.get(prefect_url.replace("/api", "/ui-settings"), timeout=30).json()
    assert settings["api_url"] == prefect_url
