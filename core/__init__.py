"""The Task Orchestrator's import path, as its documentation has it; the code is in `flows`."""
