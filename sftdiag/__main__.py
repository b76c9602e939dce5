"""``python -m sftdiag``, and the command ``sftdiag``."""

from __future__ import annotations

import atexit
import gc
import os
import sys


def run() -> int:
    """Run the command line as a process of its own; return the exit code where it has not ended."""
    # What reads a log once makes no garbage in cycles; nor do the imports, so before them.
    gc.disable()
    from sftdiag.cli.bytecode import Bytecode

    with Bytecode(__spec__):
        from sftdiag.cli.main import main

        code = main()
    # What is held goes with the process: nothing is looked for in it at the end.
    gc.freeze()
    if _nothing_waits_for_the_end():
        _leave(code)
    return code


def _nothing_waits_for_the_end() -> bool:
    """Return whether no one but the two streams would miss what Python does at its end.

    That is: ``sftdiag`` or ``python -m sftdiag`` without a debugger, profiler or other program
    around it, no thread, nothing registered (:mod:`atexit`, logging, multiprocessing), no ``-i``.
    """
    begun = sys.orig_argv[1:3]
    return (
        (begun == ["-m", "sftdiag"] or (bool(begun) and os.path.basename(begun[0]) == "sftdiag"))
        and sys.gettrace() is None
        and sys.getprofile() is None
        and not sys.flags.inspect
        and "threading" not in sys.modules
        and getattr(atexit, "_ncallbacks", lambda: 1)() == 0
    )


def _leave(code: int) -> None:
    """End the process without taking apart its modules, a twentieth of a small log's time."""
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except (OSError, ValueError, AttributeError):
        # Closed, full or none at all: Python says so as it always does.
        return
    os._exit(code)


if __name__ == "__main__":
    sys.exit(run())
