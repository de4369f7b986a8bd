"""The tasks of the alpha pipeline: generate, simulate, mine, submit."""
