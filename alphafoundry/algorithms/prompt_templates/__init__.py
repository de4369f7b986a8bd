"""Texts of the prompts, one file per version."""
