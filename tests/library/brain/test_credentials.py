"""Credentials are read from where the user put them, and shown nowhere."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import sqlite3
import traceback
from pathlib import Path

import pytest
from fastapi import FastAPI

from alphafoundry.brain import BrainClient, Credentials, load_credentials
from alphafoundry.errors import AuthenticationError, BrainUnavailable, ConfigurationError
from tests.library.brain.conftest import PASSWORD, SETTINGS
from tests.library.brain.faults import FaultyBrain, serve

EMAIL = "researcher@example.com"
BASIC = "cmVzZWFyY2hlckBleGFtcGxlLmNvbTpjb3JyM2N0LWgwcnNl"


def everything_told(problem: BaseException) -> str:
    """All that a log or a debugger would show of an exception and those behind it."""
    texts = ["".join(traceback.format_exception(problem))]
    links: list[BaseException | None] = [problem]
    while links:
        link = links.pop()
        if link is not None:
            texts.append(f"{link!r} {link.args!r} {vars(link)!r}")
            request = getattr(link, "_request", None)
            texts.append(str(list(request.headers.raw)) if request is not None else "")
            links += [link.__cause__, link.__context__]
    return "\n".join(texts)


def test_file_holds_a_json_list(tmp_path: Path) -> None:
    path = tmp_path / "credential.txt"
    path.write_text(json.dumps([EMAIL, PASSWORD]))
    assert load_credentials(path, {}).email == EMAIL


def test_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "credential.txt"
    path.write_text(json.dumps([EMAIL, PASSWORD]))
    env = {"FOUNDRY_BRAIN_EMAIL": "other@example.com", "FOUNDRY_BRAIN_PASSWORD": "x"}
    assert load_credentials(path, env).email == "other@example.com"


@pytest.mark.parametrize(
    "content",
    [
        f'["{EMAIL}", "{PASSWORD}"',
        f'{{"email": "{EMAIL}", "password": "{PASSWORD}"}}',
        f'["{EMAIL}", "{PASSWORD}", ""]',
        f'["{EMAIL}", ["{PASSWORD}"]]',
        f"{EMAIL}\n{PASSWORD}\n",
        f'["", "{PASSWORD}"]',
        "",
        "[" * 5000,
    ],
)
def test_malformed_file_is_named_and_not_repeated(tmp_path: Path, content: str) -> None:
    path = tmp_path / "credential.txt"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=r"credential\.txt.*JSON list") as caught:
        load_credentials(path, {})
    assert PASSWORD not in everything_told(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_binary_file_and_nothing_at_all(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        load_credentials(tmp_path / "absent.txt", {})
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="JSON list"):
        load_credentials(binary, {})
    with pytest.raises(ConfigurationError, match="FOUNDRY_BRAIN_EMAIL"):
        load_credentials(None, {})
    with pytest.raises(ConfigurationError, match="FOUNDRY_BRAIN_PASSWORD is not"):
        load_credentials(None, {"FOUNDRY_BRAIN_EMAIL": EMAIL})


def test_password_is_in_no_text_of_the_credentials(credentials: Credentials) -> None:
    for text in (repr(credentials), str(credentials), f"{credentials}", str([credentials])):
        assert PASSWORD not in text and BASIC not in text and EMAIL not in text


def test_credentials_cannot_be_serialized(credentials: Credentials) -> None:
    for serialize in (pickle.dumps, json.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            serialize(credentials)


async def test_password_is_in_no_error_log_or_state(
    faulty: FaultyBrain,
    url: str,
    credentials: Credentials,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    caplog.set_level(logging.DEBUG)
    told = []
    for fault in ("drop-before", "500", "not-json", "truncated", "expired"):
        faulty.plan(fault, path="/authentication")
        async with BrainClient(url, credentials) as client:
            try:
                await client.authenticate()
            except (BrainUnavailable, AuthenticationError) as problem:
                told.append(everything_told(problem))
            told.append(repr(client))
    assert len(told) > 5
    async with BrainClient("http://127.0.0.1:1", credentials) as client:
        with pytest.raises(BrainUnavailable) as caught:
            await client.operators()
        told.append(everything_told(caught.value))
    async with BrainClient(url, credentials) as client:
        await client.poll_simulation(await client.post_simulation("rank(close)", SETTINGS))
    for text in (*told, caplog.text):
        assert PASSWORD not in text and BASIC not in text
    with sqlite3.connect(tmp_path / "state.sqlite") as connection:
        dump = "\n".join(connection.iterdump())
    assert "rank(close)" in dump and PASSWORD not in dump and EMAIL not in dump


async def test_wrong_password_is_refused_without_repeating_it(
    make_app: object, credentials: Credentials
) -> None:
    app: FastAPI = make_app(credentials=Credentials(EMAIL, "right"))  # type: ignore[operator]
    with serve(app) as url:
        async with BrainClient(url, credentials) as client:
            with pytest.raises(AuthenticationError, match="refused the email") as caught:
                await client.authenticate()
    assert PASSWORD not in everything_told(caught.value)
