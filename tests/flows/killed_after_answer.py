"""`python -m flows.algorithms` that is killed the moment the answer of a model is stored.

python -m tests.flows.killed_after_answer MODEL [FLAGS]
"""

from __future__ import annotations

import os
import signal
import sys

from alphafoundry.algorithms.run import AlgorithmsRun
from alphafoundry.llm import Completion
from flows.algorithms import algorithms
from flows.command_line import Command
from flows.command_line import main as run_command


def main() -> None:
    """Run the flow; the process ends by SIGKILL."""
    fatal = sys.argv.pop(1)
    keep_answer = AlgorithmsRun.keep_answer

    def keep_and_die(
        self: AlgorithmsRun, position: int, completion: Completion, *, requests: int
    ) -> None:
        keep_answer(self, position, completion, requests=requests)
        if self.assignments[position].model == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    AlgorithmsRun.keep_answer = keep_and_die  # type: ignore[method-assign]
    run_command(algorithms, Command("flows.algorithms"))


if __name__ == "__main__":
    main()
