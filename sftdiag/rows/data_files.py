"""inspect_data: the checks of labels, template and rows on data files, before there is a trainer.

Rows become what TRL's SFTTrainer would make of them with the same arguments.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from sftdiag.checks import Inputs
from sftdiag.config import Settings
from sftdiag.context import RunContext
from sftdiag.errors import ConfigError, SourceError
from sftdiag.rows import forms, tokenization
from sftdiag.rows.preflight import PreflightReport, report_on
from sftdiag.rows.raw_rows import RawRows
from sftdiag.rows.row_tokens import EXPECTED, load_tokenizer
from sftdiag.rows.samples import described
from sftdiag.samples import IGNORE_INDEX, PROMPT_COMPLETION, TEXT, Sample, Split
from sftdiag.sources.rows import Rows
from sftdiag.trainer.places import ROWS, spread


def inspect_data(
    data: str | os.PathLike[str],
    tokenizer: str | os.PathLike[str],
    *,
    evaluation: str | os.PathLike[str] | None = None,
    max_length: int | None = None,
    assistant_only_loss: bool = False,
    full: bool = False,
    progress: Callable[[float], None] | None = None,
    settings: Settings | None = None,
) -> PreflightReport:
    """Run the checks on the rows of data files.

    Args:
        data: JSON lines, a JSON array, Parquet, a saved dataset, or a folder of such files.
        tokenizer: a tokenizer's folder, or its name on the hub.
        evaluation: the evaluation rows, likewise.
        max_length: tokens after which rows are cut; None cuts nothing.
        assistant_only_loss: mask all but the assistant's tokens of conversations.
        full: look at every row, not at evenly spaced pairs of neighbours.
        progress: called with the share of a file's rows done so far.
        settings: what to report, and in which language.

    Raises:
        ConfigError: ``max_length`` is below 1.
        SourceError: a file or the tokenizer cannot be read, or there is no row that can be.
        SftdiagError: transformers is not installed.
    """
    if max_length is not None and max_length < 1:
        told = f"max_length must be 1 or more, got {max_length}"
        raise ConfigError(told).keyed("length", given=max_length)
    files = {"train": data} if evaluation is None else {"train": data, "eval": evaluation}
    for path in files.values():
        # Before the tokenizer's library is loaded, which takes seconds.
        _look_at_columns(path)
    loaded = load_tokenizer(os.fspath(tokenizer))
    template = tokenization.training_template(loaded) if assistant_only_loss else None
    known = tokenization.read(loaded, template=template)
    if known is None:
        told = "expected a tokenizer of text"
        raise SourceError(os.fspath(tokenizer), told).keyed("no_text_tokenizer")
    raw = RawRows(loaded, known, template)
    maker = _Maker(raw, os.fspath(tokenizer), max_length, assistant_only_loss, full)
    chosen = settings or Settings()
    splits = [maker.split(name, path, progress) for name, path in files.items()]
    first: Any = splits[0].samples[0].row
    inputs = Inputs(
        RunContext(
            max_length=max_length,
            assistant_only_loss=assistant_only_loss,
            completion_only_loss="prompt" in first and "completion" in first,
        ),
        splits[0],
        tuple(splits[1:]),
        known,
        chosen.train_on_prompt,
    )
    return report_on(inputs, chosen, os.fspath(data), loaded, "SFT4")


class _Maker:
    """Makes Samples of raw rows."""

    def __init__(
        self,
        raw: RawRows,
        tokenizer: str,
        max_length: int | None,
        assistant_only: bool,
        full: bool,
    ) -> None:
        self._raw = raw
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._assistant_only = assistant_only
        self._full = full

    def split(
        self, name: str, path: str | os.PathLike[str], progress: Callable[[float], None] | None
    ) -> Split:
        rows, total = spread(Rows(path), None if self._full else ROWS)
        samples: list[Sample] = []
        for place, given in rows:
            if progress is not None:
                progress(len(samples) / len(rows))
            try:
                sample = self._sample(forms.from_alpaca(given), name)
            except Exception as error:
                raise self._refused(os.fspath(path), place + 1, error) from None
            if sample is None:
                raise _no_columns(path, given, place + 1)
            samples.append(sample)
        places = tuple(place for place, _ in rows)
        form = self._raw.format_of(samples[0].row)
        first = rows[0][1]
        converted = ", ".join(first) if forms.unread(first) is not None else None
        return Split(name, tuple(samples), total, form, places=places, converted=converted)

    def _refused(self, path: str, number: int, error: Exception) -> SourceError:
        """Return what the tokenizer or its template says of a row that it does not take."""
        if not self._raw.known.has_template:
            problem = "has no chat template, and the rows are conversations"
            return SourceError(self._tokenizer, problem).keyed("no_template")
        said = str(error).strip().partition("\n")[0] or type(error).__name__
        line = getattr(error, "lineno", None)
        if type(error).__name__ == "TemplateSyntaxError":
            problem = f"its chat template has a syntax error in line {line}: {said}"
            return SourceError(self._tokenizer, problem).keyed(
                "template_syntax", line=line, said=said
            )
        problem = f"row {number}: the tokenizer's chat template refuses it: {said}"
        return SourceError(path, problem).keyed("template_refuses", number=number, said=said)

    def _sample(self, row: Any, split: str) -> Sample | None:
        """Return a row as TRL makes it, or None where it cannot be made."""
        if "input_ids" in row:
            given = tuple(row["input_ids"])
            return self._cut(Sample(given, tuple(row.get("labels") or given), row, split))
        form = self._raw.format_of(row)
        whole = self._with_end(row, form)
        ids = self._raw.tokens(whole)
        if ids is None:
            return None
        sample = Sample(ids, ids, row, split, full_tokens=len(ids))
        if "prompt" in row and form != TEXT:
            start = self._raw.prompt_end(row, ids)[0]
            labels = (*(IGNORE_INDEX for _ in range(start)), *ids[start:])
            return self._cut(sample.replace(labels=labels))
        if form != TEXT and self._assistant_only:
            mask = self._raw.assistant_mask(row)
            labels = tuple(
                token if marked else IGNORE_INDEX for token, marked in zip(ids, mask, strict=True)
            )
            return self._cut(sample.replace(labels=labels))
        return self._cut(sample)

    def _with_end(self, row: Any, form: str) -> Any:
        """Return the row with the end-of-text token that TRL appends."""
        end, field = self._raw.tokenizer.eos_token, self._raw.text_field
        # TRL asks for the text first, also where prompt and completion are what it trains.
        field = field if field in row or form == TEXT else "completion"
        text = row.get(field)
        if form not in (PROMPT_COMPLETION, TEXT) or not end or text.endswith(end):
            return row
        return {**row, field: text + end}

    def _cut(self, sample: Sample) -> Sample:
        whole = described(sample, self._raw)
        if self._max_length is None or len(sample.input_ids) <= self._max_length:
            return whole
        end = self._max_length
        cut = sample.replace(input_ids=sample.input_ids[:end], labels=sample.labels[:end])
        return described(cut, self._raw).replace(
            full_tokens=len(sample.input_ids), full_answer_tokens=whole.answer_tokens or None
        )


def _look_at_columns(path: str | os.PathLike[str]) -> None:
    """Refuse a file without rows, or whose first row has no column that is read.

    Raises:
        SourceError: says what the columns are.
    """
    first = next(iter(Rows(path)), None)
    if first is None:
        raise SourceError(os.fspath(path), "holds no rows").keyed("no_rows")
    if not forms.is_readable(first):
        raise _no_columns(path, first, 1)


def _no_columns(path: str | os.PathLike[str], row: Any, number: int) -> SourceError:
    """Return what is wrong with a row; its columns, never its text."""
    if (held := next((name for name in forms.MESSAGES if name in row), None)) is not None:
        what = type(row[held]).__name__
        told = f"row {number}: {held} is to be a list of role and content, and is {what}"
        return SourceError(os.fspath(path), told).keyed(
            "no_messages", number=number, held=held, what=what
        )
    shown = ", ".join(row) or "-"
    told = f"row {number}: expected {EXPECTED}, as the tokenizer takes it; the columns are {shown}"
    return SourceError(os.fspath(path), told).keyed("columns", number=number, shown=shown)
