"""The phase types that come with the project; importing this registers them."""

from alphafoundry.coordinator.phases import (
    analysis,
    backtesting,
    optimization,
    signal_generation,
    signal_replay,
    walk_forward,
)

__all__ = [
    "analysis",
    "backtesting",
    "optimization",
    "signal_generation",
    "signal_replay",
    "walk_forward",
]
