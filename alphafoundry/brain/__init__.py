"""The WorldQuant BRAIN HTTP API: a client, and a server that answers it from the simulator."""

from alphafoundry.brain.client import BrainClient
from alphafoundry.brain.credentials import Credentials, load_credentials
from alphafoundry.brain.models import (
    AlphaInfo,
    AlphaStatistics,
    CheckInfo,
    DataFieldInfo,
    OperatorInfo,
    SimulationStatus,
    SubmissionOutcome,
)

__all__ = [
    "AlphaInfo",
    "AlphaStatistics",
    "BrainClient",
    "CheckInfo",
    "Credentials",
    "DataFieldInfo",
    "OperatorInfo",
    "SimulationStatus",
    "SubmissionOutcome",
    "load_credentials",
]
