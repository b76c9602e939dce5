"""A trainer that is made out of sight: met where it begins to train."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from sftdiag.faults import Faults
from sftdiag.live.attach import introduce
from sftdiag.live.callback import DiagnosticsCallback


@contextmanager
def met(callback: DiagnosticsCallback) -> Iterator[None]:
    """Have the callback meet the transformers trainer that trains next, as ``attach`` would.

    A trainer that has a callback of its own keeps that one.
    """
    from transformers import Trainer

    original = Trainer.train
    faults = Faults()

    @functools.wraps(original)
    def train(trainer: Any, *args: Any, **kwargs: Any) -> Any:
        faults.run("the trainer", partial(_meet, callback, trainer), None)
        return original(trainer, *args, **kwargs)

    Trainer.train = train  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Trainer.train = original  # type: ignore[method-assign]


def _meet(callback: DiagnosticsCallback, trainer: Any) -> None:
    present = trainer.callback_handler.callbacks
    if any(isinstance(each, DiagnosticsCallback) for each in present if each is not callback):
        return
    introduce(callback, trainer)
    if callback not in present:
        trainer.add_callback(callback)
