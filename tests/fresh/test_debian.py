"""The README's two commands on Debian systems that have python3, git and make, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fresh.debian_root import DebianRoot, debian_root, why_not

pytestmark = [pytest.mark.fresh, pytest.mark.slow, pytest.mark.timeout(7200)]

HOME = "/home/ada"
CHECKOUT = f"{HOME}/alpha-foundry"
ADVICE = "sudo apt install python3-venv"
FEW = "make daily FLAGS='--simulations 4'"
ENDED = "These prices are SYNTHETIC."


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def system(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DebianRoot]:
    """Debian 12 with Python 3.11, Debian 13 with Python 3.13; a clone in the user's home."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with debian_root(tmp_path_factory.mktemp("debian") / request.param, request.param) as root:
        root.clone(CHECKOUT)
        yield root


def test_two_commands(system: DebianRoot) -> None:
    for _ in range(2):
        done = system.run("make daily", cwd=CHECKOUT)
        assert done.returncode != 0
        ours = [line for line in done.stderr.splitlines() if not line.startswith("make: ***")]
        assert len(ours) == 1 and ours[0].endswith(ADVICE), done
        assert done.stdout == ""

    system.add_packages("python3-venv")
    # What venv without ensurepip leaves behind; it was once taken for whole.
    system.must("python3 -m venv --without-pip .venv", cwd=CHECKOUT)
    assert ENDED in system.must("make daily", cwd=CHECKOUT)


def test_the_quick_tests(system: DebianRoot) -> None:
    system.add_packages("python3-venv")
    tests = system.run("make test-quick FLAGS='-p no:cacheprovider'", cwd=CHECKOUT)
    assert tests.returncode == 0, tests.stdout[-8000:] + tests.stderr[-2000:]


def test_a_second_checkout_with_spaces_and_without_a_home(system: DebianRoot) -> None:
    system.add_packages("python3-venv")
    second = f"{HOME}/my research/alpha foundry"
    system.clone(second)
    assert ENDED in system.must(FEW, cwd=second, HOME="/nonexistent")
    code = "import alphafoundry, flows; print(alphafoundry.__file__, flows.__file__)"
    found = system.must(f".venv/bin/python -P -c '{code}'", cwd=second)
    assert found.count(second) == 2
    assert system.must(".venv/bin/prefect version", cwd=second)


def test_a_checkout_that_cannot_be_written(system: DebianRoot) -> None:
    system.add_packages("python3-venv")
    system.clone("/opt/alpha-foundry", user="root")
    before = system.must("find . | sort", cwd="/opt/alpha-foundry")
    elsewhere = f"VENV={HOME}/venv FOUNDRY_HOME={HOME}/foundry"
    done = system.must(f"{FEW} {elsewhere}", cwd="/opt/alpha-foundry", HOME="/nonexistent")
    assert ENDED in done
    assert "foundry.sqlite" in system.must(f"ls {HOME}/foundry")
    assert system.must("find . | sort", cwd="/opt/alpha-foundry") == before


def test_uv_in_place_of_venv(system: DebianRoot) -> None:
    system.add_packages("python3-venv")
    system.must("python3 -m venv uv && uv/bin/pip install -q uv && mkdir -p bin", cwd=HOME)
    system.must("ln -sf ../uv/bin/uv bin/uv", cwd=HOME)
    system.must("apt-get -q remove --yes 'python3*-venv'", user="root")
    third = f"{HOME}/third"
    system.clone(third)
    path = f"{HOME}/bin:/usr/bin:/bin"
    assert ENDED in system.must(FEW, cwd=third, PATH=path)
    assert "uv = " in system.must("cat .venv/pyvenv.cfg", cwd=third)
