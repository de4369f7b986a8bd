"""Write a benchmark's result with what is needed to read it later."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def write_result(name: str, rows: list[dict[str, Any]], packages: list[str]) -> Path:
    """Write `benchmarks/results/NAME.json`: machine, versions, date and rows; return its path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(
        json.dumps(
            {
                "benchmark": name,
                "date": datetime.now(UTC).date().isoformat(),
                "machine": {
                    "architecture": platform.machine(),
                    "cores": os.cpu_count(),
                    "system": platform.system(),
                },
                "versions": {
                    "python": platform.python_version(),
                    **{package: version(package) for package in packages},
                },
                "rows": rows,
            },
            indent=2,
        )
        + "\n"
    )
    return path
