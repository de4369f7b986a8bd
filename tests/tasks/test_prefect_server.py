"""How this process, and the UI, talk to the Prefect server of this folder."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_SSL_CERT_FILE, PREFECT_HOME, temporary_settings

from tasks.prefect.server import _client_settings, prefect_server


async def test_plain_http_reads_one_certificate_and_works(prefect_url: str, tmp_path: Path) -> None:
    with (
        temporary_settings({PREFECT_HOME: tmp_path}),
        temporary_settings(_client_settings(prefect_url)),
    ):
        file = Path(str(PREFECT_API_SSL_CERT_FILE.value()))
        assert file.read_text().count("BEGIN CERTIFICATE") == 1
        async with get_client() as client:
            assert await client.api_healthcheck() is None
        with prefect_server() as server:
            assert server.url == prefect_url


@pytest.mark.parametrize("url", ["https://127.0.0.1/api", "http://prefect.example/api"])
def test_other_servers_are_verified_as_ever(url: str) -> None:
    assert PREFECT_API_SSL_CERT_FILE not in _client_settings(url)


def test_the_ui_asks_the_server_that_it_came_from(prefect_url: str) -> None:
    """Whatever the port: Prefect's default is that of its default port."""
    settings = httpx.get(f"{prefect_url.removesuffix('/api')}/ui-settings")
    assert settings.json()["api_url"] == "/api"
