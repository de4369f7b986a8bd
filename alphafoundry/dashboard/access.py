"""Who may look at the dashboard and act on it: tokens, single-use links, sessions, form nonces.

The token lies in a file that only the user may read. A link carries a code made from it, which
holds for a minute and once; the browser gets a session in its place, which can be revoked.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from alphafoundry.errors import FoundryError
from alphafoundry.file_lock import file_lock
from alphafoundry.whole_file import replace_file

Role = Literal["acts", "reads"]

FOLDER = "dashboard"
CODE_SECONDS = 60.0
SESSION_SECONDS = 30 * 86_400.0
MOST_SESSIONS = 200
VISIT_GAP = 1800.0
"""Seconds without a look after which the next one is a new visit."""

_SAVE_SECONDS = 60.0
_TOKENS: dict[Role, str] = {"acts": "token", "reads": "read-token"}


class NotSignedIn(FoundryError):
    """A request has no session, or a link or token that does not hold."""


@dataclass(frozen=True)
class Session:
    """A browser that has signed in.

    Attributes
    ----------
    name : by which actions are recorded; no secret
    role : "acts" may do everything, "reads" only look
    key : of its form nonces
    began, seen : seconds since 1970
    visit : when the visit before this one ended
    """

    name: str
    role: Role
    key: str
    began: float
    seen: float
    visit: float


class Access:
    """Tokens and sessions of one dashboard, in a folder of its own.

    Parameters
    ----------
    port : of the dashboard; its codes and its cookie are of no use at another one
    clock : gives seconds since 1970
    """

    def __init__(self, folder: Path, *, port: int, clock: Callable[[], float] = time.time) -> None:
        self.cookie = f"foundry_{port}"
        self._port = port
        self._clock = clock
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._tokens = {role: _token(folder / name) for role, name in _TOKENS.items()}
        self._file = folder / "sessions.json"
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}
        self._used: dict[str, float] = {}
        self._read_at: tuple[int, int] | None = None
        self._saved = 0.0

    def code(self, role: Role = "acts") -> str:
        """Return what a link carries: it signs in once, within a minute."""
        until = int(self._clock() + CODE_SECONDS)
        body = f"{role}.{until}.{secrets.token_urlsafe(12)}"
        return f"{body}.{self._sign(role, body)}"

    def redeem(self, code: str) -> str:
        """Return a new session for a code.

        Raises NotSignedIn where it is not one of ours, too old, or used before.
        """
        parts = code.split(".")
        role = next((one for one in get_args(Role) if one == parts[0]), None)
        if len(parts) != 4 or role is None or not parts[1].isdecimal():
            raise NotSignedIn("this link is not complete; `python -m flows.web --link` makes one")
        body = ".".join(parts[:3])
        good = hmac.compare_digest(parts[3].encode(), self._sign(role, body).encode())
        if not good or int(parts[1]) < self._clock():
            raise NotSignedIn(
                "this link holds no more (a minute, and once); `python -m flows.web --link` makes "
                "a new one"
            )
        with self._changing():
            if parts[2] in self._used:
                raise NotSignedIn(
                    "this link was used already; `python -m flows.web --link` makes a new one"
                )
            self._used[parts[2]] = float(parts[1])
            return self._begin(role)

    def sign_in(self, token: str) -> str:
        """Return a new session for the token, or for the one that only reads.

        Raises NotSignedIn for any other text.
        """
        role = self.role_of(token)
        if role is None:
            raise NotSignedIn("this is not the token of this dashboard")
        with self._changing():
            return self._begin(role)

    def role_of(self, token: str) -> Role | None:
        """Return what a token allows, None where it is none."""
        found: Role | None = None
        for role, known in self._tokens.items():
            if hmac.compare_digest(token.strip().encode(), known.encode()):
                found = role
        return found

    def session(self, given: str | None) -> Session | None:
        """Return the session of a cookie, None where it has none or it was revoked."""
        if not given:
            return None
        key = _hash(given)
        now = self._clock()
        with self._lock:
            self._read_again()
            found = self._sessions.get(key)
            if found is None or now - found.began > SESSION_SECONDS:
                return None
            visit = found.seen if now - found.seen > VISIT_GAP else found.visit
            seen = replace(found, seen=now, visit=visit)
            self._sessions[key] = seen
        if now - self._saved > _SAVE_SECONDS or visit != found.visit:
            with contextlib.suppress(OSError), self._changing():
                if key in self._sessions:
                    self._sessions[key] = seen
                self._saved = now
        return seen

    def sign_out(self, given: str) -> None:
        """Revoke one session."""
        with self._changing():
            self._sessions.pop(_hash(given), None)

    def sign_out_all(self) -> int:
        """Revoke every session; return how many there were."""
        with self._changing():
            count = len(self._sessions)
            self._sessions.clear()
        return count

    def nonce(self, session: Session) -> str:
        """Return a nonce for one form of a session."""
        body = secrets.token_urlsafe(12)
        return f"{body}.{_mac(session.key, body)}"

    def is_nonce(self, session: Session, nonce: str) -> bool:
        """Tell whether a nonce was made for this session."""
        body, _, mac = nonce.partition(".")
        return hmac.compare_digest(mac.encode(), _mac(session.key, body).encode())

    def _sign(self, role: Role, body: str) -> str:
        return _mac(self._tokens[role], f"{self._port}.{body}")

    def _begin(self, role: Role) -> str:
        given = secrets.token_urlsafe(32)
        now = self._clock()
        self._sessions[_hash(given)] = Session(
            name=f"{role}-{secrets.token_hex(3)}",
            role=role,
            key=secrets.token_urlsafe(32),
            began=now,
            seen=now,
            visit=now,
        )
        return given

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Change the file: read it anew, let the block change it, write it."""
        with self._lock, file_lock(self._folder / "sessions.lock"):
            self._read_again()
            yield
            now = self._clock()
            alive = {
                k: one for k, one in self._sessions.items() if now - one.began < SESSION_SECONDS
            }
            newest = sorted(alive.items(), key=lambda one: one[1].seen)[-MOST_SESSIONS:]
            self._sessions = dict(newest)
            self._used = {name: until for name, until in self._used.items() if until >= now}
            kept = {
                "sessions": {name: asdict(one) for name, one in self._sessions.items()},
                "used": self._used,
            }
            if not self._file.exists():
                os.close(os.open(self._file, os.O_CREAT | os.O_WRONLY, 0o600))
            replace_file(self._file, json.dumps(kept).encode())
            self._read_at = self._stamp()

    def _read_again(self) -> None:
        """Take in what another process has written; an unreadable file is nobody signed in."""
        stamp = self._stamp()
        if stamp == self._read_at:
            return
        self._read_at, self._sessions, self._used = stamp, {}, {}
        if stamp is None:
            return
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            kept = json.loads(self._file.read_text("utf-8"))
            self._used = {str(name): float(until) for name, until in kept["used"].items()}
            self._sessions = {name: Session(**one) for name, one in kept["sessions"].items()}

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino


def _token(path: Path) -> str:
    """Return the token in a file, making it where there is none."""
    with contextlib.suppress(FileExistsError):
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
    path.chmod(0o600)
    token = path.read_text("utf-8").strip()
    if len(token) < 32:
        raise FoundryError(f"{path}: holds no token; delete it, and a new one is made")
    return token


def _mac(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()[:40]


def _hash(given: str) -> str:
    return hashlib.sha256(given.encode()).hexdigest()
