"""Code that tries to leave the sandbox; none of it has been through the check of the source."""

from __future__ import annotations

REACH = '''
def reach():
    """The globals of the real os module, without an import."""
    for each in ().__class__.__base__.__subclasses__():
        if each.__name__ == "_wrap_close":
            return each.__init__.__globals__
os_names = reach()
sys = os_names["sys"]
real = sys.modules["builtins"]

def child():
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        for value in frame.f_locals.values():
            if value.__class__.__name__ == "Child":
                return value
'''

SIGNATURE = "def execute_trade(ticker, cash_balance, shares_held):\n"


def in_call(body: str, *, before: str = REACH) -> str:
    """Return an algorithm whose execute_trade runs `body` and then holds."""
    lines = "".join(f"    {line}\n" for line in body.strip("\n").splitlines())
    return f"{before}\n{SIGNATURE}{lines}    return 'HOLD'\n"


def unreported(body: str) -> str:
    """The same, hiding every exception."""
    lines = "".join(f"    {line}\n" for line in body.strip("\n").splitlines())
    return in_call(f"try:\n{lines}except BaseException:\n    pass")


ESCAPES: dict[str, tuple[str, set[str]]] = {
    "open a file": (unreported("real.open('SECRET').read()"), {"forbidden"}),
    "os.open a file": (unreported("os_names['open']('SECRET', 0)"), {"forbidden"}),
    "list a folder": (unreported("os_names['listdir']('/')"), {"forbidden"}),
    "read the environment file": (unreported("real.open('/proc/self/environ')"), {"forbidden"}),
    "numpy.load": (unreported("sys.modules['numpy'].load('SECRET')"), {"forbidden"}),
    "numpy.fromfile": (in_call("sys.modules['numpy'].fromfile('SECRET')"), {"forbidden", "error"}),
    "numpy.memmap": (in_call("sys.modules['numpy'].memmap('SECRET')"), {"forbidden", "error"}),
    "ndarray.tofile": (in_call("history.close.tofile('out')"), {"forbidden", "error"}),
    "ndarray.dump": (unreported("history.close.dump('out')"), {"forbidden"}),
    "pandas.read_csv": (
        unreported("import pandas\nsys.modules['pandas'].read_csv('SECRET')"),
        {"forbidden"},
    ),
    "pandas to_csv by name": (
        in_call("import pandas as pd\npd.DataFrame({'a': [1]}).apply('to_csv', args=('out',))"),
        {"forbidden", "error"},
    ),
    "ctypes library": (unreported("sys.modules['ctypes'].CDLL(None)"), {"forbidden"}),
    "ctypes symbol": (unreported("sys.modules['ctypes'].pythonapi.fork"), {"forbidden"}),
    "write to address 0": (unreported("sys.modules['ctypes'].memset(0, 0, 1)"), {"crashed"}),
    "fork bomb": (unreported("while True: os_names['fork']()"), {"forbidden"}),
    "shell": (unreported("os_names['system']('id')"), {"forbidden"}),
    "new program": (unreported("os_names['execv']('/bin/sh', ['sh'])"), {"forbidden"}),
    "posix_spawn": (unreported("os_names['posix_spawn']('/bin/sh', ['sh'], {})"), {"forbidden"}),
    "thread": (
        unreported("sys.modules['_thread'].start_new_thread(real.print, ())"),
        {"forbidden"},
    ),
    "kill the arena": (unreported("os_names['kill'](os_names['getppid'](), 9)"), {"forbidden"}),
    "a new pipe": (unreported("os_names['pipe']()"), {"forbidden"}),
    "write to another descriptor": (unreported("os_names['write'](1, b'x')"), {"forbidden"}),
    "raise a limit": (
        unreported("r = sys.modules['resource']\nr.setrlimit(r.RLIMIT_AS, (-1, -1))"),
        {"forbidden"},
    ),
    "silence the hook, then fork": (
        unreported("child().fail = lambda *a: None\nos_names['fork']()"),
        {"exit"},
    ),
    "break the hook, then open": (
        unreported("child().__class__.forbidden = None\nchild().fail = None\nreal.open('SECRET')"),
        {"exit", "forbidden"},
    ),
    "watch the interpreter": (
        unreported("sys.settrace(lambda *a: None)"),
        {"forbidden"},
    ),
    "search all objects": (
        unreported("sys.modules['gc'].get_objects()"),
        {"forbidden"},
    ),
    "raise SystemExit": (in_call("raise real.SystemExit(0)"), {"exit"}),
    "sys.exit": (in_call("sys.exit(3)"), {"exit"}),
    "os._exit": (in_call("os_names['_exit'](0)"), {"exit"}),
    "KeyboardInterrupt": (in_call("raise real.KeyboardInterrupt"), {"exit"}),
    "abort": (in_call("os_names['abort']()"), {"forbidden", "crashed"}),
    "endless recursion without a limit": (
        in_call("sys.setrecursionlimit(2**30)\ndef f(x): return [*map(f, [x])]\nf(1)"),
        {"crashed", "memory", "recursion"},
    ),
    "the import of os": (in_call("import os"), {"error"}),
    "os through a module": (in_call("statistics.sys.modules"), {"error"}),
    "a module that is not loaded": (
        in_call("real.__import__('asyncio')"),
        {"error"},
    ),
    "switch off the clock and loop": (
        in_call("sys.modules['signal'].setitimer(2, 0)\nwhile True: pass"),
        {"time"},
    ),
    "read the arena's next question": (in_call("os_names['read'](0, 100)"), {"time"}),
    "close the pipe": (in_call("os_names['close'](3)"), {"forbidden"}),
    "garbage for an answer": (in_call("os_names['write'](3, b'\\xff' * 100)"), {"corrupt"}),
    "an answer of 4 GB": (
        in_call("os_names['write'](3, bytes([3]) + b'\\xff' * 8)"),
        {"corrupt"},
    ),
    "an answer to another question": (
        in_call(
            "import numpy\n"
            "os_names['write'](3, bytes([3]) + (99).to_bytes(4, 'little')"
            " + (9).to_bytes(4, 'little') + bytes(9))"
        ),
        {"corrupt"},
    ),
    "a decision that does not exist": (
        in_call(
            "n = child().sequence\n"
            "os_names['write'](3, bytes([3]) + n.to_bytes(4, 'little')"
            " + (9).to_bytes(4, 'little') + bytes([77]) + bytes(8))"
        ),
        {"corrupt"},
    ),
    "a failure that cannot be read": (
        in_call(
            "os_names['write'](3, bytes([4]) + bytes(4) + (5).to_bytes(4, 'little') + b'12345')"
        ),
        {"corrupt"},
    ),
}
"""Name to source and the kinds of failure that it may end as. SECRET stands for a file's path."""

GREEDY: dict[str, tuple[str, set[str]]] = {
    "loop forever": (in_call("while True: pass", before=""), {"time"}),
    "loop that catches everything": (
        in_call(
            "while True:\n    try:\n        while True: pass\n    except:\n        pass", before=""
        ),
        {"time"},
    ),
    "loop in C": (in_call("sum(range(10**12))", before=""), {"time"}),
    "an enormous power": (in_call("x = 7 ** (7 ** 30)", before=""), {"time", "memory"}),
    "loop in the module": ("while True: pass\n" + SIGNATURE + "    return 'BUY'\n", {"time"}),
    "loop in the text of an error": (
        "class Loop(Exception):\n"
        "    def __str__(self):\n"
        "        while True: pass\n" + in_call("raise Loop", before=""),
        {"time"},
    ),
    "fill memory at once": (in_call("np.ones(10**11)", before=""), {"memory"}),
    "fill memory piece by piece": (
        in_call("kept = []\nwhile True: kept.append(b'x' * 10**7)", before=""),
        {"memory"},
    ),
    "deep recursion": (in_call("def f(n): return f(n + 1)\nf(0)", before=""), {"recursion"}),
    "print a gigabyte": (
        in_call("for _ in range(10**4): print('x' * 10**5)", before=""),
        {"output"},
    ),
    "answer nonsense": (SIGNATURE + "    return {'BUY': 'SELL'}\n", {"bad-order"}),
    "answer a number": (in_call("x = 'BUY'\nreturn 1"), {"bad-order"}),
    "divide by zero": (in_call("1 / (shares_held - shares_held)", before=""), {"error"}),
}
"""Code that the check of the source may let pass, and the kinds of failure that it ends as."""
