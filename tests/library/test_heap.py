"""Memory that threads have given back goes to the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

THREADS = """
import ctypes, re, sys, threading
from alphafoundry.heap import keep_little

if "{how}" == "little":
    keep_little()
here = threading.Barrier(12)

def work():
    here.wait()
    pieces = [bytearray(20_000) for _ in range(200)]
    here.wait()

threads = [threading.Thread(target=work) for _ in range(12)]
[one.start() for one in threads]
[one.join() for one in threads]
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = libc.fopen(b"{path}", b"w")
libc.malloc_info(0, ctypes.c_void_p(file))
libc.fclose(ctypes.c_void_p(file))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has no arenas")
def test_many_threads_share_two_heaps(tmp_path) -> None:
    heaps = {}
    for how in ("little", "as it comes"):
        path = tmp_path / "heaps.xml"
        program = THREADS.format(how=how, path=path)
        subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
        heaps[how] = path.read_text().count("<heap ")
    assert heaps["little"] <= 2 < heaps["as it comes"]


HOLES = """
import ctypes
from alphafoundry.heap import give_back

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
pieces = [libc.malloc(50_000) for _ in range(1000)]
for one in pieces:
    ctypes.memset(one, 1, 50_000)
for place, one in enumerate(pieces):
    if place % 10:
        libc.free(ctypes.c_void_p(one))
before = resident()
give_back()
print(before - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps otherwise")
def test_what_is_free_between_things_in_use_is_given_back() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HOLES], check=True, timeout=120, capture_output=True, text=True
    )
    assert int(done.stdout) > 30e6
