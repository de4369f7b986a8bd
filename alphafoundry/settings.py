"""The settings of Alpha Foundry: `config/foundry.yaml`, FOUNDRY_* variables, flags.

Order: the defaults here, then the file, then the environment, then what the caller overrides.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

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

from alphafoundry.configuration import load_yaml, number_only
from alphafoundry.simulation.settings import SimulationSettings

SETTINGS_FILE = Path("config/foundry.yaml")
LIMITS_FILE = Path("config/limits.yaml")

PREFIX = "FOUNDRY_"

READ_ELSEWHERE = (
    "FOUNDRY_ALERTS",
    "FOUNDRY_ALPACA_DATA_URL",
    "FOUNDRY_ALPACA_FEED",
    "FOUNDRY_ALPHA_VANTAGE_URL",
    "FOUNDRY_BRAIN_EMAIL",
    "FOUNDRY_BRAIN_PASSWORD",
    "FOUNDRY_DESK_TOKEN",
    "FOUNDRY_HEARTBEAT",
    "FOUNDRY_MASSIVE_URL",
    "FOUNDRY_PROCESS",
    "FOUNDRY_SUPERVISION",
    "FOUNDRY_TEST_DATA",
)
"""FOUNDRY_* variables that are no settings: credentials, addresses, marks, data of tests."""


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


Count = Annotated[int, BeforeValidator(number_only), Field(ge=1, le=1_000_000)]
Number = Annotated[float, BeforeValidator(number_only), Field(allow_inf_nan=False)]
Text = Annotated[str, StringConstraints(min_length=1)]
WebAddress = Annotated[str, AfterValidator(_web_address)]


@dataclass(frozen=True)
class Flag:
    """Makes a setting a flag of the command line; its help is the setting's description.

    Attributes
    ----------
    metavar : what stands for the value in the help
    name : of the flow's parameter, "" is the key itself
    unset : what applies where the setting is null or empty; {NAME} is the size of a cap
    """

    metavar: str
    name: str = ""
    unset: str = ""


@dataclass(frozen=True)
class Setting:
    """A setting that has a flag.

    Attributes
    ----------
    key : dotted, as in `config/foundry.yaml`
    variable : of the environment
    help : what it is, in a few words
    """

    key: str
    variable: str
    help: str
    flag: Flag

    def value(self, settings: FoundrySettings) -> Any:
        """Return its value; a tuple as a list, since flows take JSON values."""
        found: Any = settings
        for part in self.key.split("."):
            found = getattr(found, part)
        return list(found) if isinstance(found, tuple) else found

    def shown(self, settings: FoundrySettings, caps: Mapping[str, int]) -> str:
        """Return its value as the help shows it; `caps` are those of config/limits.yaml."""
        value = self.value(settings)
        if value is None or value == []:
            return self.flag.unset.format_map(caps)
        if isinstance(value, bool):
            return "on" if value else "off"
        if isinstance(value, list):
            return ",".join(map(str, value))
        return f"{value:g}" if isinstance(value, float) else str(value)


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


Share = Annotated[float, BeforeValidator(number_only), Field(ge=0, le=1)]


class IdeasSettings(_Settings):
    """Where the ideas of the generator `grammar` come from; the grammar has the rest.

    formulas : share of known formulas, the 101 Formulaic Alphas that compare no price levels
    templates : share of templates, group_op(ts_op(field, days), group)
    """

    formulas: Share = 0.15
    templates: Share = 0.1

    @model_validator(mode="after")
    def _at_most_all(self) -> IdeasSettings:
        if self.formulas + self.templates > 1:
            raise ValueError("gives away more than all; formulas + templates must be at most 1")
        return self


class ScreenSettings(_Settings):
    """Ideas that are judged in bulk on search days before the best of them are simulated.

    ideas : how many a run screens; 0 screens none
    batch : ideas of one task run, which share their sub-expressions
    first : share of the search days that each is judged on first; 1 is all of them
    names : names that each is judged on first where the market has at least twice as many; 0 is
        all of them
    keep : share of a batch that is then judged on all days and names, the strongest there
    scheduler_address : of a Dask cluster whose workers judge the batches; None does it here
    """

    ideas: Annotated[
        int,
        BeforeValidator(number_only),
        Flag("N", name="prescreen"),
        Field(
            ge=0,
            le=1_000_000,
            description="ideas to judge in bulk on search days, so that the simulations go to the "
            "best; each counts as a trial, 0 screens none",
        ),
    ] = 0
    batch: Annotated[int, BeforeValidator(number_only), Field(ge=1, le=5_000)] = 250
    first: Annotated[float, BeforeValidator(number_only), Field(ge=0.1, le=1)] = 1.0
    names: Annotated[int, BeforeValidator(number_only), Field(ge=0)] = 0
    keep: Annotated[float, BeforeValidator(number_only), Field(gt=0, le=1)] = 0.5
    scheduler_address: Annotated[str, Field(min_length=1)] | None = None


class MiningSettings(_Settings):
    """How the search goes on from what was found.

    share : part of the budget of simulations kept for it, 0 mines nothing
    parts : most alphas that one round builds on, the strongest that are unlike each other
    most_parts : most alphas in one sum
    variations : part of a round that varies single alphas, the rest adds several up
    """

    share: Share = 0.45
    parts: Annotated[int, BeforeValidator(number_only), Field(ge=1, le=40)] = 32
    most_parts: Annotated[int, BeforeValidator(number_only), Field(ge=1, le=5)] = 3
    variations: Share = 0.25


class SubmissionSettings(_Settings):
    """What is submitted.

    daily_limit : most submissions in one US Eastern day, 0 submits nothing
    max_correlation : largest daily-PnL correlation with what was submitted before
    least_verdict : alphas whose verdict is worse stay behind; see docs/truth.md
    rank_by : "verdict", or "gain": what the service says an alpha adds to the pool of those that
        were submitted (`score.after - score.before`)
    """

    daily_limit: Annotated[int, BeforeValidator(number_only), Field(ge=0)] = 4
    max_correlation: Annotated[float, BeforeValidator(number_only), Field(ge=0, le=1)] = 0.7
    least_verdict: Literal["found", "unproven", "not confirmed"] = "unproven"
    rank_by: Literal["verdict", "gain"] = "verdict"


class HoldoutSettings(_Settings):
    """The last days of a local market, which nothing of a search may see.

    share : part of the days; 0 keeps none apart, and every number is then in sample
    least_days : fewest sealed days; a market too short for them is searched on all of its days
    embargo_days : days between the two parts that belong to neither
    """

    share: Annotated[
        Number,
        Flag("SHARE", name="holdout"),
        Field(
            ge=0,
            le=0.8,
            description="share of the local market's days, the last ones, that no search sees and "
            "that finalists are judged on; 0 keeps none apart",
        ),
    ] = 0.3
    least_days: Annotated[int, BeforeValidator(number_only), Field(ge=60)] = 252
    embargo_days: Annotated[int, BeforeValidator(number_only), Field(ge=0, le=252)] = 5


class FieldSettings(_Settings):
    """Which data fields expressions may use.

    datasets : ids of data sets; empty is all
    coverage : least share of instruments that have a value, 0 to 1
    user_count : fewest users of a field, as the service counts them
    """

    datasets: tuple[Text, ...] = ()
    coverage: Share = 0.0
    user_count: Annotated[int, BeforeValidator(number_only), Field(ge=0)] = 0


Basis = Annotated[float, BeforeValidator(number_only), Field(ge=0, le=10_000)]


class CostSettings(_Settings):
    """What trading costs in the net numbers of a report; BRAIN's own stay before costs.

    commission_bps, slippage_bps : basis points of each dollar traded; half the spread is slippage
    borrow_bps : basis points a year of each dollar that is short
    """

    commission_bps: Basis = 0.0
    slippage_bps: Basis = 5.0
    borrow_bps: Basis = 50.0

    @property
    def rate(self) -> float:
        """Cost of a dollar traded, as a fraction."""
        return (self.commission_bps + self.slippage_bps) / 10_000

    @property
    def borrow(self) -> float:
        """Cost of a dollar that is short for a year, as a fraction."""
        return self.borrow_bps / 10_000

    def told(self) -> str:
        """Return the costs in words."""
        parts = [f"{10_000 * self.rate:g} bp of each dollar traded"]
        if self.borrow_bps:
            parts.append(f"{self.borrow_bps:g} bp a year of shorts")
        return " and ".join(parts)


class PlaceboSettings(_Settings):
    """The search of prices in which there is nothing to find: `flows.placebo`."""

    runs: Annotated[
        Count,
        Flag("N"),
        Field(
            le=10_000,
            description="searches of mirrored prices; the smallest p-value is 1 / (N + 1)",
        ),
    ] = 19
    mirror: Annotated[
        Literal["all", "residual"],
        Flag("all|residual"),
        Field(
            description="what is turned on a mirrored day: all of each move, or residual (what a "
            "name does beside the market, whose own way is kept)",
        ),
    ] = "all"


class ModelSettings(_Settings):
    """One language model of the fleet.

    memory_mb : megabytes of memory that it needs; the fleet steps down from the most to the least
    """

    name: Text
    memory_mb: Count


class OllamaSettings(_Settings):
    """The Ollama server and how it is asked.

    models : the fleet; see `fleet`
    think : whether a model that can reason is to do so; None leaves it to the model
    timeout : seconds until one answer must be there
    """

    url: Annotated[
        WebAddress,
        Flag("URL", name="ollama_url"),
        Field(description="address of the Ollama server"),
    ] = "http://localhost:11434"
    models: Annotated[tuple[ModelSettings, ...], AfterValidator(_not_empty)] = (
        ModelSettings(name="deepseek-r1:8b", memory_mb=5200),
        ModelSettings(name="deepseek-r1:7b", memory_mb=4700),
        ModelSettings(name="phi3:mini", memory_mb=2200),
        ModelSettings(name="llama3.2:3b", memory_mb=2048),
        ModelSettings(name="deepseek-r1:1.5b", memory_mb=1100),
    )
    temperature: Annotated[Number, Field(ge=0, le=2)] = 0.3
    top_p: Annotated[Number, Field(gt=0, le=1)] = 0.9
    num_predict: Count = 4000
    think: bool | None = False
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
    models : in the order of the report
    request_timeout, connect_timeout : seconds for one request, and for its connection
    race_days : most days of the race, the last ones of the data
    candidates : how many of the best a race marks for other flows
    repairs : how often a program that the check refused goes back to its model
    blind : whether tickers, dates and price levels are hidden from models and their programs
    """

    provider: Annotated[
        Literal["auto", "templates", "openrouter", "openai", "ollama"],
        Flag("NAME"),
        Field(
            description="what writes algorithms: auto (OpenRouter where there is a key, otherwise "
            "templates), templates, openrouter, openai (any server with that API) or ollama"
        ),
    ] = "auto"
    base_url: Annotated[
        WebAddress | None,
        Flag("URL", unset="that of the provider"),
        Field(description="address of an OpenAI-compatible server, before /chat/completions"),
    ] = None
    models: Annotated[
        Names,
        Flag("A,B,C", unset="up to six that the provider offers"),
        Field(description="names of the models that write algorithms, with commas between them"),
    ] = ()
    tickers: Annotated[
        Names,
        AfterValidator(_without_repeats),
        Flag("TICKER", name="ticker", unset="the most traded of the market"),
        Field(description="what the algorithms are raced on, with commas between several"),
    ] = ()
    temperature: Annotated[Number, Field(ge=0, le=2)] = 0.7
    top_p: Annotated[Number, Field(gt=0, le=1)] = 0.95
    max_tokens: Count = 16_000
    request_timeout: Annotated[Number, Field(gt=0)] = 60.0
    connect_timeout: Annotated[Number, Field(gt=0)] = 10.0
    timeout: Annotated[
        Number,
        Flag("SECONDS"),
        Field(
            gt=0,
            lt=1e7,
            description="seconds for all models together; what has finished by then is kept",
        ),
    ] = 400.0
    cache: Annotated[
        bool,
        Flag("on|off"),
        Field(description="keep answers on disk and use them again, for development"),
    ] = False
    race_days: Annotated[int, BeforeValidator(number_only), Field(ge=20)] = 756
    candidates: Annotated[int, BeforeValidator(number_only), Field(ge=0)] = 3
    repairs: Annotated[int, BeforeValidator(number_only), Field(ge=0, le=2)] = 2
    blind: Annotated[
        bool,
        Flag("on|off"),
        Field(
            description="hide tickers, dates and price levels from the models and their programs"
        ),
    ] = False


class ExplanationSettings(_Settings):
    """The language model that rephrases what the desk's agent `explanation` tells.

    provider : "none" leaves the facts as they are
    base_url : None is that of the provider
    timeout : seconds until the answer must be there
    """

    provider: Literal["none", "openrouter", "openai", "ollama"] = "none"
    base_url: WebAddress | None = None
    model: Text | None = None
    timeout: Annotated[Number, Field(gt=0)] = 60.0
    max_tokens: Count = 2_000


class BrokerSettings(_Settings):
    """Whose account a desk trades.

    provider : "paper" is the broker of this project, "alpaca" an account at Alpaca
    address : None is Alpaca's paper address
    allow_live : whether an address may trade real money
    account_number : that the account must have; needed for real money
    """

    provider: Annotated[
        Literal["paper", "alpaca"],
        Flag("NAME", name="broker"),
        Field(
            description="whose account a desk on a clock trades: paper (the broker of this "
            "project, past sessions) or alpaca (the true clock)"
        ),
    ] = "paper"
    address: WebAddress | None = None
    allow_live: bool = False
    account_number: Text | None = None


class FoundrySettings(_Settings):
    """Everything that a run needs to know; `config/foundry.yaml` explains each key.

    home : folder of the database, caches and results
    database_url : PostgreSQL or SQLite address, None is a SQLite file in `home`
    alert_addresses : Apprise addresses that a desk's alerts go to, separated by spaces
    server_hosts : names for which `make server` answers besides those of this machine
    """

    home: Path = Path(".foundry")
    database_url: SecretStr | None = None
    alert_addresses: SecretStr | None = None
    market: Annotated[
        Text,
        Flag("NAME|FILE"),
        Field(
            description="market data of the local simulator: calibration, sample, yfinance, or a "
            "file or folder (docs/data.md)"
        ),
    ] = "calibration"
    brain: Annotated[
        str,
        AfterValidator(_service),
        Flag("local|worldquant|URL"),
        Field(
            description="what simulates: local (in this process), worldquant, or the address of a "
            "local server"
        ),
    ] = "local"
    credentials: Annotated[
        Text,
        Flag("FILE"),
        Field(description='file with BRAIN credentials, a JSON list ["email", "password"]'),
    ] = "./credential.txt"
    simulations: Annotated[
        Count, Flag("N"), Field(description="simulations to spend in this run")
    ] = 60
    max_concurrent: Annotated[
        Count | None,
        Flag("N", unset="{simulation}, the cap in config/limits.yaml"),
        Field(description="simulations that run at the same time"),
    ] = None
    batch_size: Annotated[
        Count,
        Flag("N"),
        Field(description="expressions that the language model is asked for at a time"),
    ] = 3
    mining_interval_hours: Annotated[
        Number,
        Flag("HOURS", name="mining_interval"),
        Field(
            gt=0,
            lt=24 * 365,
            description="longest time between two looks of the miner, in hours",
        ),
    ] = 6.0
    seed: Annotated[
        int,
        BeforeValidator(number_only),
        Flag("N"),
        Field(ge=0, lt=2**63, description="master seed of every random draw"),
    ] = 0
    generator: Annotated[
        Literal["grammar", "ollama"],
        Flag("grammar|ollama"),
        Field(description="what invents expressions: grammar (embedded) or ollama"),
    ] = "grammar"
    server_hosts: HostNames = ()
    hopeful: HopefulSettings = HopefulSettings()
    fields: FieldSettings = FieldSettings()
    ideas: IdeasSettings = IdeasSettings()
    screen: ScreenSettings = ScreenSettings()
    mining: MiningSettings = MiningSettings()
    holdout: HoldoutSettings = HoldoutSettings()
    placebo: PlaceboSettings = PlaceboSettings()
    costs: CostSettings = CostSettings()
    submission: SubmissionSettings = SubmissionSettings()
    ollama: OllamaSettings = OllamaSettings()
    algorithms: AlgorithmsSettings = AlgorithmsSettings()
    explanation: ExplanationSettings = ExplanationSettings()
    broker: BrokerSettings = BrokerSettings()
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


def _with_flags(model: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[Setting]:
    for name, field in model.model_fields.items():
        key = (*above, name)
        flag = next((one for one in field.metadata if isinstance(one, Flag)), None)
        if flag is not None:
            variable = PREFIX + "__".join(key).upper()
            yield Setting(".".join(key), variable, field.description or "", flag)
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _with_flags(field.annotation, key)


FLAGS: Mapping[str, Setting] = {
    setting.flag.name or setting.key.split(".")[-1]: setting
    for setting in _with_flags(FoundrySettings)
}
"""Parameter of a flow to the setting that it overrides."""


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
        override_keys={name: setting.key for name, setting in FLAGS.items()},
        prefix=PREFIX,
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
