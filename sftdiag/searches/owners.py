"""Owners: whose process a trial is, and whether that process is gone."""

from __future__ import annotations

import hashlib
import os
import socket
import uuid
from functools import cache
from pathlib import Path

_PROC = Path("/proc")
_STATE, _STARTED = 0, 19
"""Places in ``/proc/PID/stat`` behind the name in brackets (man 5 proc)."""


def own() -> str:
    """Return the owner that this process is: its machine, its number, and when it was started."""
    process = os.getpid()
    return f"{_machine()}:{process}:{_started(process) or ''}"


def is_gone(owner: str) -> bool | None:
    """Return whether an owner's process is gone; None where that cannot be told from here.

    Numbers are given again, and in a container that was started again the very same one: a process
    is the owner only if it was started when that one was. One that waits to be reaped is gone.
    """
    machine, process, started = (*owner.split(":"), "", "")[:3]
    if machine != _machine() or not process.isdecimal():
        return None
    if owner == own():
        return False
    if (_PROC / "self").exists():
        now = _started(int(process))
        # Without a time of its own only the heartbeat tells whether it is the same.
        return True if now is None else (now != started if started else None)
    if os.name == "nt":
        # There is no signal that only asks.
        return None
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return None
    return None


def _started(process: int) -> str | None:
    """Return when a process was started, in ticks since boot; None for none, or one that ended."""
    try:
        about = (_PROC / str(process) / "stat").read_text(errors="replace")
    except OSError:
        return None
    fields = about.rpartition(")")[2].split()
    return None if fields[_STATE] in "ZX" else fields[_STARTED]


@cache
def _machine() -> str:
    """Return what tells this machine, since it booted, from others, without naming it."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    try:
        since = boot.read_text()
    except OSError:
        since = ""
    text = f"{socket.gethostname()}{uuid.getnode()}{since}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
