"""A workflow document with the lines of its keys, for messages that say where a mistake is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alphafoundry.configuration import mistake, read_part
from alphafoundry.coordinator.document import WorkflowDocument
from alphafoundry.errors import ConfigurationError
from alphafoundry.yaml_document import KeyPath, YamlDocument, read_yaml

DOCUMENT_NAME = "workflow.yaml"
"""What messages and the run's folder call a document that is given as a mapping."""


@dataclass(frozen=True)
class DocumentFile:
    """A document, the file it is from, and the lines of its keys in `yaml`."""

    path: Path
    yaml: YamlDocument
    document: WorkflowDocument

    def wrong(self, key: KeyPath, complaint: str) -> ConfigurationError:
        """Return the error "file:line: key: complaint"."""
        return mistake(self.yaml, self.path, key, complaint)


def read_document(source: Path | str | Mapping[str, Any]) -> DocumentFile:
    """Return the document of a YAML file, or the one that is given itself.

    Raises ConfigurationError where a key or a value is wrong.
    """
    if isinstance(source, Mapping):
        path, yaml = Path(DOCUMENT_NAME), YamlDocument(dict(source))
    else:
        path = Path(source)
        yaml = read_yaml(path)
    if not yaml.values:
        raise ConfigurationError(
            f"{path}: the file is empty; give at least a workflow, phases or strategies"
        )
    return DocumentFile(path, yaml, read_part(yaml, WorkflowDocument, path=path))


def as_name(text: str) -> str:
    """Return the text as a name of files: letters, digits, _ and -."""
    name = "".join(char if char.isalnum() or char in "_-" else "_" for char in text)
    return name if name[:1].isalnum() else f"w{name}"
