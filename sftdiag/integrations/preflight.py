"""preflight(trainer): everything that can be known before step 1, from a trainer or a callback."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sftdiag.api import Selectors, make_settings
from sftdiag.checks import Inputs, run_checks
from sftdiag.findings import Report
from sftdiag.guide import preflight as guide
from sftdiag.integrations import trainer_context
from sftdiag.integrations.samples import own_copy, read_split
from sftdiag.observations import Skip
from sftdiag.samples import Split

SOURCE = "preflight"
"""The source of a report that comes from no log."""


def preflight(
    trainer: Any,
    *,
    full: bool = False,
    select: Selectors = None,
    ignore: Selectors = None,
    lang: str = "en",
) -> Report:
    """Look at a trainer's rows, labels, template, model and arguments before it trains.

    Nothing of the trainer changes: rows are read by ``dataset[i]`` and collated one at a time, the
    random number generators are given back as they were, and no batch is drawn.

    Args:
        trainer: a transformers or TRL trainer, before ``train()``.
        full: look at every row, not at a sample of them.
        select: codes or names to report; None means all.
        ignore: codes or names to leave out.
        lang: ``"en"`` or ``"zh"``.

    Returns:
        The report; ``report.raise_for("error")`` keeps a broken run from starting.

    Raises:
        ConfigError: a code, name or language does not exist.
    """
    settings = make_settings(select=select, ignore=ignore, lang=lang)
    return guide.report(run_checks(from_trainer(trainer, full=full)), settings, SOURCE)


def from_trainer(trainer: Any, *, full: bool = False) -> Inputs:
    """Return what a trainer shows to the checks."""
    collate, columns = own_copy(trainer.data_collator), _columns(trainer)
    train = read_split("train", trainer.train_dataset, collate, columns, full=full)
    evaluations = tuple(
        read_split(name, dataset, collate, columns, full=full)
        for name, dataset in _evaluations(trainer.eval_dataset).items()
    )
    return Inputs(trainer_context.of_trainer(trainer), train, evaluations)


def from_callback(args: Any, state: Any, kwargs: Mapping[str, Any]) -> Inputs:
    """Return what a callback's arguments show: the training rows, and what is known of the run."""
    context = trainer_context.from_callback(args, state, kwargs)
    return Inputs(context, _split("train", kwargs.get("train_dataloader")))


def _split(name: str, dataloader: Any) -> Split:
    dataset = getattr(dataloader, "dataset", None)
    collate = getattr(dataloader, "collate_fn", None)
    if dataset is None or collate is None:
        return Split(name, unseen=Skip("no_dataset"))
    return read_split(name, dataset, own_copy(collate))


def _evaluations(dataset: Any) -> dict[str, Any]:
    if dataset is None:
        return {}
    return dict(dataset) if isinstance(dataset, dict) else {"eval": dataset}


def _columns(trainer: Any) -> Collection[str] | None:
    """Return the columns that reach the collator, as the trainer's dataloaders choose them."""
    if not trainer.args.remove_unused_columns:
        return None
    trainer._set_signature_columns_if_needed()
    return frozenset(trainer._signature_columns or ()) or None
