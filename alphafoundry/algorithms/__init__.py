"""Language models write trading algorithms; what they write is checked, sandboxed and raced.

generate_algorithms_for_agents(["model-a", "model-b"], "AAPL")
race([Entry("mine", source)], load_market("sample", cache_dir=Path(".foundry/cache")))
"""

from alphafoundry.algorithms.arena import Entry, race
from alphafoundry.algorithms.arena_settings import ArenaSettings
from alphafoundry.algorithms.concurrent_generation import (
    _generate_algorithms_for_agents_async,
    generate_algorithm_async,
    generate_algorithms,
    generate_algorithms_for_agents,
)
from alphafoundry.algorithms.contract import (
    AlgorithmFailed,
    NoCode,
    RefusedCode,
    Validated,
)
from alphafoundry.algorithms.extraction import extract_code
from alphafoundry.algorithms.generation import GeneratedAlgorithm, Generation
from alphafoundry.algorithms.leader_board import RaceResult, leader_board_plot, leader_board_table
from alphafoundry.algorithms.progress import ProgressMessage, read_message
from alphafoundry.algorithms.prompts import Prompt, build_prompt
from alphafoundry.algorithms.sandbox import Sandbox, SandboxLimits
from alphafoundry.algorithms.template_provider import TemplateProvider
from alphafoundry.algorithms.validation import validate
from alphafoundry.finance.bars import TickerBars

Bars = TickerBars
"""What it was called first; code that others wrote imports it by this name."""

__all__ = [
    "AlgorithmFailed",
    "ArenaSettings",
    "Bars",
    "Entry",
    "GeneratedAlgorithm",
    "Generation",
    "NoCode",
    "ProgressMessage",
    "Prompt",
    "RaceResult",
    "RefusedCode",
    "Sandbox",
    "SandboxLimits",
    "TemplateProvider",
    "TickerBars",
    "Validated",
    "_generate_algorithms_for_agents_async",
    "build_prompt",
    "extract_code",
    "generate_algorithm_async",
    "generate_algorithms",
    "generate_algorithms_for_agents",
    "leader_board_plot",
    "leader_board_table",
    "race",
    "read_message",
    "validate",
]
