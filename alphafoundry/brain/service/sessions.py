"""Signing in: tokens in a cookie, Basic credentials, and the biometric step."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from alphafoundry.brain.credentials import Credentials
from alphafoundry.brain.service.replies import NOT_SIGNED_IN, JsonBody, RefusedError

USER = "AF00001"
COOKIE = "t"
LONGEST_TOKEN = 14400.0
TRIES_BEFORE_CAPTCHA = 5

_WRONG = {"detail": "INVALID_CREDENTIALS"}


@dataclass
class Sessions:
    """Who is signed in.

    Parameters
    ----------
    credentials : None accepts anybody
    token_seconds : life of a token
    persona : signing in needs a biometric step, which opening its link stands for
    """

    credentials: Credentials | None
    token_seconds: float
    persona: bool
    _tokens: dict[str, float] = field(default_factory=dict)
    _inquiries: dict[str, bool] = field(default_factory=dict)
    _failures: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    async def required(self, request: Request) -> None:
        """Refuse a request with 401 unless it has a living token or right credentials."""
        if self.seconds_left(request) is None and not self._knows(request, anonymous=False):
            raise RefusedError(401, NOT_SIGNED_IN)

    def seconds_left(self, request: Request) -> float | None:
        """Return how long the token of a request lives on, None without one that does."""
        token = request.cookies.get(COOKIE, "")
        with self._lock:
            left = self._tokens.get(token, 0.0) - time.monotonic()
        return left if left > 0 else None

    def _knows(self, request: Request, *, anonymous: bool) -> bool:
        given = request.headers.get("authorization", "")
        if self.credentials is None:
            return anonymous or given.startswith("Basic ")
        return self.credentials.accepts(given)

    def authenticate(self, request: Request) -> None:
        """Refuse wrong credentials, and after many of them ask for a captcha too."""
        if self._knows(request, anonymous=True):
            self._failures = 0
            return
        self._failures += 1
        captcha = {"recaptcha": ["This field is required."]}
        raise RefusedError(401, _WRONG | (captcha if self._failures > TRIES_BEFORE_CAPTCHA else {}))

    def open(self, request: Request, life: float) -> JSONResponse:
        """Return the answer of a sign-in, with a new token in its cookie."""
        token = secrets.token_urlsafe(32)
        now = time.monotonic()
        with self._lock:
            self._tokens = {key: end for key, end in self._tokens.items() if end > now}
            self._tokens[token] = now + life
        response = JSONResponse(account(life), 201)
        # A cookie that is `secure` would not come back over plain http.
        response.set_cookie(
            COOKIE, token, httponly=True, path="/", secure=request.url.scheme == "https"
        )
        return response

    def close(self, request: Request) -> bool:
        """Forget the token of a request; tell whether there was one."""
        with self._lock:
            return self._tokens.pop(request.cookies.get(COOKIE, ""), None) is not None

    def inquire(self) -> str:
        """Return a new inquiry of the biometric step."""
        inquiry = f"inq_{secrets.token_urlsafe(12)}"
        self._inquiries[inquiry] = False
        return inquiry

    def confirm(self, inquiry: str) -> bool:
        """Note that the person opened the link; False where the inquiry is unknown."""
        if inquiry not in self._inquiries:
            return False
        self._inquiries[inquiry] = True
        return True

    def confirmed(self, inquiry: str) -> bool:
        """Tell whether the person opened the link."""
        return self._inquiries.get(inquiry, False)


def account(seconds_left: float) -> dict[str, Any]:
    """Return the body of an authentication."""
    return {
        "user": {"id": USER},
        "token": {"expiry": round(seconds_left, 3)},
        "permissions": ["MULTI_SIMULATION"],
    }


def _life(body: Any, longest: float) -> float:
    wanted = body.get("expiry") if isinstance(body, dict) else None
    if wanted is None:
        return longest
    if isinstance(wanted, bool) or not isinstance(wanted, int | float):
        raise RefusedError(400, {"expiry": ["A valid number is required."]})
    if not 1 <= wanted <= LONGEST_TOKEN:
        raise RefusedError(400, {"expiry": ["Ensure this value is between 1 and 14400."]})
    return min(float(wanted), longest)


def session_routes(sessions: Sessions) -> APIRouter:
    """Return the routes of /authentication."""
    router = APIRouter()

    @router.post("/authentication")
    def sign_in(request: Request, body: JsonBody) -> Response:
        sessions.authenticate(request)
        life = _life(body, sessions.token_seconds)
        if not sessions.persona:
            return sessions.open(request, life)
        return _persona(sessions.inquire())

    @router.api_route("/authentication", methods=["GET", "HEAD"])
    def look(request: Request) -> Response:
        left = sessions.seconds_left(request)
        return Response(status_code=204) if left is None else JSONResponse(account(left))

    @router.get("/users/self")
    async def own_account(request: Request) -> dict[str, Any]:
        await sessions.required(request)
        return {"id": USER, "email": None, "firstName": None, "lastName": None}

    @router.delete("/authentication")
    def sign_out(request: Request) -> Response:
        if not sessions.close(request):
            raise RefusedError(401, _WRONG)
        response = Response(status_code=204)
        response.delete_cookie(COOKIE, path="/")
        return response

    @router.get("/authentication/persona")
    def open_link(inquiry: str = "") -> Response:
        if not sessions.confirm(inquiry):
            return HTMLResponse("<p>This link is not valid; sign in again.</p>", 404)
        return HTMLResponse("<p>Confirmed. You can close this page.</p>")

    @router.post("/authentication/persona")
    def ask_again(request: Request, inquiry: str = "") -> Response:
        sessions.authenticate(request)
        if not sessions.confirmed(inquiry):
            return _persona(inquiry)
        return sessions.open(request, sessions.token_seconds)

    return router


def _persona(inquiry: str) -> JSONResponse:
    return JSONResponse(
        {"inquiry": inquiry},
        401,
        headers={
            "WWW-Authenticate": "persona",
            "Location": f"/authentication/persona?inquiry={inquiry}",
        },
    )
