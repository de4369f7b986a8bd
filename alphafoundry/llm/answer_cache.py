"""Answers kept on disk for development, so that a prompt is paid for once."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from alphafoundry.llm.completion import Completion, Sampling, amount, whole_number
from alphafoundry.whole_file import replace_file


class AnswerCache:
    """A folder with one JSON file per model, prompt and sampling parameters of one endpoint.

    A file that cannot be read counts as absent. Entries do not expire: delete the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __repr__(self) -> str:
        return f"AnswerCache({str(self.folder)!r})"

    def get(self, endpoint: str, model: str, prompt: str, sampling: Sampling) -> Completion | None:
        """Return the answer that was kept, None where there is none."""
        try:
            kept = json.loads(self._path(endpoint, model, prompt, sampling).read_bytes())
            text = kept["text"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if not isinstance(text, str) or not text.strip():
            return None
        return Completion(
            text,
            whole_number(kept.get("prompt_tokens")),
            whole_number(kept.get("completion_tokens")),
            amount(kept.get("cost")),
        )

    def put(
        self, endpoint: str, model: str, prompt: str, sampling: Sampling, answer: Completion
    ) -> None:
        """Keep an answer; the file is there whole or not at all."""
        path = self._path(endpoint, model, prompt, sampling)
        replace_file(path, json.dumps({"model": model, **asdict(answer)}).encode())

    def _path(self, endpoint: str, model: str, prompt: str, sampling: Sampling) -> Path:
        identity = json.dumps([endpoint, model, prompt, asdict(sampling)], sort_keys=True)
        return self.folder / f"{hashlib.sha256(identity.encode()).hexdigest()}.json"
