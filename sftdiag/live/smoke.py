"""smoke_test(trainer): the first steps at the peak rate, judged, and everything put back."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from typing import Any

from sftdiag import texts
from sftdiag.api import Selectors, resolve_settings
from sftdiag.checks import run_checks
from sftdiag.config import Settings, count
from sftdiag.context import RunContext
from sftdiag.errors import ConfigError
from sftdiag.faults import say
from sftdiag.findings import Report, Severity
from sftdiag.live.smoke_ranks import SmokeRanks
from sftdiag.live.smoke_watch import look_at_gradients
from sftdiag.live.snapshot import Snapshot, as_size
from sftdiag.monitor import Monitor
from sftdiag.observations import Outcome
from sftdiag.records import as_float
from sftdiag.rows.preflight import from_trainer
from sftdiag.trainer import context as trainer_context
from sftdiag.tuning import smoke as judging
from sftdiag.tuning.smoke import STEPS, WARMUP, Gradients, SmokeTest, judge

try:
    from transformers import TrainerCallback
    from transformers.trainer_callback import DefaultFlowCallback
except ImportError as error:
    raise ImportError("this needs transformers: pip install 'sftdiag[trainer]'") from error

SOURCE = "smoke test"
"""The source of a report on a smoke test."""

BY_EVALUATION = frozenset({"SFT2"})
"""What only the evaluations of the real run can tell: a smoke test has none."""


_QUIET = {
    "logging_steps": 1,
    "logging_first_step": False,
    "eval_on_start": False,
    "load_best_model_at_end": False,
    "report_to": [],
    "push_to_hub": False,
    "disable_tqdm": True,
}
"""Arguments of the smoke test, whatever those of the run are."""


def smoke_test(
    trainer: Any,
    steps: int = STEPS,
    *,
    select: Selectors = None,
    ignore: Selectors = None,
    lang: str | None = None,
) -> SmokeTest:
    """Train a few steps, judge them, and put everything back as it was.

    The steps run with every other callback and ``report_to`` off, without evaluating or saving,
    with at most 20 steps of warm-up and then the peak rate, logging every step. They end early when
    an error is found. Afterwards parameters, optimizer, schedule, scaler, state, arguments and
    random number generators are as before: the real run is bit-identical to one without the test.
    What is not given (None) comes from the nearest ``sftdiag.toml`` or ``pyproject.toml``. With
    several ranks every one of them calls it.

    Args:
        trainer: a transformers or TRL trainer, before ``train()``.
        steps: optimizer steps; no more than the run itself has.
        select: codes or names to report; None means all.
        ignore: codes or names to leave out.
        lang: ``"en"`` or ``"zh"``.

    Returns:
        The verdict with its diagnosis: ``print`` it, or ``raise_for_no_go()``.

    Raises:
        ConfigError: it is no trainer, or one that cannot be put back (DeepSpeed, FSDP, a streaming
            dataset, too little memory), a rank does not come, or an option is wrong.
    """
    trainer_context.expect_trainer(trainer)
    count("steps", steps, 1)
    settings = resolve_settings(select=select, ignore=ignore, lang=lang)
    settings = settings.replace(ignore=settings.ignore | BY_EVALUATION)
    ranks = SmokeRanks(trainer.args, settings.lang)
    snapshot = _snapshot(trainer, ranks)
    planned = trainer_context.of_trainer(trainer).max_steps or steps
    steps = min(steps, planned)
    words = texts.load(judging.__file__, "smoke", settings.lang)
    if trainer.is_world_process_zero():
        size = as_size(snapshot.size)
        running = texts.counted(words["running"].format(steps=steps, size=size))
        say(logging.INFO, running, always=True)
    watch = _Watch(settings, steps)
    failure = None
    try:
        try:
            seen = from_trainer(trainer).replace(train_on_prompt=settings.train_on_prompt)
            watch.outcome = run_checks(seen)
            _arrange(trainer, planned, steps, watch)
        except Exception as error:
            failure = _describe(error, words)
        watch.outcome, failure = ranks.share(watch.outcome, failure)
        if failure is None:
            trainer.train()
    except Exception as error:
        failure = _describe(error, words)
    finally:
        snapshot.restore()
    _, failure = ranks.share(Outcome(), failure)
    ranks.leave()
    return judge(watch.report, watch.losses, gradients=watch.gradients, failure=failure)


def _snapshot(trainer: Any, ranks: SmokeRanks) -> Snapshot:
    """Return what the trainer is put back by, once every rank has its own.

    Raises:
        ConfigError: a rank cannot be put back, or is missing.
    """
    snapshot, refusal = None, None
    try:
        _refuse(trainer)
        snapshot = Snapshot(trainer)
    except ConfigError as error:
        refusal = str(error)
    ranks.begin(refusal)
    assert snapshot is not None
    return snapshot


def _refuse(trainer: Any) -> None:
    """Raise where not everything could be put back.

    Raises:
        ConfigError: says why.
    """
    if trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled:
        raise ConfigError(
            "smoke_test cannot put back weights that DeepSpeed or FSDP has spread over the GPUs; "
            "watch the real run with DiagnosticsCallback(smoke_steps=100)"
        )
    dataset = trainer.train_dataset
    if dataset is None or not hasattr(dataset, "__getitem__"):
        raise ConfigError(
            "smoke_test would use up rows of a streaming dataset; watch the real run with "
            "DiagnosticsCallback(smoke_steps=100)"
        )


def _arrange(trainer: Any, planned: int, steps: int, watch: _Watch) -> None:
    """Set the trainer up for the smoke test; the snapshot takes all of it back."""
    args = copy.copy(trainer.args)
    args.max_steps = steps
    args.warmup_steps = min(WARMUP, args.get_warmup_steps(planned))
    args.lr_scheduler_type = type(args.lr_scheduler_type)("constant_with_warmup")
    args.lr_scheduler_kwargs = {}
    for name, value in _QUIET.items():
        setattr(args, name, value)
    for name in ("eval_strategy", "save_strategy"):
        setattr(args, name, type(getattr(args, name))("no"))
    args.logging_strategy = type(args.logging_strategy)("steps")
    trainer.args = args
    # A schedule of the user's own would lower the rate; the trainer makes one from the arguments.
    trainer.lr_scheduler = None
    trainer.data_collator = _own_copy(trainer.data_collator)
    trainer.callback_handler.callbacks[:] = [DefaultFlowCallback(), watch]


def _own_copy(collate: Any) -> Any:
    try:
        return copy.deepcopy(collate)
    except Exception:
        return collate


def _describe(error: Exception, words: texts.Texts) -> str:
    first = str(error).strip().partition("\n")[0]
    text = f"{type(error).__name__}: {first}"
    if "out of memory" in first.lower():
        text = f"{text}{words['semicolon']}{words['advice_memory']}"
    return text


class _Watch(TrainerCallback):
    """Feeds the smoke test's log to a monitor, and ends it at the first error."""

    def __init__(self, settings: Settings, steps: int) -> None:
        self.monitor = Monitor(RunContext(), settings, SOURCE)
        self.settings = settings
        self.outcome = Outcome()
        self.losses: list[float] = []
        self.gradients: Gradients | None = None
        # Late enough for LoRA, whose A gets no gradient at the first step: B is 0 then.
        self._look_at = steps // 2

    @property
    def report(self) -> Report:
        """The diagnosis so far."""
        if not self.monitor.signals.records:
            self.monitor.take_checks(self.outcome)
        return self.monitor.report()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin with what the checks found in the run as it was set up."""
        context = trainer_context.from_callback(args, state, kwargs)
        self.monitor = Monitor(context, self.settings, SOURCE)
        self.monitor.take_checks(self.outcome)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Look at the gradients once."""
        if state.global_step == self._look_at:
            self.gradients = look_at_gradients(kwargs["model"])

    def on_log(
        self,
        args: Any,
        state: Any,
        control: Any,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Feed the row; an error ends the test."""
        entry = {**(logs or {}), "step": state.global_step}
        loss = as_float(entry.get("loss"))
        if loss is not None:
            self.losses.append(loss)
        for finding in self.monitor.feed_entry(entry):
            if finding.severity >= Severity.ERROR and finding.resolved_step is None:
                control.should_training_stop = True
