"""Names that changed between the versions of the training libraries that may be installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

NEW_CHECKPOINTING = "activation_checkpointing"
OLD_CHECKPOINTING = "gradient_checkpointing"


def checkpointing() -> str:
    """Return the installed transformers' name for gradient checkpointing; today's without one.

    Read from the file's text: importing transformers for one name would take seconds.
    """
    spec = find_spec("transformers")
    if spec is None or spec.origin is None:
        return NEW_CHECKPOINTING
    source = Path(spec.origin).with_name("training_args.py")
    known = not source.is_file() or f"    {NEW_CHECKPOINTING}:" in source.read_text("utf-8")
    return NEW_CHECKPOINTING if known else OLD_CHECKPOINTING
