"""Workflows from YAML: phases, searches, trials in worker processes, checkpoints and reports."""
