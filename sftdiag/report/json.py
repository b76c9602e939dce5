"""The JSON contract of ``sftdiag analyze --format json``: strict JSON, one element a run."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sftdiag.findings import SCHEMA_VERSION, Report
from sftdiag.hints import Any
from sftdiag.version import __version__


def render(reports: Sequence[Report | dict[str, Any]]) -> str:
    """Return the document for these reports; an unreadable path is a ``{"source", "error"}``."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "sftdiag_version": __version__,
        "reports": [r.to_dict() if isinstance(r, Report) else r for r in reports],
    }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
