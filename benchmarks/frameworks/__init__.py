"""A tiny model trained with each framework, in a venv each: healthy, blown up, overfitting."""

FRAMEWORKS: dict[str, str] = {}
"""Name on the command line to the module that runs it."""
