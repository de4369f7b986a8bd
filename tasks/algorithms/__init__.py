"""The tasks of algorithm generation: ask models, try what they wrote, race it."""
