"""`python -m alphafoundry simulate EXPRESSION`: one alpha, in the terminal."""

from __future__ import annotations

import sys

from alphafoundry.command_line import main

if __name__ == "__main__":
    sys.exit(main())
