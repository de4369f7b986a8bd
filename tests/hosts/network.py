"""Hosts on one machine: each has its own network, mounts, name and processes, on one switch.

A host is a process in namespaces of its own, and all that runs on it runs in these. Nothing of this
machine's own network is touched, and nothing is left when the processes have ended.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.namespaces import why_no_namespaces
from tests.working_folder import ROOT, TIMEOUT, WorkingFolder, plain_environment, wait_until

NETWORK = "10.77.0"
PROXY = ("http_proxy", "https_proxy", "all_proxy")
KINDS = ("--net", "--uts", "--mount", "--pid", "--mount-proc")
ASK = """
import sys, time, urllib.request
time.sleep(1)
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
print(opener.open(sys.argv[1], timeout=10).read().decode())
"""
TRIAL = """
ip link add veth1 type veth peer name veth2 && ip link add switch type bridge &&
ip link set veth1 master switch && mount -t tmpfs tmpfs /mnt
"""


def why_not() -> str | None:
    """Return why this machine cannot make hosts, or None where it can."""
    return why_no_namespaces(
        "namespaces",
        ("ip", "nsenter", "unshare", "mount", "hostname"),
        ("unshare", *KINDS, "--fork", "sh", "-c", TRIAL),
    )


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


class _Namespaces:
    """A process that does nothing, in namespaces that end with it; it ends with this process."""

    def __init__(self, *kinds: str) -> None:
        command = ("unshare", *kinds, "--fork", "--kill-child", "sh", "-c")
        self._outer = subprocess.Popen(
            [*command, "echo; exec cat > /dev/null"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._outer.stdout is not None and self._outer.stderr is not None
        if not self._outer.stdout.readline():
            raise RuntimeError(f"{' '.join(command)}: {self._outer.stderr.read()}")
        (inner,) = psutil.Process(self._outer.pid).children()
        self.pid = inner.pid
        flags = [f"--{kind.removeprefix('--').partition('-')[0]}" for kind in kinds]
        self.enter = ("nsenter", f"--target={self.pid}", *dict.fromkeys(flags))

    def end(self) -> None:
        """Kill the process, with all others in its namespaces where it is the first of them."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, 9)
        self._outer.wait()


@dataclass
class Host:
    """One host.

    Attributes
    ----------
    name, address : its own on the network
    folder : its working folder as the host sees it, the same on every host
    outside : that folder as this process sees it
    """

    name: str
    address: str
    folder: Path
    outside: Path
    _namespaces: _Namespaces
    _switch: _Namespaces
    _port: str
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def enter(self) -> tuple[str, ...]:
        """What a command begins with to run on this host."""
        return self._namespaces.enter

    @property
    def home(self) -> Path:
        """FOUNDRY_HOME as this process sees it."""
        return self.outside / ".foundry"

    def start(self, *arguments: str, **env: str) -> subprocess.Popen[bytes]:
        """Start `python -m ...` in the host's working folder; see `printed`."""
        environment = {
            name: value for name, value in plain_environment().items() if name.lower() not in PROXY
        }
        own = {
            "PYTHONPATH": str(ROOT),
            "FOUNDRY_HOME": str(self.folder / ".foundry"),
            "PREFECT_HOME": str(self.folder / ".foundry" / "prefect"),
            "DO_NOT_TRACK": "1",
        }
        with (self.outside / f"{arguments[0]}.log").open("ab") as log:
            process = subprocess.Popen(
                [
                    *(*self.enter, "sh", "-c", 'cd "$1"; shift; exec "$@"', "sh"),
                    *(str(self.folder), sys.executable, "-m", *arguments),
                ],
                env={**environment, **own, **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._started.append(process)
        return process

    def run(self, *arguments: str, **env: str) -> None:
        """Run `python -m ...` to its end, which must be a good one."""
        status = self.start(*arguments, **env).wait(TIMEOUT)
        assert status == 0, f"{self.name}: status {status}\n{self.printed(arguments[0])}"

    def printed(self, module: str) -> str:
        """Return all that commands of a module have printed on this host."""
        return (self.outside / f"{module}.log").read_text(errors="replace")

    def wait_for(self, module: str, text: str) -> None:
        """Wait until the command that was started last has printed the text."""

        def told() -> bool:
            printed = self.printed(module)
            assert text in printed or self._started[-1].poll() is None, f"{self}: {printed}"
            return text in printed

        wait_until(told, what=f"{text!r} of {module} on {self}")

    def asked(self, url: str) -> bytes:
        """Return what is answered at an address on the network once it is, asked by this host."""
        answer = b""

        def answers() -> bool:
            nonlocal answer
            done = subprocess.run(
                [*self.enter, sys.executable, "-c", ASK, url], capture_output=True, check=False
            )
            answer = done.stdout
            return done.returncode == 0

        wait_until(answers, what=f"an answer at {url}")
        return answer

    def cut_off(self) -> None:
        """Take the host off the network, so that nothing it sends arrives and nothing reaches it.

        Neither side is told: its link stays up and its connections stay open.
        """
        self._on_switch("nomaster")

    def join(self) -> None:
        """Put the host on the network."""
        self._on_switch("master", "switch")

    def lose_power(self) -> None:
        """End every process of the host at once, without a word to anybody on the network."""
        self.cut_off()
        self.end()

    def end(self) -> None:
        """End every process of the host."""
        self._namespaces.end()
        for process in self._started:
            process.wait()

    def _on_switch(self, *how: str) -> None:
        _run(*self._switch.enter, "ip", "link", "set", self._port, *how)

    def __str__(self) -> str:
        return f"{self.name} ({self.address})"


class Network:
    """A switch, and hosts that are made when they are asked for.

    Parameters
    ----------
    folder : an empty one, in which each host has its own
    cache : folder with market data that is made already
    """

    def __init__(self, folder: Path, cache: Path, switch: _Namespaces) -> None:
        self._folder = folder
        self._cache = cache
        self._switch = switch
        self._place = folder / "place"
        self._place.mkdir(parents=True)
        self.hosts: list[Host] = []

    def host(self, name: str) -> Host:
        """Start a host with a working folder."""
        outside = self._folder / "hosts" / name
        WorkingFolder(outside, cache=self._cache)
        return self._started(name, f"{NETWORK}.{len(self.hosts) + 1}", outside)

    def again(self, ended: Host) -> Host:
        """Start a host that has ended: its name, address and files are those that it had."""
        return self._started(ended.name, ended.address, ended.outside)

    def _started(self, name: str, address: str, outside: Path) -> Host:
        spaces = _Namespaces(*KINDS)
        port = f"port{len(self.hosts)}"
        made = Host(name, address, self._place, outside, spaces, self._switch, port)
        self.hosts.append(made)
        switch, pid = self._switch.enter, str(spaces.pid)
        _run(*switch, "ip", "link", "add", port, "type", "veth", "peer", "eth0", "netns", pid)
        _run(*switch, "ip", "link", "set", port, "up")
        made.join()
        _run(*made.enter, "ip", "address", "add", f"{address}/24", "dev", "eth0")
        for device in ("eth0", "lo"):
            _run(*made.enter, "ip", "link", "set", device, "up")
        _run(*made.enter, "hostname", name)
        # Every host has its files under one path, and sees nobody else's.
        _run(*made.enter, "mount", "--bind", str(outside), str(self._place))
        _run(*made.enter, "mount", "-t", "tmpfs", "tmpfs", str(outside.parent))
        return made


@contextlib.contextmanager
def network(folder: Path, cache: Path) -> Iterator[Network]:
    """Give a network without hosts; those that were made are ended at the end."""
    switch = _Namespaces("--net")
    made = Network(folder, cache, switch)
    try:
        _run(*switch.enter, "ip", "link", "add", "switch", "type", "bridge")
        _run(*switch.enter, "ip", "link", "set", "switch", "up")
        yield made
    finally:
        for host in made.hosts:
            host.end()
        switch.end()
