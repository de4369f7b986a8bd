"""A server that answers the BRAIN HTTP API from the local simulator.

`python -m alphafoundry.brain.server --help` runs it on a port; `in_process` needs none.
"""

from __future__ import annotations

import sys

from alphafoundry.brain.service.application import (
    DEFAULT_STATE,
    close_app,
    create_app,
    in_process,
)

__all__ = ["DEFAULT_STATE", "close_app", "create_app", "in_process"]


if __name__ == "__main__":
    from alphafoundry.brain.service.command_line import main

    sys.exit(main())
