"""The steps of a Containerfile, run in a Debian system made by debootstrap.

No container engine is needed, and none is imitated: layers, image names, networks and volumes stay
untested. What is tested is that each command works on that system, as that user, in that folder.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field

from tests.fresh.debian_root import DebianRoot


@dataclass
class Image:
    """What a Containerfile leaves: how a command is run in the system."""

    root: DebianRoot
    cwd: str = "/"
    user: str = "root"
    env: dict[str, str] = field(default_factory=dict)
    command: list[str] = field(default_factory=list)

    def run(self, command: list[str], **env: str) -> str:
        """Run a command as the image would; it has to succeed."""
        return self.root.must(shlex.join(command), user=self.user, cwd=self.cwd, **(self.env | env))


def instructions(text: str) -> list[tuple[str, str]]:
    """Return the instructions of a Containerfile with their arguments."""
    joined = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.M))
    pairs = (line.split(maxsplit=1) for line in joined.splitlines() if line.strip())
    return [(name.upper(), argument) for name, argument in pairs]


def build(text: str, root: DebianRoot) -> Image:
    """Run the instructions of a Containerfile in the system; an unknown one is refused."""
    image = Image(root)
    for name, argument in instructions(text):
        if name == "RUN":
            root.must(argument, user=image.user, cwd=image.cwd, **image.env)
        elif name == "WORKDIR":
            image.cwd = argument
            root.must(shlex.join(["mkdir", "-p", argument]), user="root")
        elif name == "COPY":
            assert argument == ". ."
            root.clone(image.cwd, user="root")
        elif name == "ENV":
            variable, value = argument.split("=", 1)
            image.env[variable] = value
        elif name == "USER":
            image.user = argument
        elif name == "CMD":
            image.command = json.loads(argument)
        else:
            assert name in ("FROM", "VOLUME", "EXPOSE"), name
    return image
