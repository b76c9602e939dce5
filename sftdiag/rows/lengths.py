"""measure_lengths: the token lengths of a data file, streamed through a tokenizer."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from sftdiag.errors import SourceError
from sftdiag.rows.row_tokens import RowTokens, load_tokenizer
from sftdiag.sources.rows import Rows
from sftdiag.tuning.lengths import Lengths, count


def measure_lengths(
    data: str | os.PathLike[str],
    tokenizer: str | os.PathLike[str],
    *,
    column: str | None = None,
    split: str = "train",
    progress: Callable[[float], None] | None = None,
    renamed: bool = False,
) -> Lengths:
    """Measure how many tokens the rows of a data file have.

    Args:
        data: JSON lines, a JSON array, Parquet, a saved dataset, or a folder of such files.
        tokenizer: a tokenizer's folder, or its hub name where it is in the local cache.
        column: the column to read; None finds it by TRL's names.
        split: which part of a saved dataset that has several.
        progress: called with the share of the data read so far, after each batch.
        renamed: ShareGPT's roles are called user and assistant, as ``recommend``'s script does.

    Returns:
        The distribution; rows are counted as TRL tokenizes them, before truncation.

    Raises:
        SourceError: the data or the tokenizer cannot be read, a column is missing, or there is no
            row.
        SftdiagError: transformers is not installed.
    """
    rows = Rows(data, split)
    name = os.fspath(tokenizer)
    tokens = RowTokens(load_tokenizer(name), name, rows.path, column, renamed=renamed)

    def batches() -> Iterator[list[int]]:
        for batch in rows.batches():
            yield tokens.lengths(batch)
            if progress is not None:
                progress(rows.done)

    try:
        return count(batches())
    except ValueError:
        raise SourceError(rows.path, "holds no rows").keyed("no_rows") from None
