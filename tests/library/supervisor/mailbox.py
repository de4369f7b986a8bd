"""A web server that alerts go to."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Mailbox:
    """A web server that keeps what it is sent, and can refuse."""

    def __init__(self) -> None:
        self.status = 200
        self.taken: list[dict[str, str]] = []
        self.asked: list[str] = []
        mailbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if mailbox.status == 200:
                    mailbox.taken.append(body)
                self.send_response(mailbox.status)
                self.end_headers()

            def do_GET(self) -> None:
                mailbox.asked.append(self.path)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
