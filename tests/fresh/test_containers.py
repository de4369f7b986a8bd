"""Containerfile and compose.yaml: their steps in a Debian system, and what they refer to."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fresh.containerfile import Image, build, instructions
from tests.fresh.debian_root import debian_root, why_not
from tests.working_folder import ROOT

CONTAINERFILE = (ROOT / "Containerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with debian_root(tmp_path_factory.mktemp("image") / "root", "bookworm") as root:
        yield build(CONTAINERFILE, root)


@pytest.mark.fresh
@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_the_steps_of_the_containerfile(image: Image) -> None:
    printed = image.run([*image.command, "--simulations", "4"])
    assert "These prices are SYNTHETIC." in printed
    assert "foundry.sqlite" in image.run(["ls", "/data"])
    kernels = image.run(["find", "/data/cache/kernels", "-name", "*.nbi"])
    assert kernels.strip(), "compiled kernels outlive the container"
    for name, service in COMPOSE["services"].items():
        if service.get("image") == "alpha-foundry":
            module = [part for part in service["command"] if part.startswith(("tasks.", "flows."))]
            for one in module:
                assert "usage" in image.run(["python", "-m", one, "--help"]), name


def test_the_services_fit_together() -> None:
    services = COMPOSE["services"]
    assert set(services) == {"database", "server", "worker", "daily"}
    environment = services["server"]["environment"]
    assert environment["FOUNDRY_SERVER_HOSTS"] == "server"
    assert environment["PREFECT_API_URL"] == "http://server:4200/api"
    assert environment["PREFECT_API_DATABASE_CONNECTION_URL"].endswith("@database/prefect")
    for service in services.values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (ROOT / source).exists(), source
        for needed in service.get("depends_on", ()):
            assert "healthcheck" in services[needed]
    assert services["server"]["ports"] == ["127.0.0.1:4200:4200"]  # not open to the network


def test_the_containerfile_copies_no_secret_and_ends_as_an_ordinary_user() -> None:
    steps = instructions(CONTAINERFILE)
    users = [argument for name, argument in steps if name == "USER"]
    assert users and users[-1] not in ("root", "0")
    ignored = (ROOT / ".containerignore").read_text().splitlines()
    assert {".git", ".venv", ".foundry", "credential.txt"} <= set(ignored)
    assert Path(ROOT, ".dockerignore").read_text().splitlines() == ignored
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "credential.txt"], capture_output=True, check=True
    )
    assert listed.stdout == b""
