"""Settings: what is shipped, what wins, and what each mistake says."""

from __future__ import annotations

from pathlib import Path

import pytest

from alphafoundry.errors import ConfigurationError
from alphafoundry.settings import (
    DEFAULT_LIMITS,
    Bounds,
    FoundrySettings,
    load_limits,
    load_settings,
)
from alphafoundry.yaml_document import read_yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "foundry.yaml"


def load(file: Path, content: str, environment: dict[str, str] | None = None, **flags: object):
    file.write_text(content)
    return load_settings(file, environment=environment or {}, **flags)


def complaint(
    file: Path, content: str, environment: dict[str, str] | None = None, **flags: object
) -> str:
    """Return the message without the folder of the file: a line for each mistake."""
    with pytest.raises(ConfigurationError) as error:
        load(file, content, environment, **flags)
    return str(error.value).replace(f"{file.parent}/", "")


def test_the_shipped_files_hold_the_defaults() -> None:
    shipped = ROOT / "config" / "foundry.yaml"
    assert load_settings(shipped, environment={}) == FoundrySettings()
    assert load_limits(ROOT / "config" / "limits.yaml") == DEFAULT_LIMITS
    assert set(read_yaml(shipped).values) == set(FoundrySettings.model_fields)


def test_every_shipped_key_of_a_section_is_written_out() -> None:
    values = read_yaml(ROOT / "config" / "foundry.yaml").values
    for section in ("ideas", "mining", "submission", "ollama", "alpha"):
        fields = type(getattr(FoundrySettings(), section)).model_fields
        assert set(values[section]) == set(fields)


def test_an_absent_default_file_gives_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings(environment={}) == FoundrySettings()
    assert load_limits() == DEFAULT_LIMITS


def test_an_absent_file_that_was_named_is_an_error(tmp_path: Path) -> None:
    for load_named in (load_settings, load_limits):
        with pytest.raises(ConfigurationError, match=r"other\.yaml: no such file"):
            load_named(tmp_path / "other.yaml")


def test_flags_win_over_the_environment_over_the_file(file: Path) -> None:
    content = "market: a.csv\nseed: 1\nbatch_size: 9\nmining: {parts: 7}\n"
    environment = {"FOUNDRY_MARKET": "b.csv", "FOUNDRY_SEED": "2"}
    settings = load(
        file, content, environment, market="c.csv", mining_interval=4, ollama_url=None, seed=None
    )
    assert (settings.market, settings.seed, settings.batch_size) == ("c.csv", 2, 9)
    assert (settings.mining.parts, settings.mining.share) == (7, 0.45)
    assert settings.mining_interval_hours == 4.0


def test_flags_reach_inner_keys(file: Path) -> None:
    settings = load(file, "ollama: {timeout: 5}", ollama_url="http://gpu:11434/")
    assert (settings.ollama.url, settings.ollama.timeout) == ("http://gpu:11434", 5.0)


def test_the_environment_reaches_inner_keys(file: Path) -> None:
    settings = load(
        file,
        "hopeful: {turnover: {max: 0.7}}\nalpha: {testPeriod: P1Y0M}\n",
        {
            "FOUNDRY_HOPEFUL__FITNESS": "0.7",
            "FOUNDRY_HOPEFUL__TURNOVER__MIN": "0.01",
            "FOUNDRY_ALPHA__TEST_PERIOD": "P2Y0M",
            "FOUNDRY_OLLAMA__MODELS": "[{name: tiny, memory_mb: 5}]",
            "FOUNDRY_BRAIN_EMAIL": "someone@example.com",
            "FOUNDRY_SEED": "",
            "HOME": "/root",
        },
    )
    assert settings.hopeful.fitness == Bounds(min=0.7)
    assert settings.hopeful.turnover == Bounds(min=0.01, max=0.7)
    assert settings.alpha.test_period == "P2Y0M"
    assert [model.name for model in settings.ollama.models] == ["tiny"]
    assert settings.seed == 0


def test_the_fleet_steps_down_from_the_most_memory_to_the_least(file: Path) -> None:
    text = """
        ollama:
          models:
            - {name: small, memory_mb: 900}
            - {name: large, memory_mb: 5200}
            - {name: other, memory_mb: 900}
            - {name: middle, memory_mb: 2048}
    """
    fleet = load(file, text).ollama.fleet()
    assert fleet == ("large", "middle", "small", "other")
    defaults = FoundrySettings().ollama
    assert defaults.fleet() == tuple(model.name for model in defaults.models)


def test_bounds_become_conditions(file: Path) -> None:
    settings = load(
        file, "hopeful: {fitness: 0.6, sharpe: {min: 1, max: 9}, turnover: {max: 1e-3}}"
    )
    assert settings.hopeful.conditions() == (
        "fitness > 0.6",
        "sharpe > 1.0",
        "sharpe < 9.0",
        "turnover < 0.001",
    )
    assert load(file, "hopeful: {fitness: null}").hopeful.conditions() == ()
    assert FoundrySettings().hopeful.conditions() == ("fitness > 0.5",)


def test_on_and_off_and_times_stay_text(file: Path) -> None:
    settings = load(file, "alpha: {pasteurization: OFF, nan_handling: ON}\nmarket: 12:30\n")
    assert (settings.alpha.pasteurization, settings.alpha.nan_handling) == ("OFF", "ON")
    assert settings.market == "12:30"


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        FoundrySettings().seed = 4


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("generator: gramar", "foundry.yaml:1: generator: 'gramar' is not a valid generator; "
         "choose one of grammar, ollama"),
        ("seed: 1\nmarkt: x", "foundry.yaml:2: markt: unknown key 'markt'; did you mean 'market'?"),
        ("alpha:\n  neutralisation: NONE", "foundry.yaml:2: alpha.neutralisation: unknown key "
         "'neutralisation'; did you mean 'neutralization'?"),
        ("hopeful: {zzz: 2}", "foundry.yaml:1: hopeful.zzz: unknown key 'zzz'; choose one of "
         "drawdown, fitness, margin, returns, sharpe, turnover"),
        ("alpha:\n  delay: 2", "foundry.yaml:2: alpha.delay: '2' is not a valid delay; choose one "
         "of 0, 1"),
        ("brain: prod", "foundry.yaml:1: brain: 'prod' is not a service; choose one of local, "
         "worldquant, http(s)://HOST:PORT"),
        ("max_concurrent: 0", "foundry.yaml:1: max_concurrent: '0' is not at least 1"),
        ("max_concurrent: true", "foundry.yaml:1: max_concurrent: 'true' is not a number"),
        ("seed: 1.5", "foundry.yaml:1: seed: '1.5' is not a whole number"),
        (
            "ideas: {formulas: 0.7, templates: 0.4}",
            "foundry.yaml:1: ideas: '{\"formulas\": 0.7, \"templates\": 0.4}' gives away more than "
            "all; formulas + templates must be at most 1",
        ),
        ("mining: {share: .nan}", "foundry.yaml:1: mining.share: '.nan' is not a number"),
        ("mining_interval_hours: soon", "foundry.yaml:1: mining_interval_hours: 'soon' is not a "
         "number"),
        ("hopeful:\n  fitness: {min: 2, max: 1}", "foundry.yaml:2: hopeful.fitness: "
         "'{\"min\": 2, \"max\": 1}' is not an interval; min must be less than max"),
        ("ollama:\n  models:\n    - name: a\n      memory_mb: big", "foundry.yaml:4: "
         "ollama.models[0].memory_mb: 'big' is not a whole number"),
        ("ollama: {models: []}", "foundry.yaml:1: ollama.models: '[]' is empty; name at least one "
         "model"),
        ("ollama: {url: localhost}", "foundry.yaml:1: ollama.url: 'localhost' is not a web "
         "address; write http://HOST:PORT"),
        ("mining:", "foundry.yaml:1: mining: 'null' is not a mapping of keys to values"),
        ("market: 5", "foundry.yaml:1: market: '5' is not text; put it in quotes"),
        ("seed: x\nbrain: y", "foundry.yaml:2: brain: 'y' is not a service; choose one of local, "
         "worldquant, http(s)://HOST:PORT\nfoundry.yaml:1: seed: 'x' is not a whole number"),
        ("a: &a [*a]", "foundry.yaml: more than 20000 keys, values and list items, aliases written "
         "out; make it smaller"),
        ("seed: 1\nseed: 2", "foundry.yaml:2: seed: stands twice; first in line 1"),
        ("- seed", "foundry.yaml: the file is not a mapping of keys to values"),
        ("mining: {a: [}", "foundry.yaml:1:14: not YAML: expected the node content, but found '}'"),
        ("a: b: c", "foundry.yaml:1:5: not YAML: mapping values are not allowed here"),
        ("seed: \x07", "foundry.yaml: not YAML: character 7 is not allowed"),
        ("[" * 5000, "foundry.yaml: not YAML: nested too deeply"),
        ("seed: !!python/object:os.system {}", "foundry.yaml:1:7: not YAML: could not determine a "
         "constructor for the tag 'tag:yaml.org,2002:python/object:os.system'"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_file(file: Path, content: str, says: str) -> None:
    assert complaint(file, content) == says


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("FOUNDRY_MARKT", "x", "FOUNDRY_MARKT: unknown environment variable; did you mean "
         "'FOUNDRY_MARKET'?"),
        ("FOUNDRY_SEED", "x", "FOUNDRY_SEED: 'x' is not a whole number"),
        ("FOUNDRY_HOPEFUL__FITNESS", "high", "FOUNDRY_HOPEFUL__FITNESS: min: 'high' is not a "
         "number"),
        ("FOUNDRY_ALPHA__DELAY", "2", "FOUNDRY_ALPHA__DELAY: '2' is not a valid delay; choose one "
         "of 0, 1"),
        ("FOUNDRY_OLLAMA__MODELS", "[{name", "FOUNDRY_OLLAMA__MODELS:1:7: not YAML: expected ',' "
         "or '}', but got '<stream end>'"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_environment(file: Path, name: str, value: str, says: str) -> None:
    assert complaint(file, "", {name: value}) == says


def test_a_mistake_in_a_flag(file: Path) -> None:
    assert complaint(file, "", mining_interval=0) == "--mining-interval: '0' is not greater than 0"
    assert complaint(file, "", ollama_url="x").startswith("--ollama-url: 'x' is not a web address")


def test_a_variable_inside_a_single_value(file: Path) -> None:
    message = complaint(file, "hopeful: {fitness: 0.4}", {"FOUNDRY_HOPEFUL__FITNESS__MAX": "3"})
    assert message.startswith(
        "FOUNDRY_HOPEFUL__FITNESS__MAX: hopeful.fitness already has the single value '0.4'"
    )


def test_a_file_that_is_no_text(file: Path) -> None:
    file.write_bytes(b"seed: \xff")
    with pytest.raises(ConfigurationError, match="byte 7 is not UTF-8 text"):
        load_settings(file, environment={})


def test_the_database_password_is_never_printed(file: Path) -> None:
    url = "postgresql://u:s3cret@host/name"
    settings = load(file, "", {"FOUNDRY_DATABASE_URL": url})
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == url
    assert "s3cret" not in repr(settings)
    assert "s3cret" not in str(settings.model_dump(mode="json"))
    assert "s3cret" not in complaint(file, f"database_url: [{url}]")
    assert "s3cret" not in complaint(file, f"databaseurl: {url}")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("simulation: 0", "limits.yaml:1: simulation: '0' is not at least 1"),
        ("simulation: 1.5", "limits.yaml:1: simulation: '1.5' is not a whole number"),
        ("simulation: yes", "limits.yaml:1: simulation: 'yes' is not a whole number"),
        ("simulation: '3'", "limits.yaml:1: simulation: '3' is not a whole number"),
        ("LLM request: 3", "limits.yaml:1: LLM request: 'LLM request' is not of the form "
         "^[a-z][a-z0-9-]*$"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_limits(tmp_path: Path, content: str, says: str) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text(content)
    with pytest.raises(ConfigurationError) as error:
        load_limits(file)
    assert str(error.value).replace(f"{tmp_path}/", "") == says


def test_limits_that_are_left_out_keep_their_size(tmp_path: Path) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text("llm-request: 2\nbacktest: 8\n")
    assert load_limits(file) == {
        "simulation": 3,
        "llm-request": 2,
        "brain-submission": 1,
        "backtest": 8,
    }
