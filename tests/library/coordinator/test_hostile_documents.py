"""Hundreds of hostile workflow files: each is refused, a line a mistake, in little time and memory.

They are read in a child process that measures its memory, and its processor time file by file:
about a second at most on a plain machine; the bound here leaves room for slow ones.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.working_folder import ROOT

SECONDS = 10.0
MEGABYTES = 200

READER = """
import json, re, sys, time
from pathlib import Path
from alphafoundry.coordinator.loading import load_workflow
from alphafoundry.errors import ConfigurationError

def held():
    # The peak since this program began; getrusage would begin with the parent's.
    return int(re.search("VmHWM:\\\\s+([0-9]+)", Path("/proc/self/status").read_text())[1]) / 1024

before = held()
told = {}
for path in sorted(Path(sys.argv[1]).glob("*.yaml")):
    begun = time.process_time()
    try:
        load_workflow(path)
        said = None
    except ConfigurationError as error:
        said = str(error)
    told[path.name] = said, time.process_time() - begun
print(json.dumps({"told": told, "megabytes": held() - before}))
"""

PHASES = "phases: [{name: s, type: optimization}]\n"


def bomb(levels: int, width: int, *, mapping: bool = False, merged: bool = False) -> str:
    """Return aliases of aliases: width ** levels values when written out."""
    lines = ["a0: &a0 {x: 1, y: 2}" if mapping else "a0: &a0 [x, y]"]
    for level in range(1, levels):
        inner = [f"*a{level - 1}"] * width
        if merged:
            lines.append(f"a{level}: &a{level} {{<<: [{', '.join(inner)}]}}")
        elif mapping:
            pairs = ", ".join(f"k{place}: {item}" for place, item in enumerate(inner))
            lines.append(f"a{level}: &a{level} {{{pairs}}}")
        else:
            lines.append(f"a{level}: &a{level} [{', '.join(inner)}]")
    return "\n".join(lines) + "\n" + PHASES


def strategy(parameters: str) -> str:
    return f"strategies: [{{type: moving_average_cross, parameters: {parameters}}}]\n{PHASES}"


def template(text: str) -> str:
    return f"strategies: [{{type: expression, template: {json.dumps(text)}}}]\n{PHASES}"


def count(value: str) -> str:
    return f"phases: [{{name: s, type: optimization, container_count: {value}}}]\n"


def corpus() -> list[str]:
    """Return the hundred files by kinds."""
    numbers = ("-1", "0", "1e400", ".inf", ".nan", "9" * 400, "true", "1.5", "[1]", "{a: 1}")
    files = [bomb(levels, width) for levels in (6, 9, 12) for width in (9, 10, 30)]
    files += [bomb(levels, 9, mapping=True) for levels in (6, 9, 30)]
    files += [bomb(levels, 9, merged=True) for levels in (6, 8, 9)]
    files += ["a: &a [*a]\n", "a: &a {b: *a}\n", "a: &a\n  - [*a, *a]\n"]
    files += ["x: " + opened * 3000 for opened in ("[", "{a: ", "- ")]
    files += ["x: " + "[" * 3000 + "]" * 3000, "- " * 3000, "? " * 2000]
    files += ["x: " + "[1" + ", 1" * items + "]\n" for items in (60_000, 300_000, 900_000)]
    files += ["".join(f"k{place}: 1\n" for place in range(60_000)), "x: '" + "y" * 3_000_000 + "'"]
    files += [count(value) for value in numbers]
    files += [
        f"portfolio: {{initial_capital: {value}}}\n{PHASES}" for value in numbers if value != "1.5"
    ]
    files += [f"infrastructure: {{batch_size: {value}}}\n{PHASES}" for value in numbers]
    files += [
        strategy(f"{{fast: {given}}}")
        for given in (
            "[1, 1e300]", "{min: 1, max: 1000, step: 1e-9}", "{min: 1, max: 1e9, points: 100000}",
            "[]", "{choices: []}", "[[1, 2]]", "{min: 5, max: 1}", "{min: .nan, max: 3}",
            "{min: -.inf, max: .inf}", "[a, b]", "{log: true, min: 0, max: 3}", "null",
        )
    ]  # fmt: skip
    files += [
        template(text)
        for text in (
            "{", "}", "{}", "{a b}", "{x}", "{{x}}", "ts_mean(close, {d})", "rank(" * 5000,
            "x", "close +", "1" * 90_000, "close^" * 3000 + "close", "import os",
            "__import__('os').system('id')",
        )
    ]  # fmt: skip
    files += [
        "!!python/object/apply:os.system ['id']\n",
        "a: !!python/name:os.system\n",
        "a: !!binary 'x'\n",
        "\x00",
        "a: \x07\n",
        "\ufeff\ufeffa: 1\n",
        "a: 1\na: 2\n",
        "--- 1\n--- 2\n",
        "phases: [{name: a, type: backtest, inputs: [b.x]}, {name: b, type: backtest}]\n",
        "phases: [{name: a, type: backtest, inputs: [a.x]}]\n",
        "phases: [{name: ../../etc, type: backtest}]\n",
        "phases: [{name: a, type: 'os:system'}]\n",
        "strategies: [{type: 'os:system'}]\n" + PHASES,
        "strategies: [{type: 'no_such_module_x:y'}]\n" + PHASES,
        "name: ../escape\n" + PHASES,
        "5\n",
        "[]\n",
        "",
    ]
    return files


def later_corpus() -> list[str]:
    """Return forty more, of keys that came later and of odd texts, from the documentation alone."""
    rule = "strategies: [{type: expression, template: 'rank(close)'}]\n" + PHASES
    two = "[{metric: sharpe}, {metric: max_drawdown}]"
    trend = "strategies: [{type: moving_average_cross}]\n" + PHASES
    return [
        *(
            f"optimization: {{pruning: {{at: {at}}}}}\n{PHASES}"
            for at in ("0", "1", "-1", ".nan", "[0.3]", "'x'")
        ),
        *(
            f"optimization: {{objectives: {given}}}\n{PHASES}"
            for given in (
                "[]",
                "[{metric: sharpe}, {metric: sharpe}]",
                "[{metric: no}]",
                "{a: b}",
                "[sharpe, [sharpe]]",
                "null_",
            )
        ),
        f"optimization: {{objectives: {two}, selection: best}}\n" + PHASES,
        f"optimization: {{objectives: {two}, objective: sharpe, method: tpe}}\n" + PHASES,
        f"optimization: {{objectives: {two}, method: differential_evolution}}\n" + PHASES,
        *(f"execution: {{fill: {fill}}}\n{trend}" for fill in ("never", "[close]", "1", "null_")),
        *(f"execution: {{borrow_pct: {pct}}}\n{trend}" for pct in ("-1", ".inf", "'5%'")),
        *(
            f"risk_management: {{params: {{trailing_stop_pct: {pct}}}}}\n{trend}"
            for pct in ("-0.1", ".nan", "2e9")
        ),
        "risk_management: {params: {max_exposure_pct: 1}}\nportfolio: {leverage: 3}\n" + trend,
        "risk_management: {params: {stop_loss_pct: 0.1}}\n"
        + "optimization: {parameters: {stop_loss_pct: [0, 0.1]}}\n"
        + trend,
        "execution: {stops: high_low}\n"
        + "optimization: {parameters: {stop_loss_pct: [-1, 0.1]}}\n"
        + trend,
        *(
            f"strategies: [{{type: rsi, symbols: {names}}}]\n{PHASES}"
            for names in ("[]", "[[A]]", "{A: 1}", "[A, A]")
        ),
        *(
            f"strategies: [{{type: rsi, allocation: {share}}}]\n{PHASES}"
            for share in ("-1", ".nan", "[1]")
        ),
        "data: {market: calibration, test_fraction: 1.5}\n" + PHASES,
        "data: {market: calibration, start_date: 2020-02-30}\n" + PHASES,
        "data: {source: /dev/zero}\n" + PHASES,
        "data: {market: 'http://localhost:1/x.csv', max_bars: -5}\n" + PHASES,
        "reporting: {plots: 1.0e+300, top_trials: -1}\n" + rule,
        "walk_forward: {train_period_days: 0, test_period_days: -3, step_days: 1e99}\n" + PHASES,
        "&a !!set {? *a}\n",
        "%YAML 9.9\n---\na: 1\n",
        "a: |\n" + " x\n" * 700_000,
        "? {a: [b]}\n: c\n",
        "phases: [{name: " + "é" * 5000 + ", type: optimization}]\n",
        "phases:\n" + "".join(f"- {{name: p{n}, type: optimization}}\n" for n in range(3000)),
        "phases:\n"
        + "".join(f"- {{name: p{n}, type: backtest, inputs: [p{n + 1}.x]}}\n" for n in range(800)),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("each", [12, pytest.param(1, marks=pytest.mark.long)])
def test_a_hundred_hostile_files_are_refused_quickly(tmp_path: Path, each: int) -> None:
    files = [*corpus(), *later_corpus()]
    assert len(files) >= 140
    files = files[::each]
    for place, text in enumerate(files):
        (tmp_path / f"{place:03}.yaml").write_bytes(text.encode())
    (tmp_path / "utf16.yaml").write_bytes("a: 1".encode("utf-16"))
    done = subprocess.run(
        [sys.executable, "-c", READER, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    wrong = {}
    for name, (said, seconds) in found["told"].items():
        lines = [] if said is None else said.split("\n")
        located = [name in line or line.startswith("and ") for line in lines]
        if not lines or not all(located) or max(map(len, lines)) > 1500 or seconds > SECONDS:
            wrong[name] = (tmp_path / name).read_bytes()[:80], said and said[:200], seconds
    print("most seconds", max(seconds for _, seconds in found["told"].values()))
    print("megabytes", found["megabytes"])
    assert wrong == {}
    assert found["megabytes"] < MEGABYTES
