"""How a command ends that is no flow: wrong flags, errors and Ctrl-C, each in one plain line.

Standard library and the library's errors only: these commands answer at once.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from alphafoundry.errors import FoundryError, os_error_in_one_line

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130


class Parser(argparse.ArgumentParser):
    """Tells a mistake in one line, as everything else does."""

    def error(self, message: str) -> NoReturn:
        """End the command with what is wrong, the flag that was probably meant, and --help."""
        flags = [flag for action in self._actions for flag in action.option_strings]
        unknown = message.rpartition("unrecognized arguments: ")[2].split(" ")[0].split("=")[0]
        near = difflib.get_close_matches(unknown, flags, n=1)
        meant = f"; did you mean {near[0]}?" if near and near[0] != unknown else ""
        self.exit(EXIT_ERROR, f"error: {message}{meant} (`{self.prog} --help` lists the flags)\n")


def end_with(work: Callable[[], int], *, interrupted: int = EXIT_INTERRUPTED) -> NoReturn:
    """Do the work of a command, and end the process with the exit status that it returns.

    Exit status 2 and one line where it raises an error that a person can act on.

    Parameters
    ----------
    interrupted : exit status after Ctrl-C
    """
    try:
        status = work()
        sys.stdout.flush()
        sys.exit(status)
    except FoundryError as problem:
        line = str(problem)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_ERROR)
    except OSError as problem:
        line = os_error_in_one_line(problem)
    except KeyboardInterrupt:
        sys.exit(interrupted)
    sys.stderr.write(f"error: {line}\n")
    sys.exit(EXIT_ERROR)
