"""What the BRAIN API answers, as typed objects."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

FINISHED = frozenset({"COMPLETE", "WARNING", "ERROR", "FAIL", "TIMEOUT", "CANCELLED"})
"""States of a simulation that do not change any more. WARNING has an alpha as COMPLETE has."""

RUNNING = frozenset({"WAITING", "SIMULATING"})


def _number_or_none(value: object) -> object:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


Number = Annotated[float | None, BeforeValidator(_number_or_none)]


class _Answer(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore"
    )


class OperatorInfo(_Answer):
    """One entry of GET /operators."""

    name: str
    category: str = ""
    scope: tuple[str, ...] = ()
    definition: str | None = None
    description: str | None = None
    level: str | None = None


class DatasetReference(_Answer):
    """The data set that a field belongs to."""

    id: str
    name: str = ""


class DataFieldInfo(_Answer):
    """One entry of GET /data-fields.

    Attributes
    ----------
    type : MATRIX, VECTOR, GROUP, UNIVERSE or SYMBOL
    coverage : share of instruments that have a value, 0 to 1; None where not told
    """

    id: str
    description: str | None = None
    dataset: DatasetReference | None = None
    type: str = "MATRIX"
    region: str | None = None
    delay: int | None = None
    universe: str | None = None
    coverage: Number = None


class ErrorLocation(_Answer):
    """Where in the expression an error is: characters `start` to `end` (exclusive) of `line`."""

    line: int | None = None
    start: int | None = None
    end: int | None = None
    property: str | None = None


class SimulationStatus(_Answer):
    """One look at a simulation.

    Attributes
    ----------
    status : WAITING, SIMULATING, COMPLETE, WARNING, ERROR, FAIL, TIMEOUT or CANCELLED
    alpha : id of the alpha, with COMPLETE and WARNING only
    message, location : what is wrong and where, with ERROR
    progress : 0 to 1 while it runs
    children : ids of the simulations of one request, known once all are finished
    parent : id of the request that this simulation was part of
    regular, combo, selection : what was sent
    retry_after : seconds until the next look, None once finished or where not told
    """

    id: str | None = None
    status: str = "SIMULATING"
    alpha: str | None = None
    message: str | None = None
    location: ErrorLocation | None = None
    progress: Number = None
    children: tuple[str, ...] = ()
    parent: str | None = None
    regular: str | None = None
    combo: str | None = None
    selection: str | None = None
    retry_after: float | None = None

    @property
    def finished(self) -> bool:
        """True where another look would show the same."""
        return self.status in FINISHED or (self.retry_after is None and self.status not in RUNNING)

    @property
    def succeeded(self) -> bool:
        """True where there is an alpha to read."""
        return self.status in ("COMPLETE", "WARNING") and self.alpha is not None


class CheckInfo(_Answer):
    """One entry of `is.checks`; further keys of a check are kept in `model_extra`."""

    model_config = ConfigDict(extra="allow")

    name: str
    result: str
    limit: Number = None
    value: Number = None
    message: str | None = None


class AlphaStatistics(_Answer):
    """The numbers under `is`, `train` or `test`; None where BRAIN gave none.

    pnl and book_size in dollars; turnover, returns and drawdown as fractions (0.12 is 12 %);
    margin as a fraction of the traded value; sharpe annualised.
    """

    pnl: Number = None
    book_size: Number = None
    long_count: Number = None
    short_count: Number = None
    turnover: Number = None
    returns: Number = None
    drawdown: Number = None
    margin: Number = None
    sharpe: Number = None
    fitness: Number = None
    self_correlation: Number = None
    prod_correlation: Number = None
    start_date: str | None = None


class AlphaInfo(_Answer):
    """One alpha, as GET /alphas/{id} tells it.

    Attributes
    ----------
    type : REGULAR or SUPER
    code : the FASTEXPR text of a regular alpha
    combo, selection : the FASTEXPR texts of a SUPER alpha
    settings : the settings as BRAIN's JSON object
    statistics : the numbers of the in-sample period
    train, test : the numbers of both parts where the settings have a test period
    checks : the entries of `is.checks`
    grade : SPECTACULAR, EXCELLENT, GOOD, AVERAGE, INFERIOR or None
    stage : IS, OS or PROD
    status : UNSUBMITTED, ACTIVE or DECOMMISSIONED
    data_version, data_until : what a local server simulated it on, and the last day of that
    expected_sharpe : its true Sharpe ratio, on a local server's synthetic market
    raw : the whole answer
    """

    id: str
    type: str = "REGULAR"
    code: str = ""
    combo: str = ""
    selection: str = ""
    settings: dict[str, Any] = Field(default_factory=dict)
    statistics: AlphaStatistics = AlphaStatistics()
    train: AlphaStatistics | None = None
    test: AlphaStatistics | None = None
    checks: tuple[CheckInfo, ...] = ()
    name: str | None = None
    grade: str | None = None
    stage: str = "IS"
    status: str = "UNSUBMITTED"
    date_created: datetime | None = None
    date_submitted: datetime | None = None
    data_version: str | None = None
    data_until: date | None = None
    expected_sharpe: float | None = None
    raw: dict[str, Any] = Field(default_factory=dict, repr=False)

    @classmethod
    def from_brain(cls, answer: Mapping[str, Any]) -> AlphaInfo:
        """Read an alpha's JSON object. Raises pydantic.ValidationError where it is none."""
        in_sample = answer.get("is") or {}
        # A null (e.g. "stage") means the default.
        known = {key: value for key, value in answer.items() if value is not None}
        return cls.model_validate(
            {
                **known,
                "statistics": in_sample,
                "code": _code(answer, "regular"),
                "combo": _code(answer, "combo"),
                "selection": _code(answer, "selection"),
                "checks": in_sample.get("checks") or (),
                "raw": dict(answer),
            }
        )


def _code(answer: Mapping[str, Any], part: str) -> str:
    found = answer.get(part) or {}
    return str(found.get("code", "")) if isinstance(found, dict) else str(found)


class SubmissionOutcome(_Answer):
    """How a submission stands.

    Attributes
    ----------
    status : "started" (BRAIN is checking; poll it), "accepted", "rejected" or
        "already_submitted"
    checks : with "rejected", all checks; those with result FAIL say why
    retry_after : with "started", seconds until the first poll
    """

    status: Literal["started", "accepted", "rejected", "already_submitted"]
    checks: tuple[CheckInfo, ...] = ()
    retry_after: float | None = None
