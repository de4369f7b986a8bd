"""The folder in which the programs of a generation are kept."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from pathlib import Path

from alphafoundry.algorithms.generation import GeneratedAlgorithm, Generation
from alphafoundry.clock import utc_now
from alphafoundry.errors import FoundryError


def file_name(written: GeneratedAlgorithm, *, occurrence: int = 0) -> str:
    """Return the name of a program's file; different models have different names."""
    plain = re.sub(r"[^A-Za-z0-9_]+", "_", written.model)[:80]
    digest = hashlib.sha256(f"{written.model}\n{occurrence}".encode()).hexdigest()[:8]
    return f"generated_algo_{plain}_{digest}.py"


def new_folder(home: Path, subject: str) -> Path:
    """Make a folder that no other run has, and return it."""
    plain = re.sub(r"[^A-Za-z0-9_]+", "_", subject)[:40]
    stamp = utc_now().strftime("%Y%m%dT%H%M%S")
    for number in range(1000):
        folder = home / "algorithms" / (f"{stamp}-{plain}" + (f"-{number}" if number else ""))
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise FoundryError(
        f"{home / 'algorithms'}: too many runs started within this second; try again"
    )


def save_generation(generation: Generation, folder: Path) -> list[Path]:
    """Write the programs and `generation.json`; return the programs' files in the models' order."""
    folder.mkdir(parents=True, exist_ok=True)
    times: Counter[str] = Counter()
    files = []
    index = []
    for one in generation.results:
        name = None
        if one.status == "ready" and one.source is not None:
            name = file_name(one, occurrence=times[one.model])
            (folder / name).write_text(one.source, encoding="utf-8")
            files.append(folder / name)
        times[one.model] += 1
        index.append(
            {
                "model": one.model,
                "status": one.status,
                "file": name,
                "reason": one.reason,
                "requests": one.requests,
            }
        )
    document = {
        "written_by": generation.label,
        "prompt": generation.prompt_version,
        "results": index,
    }
    (folder / "generation.json").write_text(json.dumps(document, indent=2) + "\n")
    return files
