"""preflight(trainer), and the checks of a callback: at the start and at the first evaluation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from sftdiag.api import Selectors, resolve_settings
from sftdiag.checks import Inputs, run_checks
from sftdiag.checks.answers_of_other_rows import AnswersOfOtherRowsCheck
from sftdiag.checks.tokens_beyond_embeddings import TokensBeyondEmbeddingsCheck
from sftdiag.config import Settings
from sftdiag.context import RunContext
from sftdiag.findings import Report, Severity
from sftdiag.guide import preflight as guide
from sftdiag.observations import UNTOLD, Outcome, Skip
from sftdiag.report.examples import Examples, show
from sftdiag.rows import tokenization
from sftdiag.rows.raw_rows import RawRows
from sftdiag.rows.samples import RowReader
from sftdiag.samples import Split, Tokenization
from sftdiag.trainer import context as trainer_context
from sftdiag.trainer import versions

Ask = Callable[[Sequence[Split]], Mapping[str, tuple[float, ...]]]
"""Asks the model of sets' rows; see :attr:`Inputs.gains`."""

SOURCE = "preflight"
"""The source of a report that comes from no log."""


class PreflightReport(Report):
    """A report that can show a row for each finding; the rows are in neither its repr nor JSON."""

    examples: Examples = Examples({}, str)

    def show(self) -> None:
        """Print the report with an example row for each finding, the trained tokens marked."""
        show(self, self.examples)


def preflight(
    trainer: Any,
    *,
    full: bool = False,
    train_on_prompt: bool | None = None,
    select: Selectors = None,
    ignore: Selectors = None,
    lang: str | None = None,
) -> PreflightReport:
    """Look at a trainer's rows, labels, template, model and arguments before it trains.

    Nothing of the trainer changes: rows are read by ``dataset[i]`` and collated one at a time, the
    random number generators are given back as they were, and no batch is drawn. What is not given
    (None) comes from the nearest ``sftdiag.toml`` or ``pyproject.toml``.

    Args:
        trainer: a transformers or TRL trainer, before ``train()``.
        full: look at every row, not at a sample of them.
        train_on_prompt: the prompt is trained on purpose.
        select: codes or names to report; None means all.
        ignore: codes or names to leave out.
        lang: ``"en"`` or ``"zh"``.

    Returns:
        The report: ``show()`` prints it with example rows, ``raise_for("error")`` keeps a broken
        run from starting.

    Raises:
        ConfigError: it is no trainer, or a code, name or language does not exist.
    """
    trainer_context.expect_trainer(trainer)
    settings = resolve_settings(
        select=select, ignore=ignore, lang=lang, train_on_prompt=train_on_prompt
    )
    inputs = from_trainer(trainer, full=full).replace(train_on_prompt=settings.train_on_prompt)
    return report_on(
        inputs, settings, SOURCE, tokenization.text_tokenizer(trainer.processing_class)
    )


def report_on(
    inputs: Inputs, settings: Settings, source: str, tokenizer: Any, codes: str = "SFT"
) -> PreflightReport:
    """Return the report on what the checks see, able to show the rows."""
    outcome = run_checks(inputs, codes)
    found = guide.report(outcome, settings, source, inputs.context)
    splits = {split.name: split.samples for split in (inputs.train, *inputs.evaluations)}
    rows = {
        guide.finding_id(seen): splits[seen.series][seen.example]
        for seen in outcome.observations
        if seen.example is not None
    }
    readable = inputs.tokenization is not None
    decode = partial(tokenizer.decode, skip_special_tokens=False) if readable else str
    return PreflightReport(**{**vars(found), "examples": Examples(rows, decode)})


def guarded_report(trainer: Any, settings: Settings) -> Report:
    """Return what the checks say of a trainer; nothing where even looking fails."""
    try:
        inputs = from_trainer(trainer)
        return guide.report(run_checks(inputs), settings, SOURCE, inputs.context)
    except Exception:
        return guide.report(Outcome(), settings, SOURCE)


class RunChecks:
    """The checks of one callback's run.

    Args:
        settings: the callback's.
        trainer: what ``attach`` was given; None for a callback that was given none, which sees the
            training rows at the start and an evaluation set at its first evaluation.
    """

    def __init__(self, settings: Settings, trainer: Any = None) -> None:
        self._trainer = trainer
        self._base = Inputs(train_on_prompt=settings.train_on_prompt)
        self._inputs = self._base
        self._outcome = Outcome()

    @property
    def lacks_embeddings(self) -> bool:
        """Whether rows or their padding hold ids that the model has no embedding for.

        On a GPU a model that is asked of such an id takes the process with it.
        """
        return any(
            seen.code == TokensBeyondEmbeddingsCheck.code and seen.severity >= Severity.WARNING
            for seen in self._outcome.observations
        )

    @property
    def longest(self) -> float | None:
        """Seconds that may have to be waited for them at an evaluation; None where they are done.

        A set's rows are read while every rank is at the same evaluation: nothing is added.
        """
        return None if self._trainer is not None else 0.0

    def at_start(
        self, args: Any, state: Any, kwargs: Mapping[str, Any], ask: Ask | None = None
    ) -> Outcome:
        """Return what the checks say before step 1 (or where a run is resumed).

        Args:
            args: the training arguments.
            state: the trainer's state.
            kwargs: the callback's.
            ask: asks the model which answers belong to their prompts, where the rows do not tell.
        """
        if self._trainer is not None:
            seen = from_trainer(self._trainer)
            place = trainer_context.stream_pass(args, state, kwargs)
            seen = seen.replace(context=seen.context.replace(stream_pass=place))
        else:
            seen = from_callback(args, state, kwargs)
        self._inputs = seen.replace(
            train_on_prompt=self._base.train_on_prompt, step=state.global_step
        )
        self._outcome = run_checks(self._inputs)
        untold = self._outcome.skipped.get(AnswersOfOtherRowsCheck.name)
        if self.lacks_embeddings:
            ask = None
        if ask is not None and untold is not None and untold.key in UNTOLD:
            self._inputs = self._inputs.replace(gains=ask(self._inputs.splits))
            told = run_checks(self._inputs, AnswersOfOtherRowsCheck.code)
            self._outcome = self._outcome.joined(told.replace(rows=()))
        return self._outcome

    def at_evaluation(self, args: Any, state: Any, kwargs: Mapping[str, Any]) -> Outcome | None:
        """Return what a set at its first evaluation adds, or None when it was seen before."""
        name = _evaluated(kwargs.get("metrics") or {})
        known = {split.name for split in self._inputs.evaluations if split.total is not None}
        if self._trainer is not None or name is None or name in known:
            return None
        split = _split(name, kwargs.get("eval_dataloader"), args, kwargs)
        others = tuple(s for s in self._inputs.evaluations if s.total is not None)
        self._inputs = self._inputs.replace(evaluations=(*others, split), step=state.global_step)
        added = run_checks(self._inputs).beyond(self._outcome)
        self._outcome = self._outcome.joined(added)
        return added


def from_trainer(trainer: Any, *, full: bool = False) -> Inputs:
    """Return what a trainer shows to the checks."""
    context = trainer_context.of_trainer(trainer)
    template = getattr(trainer, "chat_template", None)
    known, raw = _tokenization(trainer.processing_class, trainer.model, template, trainer.args)
    prepared = not (getattr(trainer.args, "dataset_kwargs", None) or {}).get("skip_prepare_dataset")
    reader = RowReader(
        trainer.data_collator,
        _columns(trainer),
        raw,
        max_length=context.max_length,
        filtered=prepared and versions.makes_its_table(trainer.args) and not context.packing,
        full=full,
    )
    evaluations = _evaluations(trainer.eval_dataset).items()
    splits = tuple(reader.read(name, dataset) for name, dataset in evaluations)
    train = reader.read("train", trainer.train_dataset)
    return Inputs(_kept_to(context, train), train, splits, known)


def from_callback(args: Any, state: Any, kwargs: Mapping[str, Any]) -> Inputs:
    """Return what a callback's arguments show: the training rows, and what is known of the run."""
    context = trainer_context.from_callback(args, state, kwargs)
    train = _split("train", kwargs.get("train_dataloader"), args, kwargs)
    return Inputs(
        _kept_to(context, train),
        train,
        (Split("eval", unseen=Skip("needs_trainer")),),
        _tokenization(kwargs.get("processing_class"), kwargs.get("model"), None, args)[0],
    )


def _kept_to(context: RunContext, train: Split) -> RunContext:
    """Return the context without a maximum length that rows are not cut at.

    TRL before 0.16 takes tokenized rows as long as they are, whatever ``max_seq_length`` says.
    """
    cap = context.max_length
    if cap is None or context.packing:
        return context
    longer = any(len(sample.input_ids) > cap for sample in train.samples)
    return context.replace(max_length=None) if longer else context


def _split(name: str, dataloader: Any, args: Any, kwargs: Mapping[str, Any]) -> Split:
    """Return rows behind a dataloader, which is not asked for a batch."""
    dataset = getattr(dataloader, "dataset", None)
    collate = getattr(dataloader, "collate_fn", None)
    if dataset is None or collate is None:
        return Split(name, unseen=Skip("no_dataset"))
    _, raw = _tokenization(kwargs.get("processing_class"), kwargs.get("model"), None, args)
    return RowReader(collate, None, raw, max_length=versions.max_length(args)).read(name, dataset)


def _tokenization(
    processor: Any, model: Any, template: str | None, args: Any
) -> tuple[Tokenization | None, RawRows | None]:
    try:
        known = tokenization.read(processor, model, template)
    except Exception:
        # A tokenizer unlike transformers' own: the checks that need one say that there is none.
        known = None
    if known is None:
        return None, None
    field = getattr(args, "dataset_text_field", None) or "text"
    return known, RawRows(tokenization.text_tokenizer(processor), known, template, field)


def _evaluations(dataset: Any) -> dict[str, Any]:
    if dataset is None:
        return {}
    return dict(dataset) if isinstance(dataset, dict) else {"eval": dataset}


def _evaluated(metrics: Mapping[str, Any]) -> str | None:
    """Return the name of the set whose metrics these are."""
    series = next((name for name in metrics if name.endswith("_loss")), None)
    if series is None or not series.startswith("eval_"):
        return None
    return "eval" if series == "eval_loss" else series[len("eval_") : -len("_loss")]


def _columns(trainer: Any) -> Collection[str] | None:
    """Return the columns that reach the collator, as the trainer's dataloaders choose them."""
    choose = getattr(trainer, "_set_signature_columns_if_needed", None)
    if not trainer.args.remove_unused_columns or choose is None:
        return None
    choose()
    return frozenset(getattr(trainer, "_signature_columns", None) or ()) or None
