from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.library.llm.chat_server import ChatServer, running_chat_server
from tests.library.llm.ollama_server import OllamaServer, running_server


@pytest.fixture
def server() -> Iterator[OllamaServer]:
    with running_server() as state:
        yield state


@pytest.fixture
def chat_server() -> Iterator[ChatServer]:
    with running_chat_server() as state:
        yield state
