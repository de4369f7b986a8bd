"""The JSON files of the documents, as views of the database.

`hopeful_alphas.json`, `submission_log.json` and `submission_results.json` can be read by other
programs, and what those wrote is read too. The database stays the truth.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from alphafoundry.clock import utc_now
from alphafoundry.store.json_file import locked, read_json, read_locked_json, write_json
from alphafoundry.store.tables import AlphaRow, SubmissionRow, SubmissionStatus

ResultStatus = Literal["success", "already_submitted", "failed", "timeout", "error"]

_RESULTS: Mapping[SubmissionStatus, ResultStatus] = {
    "accepted": "success",
    "rejected": "failed",
    "failed": "error",
}


def _whole_seconds(value: object) -> object:
    return int(value) if isinstance(value, float) and abs(value) < 2**53 else value


class HopefulEntry(BaseModel):
    """One entry of `hopeful_alphas.json`; keys that other programs added are kept.

    timestamp : seconds since 1970
    turnover, returns : fractions
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    expression: str
    timestamp: Annotated[int, BeforeValidator(_whole_seconds)]
    alpha_id: str
    fitness: float | None
    sharpe: float | None = None
    turnover: float | None = None
    returns: float | None = None
    grade: str | None = None
    checks: list[Any] = []

    @classmethod
    def from_alpha(cls, alpha: AlphaRow) -> HopefulEntry:
        """Return the entry of an alpha in the database."""
        return cls(
            expression=alpha.expression,
            timestamp=int(alpha.created_at.timestamp()),
            alpha_id=alpha.alpha_id,
            fitness=alpha.fitness,
            sharpe=alpha.sharpe,
            turnover=alpha.turnover,
            returns=alpha.returns,
            grade=alpha.grade,
            checks=alpha.checks,
        )


@dataclass(frozen=True)
class HopefulFile:
    """What `read_hopeful` found.

    Attributes
    ----------
    entries : the well-formed entries, in the order of the file
    problems : one line for each entry of a wrong shape, or for a file that was set aside
    """

    entries: tuple[HopefulEntry, ...] = ()
    problems: tuple[str, ...] = ()


def read_hopeful(path: Path, *, now: datetime | None = None) -> HopefulFile:
    """Return the entries of `hopeful_alphas.json`; an absent file has none.

    A file that is not a JSON list is renamed to `NAME.corrupt-UTCTIME`, and the message says so.
    """
    found = read_json(path, list, now=now)
    if found.problem is not None:
        return HopefulFile(problems=(found.problem,))
    entries: list[HopefulEntry] = []
    problems: list[str] = []
    for position, item in enumerate(found.value or []):
        try:
            entries.append(HopefulEntry.model_validate(item))
        except ValidationError as error:
            problems.append(f"{path}: entry {position + 1} left out: {_first(error)}")
    return HopefulFile(tuple(entries), tuple(problems))


def write_hopeful(path: Path, rows: Iterable[HopefulEntry | AlphaRow]) -> None:
    """Replace `hopeful_alphas.json` by these entries, in one step."""
    with locked(path) as target:
        write_json(target, [_plain(row) for row in rows])


def merge_hopeful(
    path: Path,
    rows: Iterable[HopefulEntry | AlphaRow],
    *,
    drop: Iterable[str] = (),
    now: datetime | None = None,
) -> str | None:
    """Add entries to `hopeful_alphas.json`, or renew them, keeping what others wrote there.

    Several processes may do so at once. Entries of a wrong shape stay as they are.

    Parameters
    ----------
    drop : ids of alphas whose entries are removed

    Returns
    -------
    the message about a corrupt file that was set aside, None where it was fine
    """
    added = {row.alpha_id: _plain(row) for row in rows}
    gone = set(drop) - set(added)
    with locked(path) as target:
        found = read_locked_json(target, list, now=now)
        merged: list[Any] = []
        for item in found.value or []:
            alpha_id = item.get("alpha_id") if isinstance(item, dict) else None
            if not isinstance(alpha_id, str):
                merged.append(item)
            elif alpha_id not in gone:
                merged.append({**item, **added.pop(alpha_id, {})})
        write_json(target, [*merged, *added.values()])
    return found.problem


def read_submission_log(path: Path, *, now: datetime | None = None) -> date | None:
    """Return the day of the last submission in `submission_log.json`, None where unknown."""
    value = read_json(path, dict, now=now).value or {}
    try:
        return date.fromisoformat(str(value.get("last_submission_date")))
    except ValueError:
        return None


def write_submission_log(
    path: Path, last_date: date | None, *, now: datetime | None = None
) -> None:
    """Replace `submission_log.json`.

    Parameters
    ----------
    last_date : the US Eastern day of the last submission, None before the first
    """
    value = {
        "last_submission_date": None if last_date is None else last_date.isoformat(),
        "updated_at": (now or utc_now()).isoformat(),
    }
    with locked(path) as target:
        write_json(target, value)


def merge_submission_results(
    path: Path, rows: Iterable[SubmissionRow], *, now: datetime | None = None
) -> str | None:
    """Add settled submissions to `submission_results.json`; one that is there is not repeated.

    Submissions that are only intended are left out. Returns the message about a corrupt file
    that was set aside, None where it was fine.
    """
    added = [_result(row) for row in rows if row.status in _RESULTS]
    with locked(path) as target:
        found = read_locked_json(target, list, now=now)
        present = list(found.value or [])
        seen = {_identity(item) for item in present}
        write_json(target, [*present, *(item for item in added if _identity(item) not in seen)])
    return found.problem


def _plain(row: HopefulEntry | AlphaRow) -> dict[str, Any]:
    entry = row if isinstance(row, HopefulEntry) else HopefulEntry.from_alpha(row)
    return entry.model_dump()


def _result(row: SubmissionRow) -> dict[str, Any]:
    at = (row.settled_at or row.intended_at).astimezone(UTC)
    result: dict[str, Any] = {"status": _RESULTS[row.status], "checks": row.checks}
    if row.detail is not None:
        result["message"] = row.detail
    return {
        "alpha_id": row.alpha_id,
        "timestamp": int(at.timestamp()),
        "datetime": at.isoformat(),
        "result": result,
    }


def _identity(item: Any) -> tuple[str, str]:
    if not isinstance(item, dict):
        return ("", repr(item))
    return (str(item.get("alpha_id")), str(item.get("timestamp")))


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else first["msg"]
