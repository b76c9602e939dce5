"""Journal: the writer of ``_sftdiag/findings.jsonl``; :mod:`sftdiag.sources.journal` reads it."""

from __future__ import annotations

import json
import logging
import os
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sftdiag.faults import say
from sftdiag.sources.journal import JOURNAL_FILE
from sftdiag.values import encode

MAX_UNWRITTEN = 1000
"""Lines kept while the disk takes none: far more than a run has findings, and about 2 MB."""


class Journal:
    """Appends events, each on disk before ``append`` returns.

    A disk that takes nothing is said once; the lines are kept and written when it does again.
    """

    def __init__(self, folder: str) -> None:
        self.path = os.path.join(folder, *JOURNAL_FILE)
        self._unwritten: deque[bytes] = deque(maxlen=MAX_UNWRITTEN)
        self._complained = False

    def append(self, event: str, **content: Any) -> None:
        """Write one event with the time of writing."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        row: Mapping[str, Any] = {"event": event, "time": now, **content}
        line = json.dumps(encode(row), ensure_ascii=False, allow_nan=False)
        self._unwritten.append(line.encode() + b"\n")
        try:
            self._write()
        except OSError as error:
            if not self._complained:
                self._complained = True
                problem = error.strerror or type(error).__name__
                say(logging.WARNING, f"{self.path} cannot be written ({problem}); the run goes on")

    def _write(self) -> None:
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        with open(self.path, "ab+", buffering=0) as file:
            # A line that was cut off ends here, so that it spoils no other.
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")
            while self._unwritten:
                line = self._unwritten[0]
                if file.write(line) < len(line):
                    raise OSError(f"{self.path}: short write")
                self._unwritten.popleft()
            os.fsync(file.fileno())
