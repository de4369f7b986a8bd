"""Where nobody names models, those are taken that can write a program."""

from __future__ import annotations

from alphafoundry.llm.suited_models import best_suited


def test_programmers_come_first_and_what_cannot_write_is_left_out() -> None:
    listed = [
        {"id": "a/llama-3.1-8b-instruct:free"},
        {"id": "a/llama-3.3-70b-instruct:free", "context_length": 65_536},
        {"id": "b/qwen-coder-7b:free"},
        {"id": "b/tiny:free", "context_length": 4_096},
        {"id": "c/flux", "architecture": {"output_modalities": ["image"]}},
        {"id": "text-embedding-3-large"},
        {"id": "whisper-1"},
        {"name": "all:latest", "details": {"family": "nomic-bert"}},
        {"name": "gemma3:4b", "details": {"family": "gemma3"}},
    ]
    assert best_suited(listed) == (
        "b/qwen-coder-7b:free",
        "a/llama-3.3-70b-instruct:free",
        "a/llama-3.1-8b-instruct:free",
        "gemma3:4b",
    )
