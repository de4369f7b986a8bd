"""Whether this machine lets a test have namespaces of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence


def why_no_namespaces(purpose: str, commands: Sequence[str], trial: Sequence[str]) -> str | None:
    """Return why they cannot be had here, or None where they can.

    Parameters
    ----------
    purpose : what root is needed for
    commands : that have to be installed
    trial : a command that makes such namespaces, and does in them what will be done
    """
    if os.geteuid() != 0:
        return f"needs root, for {purpose}"
    for command in commands:
        if shutil.which(command) is None:
            return f"needs the command {command}"
    tried = subprocess.run(trial, capture_output=True, text=True, check=False)
    return f"cannot make namespaces: {tried.stderr.strip()}" if tried.returncode else None
