"""The race of searches: a market with a budget, the rivals, and the judges."""
