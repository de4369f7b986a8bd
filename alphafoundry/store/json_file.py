"""A JSON file that several programs read and write: locked, replaced whole, never lost."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alphafoundry.clock import utc_now
from alphafoundry.errors import StoreError
from alphafoundry.store.column_types import to_json
from alphafoundry.store.store_lock import store_lock
from alphafoundry.whole_file import replace_file


@dataclass(frozen=True)
class JsonRead:
    """What `read_json` found.

    Attributes
    ----------
    value : the decoded value; None where the file is absent or was set aside
    problem : why the file was set aside and where it is now; None where it was fine
    """

    value: Any = None
    problem: str | None = None


@contextlib.contextmanager
def locked(path: Path) -> Iterator[Path]:
    """Hold the lock of a JSON file between processes; gives the file behind any symbolic link.

    The lock is the file `.NAME.lock` in the same folder, which is created and stays.

    Raises
    ------
    StoreError : the folder cannot be written
    """
    target = Path(os.path.realpath(path))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{path}: its folder cannot be created: {error.strerror}") from None
    with store_lock(target.with_name(f".{target.name}.lock")):
        yield target


def read_json(path: Path, kind: type, *, now: datetime | None = None) -> JsonRead:
    """Return the value of a file; an absent file has none.

    A file that is not JSON, or whose value is not of `kind`, is renamed to
    `NAME.corrupt-UTCTIME`, so that nothing in it is lost and a new one can be written.

    Raises
    ------
    StoreError : the file cannot be read, or not be renamed
    """
    value, reason = _decode(path, kind)
    if reason is None:
        return JsonRead(value)
    with locked(path) as target:
        return read_locked_json(target, kind, now=now)


def read_locked_json(path: Path, kind: type, *, now: datetime | None = None) -> JsonRead:
    """Return the same as `read_json` for a file that the caller has locked."""
    value, reason = _decode(path, kind)
    if reason is None:
        return JsonRead(value)
    aside = _set_aside(path, now or utc_now())
    return JsonRead(problem=f"{path}: not readable ({reason}); kept as {aside.name}")


def _decode(path: Path, kind: type) -> tuple[Any, str | None]:
    """Return (value, None) or (None, why the file is corrupt)."""
    try:
        value = json.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        return None, None
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        return None, f"byte {error.start + 1} is not UTF-8 text"
    except json.JSONDecodeError as error:
        return None, f"line {error.lineno} column {error.colno}: {error.msg}"
    except (ValueError, RecursionError):
        return None, "a number or a nesting is too large"
    if not isinstance(value, kind):
        return None, f"it holds a {type(value).__name__}, not a {kind.__name__}"
    return value, None


def write_json(path: Path, value: object) -> None:
    """Replace a file that the caller has locked by the JSON of `value`, in one step.

    Whoever reads sees the old file or the new one, also after a crash. NaN becomes null.

    Raises
    ------
    StoreError : the folder cannot be written
    """
    content = (to_json(value, indent=2) + "\n").encode()
    try:
        replace_file(path, content, durable=True)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror}") from None


def _set_aside(path: Path, now: datetime) -> Path:
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    number = 1
    while True:
        suffix = "" if number == 1 else f"-{number}"
        aside = path.with_name(f"{path.name}.corrupt-{stamp}{suffix}")
        try:
            if not aside.exists():
                path.rename(aside)
                return aside
        except OSError as error:
            raise StoreError(
                f"{path}: not readable, and cannot be renamed: {error.strerror}"
            ) from None
        number += 1
