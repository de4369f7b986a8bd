"""The JSON Schema of workflow documents, for editors."""

from __future__ import annotations

from typing import Any

import alphafoundry.coordinator.phases  # noqa: F401  (registers the types)
from alphafoundry.coordinator.document import WorkflowDocument
from alphafoundry.coordinator.phase_types import phase_type_named, phase_types


def workflow_schema() -> dict[str, Any]:
    """Return the schema; `config` of a phase follows its type."""
    schema = WorkflowDocument.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Alpha Foundry workflow"
    definitions = schema["$defs"]
    conditions = []
    for name, kind in sorted(phase_types().items()):
        config = kind.config.model_json_schema(ref_template="#/$defs/{model}")
        definitions.update(config.pop("$defs", {}))
        definitions[kind.config.__name__] = config
        conditions.append(
            {
                "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
                "then": {
                    "properties": {
                        "config": {"$ref": f"#/$defs/{kind.config.__name__}"},
                    }
                },
            }
        )
    phase = definitions["PhaseSection"]
    phase["properties"]["type"] = {
        "anyOf": [
            {"enum": sorted(phase_types())},
            {"pattern": "^[^:]+:[^:]+$", "description": "module:function of a type of your own"},
        ],
        "type": "string",
    }
    replay_config = phase_type_named("signal_replay").config.__name__
    # An optimization that replays signals takes the keys of signal_replay.
    replay = {"properties": {"method": {"const": "signal_replay"}}, "required": ["method"]}
    phase["allOf"] = [
        {
            "if": replay,
            "then": {"properties": {"config": {"$ref": f"#/$defs/{replay_config}"}}},
            "else": {"allOf": conditions},
        }
    ]
    return schema
