"""What a command finds around itself, as JSON.

python -m tests.flows.tell_surroundings STATUS|wait
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import threading
from pathlib import Path

import flows  # noqa: F401

if __name__ == "__main__":
    from prefect.settings import get_current_settings  # as in a command: after `flows`

    found = {
        "arguments": sys.argv[1:],
        "environment": dict(os.environ),
        "folder": str(Path.cwd()),
        "settings": get_current_settings().model_dump(mode="json"),
        "signals": [
            str(signal.getsignal(one)) for one in (signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
        ],
        "garbage": gc.get_threshold(),
        "threads": threading.active_count(),
    }
    print(json.dumps(found), flush=True)
    if sys.argv[1:] == ["wait"]:
        signal.pause()
    sys.exit(int(sys.argv[1]))
