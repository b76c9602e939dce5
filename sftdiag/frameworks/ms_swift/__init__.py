"""ms-swift: the callback under the name ``sftdiag`` in its ``callbacks_map``.

swift sft ... --external_plugins "$(python -m sftdiag.frameworks.ms_swift)" --callbacks sftdiag

The command in the brackets prints the path of sftdiag_plugin.py: swift runs that file, and it
registers the name. In a Python script :func:`register` does the same.
"""

from __future__ import annotations

from typing import Any

from sftdiag.context import RunContext
from sftdiag.live.attach import introduce
from sftdiag.live.callback import DiagnosticsCallback
from sftdiag.records import as_positive

NAME = "ms-swift"


class Callback(DiagnosticsCallback):
    """The callback as swift makes it: while the trainer is being made.

    Args:
        args: the arguments of swift's trainer.
        trainer: swift's trainer, which is complete when training begins.
    """

    def __init__(self, args: Any, trainer: Any) -> None:
        super().__init__()
        self._trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Look at the trainer and its template, then begin."""
        self._faults.run("the trainer", self._meet_trainer, None)
        super().on_train_begin(args, state, control, **kwargs)

    def _meet_trainer(self) -> None:
        self.known = context(self._trainer)
        introduce(self, self._trainer)


def context(trainer: Any) -> RunContext:
    """Return what swift's trainer knows that others do not: the template's length."""
    template = getattr(trainer, "template", None)
    return RunContext(framework=NAME, max_length=as_positive(getattr(template, "max_length", None)))


def register() -> None:
    """Make ``--callbacks sftdiag`` known to swift; needs swift."""
    from swift.callbacks import callbacks_map

    callbacks_map["sftdiag"] = Callback
