"""BRAIN credentials: where they come from, and how they stay out of everything else."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import httpx

from alphafoundry.errors import ConfigurationError

EMAIL_VARIABLE = "FOUNDRY_BRAIN_EMAIL"
PASSWORD_VARIABLE = "FOUNDRY_BRAIN_PASSWORD"  # noqa: S105 - the name of a variable

_EXPECTED = 'expected a JSON list of two texts, ["email", "password"]'
_MAX_FILE_BYTES = 10_000


class Credentials:
    """An email and a password that no repr, pickle, JSON or exception shows.

    Parameters
    ----------
    email, password : both non-empty
    """

    __slots__ = ("_auth", "_email")

    def __init__(self, email: str, password: str) -> None:
        if not email or not password:
            raise ConfigurationError("BRAIN credentials need both an email and a password")
        self._email = email
        self._auth = httpx.BasicAuth(email, password)

    @property
    def email(self) -> str:
        """The whole email address; `str(credentials)` shows a masked one."""
        return self._email

    def basic_auth(self) -> httpx.BasicAuth:
        """Return what httpx adds to a sign-in request."""
        return self._auth

    def accepts(self, authorization: str) -> bool:
        """Tell whether an Authorization header carries this email and password."""
        request = next(self._auth.auth_flow(httpx.Request("POST", "http://localhost")))
        return hmac.compare_digest(
            request.headers["Authorization"].encode(), authorization.strip().encode()
        )

    def __repr__(self) -> str:
        return f"Credentials(email={_masked(self._email)!r}, password=***)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("credentials cannot be copied or pickled; load them where they are used")


def _masked(email: str) -> str:
    name, at, host = email.partition("@")
    return f"{name[:1]}***{at}{host}"


def load_credentials(path: Path | None, env: Mapping[str, str]) -> Credentials:
    """Return the credentials of the environment or, failing these, of a file.

    Parameters
    ----------
    path : a file that holds the JSON list ["email", "password"]; None looks at `env` only
    env : environment; FOUNDRY_BRAIN_EMAIL and FOUNDRY_BRAIN_PASSWORD win over the file

    Raises
    ------
    ConfigurationError : nothing found, one variable without the other, or a file that is
        missing or malformed. The message never repeats what the file holds.
    """
    email, password = env.get(EMAIL_VARIABLE, ""), env.get(PASSWORD_VARIABLE, "")
    if email and password:
        return Credentials(email, password)
    if email or password:
        given, missing = (
            (EMAIL_VARIABLE, PASSWORD_VARIABLE) if email else (PASSWORD_VARIABLE, EMAIL_VARIABLE)
        )
        raise ConfigurationError(f"{given} is set and {missing} is not; set both")
    if path is None:
        raise ConfigurationError(
            f"no BRAIN credentials: set {EMAIL_VARIABLE} and {PASSWORD_VARIABLE}, or name a file "
            'that holds ["email", "password"]'
        )
    return _from_file(path)


def _from_file(path: Path) -> Credentials:
    content = _read(path)
    if (
        not isinstance(content, list)
        or len(content) != 2
        or not all(isinstance(text, str) and text.strip() for text in content)
    ):
        raise ConfigurationError(f"{path}: {_EXPECTED}")
    return Credentials(content[0].strip(), content[1])


def _read(path: Path) -> object:
    # Raised after the handler, so that no exception chain holds the text of the file.
    try:
        with path.open("rb") as file:
            content: object = json.loads(file.read(_MAX_FILE_BYTES).decode("utf-8-sig"))
    except OSError as problem:
        reason = f"cannot read the BRAIN credentials: {problem.strerror}"
    except (ValueError, RecursionError):
        reason = _EXPECTED
    else:
        return content
    raise ConfigurationError(f"{path}: {reason}")
