"""Connections that say nothing, or too little, are closed: they must not use up a server's room."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 20.0


class ImpatientProtocol(H11Protocol):
    """HTTP of uvicorn, which by itself waits for the head of a first request for ever.

    Between requests uvicorn closes what is silent for some seconds; a request whose head is whole
    may take as long as it likes.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the head of a request."""
        super().connection_made(transport)
        self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _give_up(self) -> None:
        # A WebSocket has left the connections of HTTP.
        if self.cycle is None and self in self.connections:
            self.transport.close()
