"""Prompt templates; the version is part of the file name."""
