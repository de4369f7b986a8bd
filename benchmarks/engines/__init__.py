"""The same alphas for every engine: one list of formulas, one vocabulary per engine."""
