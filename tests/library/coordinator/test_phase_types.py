"""Phase types of one's own: found, checked, kept, and run again when their source changes."""

from __future__ import annotations

import importlib
import json
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from alphafoundry.coordinator import PhaseContext, phase_type, run_workflow
from alphafoundry.coordinator.phase_types import phase_types
from alphafoundry.coordinator.workflow import Workflow
from alphafoundry.errors import ConfigurationError, PhaseFailed
from tests.piped_commands import PROGRAM, run_forked
from tests.working_folder import ROOT, plain_environment

pytestmark = pytest.mark.usefixtures("place")

HEAD = """
from dataclasses import dataclass
from alphafoundry.coordinator import PhaseContext, phase_type

@dataclass(frozen=True)
class Quiet:
    days: int
    share: float
"""

QUIET = """
@phase_type("NAME", outputs=Quiet, looks_at="train", result=lambda found: f"{found.days} days")
def quiet(context: PhaseContext) -> Quiet:
    first, last = context.rows("train")
    return Quiet(last - first + SHIFT, 0.5)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Write a module of one's own and return the type's reference."""
    monkeypatch.syspath_prepend(tmp_path)
    # A name of its own for each test, as types and modules live as long as the process.
    name = f"own_{tmp_path.name}".replace("-", "_")

    def write(body: str, *, shift: int = 0) -> str:
        text = HEAD + body.replace("NAME", name).replace("SHIFT", str(shift))
        (tmp_path / f"{name}.py").write_text(text)
        return f"{name}:quiet"

    return write


def document(reference: str, **more: object) -> dict[str, object]:
    return {
        "data": {"market": "prices.csv"},
        "reporting": {"plots": False},
        "phases": [
            {"name": "calm", "type": reference, **more},
            {"name": "later", "type": "backtest", "inputs": ["calm.days"]},
        ],
    }


def test_it_runs_and_is_kept(module: Callable[..., str]) -> None:
    reference = module(QUIET)
    report = run_workflow(document(reference))
    assert report.phases[0].result == "210 days"
    assert report.phases[0].kind == reference.partition(":")[0]
    assert report.sample == "out_of_sample", "it looked at earlier days only"
    again = run_workflow(document(reference))
    assert [phase.restored for phase in again.phases] == [True, True]


@pytest.mark.long
def test_its_source_is_part_of_its_checkpoint(tmp_path: Path, module: Callable[..., str]) -> None:
    program = """
        import sys
        sys.path.insert(0, sys.argv[2])
        # What is compiled of a file of this size and second would be taken for its next version.
        sys.dont_write_bytecode = True
        from alphafoundry.coordinator import run_workflow
        report = run_workflow({
            "data": {"market": "prices.csv"},
            "reporting": {"plots": False},
            "phases": [{"name": "search", "type": "optimization", "container_count": 4},
                       {"name": "calm", "type": sys.argv[1], "inputs": ["search.best_params"]}],
        })
        print([(phase.restored, phase.result) for phase in report.phases][-1], report.trials)
        """

    def run(reference: str) -> str:
        done = run_forked(
            PROGRAM,
            [textwrap.dedent(program), reference, str(tmp_path)],
            cwd=Path.cwd(),
            env=plain_environment() | {"FOUNDRY_HOME": str(tmp_path / "home")},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert run(module(QUIET)) == "(False, '210 days') 4"
    assert run(module(QUIET)) == "(True, '210 days') 4"
    assert run(module(QUIET, shift=1)) == "(False, '211 days') 4"


def test_a_type_that_says_nothing_of_its_days_makes_no_out_of_sample(
    module: Callable[..., str],
) -> None:
    reference = module(QUIET.replace('looks_at="train", ', ""))
    report = run_workflow(document(reference))
    assert report.sample == "in_sample"
    assert any("later: not out of sample, calm has searched" in note for note in report.notes)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def quiet(context): ...", "is not a phase type; decorate the function with @phase_type"),
        ("raise RuntimeError('no\\nway')", r"cannot be imported \(RuntimeError: no way\); write"),
        ("x = 1", "cannot be imported .*has no attribute 'quiet'"),
        (QUIET.replace("NAME", "backtest"), "there is already a phase type 'backtest', in alpha"),
    ],
)
def test_what_is_no_type_is_told_in_one_line(
    module: Callable[..., str], body: str, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        run_workflow(document(module(body)))
    assert str(caught.value).startswith("workflow.yaml: phases[0].type: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "instead", "message"),
    [
        ("outputs=Quiet", "outputs=int", "outputs: int is no frozen dataclass; write @dataclass"),
        ('looks_at="train"', 'looks_at="tomorrow"', "looks_at: 'tomorrow' is neither a function"),
        ('looks_at="train"', "config=dict", "config: dict is no subclass of Section"),
        ('looks_at="train"', "needs=Quiet", "needs: Quiet is no tuple of classes of outputs"),
        ('looks_at="train"', "needs=(int,)", "needs: int is no class of outputs"),
        ('looks_at="train"', "trials=3", "trials: 3 is no function"),
        ("quiet(context: PhaseContext)", "quiet()", r"quiet\(\) -> .* takes no context; give it"),
        ("def quiet", "async def quiet", "quiet is async; write a plain function"),
    ],
)
def test_a_wrong_declaration_is_told_when_it_is_read(
    module: Callable[..., str], written: str, instead: str, message: str
) -> None:
    assert written in QUIET
    with pytest.raises(ConfigurationError, match=f"phase type 'own_.*': {message}") as caught:
        run_workflow(document(module(QUIET.replace(written, instead))))
    assert "\n" not in str(caught.value)


def test_a_type_without_a_config_says_that_it_takes_no_key(module: Callable[..., str]) -> None:
    with pytest.raises(ConfigurationError, match="unknown key 'speed'; there is none to choose"):
        run_workflow(document(module(QUIET), config={"speed": 3}))


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ('{"days": 1}', "returned a dict, not the Quiet that it declares"),
        ("Quiet(object(), 0.5)", "cannot be kept as JSON: Object of type object is not"),
        ("Quiet(3, (1, 2))", "cannot be kept as JSON: not the Quiet of this code"),
        ('Quiet("7", 0.5)', "read back otherwise than they were written"),
    ],
)
def test_outputs_that_a_checkpoint_could_not_give_back(
    module: Callable[..., str], returned: str, message: str
) -> None:
    body = QUIET.replace("Quiet(last - first + SHIFT, 0.5)", returned)
    with pytest.raises(PhaseFailed, match=message):
        run_workflow(document(module(body)))


@pytest.mark.parametrize(
    ("shown", "message"),
    [
        ("result=lambda found: found.days", "`result` of the type .* returned 210, which is no te"),
        ("result=lambda found: found.dais", "`result` of the type .* failed: AttributeError: "),
        ("measured=lambda found: 1 / 0", "`measured` of the type .* failed: ZeroDivisionError: "),
    ],
)
def test_what_a_report_could_not_show_ends_the_phase(
    module: Callable[..., str], shown: str, message: str
) -> None:
    written = 'result=lambda found: f"{found.days} days"'
    assert written in QUIET
    with pytest.raises(PhaseFailed, match=f"phase calm: {message}") as caught:
        run_workflow(document(module(QUIET.replace(written, shown))))
    assert "\n" not in str(caught.value)


def test_what_it_raises_is_told_in_one_line_with_its_place(module: Callable[..., str]) -> None:
    reference = module(
        QUIET.replace("    return", "    context.bars.nothing_like_it()\n    return")
    )
    with pytest.raises(PhaseFailed) as error:
        run_workflow(document(reference))
    said = str(error.value)
    assert said.startswith("phase calm: ")
    assert ".py:13: AttributeError" in said
    assert "\n" not in said


COSTLY = """
from dataclasses import replace
from alphafoundry.coordinator.batches import execution_to_json

@phase_type(
    "NAME", outputs=Quiet, looks_at="train", result=lambda found: f"share {found.share}"
)
def quiet(context: PhaseContext) -> Quiet:
    (use,) = context.strategies()
    options = {"strategy": use.source.to_json(), "rows": list(context.rows("train"))}
    costs = replace(context.execution.costs, slippage_bps=100.0)
    dear = execution_to_json(replace(context.execution, costs=costs))
    usual, others = context.work(
        "trials",
        [([use.complete({})], options), ([use.complete({})], {**options, "execution": dear})],
    )
    return Quiet(context.trials, usual[0].numbers["sharpe"] - others[0].numbers["sharpe"])
"""


def test_its_trials_may_have_costs_of_their_own(module: Callable[..., str]) -> None:
    given = document(module(COSTLY)) | {"strategies": [{"type": "moving_average_cross"}]}
    report = run_workflow(given)
    assert report.phases[0].trials == 2
    assert float(report.phases[0].result.removeprefix("share ")) > 0.1


def test_unknown_keys_and_configs_are_refused(module: Callable[..., str]) -> None:
    reference = module(QUIET)
    with pytest.raises(ConfigurationError, match="unknown key 'speed'"):
        run_workflow(document(reference, config={"speed": 3}))
    wrong = document(reference)
    wrong["phases"][1]["inputs"] = ["calm.dais"]  # type: ignore[index]
    with pytest.raises(ConfigurationError, match="no key 'dais'; did you mean 'days'"):
        run_workflow(wrong)


def test_a_cell_of_a_notebook_may_define_a_type_again(load: Callable[[str], Workflow]) -> None:
    @dataclass(frozen=True)
    class Answer:
        value: int

    def define() -> None:
        @phase_type("of_a_cell", outputs=Answer)
        def of_a_cell(context: PhaseContext) -> Answer:
            return Answer(len(context.upstream))

    define()
    define()
    workflow = load("phases: [{name: one, type: of_a_cell}]")
    assert workflow.phase("one").kind == "of_a_cell"
    assert workflow.phase("one").code
    assert phase_types()["of_a_cell"].passes == "value"


def test_every_type_of_the_library_is_part_of_the_version_of_the_code() -> None:
    importlib.import_module("alphafoundry.coordinator.phases")
    own = {name for name, kind in phase_types().items() if kind.code is None}
    assert own == {
        "analysis",
        "backtest",
        "optimization",
        "signal_generation",
        "signal_replay",
        "validation",
        "walk_forward",
    }


def test_the_example_runs(tmp_path: Path, market_cache: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "cache").symlink_to(market_cache)
    done = run_forked(
        "examples.phase_type",
        [],
        cwd=ROOT,
        env=plain_environment() | {"FOUNDRY_HOME": str(tmp_path / "home")},
    )
    assert done.returncode == 0, done.stderr
    assert "plateau: trend: sharpe" in done.stdout
    (found,) = (tmp_path / "home" / "workflows").glob("neighbours-*/results.json")
    outputs = json.loads(found.read_text())
    plateau = outputs["plateau"]["strategies"]["trend"]
    assert plateau["best"] == outputs["search"]["best_score"]["trend"]
    assert plateau["lowest"] == min(plateau["neighbours"])
    assert 2 <= len(plateau["neighbours"]) <= 4
