"""The settings of Alpha Foundry: `config/foundry.yaml`, FOUNDRY_* variables, flags.

Order: the defaults here, then the file, then the environment, then what the caller overrides.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    SecretStr,
    StringConstraints,
    model_validator,
)

from alphafoundry.configuration import load_yaml
from alphafoundry.simulation.settings import SimulationSettings

SETTINGS_FILE = Path("config/foundry.yaml")
LIMITS_FILE = Path("config/limits.yaml")

READ_ELSEWHERE = ("FOUNDRY_BRAIN_EMAIL", "FOUNDRY_BRAIN_PASSWORD", "FOUNDRY_TEST_DATA")
"""FOUNDRY_* variables that are not settings: credentials and the data of the tests."""


def _not_true_or_false(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("is not a number")
    return value


def _without_login(address: str) -> str:
    """Return the address; one that holds a user or a password is refused, since it is shown."""
    if "@" in address.split("://", 1)[1].split("/", 1)[0]:
        raise ValueError("holds a user or a password; leave it out of the address")
    return address.rstrip("/")


def _service(value: str) -> str:
    if value in ("local", "worldquant"):
        return value
    if value.startswith(("http://", "https://")) and len(value.split("://", 1)[1]) > 0:
        return _without_login(value)
    raise ValueError("is not a service; choose one of local, worldquant, http(s)://HOST:PORT")


def _web_address(value: str) -> str:
    if value.startswith(("http://", "https://")) and len(value.split("://", 1)[1]) > 0:
        return _without_login(value)
    raise ValueError("is not a web address; write http://HOST:PORT")


def _not_empty(value: tuple[ModelSettings, ...]) -> tuple[ModelSettings, ...]:
    if not value:
        raise ValueError("is empty; name at least one model")
    return value


Count = Annotated[int, BeforeValidator(_not_true_or_false), Field(ge=1, le=1_000_000)]
Number = Annotated[float, BeforeValidator(_not_true_or_false), Field(allow_inf_nan=False)]
Text = Annotated[str, StringConstraints(min_length=1)]
WebAddress = Annotated[str, AfterValidator(_web_address)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Bounds(_Settings):
    """An open interval; a plain number in its place is the lower bound.

    min : the statistic must be greater, None is no bound
    max : the statistic must be less, None is no bound
    """

    min: Number | None = None
    max: Number | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, given: object) -> object:
        return {"min": given} if isinstance(given, int | float | str) else given

    @model_validator(mode="after")
    def _not_empty(self) -> Bounds:
        if self.min is not None and self.max is not None and self.min >= self.max:
            raise ValueError("is not an interval; min must be less than max")
        return self


class HopefulSettings(_Settings):
    """When a simulated alpha is worth mining: every statistic named here is within its bounds.

    Units are those of the statistics: returns, turnover, drawdown and margin are fractions.
    None leaves a statistic out.
    """

    fitness: Bounds | None = Bounds(min=0.5)
    sharpe: Bounds | None = None
    returns: Bounds | None = None
    turnover: Bounds | None = None
    drawdown: Bounds | None = None
    margin: Bounds | None = None

    def conditions(self) -> tuple[str, ...]:
        """Return the conditions as text, such as ("fitness > 0.5", "turnover < 0.7")."""
        texts: list[str] = []
        for name in type(self).model_fields:
            bounds: Bounds | None = getattr(self, name)
            if bounds is None:
                continue
            if bounds.min is not None:
                texts.append(f"{name} > {bounds.min!r}")
            if bounds.max is not None:
                texts.append(f"{name} < {bounds.max!r}")
        return tuple(texts)


class MiningSettings(_Settings):
    """How hopeful alphas are varied.

    share : part of the budget of simulations kept for variations, 0 mines nothing
    parents : most alphas that one run varies: hopeful ones, and losers whose reverse would be
        hopeful
    variations : most variations of one parent
    """

    share: Annotated[float, BeforeValidator(_not_true_or_false), Field(ge=0, le=1)] = 0.5
    parents: Count = 8
    variations: Count = 40


class SubmissionSettings(_Settings):
    """What is submitted.

    daily_limit : most submissions in one US Eastern day, 0 submits nothing
    max_correlation : largest daily-PnL correlation with what was submitted before
    """

    daily_limit: Annotated[int, BeforeValidator(_not_true_or_false), Field(ge=0)] = 4
    max_correlation: Annotated[float, BeforeValidator(_not_true_or_false), Field(ge=0, le=1)] = 0.7


class ModelSettings(_Settings):
    """One language model of the fleet.

    memory_mb : megabytes of memory that it needs; the fleet steps down from the most to the least
    """

    name: Text
    memory_mb: Count


class OllamaSettings(_Settings):
    """The Ollama server and how it is asked.

    models : the fleet; see `fleet`
    timeout : seconds until one answer must be there
    """

    url: WebAddress = "http://localhost:11434"
    models: Annotated[tuple[ModelSettings, ...], AfterValidator(_not_empty)] = (
        ModelSettings(name="deepseek-r1:8b", memory_mb=5200),
        ModelSettings(name="deepseek-r1:7b", memory_mb=4700),
        ModelSettings(name="phi3:mini", memory_mb=2200),
        ModelSettings(name="llama3:3b", memory_mb=2048),
        ModelSettings(name="deepseek-r1:1.5b", memory_mb=1100),
    )
    temperature: Annotated[Number, Field(ge=0, le=2)] = 0.3
    top_p: Annotated[Number, Field(gt=0, le=1)] = 0.9
    num_predict: Count = 1000
    timeout: Annotated[Number, Field(gt=0)] = 360.0

    def fleet(self) -> tuple[str, ...]:
        """Return the models' names in the order in which the fleet steps down.

        From the most memory to the least, equal ones in the order of the file.
        """
        return tuple(m.name for m in sorted(self.models, key=lambda m: -m.memory_mb))


def _names(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _without_repeats(value: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(value)) < len(value):
        raise ValueError("names one of them twice")
    return value


Names = Annotated[tuple[Text, ...], BeforeValidator(_names)]


def _host_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]+|\[?[0-9A-Fa-f:.]+\]?", value):
        raise ValueError("is not the name of a host; leave out http://, the port and the path")
    if re.fullmatch(r"[^:]+:\d*", value):
        raise ValueError("names a port; write the host alone")
    return value


HostNames = Annotated[
    tuple[Annotated[Text, AfterValidator(_host_name)], ...], BeforeValidator(_names)
]


class AlgorithmsSettings(_Settings):
    """Which models write trading algorithms, and what they are raced on.

    provider : "auto" is OpenRouter where there is a key for it, an OpenAI-compatible server where
        `base_url` is set, and otherwise the embedded templates
    base_url : address before /chat/completions; None is the provider's own
    models : names in the order of the report, a list or one text with commas; empty takes up to
        six that the provider offers
    tickers : what is raced on; empty takes the most traded of the market
    request_timeout, connect_timeout, timeout : seconds for one request, for its connection, and
        for all of them
    cache : keep answers on disk and use them again; for development
    race_days : most days of the race, the last ones of the data
    candidates : how many of the best a race marks for other flows
    """

    provider: Literal["auto", "templates", "openrouter", "openai", "ollama"] = "auto"
    base_url: WebAddress | None = None
    models: Names = ()
    tickers: Annotated[Names, AfterValidator(_without_repeats)] = ()
    temperature: Annotated[Number, Field(ge=0, le=2)] = 0.7
    top_p: Annotated[Number, Field(gt=0, le=1)] = 0.95
    max_tokens: Count = 2500
    request_timeout: Annotated[Number, Field(gt=0)] = 60.0
    connect_timeout: Annotated[Number, Field(gt=0)] = 10.0
    timeout: Annotated[Number, Field(gt=0)] = 400.0
    cache: bool = False
    race_days: Annotated[int, BeforeValidator(_not_true_or_false), Field(ge=20)] = 756
    candidates: Annotated[int, BeforeValidator(_not_true_or_false), Field(ge=0)] = 3


class FoundrySettings(_Settings):
    """Everything that a run needs to know; `config/foundry.yaml` explains each key.

    home : folder of the database, caches and results
    database_url : PostgreSQL or SQLite address, None is a SQLite file in `home`
    brain : "local", "worldquant" or the address of a server
    mining_interval_hours : longest time between two looks of the miner, hours
    simulations : budget of one run
    max_concurrent : simulations at a time, None is the cap `simulation` of config/limits.yaml
    server_hosts : names for which `make server` answers besides those of this machine
    """

    home: Path = Path(".foundry")
    database_url: SecretStr | None = None
    market: Text = "calibration"
    brain: Annotated[str, AfterValidator(_service)] = "local"
    credentials: Text = "./credential.txt"
    simulations: Count = 60
    max_concurrent: Count | None = None
    batch_size: Count = 3
    mining_interval_hours: Annotated[Number, Field(gt=0, lt=24 * 365)] = 6.0
    seed: Annotated[int, BeforeValidator(_not_true_or_false), Field(ge=0, lt=2**63)] = 0
    generator: Literal["grammar", "ollama"] = "grammar"
    server_hosts: HostNames = ()
    hopeful: HopefulSettings = HopefulSettings()
    mining: MiningSettings = MiningSettings()
    submission: SubmissionSettings = SubmissionSettings()
    ollama: OllamaSettings = OllamaSettings()
    algorithms: AlgorithmsSettings = AlgorithmsSettings()
    alpha: SimulationSettings = SimulationSettings(decay=4)


class LimitsSettings(
    RootModel[
        dict[
            Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$")],
            Annotated[int, Field(strict=True, ge=1)],
        ]
    ]
):
    """Concurrency caps: name of the cap to the number of tasks that may hold it at once."""

    model_config = ConfigDict(frozen=True)


DEFAULT_LIMITS: Mapping[str, int] = {"simulation": 3, "llm-request": 6, "brain-submission": 1}


_FLAGS: Mapping[str, str] = {
    "mining_interval": "mining_interval_hours",
    "ollama_url": "ollama.url",
    "provider": "algorithms.provider",
    "base_url": "algorithms.base_url",
    "models": "algorithms.models",
    "ticker": "algorithms.tickers",
    "timeout": "algorithms.timeout",
    "cache": "algorithms.cache",
}
"""Flags whose name is not the key that they set."""


def load_settings(
    path: Path | str | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    **flags: object,
) -> FoundrySettings:
    """Return the settings of this process.

    Parameters
    ----------
    path : YAML file; None is `config/foundry.yaml` in the working directory, which may be absent
    environment : None is the environment of this process
    flags : values that win over everything, by key (`seed=7`) or by flag (`mining_interval=4`,
        `ollama_url=...`); None changes nothing

    Raises
    ------
    ConfigurationError : one line with the file and line, variable or flag that is wrong
    """
    return load_yaml(
        SETTINGS_FILE if path is None else path,
        FoundrySettings,
        required=path is not None,
        environment=os.environ if environment is None else environment,
        reserved=READ_ELSEWHERE,
        overrides=flags,
        override_keys=_FLAGS,
    )


def load_limits(path: Path | str | None = None) -> dict[str, int]:
    """Return cap name to size, at least 1; a default cap that the file leaves out keeps its size.

    Parameters
    ----------
    path : YAML file; None is `config/limits.yaml` in the working directory, which may be absent

    Raises
    ------
    ConfigurationError : the file is missing or wrong
    """
    given = load_yaml(
        LIMITS_FILE if path is None else path, LimitsSettings, required=path is not None
    )
    return {**DEFAULT_LIMITS, **given.root}
