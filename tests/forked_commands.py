"""Commands and servers in processes of their own, without paying for the imports of each.

One process, shared by all of `pytest -n`, imports what they import and then forks once for each.
The fork takes the arguments, environment, folder and output that it is given, and runs the module
as `python -m MODULE` does: `flows/__init__.py` runs again, Prefect reads its settings again, and
the command ends by its own exit status or by the signal that it is sent.

What differs from a process that Python was started for: the imports are there, `/proc/PID/cmdline`
and `environ` are those of the server, and the server is the parent.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

MODULES = (
    *(f"flows.{name}" for name in ("generate", "mine", "submit", "daily", "continuous")),
    *(f"flows.{name}" for name in ("optimize", "algorithms", "desk")),
    "prefect.server.api.server",
    "exchange_calendars",
    "pyarrow.dataset",
    "pyarrow.parquet",
)
LONGEST_MESSAGE = 1 << 18


class ForkedCommand:
    """A running command, used as `subprocess.Popen` is.

    Attributes
    ----------
    pid : of its process
    returncode : its exit status, negative for a signal; None while nobody has seen it end
    """

    def __init__(self, pid: int, channel: socket.socket, args: Sequence[str]) -> None:
        self.pid = pid
        self.args = list(args)
        self.returncode: int | None = None
        self._channel = channel

    def poll(self) -> int | None:
        """Return the exit status, None while it runs."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status once it has ended; raises subprocess.TimeoutExpired."""
        status = self._look(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return status

    def send_signal(self, number: int) -> None:
        """Send it a signal unless it has ended."""
        if self.poll() is None:
            # It may have ended without its end being told yet.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it by SIGKILL unless it has ended."""
        self.send_signal(signal.SIGKILL)

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None and self._is_told(timeout):
            told = self._channel.recv(LONGEST_MESSAGE)
            assert told, "the server that forks commands has died"
            self.returncode = json.loads(told)
            self._channel.close()
        return self.returncode

    def _is_told(self, timeout: float | None) -> bool:
        waiting = select.poll()
        waiting.register(self._channel, select.POLLIN)
        return bool(waiting.poll(None if timeout is None else timeout * 1000))


class ForkServer:
    """A connection to the process that forks commands, which ends with the last connection.

    Parameters
    ----------
    root : the checkout
    environment : of the process where it does not run yet; each command has its own
    run : names the run of pytest whose processes share it
    """

    def __init__(self, root: Path, environment: Mapping[str, str], *, run: str) -> None:
        address = f"\0alpha-foundry-forks-{run}"  # of Linux: no file, and one alone can bind it
        self._control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        while self._control.connect_ex(address):
            start_server(address, root, environment)

    def start(
        self,
        module: str,
        flags: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdout: int,
        stderr: int,
        stdin: int | None = None,
        new_session: bool = False,
    ) -> ForkedCommand:
        """Start `python -m module flags`.

        cwd : its working directory
        env : its whole environment
        stdout, stderr : descriptors of this process that it writes to
        stdin : one that it reads from; None where there is nothing to read
        new_session : whether it leads a session and a group of its own
        """
        given = [stdout, stderr] if stdin is None else [stdout, stderr, stdin]
        wanted = {
            **{"module": module, "flags": list(flags), "cwd": str(cwd), "env": dict(env)},
            "new_session": new_session,
        }
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            socket.send_fds(self._control, [json.dumps(wanted).encode()], [theirs.fileno(), *given])
        pid = ours.recv(LONGEST_MESSAGE)
        assert pid, "the server that forks commands has died"
        return ForkedCommand(json.loads(pid), ours, [module, *flags])

    def close(self) -> None:
        """Let the server end once nobody else uses it."""
        self._control.close()


def start_server(address: str, root: Path, environment: Mapping[str, str]) -> None:
    """Start the process that forks unless another one has the address already."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        try:
            listening.bind(address)
        except OSError as problem:
            if problem.errno != errno.EADDRINUSE:
                raise
            time.sleep(0.05)  # it may not listen yet
            return
        listening.listen()
        subprocess.Popen(
            [sys.executable, "-m", __name__, str(listening.fileno())],
            cwd=root,
            env={**environment, "PYTHONPATH": str(root)},
            stdin=subprocess.DEVNULL,
            pass_fds=[listening.fileno()],
        )


def become(wanted: dict[str, Any], descriptors: Sequence[int]) -> None:
    """Do in this process what Python does for `python -m MODULE`; it may raise SystemExit.

    descriptors : for the output, for errors, and perhaps for the input
    """
    from prefect.context import refresh_global_settings_context
    from prefect.logging.configuration import setup_logging

    import flows

    if wanted["new_session"]:
        os.setsid()
    for given, own in zip(descriptors, (1, 2, 0), strict=False):
        os.dup2(given, own)
        os.close(given)
    os.chdir(wanted["cwd"])
    os.environ.clear()
    os.environ.update(wanted["env"])
    module, flags = wanted["module"], wanted["flags"]
    sys.argv = ["-m" if module.startswith("flows.") else module, *flags]  # while it is imported
    sys.orig_argv = [sys.executable, "-m", module, *flags]
    importlib.reload(flows)
    refresh_global_settings_context()
    setup_logging()
    sys.argv = [module, *flags]
    sys.modules.pop(module, None)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def end_as_python_does(wanted: dict[str, Any], descriptors: Sequence[int]) -> None:
    """Run the command and end this process with its status."""
    status: Any = 0
    try:
        become(wanted, descriptors)
    except SystemExit as ended:
        status = ended.code or 0
        if not isinstance(status, int):
            print(status, file=sys.stderr)
            status = 1
    except BaseException:
        traceback.print_exc()
        status = 1
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


def tell_who_ended(running: dict[int, socket.socket]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        with running.pop(pid) as channel, contextlib.suppress(OSError):
            channel.send(json.dumps(os.waitstatus_to_exitcode(status)).encode())


def load_common_kernels() -> None:
    """Simulate once, since a command's first simulation otherwise takes half a second more."""
    from alphafoundry.expressions.threads import at_most
    from alphafoundry.simulation import SimulationSettings, Simulator
    from tests.library.brain.markets import small_panel

    settings = SimulationSettings(neutralization="MARKET", truncation=0.2, decay=4)
    with at_most(1):  # a process that has threads is not to be forked
        Simulator(small_panel()).simulate("-rank(ts_sum(returns, 5))", settings)


def main() -> None:
    """Import what commands import, then fork for each that is asked for, until nobody can ask."""
    listening = socket.socket(fileno=int(sys.argv[1]))
    listening.set_inheritable(False)
    with tempfile.TemporaryDirectory(prefix="fork-server-") as home:
        os.environ["PREFECT_HOME"] = home
        import_all()
        gc.collect()
        gc.freeze()
        # Python 3.12 warns of threads: those are OpenBLAS's, which prepares itself for a fork.
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        serve(listening)


def import_all() -> None:
    """Import what commands and servers do, and make ready what they would make at their start."""
    for name in MODULES:
        importlib.import_module(name)
    from flows.later_imports import import_later_ones
    from tests.compiled_once import compile_once
    from tests.ready_tables import use_ready_tables

    compile_once()
    import_later_ones()
    if find_spec("distributed"):
        importlib.import_module("distributed.cli.dask_scheduler")
        importlib.import_module("distributed.cli.dask_worker")
    use_ready_tables()
    load_common_kernels()


def serve(listening: socket.socket) -> None:
    """Fork for all who connect, until the last of them has closed its connection."""
    running: dict[int, socket.socket] = {}
    ended, told = socket.socketpair()
    told.setblocking(False)
    signal.set_wakeup_fd(told.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    clients = [listening.accept()[0]]
    while clients:
        ready = select.select([listening, ended, *clients], [], [])[0]
        if ended in ready:
            ended.recv(4096)
            tell_who_ended(running)
        if listening in ready:
            clients.append(listening.accept()[0])
        for client in [one for one in clients if one in ready]:
            request, descriptors, _, _ = socket.recv_fds(client, LONGEST_MESSAGE, 4)
            if not request:
                clients.remove(client)
                client.close()
                continue
            channel = socket.socket(fileno=descriptors[0])
            pid = os.fork()
            if pid == 0:  # it begins with the handlers that Python begins with
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for one in (listening, ended, told, channel, *clients, *running.values()):
                    one.close()
                end_as_python_does(json.loads(request), descriptors[1:])
            running[pid] = channel
            channel.send(json.dumps(pid).encode())
            for descriptor in descriptors[1:]:
                os.close(descriptor)


if __name__ == "__main__":
    main()
