"""Compiled arithmetic over panels. Nothing here is imported before the first evaluation."""
