"""A Debian system of its own in a folder: what debootstrap makes, entered by chroot.

Only python3, git, make and certificates are in it. The system is made once per release and kept
as an archive in the cache folder; each test unpacks its own. Downloads of pip and uv are kept
beside the archives and shared by all systems, one folder per user. How this machine reaches package
registries (its settings of apt and pip, its certificates, its names of hosts) is copied in when a
system is unpacked, so nothing of it is written down here.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from alphafoundry.file_lock import file_lock
from tests.namespaces import why_no_namespaces
from tests.working_folder import ROOT

PACKAGES = "python3,git,make,ca-certificates"
USER = "ada"
DOWNLOADS = "/var/cache/downloads"
TIMEOUT = 5400.0
"""Longest wait for one command: it may install 200 packages and run eight thousand tests."""

NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
REGISTRY_FILES = (
    "/etc/apt/apt.conf.d/*",
    "/etc/apt/auth.conf.d/*",
    "/etc/pip.conf",
    "/etc/xdg/pip/*",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/ssl/certs/ca-certificates.crt",
)
REGISTRY_VARIABLES = re.compile(
    r"(PIP|UV)_\w+|(\w+_)?CA_BUNDLE|SSL_CERT_FILE|(https?|no|all)_proxy", re.I
)


def why_not() -> str | None:
    """Return why this machine cannot run a system of its own, or None where it can."""
    return why_no_namespaces(
        "chroot", ("debootstrap", "chroot", "unshare", "git", "tar"), (*NAMESPACES, "true")
    )


def mirror() -> list[str]:
    """Return debootstrap's argument for the mirror that this machine's apt uses, if it has one."""
    for path in [*sorted(Path("/etc/apt/sources.list.d").glob("*")), Path("/etc/apt/sources.list")]:
        with contextlib.suppress(OSError):
            found = re.search(r"https?://\S+/debian/?(?=\s|$)", _without_comments(path))
            if found:
                return [found[0]]
    return []


def _without_comments(path: Path) -> str:
    return "\n".join(line for line in path.read_text().splitlines() if line[:1] != "#")


def cache() -> Path:
    """Return the folder that outlives the tests."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "alpha-foundry-tests")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def archive(suite: str) -> Path:
    """Return the archive of a Debian release, made where the cache has none."""
    folder = cache()
    kept = folder / f"debian-{suite}.tar"
    with file_lock(folder / f"{suite}.lock") as held:
        assert held is not None
        if not kept.exists():
            draft = folder / f"{suite}.draft"
            shutil.rmtree(draft, ignore_errors=True)
            _call(
                "debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, draft, *mirror()
            )
            _call("tar", "-C", draft, "--one-file-system", "-cf", kept.with_suffix(".new"), ".")
            kept.with_suffix(".new").rename(kept)
            shutil.rmtree(draft)
    return kept


def _call(*command: str | Path) -> None:
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}"


class DebianRoot:
    """A Debian system in a folder, with one ordinary user."""

    def __init__(self, folder: Path, suite: str) -> None:
        self.folder = folder
        folder.mkdir()
        _call("tar", "-C", folder, "-xf", archive(suite))
        for pattern in REGISTRY_FILES:
            for name in Path("/").glob(pattern.lstrip("/")):
                target = folder / name.relative_to("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.unlink(missing_ok=True)
                shutil.copy(name, target)
        (folder / DOWNLOADS.lstrip("/")).mkdir()
        (cache() / "downloads").mkdir(exist_ok=True)
        self.must("useradd --uid 2000 --create-home --shell /bin/sh " + USER, user="root")
        self.must(f"cd {DOWNLOADS} && mkdir -p root {USER} && chown {USER}: {USER}", user="root")

    def run(
        self, command: str, *, user: str = USER, cwd: str = "/", **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a line of shell in the system; its processes end with it, and so do its mounts.

        user : who runs it
        cwd : folder in the system
        env : variables besides the bare ones of a login
        """
        home = "/root" if user == "root" else f"/home/{user}"
        variables = {
            **{k: v for k, v in os.environ.items() if REGISTRY_VARIABLES.fullmatch(k)},
            "HOME": home,
            "USER": user,
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
            # A shorter test: what is never imported need not be compiled.
            "PIP_NO_COMPILE": "1",
            "PIP_CACHE_DIR": f"{DOWNLOADS}/{user}/pip",
            "UV_CACHE_DIR": f"{DOWNLOADS}/{user}/uv",
            **env,
        }
        entered = shlex.join(["cd", cwd]) + " && " + command
        inside = ["chroot", str(self.folder), "setpriv", "--reuid", user, "--regid", user]
        inside += ["--init-groups", "--", "env", "-i", *(f"{k}={v}" for k, v in variables.items())]
        inside += ["sh", "-c", entered]
        root = shlex.quote(str(self.folder))
        mounts = (
            f"mount -t proc proc {root}/proc && mount --rbind /dev {root}/dev && "
            f"mount -t tmpfs tmpfs {root}/tmp && chmod 1777 {root}/tmp && "
            f"mount --bind {shlex.quote(str(cache() / 'downloads'))} {root}{DOWNLOADS} && "
        )
        return subprocess.run(
            [*NAMESPACES, "sh", "-c", mounts + "exec " + shlex.join(inside)],
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT,
            stdin=subprocess.DEVNULL,
        )

    def must(self, command: str, **options: str) -> str:
        """Run a line that has to succeed; returns what it printed."""
        done = self.run(command, **options)
        assert done.returncode == 0, f"{command}\n{done.stdout[-6000:]}{done.stderr[-6000:]}"
        return done.stdout

    def add_packages(self, *names: str) -> None:
        """Install packages of the release with apt."""
        self.must("apt-get -q update && apt-get -q install --yes " + " ".join(names), user="root")

    def clone(self, target: str, *, user: str = USER) -> None:
        """Clone what is committed in this checkout to `target`, as that user."""
        bundle = self.folder / "checkout.bundle"
        if not bundle.exists():
            _call("git", "-C", ROOT, "bundle", "create", bundle, "HEAD")
            bundle.chmod(0o644)
        self.must(shlex.join(["git", "clone", "-q", "/checkout.bundle", target]), user=user)

    def remove(self) -> None:
        """Delete the folder; nothing is mounted in it between two commands."""
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def debian_root(folder: Path, suite: str) -> Iterator[DebianRoot]:
    """Unpack a Debian release into `folder`, and delete it at the end."""
    root = DebianRoot(folder, suite)
    try:
        yield root
    finally:
        root.remove()
