"""LLaMA-Factory: its command line with the callback added, and its function in Python.

python -m sftdiag.frameworks.llamafactory train x.yaml

does what ``llamafactory-cli train x.yaml`` does, on several devices too. Its YAML takes no keys of
others: settings come from sftdiag.toml or the environment.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from sftdiag.context import RunContext
from sftdiag.frameworks._command_line import ends_with
from sftdiag.frameworks._in_process import met
from sftdiag.live.callback import DiagnosticsCallback
from sftdiag.records import as_positive

NAME = "llama-factory"

RANK = "rank"
"""The command with which torchrun starts this module on each device."""


def run_exp(
    args: dict[str, Any] | None = None, callbacks: Sequence[Any] | None = None, **options: Any
) -> DiagnosticsCallback:
    """Train as ``llamafactory.train.tuner.run_exp`` does, with a callback.

    Args:
        args: the settings; None for those of the command line.
        callbacks: further callbacks.
        options: arguments of :class:`~sftdiag.DiagnosticsCallback`.

    Returns:
        The callback; ``callback.report`` is the diagnosis.

    Raises:
        ConfigError: an option is wrong.
    """
    from llamafactory.train import tuner

    return _train(tuner.run_exp, args, callbacks, **options)


def _train(
    run: Callable[..., None],
    args: dict[str, Any] | None = None,
    callbacks: Sequence[Any] | None = None,
    **options: Any,
) -> DiagnosticsCallback:
    callback = DiagnosticsCallback(**options)
    from llamafactory.hparams.parser import read_args

    given = read_args(args)
    callback.known = context(given)
    with met(callback):
        run(given, [*(callbacks or ()), callback])
    return callback


def context(given: Mapping[str, Any] | Sequence[str]) -> RunContext:
    """Return what LLaMA-Factory's own settings say: those that are no TrainingArguments."""
    from llamafactory.hparams import DataArguments

    length = as_positive(_length(given)) or as_positive(DataArguments.cutoff_len)
    return RunContext(framework=NAME, max_length=length)


def _length(given: Mapping[str, Any] | Sequence[str]) -> Any:
    """Return cutoff_len of a file's settings, or of flags such as ``--cutoff_len 512``."""
    if isinstance(given, Mapping):
        return given.get("cutoff_len")
    words = [word for each in given for word in str(each).split("=", 1)]
    follows = (later for word, later in pairwise(words) if word == "--cutoff_len")
    return next((int(text) for text in follows if text.isdecimal()), None)


def main(arguments: list[str]) -> int:
    """Run LLaMA-Factory's command line; ``train`` has the callback."""
    if os.environ.get("USE_V1", "").lower() in ("1", "true", "y"):
        sys.stderr.write("sftdiag: the trainer of USE_V1=1 takes no callbacks that can stop it\n")
        return 2
    from llamafactory import launcher
    from llamafactory.train import tuner

    if arguments[:1] == [RANK]:
        sys.argv = [sys.argv[0], *arguments[1:]]
        run_exp()
        return 0
    # What launch() calls in this process, and what it has torchrun start on several devices.
    tuner.run_exp = partial(_train, tuner.run_exp)
    launcher.__file__ = f"-m sftdiag.frameworks.llamafactory {RANK}"
    launcher.launch()
    return 0


if __name__ == "__main__":
    ends_with(main)
