"""The fleet as strict JSON, a row a run, and as CSV for spreadsheets."""

from __future__ import annotations

import csv as csv_module
import io
import json as json_module

from sftdiag.findings import SCHEMA_VERSION
from sftdiag.fleets.fleet import Fleet
from sftdiag.fleets.row import COLUMNS
from sftdiag.version import __version__


def json(fleet: Fleet) -> str:
    """Return the JSON document."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "sftdiag_version": __version__,
        **fleet.to_dict(),
    }
    return json_module.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def csv(fleet: Fleet) -> str:
    """Return a line a run below the names of the columns."""
    out = io.StringIO()
    writer = csv_module.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in fleet.rows:
        writer.writerow([_inert(getattr(row, name)) for name in COLUMNS])
    return out.getvalue()


def _inert(value: object) -> object:
    """Return a text that no spreadsheet takes for a formula."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value
