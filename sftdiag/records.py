"""LogRecord: one log entry, normalised.

The only place that knows how entries of ``log_history`` look. Everything behind it sees a kind,
a step, an epoch and finite or non-finite floats under the trainer's own metric names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from math import copysign, inf, isfinite, isnan, nan

from sftdiag.hints import Any
from sftdiag.values import Value

TRAIN = "train"
EVAL = "eval"
SUMMARY = "summary"
PROBE = "probe"

GUARD = "guard"

GUARD_PREFIX = "guard/"
"""Begins the names in the rows of steps that a guard kept out of the weights."""

SKIPS = {1: "loss", 2: "gradient", 3: "spike"}
"""Why a guard skips a step: its loss, or its gradient, is not finite; or its loss is beyond what
the run's own noise explains. Ten more: it has stopped the run then; twenty more: it has put the
weights back."""

STALL = "stall"

STALL_PREFIX = "stall/"
"""Begins the names in the rows of the callback's watchdog."""

STALL_PLACES = {1: "data", 2: "ranks"}
"""Where the trainer stands: in its data loader, or where it waits for another rank."""

ASIDE = frozenset({GUARD, STALL})
"""Kinds that are no data points, and that one detector each looks at."""

PROBE_PREFIX = "probe/"
"""Begins the names in the rows that probes write; no trainer logs such a name by itself."""

LOGGED = {"lr": "learning_rate", "token_acc": "mean_token_accuracy"}
"""Other names in the rows of the Trainer's own log: LLaMA-Factory's and ms-swift's; more of them,
for the files of other tools, in :mod:`sftdiag.columns`."""

_OTHER_NAMES = tuple(LOGGED.items())

_TRAIN_SPLIT, _EVAL_SPLIT = "train/", "eval/"
"""Begin the trackers' names for the trainer's metrics: ``train/loss``, ``eval/loss``."""

SCORES = frozenset({"accuracy", "acc", "f1", "mcc", "precision", "recall", "correlation", "em"})
"""Last words of the names of scores that are shares of answers."""

CLOSING_ROW = frozenset({"train_runtime", "total_flos", "train_samples_per_second"})
"""One of these beside ``train_loss`` makes it the mean of the whole run."""

LARGEST = 3.4028234663852886e38
"""The largest finite float32. Losses, norms and rates are computed in it or in bfloat16, which ends
there too: a number beyond it is an overflow, whoever wrote it. Sums and squares of what is left
stay finite."""

SMALLEST = 2.0**-149
"""The smallest float32 above 0: what is smaller is 0, and the inverse of what is left finite."""

_NOT_FINITE: Mapping[str, float] = {
    **dict.fromkeys(("1.#qnan", "1.#snan", "1.#ind", "-1.#ind", "-1.#qnan", "#num!"), nan),
    **dict.fromkeys(("nan(ind)", "-nan(ind)"), nan),
    "1.#inf": inf,
    "-1.#inf": -inf,
}
"""What Windows and spreadsheets write for numbers that are none, which Python does not read."""

MAX_STEPS = 10**12
"""No run and no plan has more optimizer steps, nor tokens, where a tool counts those as steps."""

MAX_EPOCHS = 1e6
"""Nor more epochs; streaming runs plan 9223372036854775807, which is no plan at all."""

# One of these in a train row means that the loss is not a likelihood of labels:
# TRL's GRPO, PPO and RLOO log rewards, its DPO, ORPO, KTO and CPO trainers log rewards/chosen and
# logps, its RewardTrainer log mean_reward; NeMo's and OpenRLHF's DPO log what stands behind.
_REINFORCEMENT_KEYS = frozenset({"reward", "reward_std", "objective/kl", "frac_reward_zero_std"})
_PREFERENCE_KEYS = frozenset(
    {"rewards/chosen", "logps/chosen", "mean_reward", "rewards/margins"}
    | {"chosen_rewards", "rewards_chosen_mean", "chosen_reward", "preference_loss"}
)


class LogRecord(Value):
    """One row of a training log.

    Attributes:
        kind: ``"train"`` (has a loss), ``"eval"`` (has ``eval_*``), ``"summary"`` (the closing
            row with run averages; never a data point), ``"probe"`` (has ``probe/*``),
            ``"guard"`` (has ``guard/*``: a step that was kept out of the weights) or ``"stall"``
            (has ``stall/*``: the watchdog's).
        step: optimizer steps done, 0 or more.
        epoch: epochs done, or None when the row has none.
        metrics: metric name to value in the trainer's units; NaN and infinities are kept.
    """

    kind: str
    step: int
    epoch: float | None
    metrics: Mapping[str, float]

    def __init__(
        self, kind: str, step: int, epoch: float | None, metrics: Mapping[str, float]
    ) -> None:
        # One is made of every row: a third of the time of Value's own.
        fields = self.__dict__
        fields["kind"], fields["step"] = kind, step
        fields["epoch"], fields["metrics"] = epoch, metrics

    def get(self, name: str) -> float | None:
        """Return the metric, NaN and infinities included, or None when the row has none."""
        return self.metrics.get(name)

    def finite(self, name: str) -> float | None:
        """Return the metric when the row has it and it is finite, else None."""
        value = self.metrics.get(name)
        return value if value is not None and isfinite(value) else None

    def loss_is_lost(self) -> bool:
        """Return whether a train row's loss is NaN or infinite, in the open or hidden.

        The trainer's ``logging_nan_inf_filter`` logs the loss of a NaN step as 0.0; grad_norm or
        entropy still say that it was none.
        """
        loss = self.metrics["loss"]
        if loss != 0.0:
            return not isfinite(loss)
        grad_norm, entropy = self.metrics.get("grad_norm"), self.metrics.get("entropy")
        return (grad_norm is not None and not isfinite(grad_norm)) or (
            entropy is not None and isnan(entropy)
        )

    def eval_losses(self) -> dict[str, float]:
        """Return the losses of the evaluation sets in this row, keyed by series name.

        A series is ``eval_loss``, or ``eval_<name>_loss`` whose row also has
        ``eval_<name>_runtime``: other metrics may end in ``_loss`` too. In a row without any
        runtime, as loops of one's own log, it is the only such loss.
        """
        named = [n for n in self.metrics if n.startswith("eval_") and n.endswith("_loss")]
        series = [n for n in named if n == "eval_loss" or f"{n[:-5]}_runtime" in self.metrics]
        if not series and len(named) == 1:
            series = [] if any(n.endswith("_runtime") for n in self.metrics) else named
        return {name: self.metrics[name] for name in series}

    def objective(self) -> str | None:
        """Return ``"reinforcement"`` or ``"preference"`` when the row shows such a trainer."""
        if not _REINFORCEMENT_KEYS.isdisjoint(self.metrics):
            return "reinforcement"
        return None if _PREFERENCE_KEYS.isdisjoint(self.metrics) else "preference"


def objective_of(names: Iterable[object]) -> str | None:
    """Return what a row with these names is of, if it is no likelihood of labels."""
    known = set(names)
    if known.intersection(_REINFORCEMENT_KEYS):
        return "reinforcement"
    return "preference" if known.intersection(_PREFERENCE_KEYS) else None


def as_positive(value: object) -> int | None:
    """Return a whole number above zero, as counts and sizes are; None for anything else."""
    return value if type(value) is int and 0 < value <= MAX_STEPS else None


def as_float(value: object) -> float | None:
    """Return a number, a numeric string such as ``"NaN"`` or a 0-d array as float, else None.

    The float is one that a float32 could be: infinite above :data:`LARGEST`, 0 below
    :data:`SMALLEST`.

    Examples:
        >>> as_float(1.5), as_float("NaN"), as_float(6e300), as_float(1e-310), as_float(True)
        (1.5, nan, inf, 0.0, None)
    """
    number: float
    if type(value) is float:
        number = value
    else:
        if isinstance(value, bool) or value is None or isinstance(value, (list, tuple, dict)):
            return None
        try:
            number = float(value)  # type: ignore[arg-type]
        except OverflowError:
            return inf if value > 0 else -inf  # type: ignore[operator]
        except (TypeError, ValueError, RuntimeError):
            return _NOT_FINITE.get(value.strip().lower()) if isinstance(value, str) else None
    if SMALLEST <= number <= LARGEST:
        return number
    size = abs(number)
    return copysign(inf if size > LARGEST else 0.0 if size < SMALLEST else size, number)


def as_step(value: object) -> int | None:
    """Return a step count as int when it is from 0 to :data:`MAX_STEPS`, else None."""
    number = value if type(value) is int else as_float(value)
    return int(number) if number is not None and 0 <= number <= MAX_STEPS else None


def as_epoch(value: float | None) -> float | None:
    """Return the epochs done where a run can have done so many, else None."""
    return value if value is not None and 0.0 <= value < MAX_EPOCHS else None


_OTHER_KINDS = (PROBE_PREFIX, GUARD_PREFIX, _TRAIN_SPLIT)
_NOT_PLAIN = frozenset({"train_loss", *(other for other, _ in _OTHER_NAMES)})


def is_plain_name(name: object) -> bool:
    """Return whether :func:`parse_entry` keeps the name as it is, as one of a train row."""
    if type(name) is not str or name in _NOT_PLAIN:
        return False
    return name[:5] not in ("eval_", _EVAL_SPLIT) and name[:6] not in _OTHER_KINDS


@lru_cache(maxsize=128)
def are_plain(names: tuple[object, ...]) -> bool:
    """Return whether these are the names of a train row; a log has few sets of them."""
    return "loss" in names and all(map(is_plain_name, names))


def _plain(entry: Mapping[str, Any], step: int) -> LogRecord | None:
    """Return the record of a row with such names, where all its numbers are ordinary floats."""
    metrics = dict(entry)
    del metrics["step"]
    for value in metrics.values():
        if type(value) is not float or not SMALLEST <= value <= LARGEST:
            return None
    return LogRecord(TRAIN, step, as_epoch(metrics.pop("epoch", None)), metrics)


def is_score(name: str) -> bool:
    """Return whether a metric is a share of answers, of tokens or of whole ones."""
    return name.rsplit("_", 1)[-1].lower() in SCORES


def parse_entry(entry: Mapping[str, object], *, has_loss: bool = False) -> tuple[LogRecord, ...]:
    """Normalise one entry of ``log_history`` (or the ``logs`` of a callback plus ``step``).

    Args:
        entry: the row as the trainer wrote it.
        has_loss: rows before it have a ``loss``: a ``train_loss`` is then the mean of the run, also
            where what stands beside it was left out.

    Returns:
        One record; two (train, then eval) when a row carries both; none when the row has no
        step, is no row of a training log (``predict_*``, ``test_*``, other tools' rows) or is no
        mapping.
    """
    if type(entry) is not dict and not isinstance(entry, Mapping):
        return ()
    step = as_step(entry.get("step"))
    if step is None:
        return ()
    if are_plain(tuple(entry)) and (row := _plain(entry, step)) is not None:
        return (row,)
    train: dict[str, float] = {}
    evaluation: dict[str, float] = {}
    probed: dict[str, float] = {}
    guarded: dict[str, float] = {}
    stalled: dict[str, float] = {}
    for name, value in entry.items():
        # Most are ordinary floats, which need no look.
        usual = type(value) is float and SMALLEST <= value <= LARGEST
        number: float | None = value if usual else as_float(value)  # type: ignore[assignment]
        if number is None or type(name) is not str:
            continue
        if name[:5] == "eval_":
            evaluation[name] = number
        elif name[:6] == PROBE_PREFIX:
            probed[name] = number
        elif name[:6] == GUARD_PREFIX:
            guarded[name] = number
        elif name[:6] == STALL_PREFIX:
            stalled[name] = number
        elif name[:5] == _EVAL_SPLIT:
            evaluation.setdefault(f"eval_{name[5:]}", number)
        elif name[:6] == _TRAIN_SPLIT:
            train.setdefault(name[6:], number)
        else:
            train[name] = number
    for other, name in _OTHER_NAMES:
        if other in train:
            train.setdefault(name, train.pop(other))
    if "train_loss" in train and not has_loss and CLOSING_ROW.isdisjoint(train):
        train.setdefault("loss", train.pop("train_loss"))
    train.pop("step", None)
    if train.get("grad_norm", 0.0) < 0.0:
        # DeepSpeed's -1 is a norm that is NaN or infinite, and no norm is negative.
        train["grad_norm"] = nan
    if train.get("learning_rate", 0.0) < 0.0:
        del train["learning_rate"]
    epoch = as_epoch(train.pop("epoch", None))
    records: tuple[LogRecord, ...] = ()
    if "loss" in train:
        records = (LogRecord(TRAIN, step, epoch, train),)
    elif "train_runtime" in train or "train_loss" in train:
        records = (LogRecord(SUMMARY, step, epoch, train),)
    if evaluation:
        records += (LogRecord(EVAL, step, epoch, evaluation),)
    if stalled:
        records += (LogRecord(STALL, step, epoch, stalled),)
    if guarded:
        records += (LogRecord(GUARD, step, epoch, guarded),)
    if probed:
        records += (LogRecord(PROBE, step, epoch, probed),)
    return records


class Entries:
    """Normalises the entries of one log, one after another; see :func:`parse_entry`."""

    def __init__(self) -> None:
        self._has_loss = False

    def parse(self, entry: Mapping[str, object]) -> tuple[LogRecord, ...]:
        """Return the records of the next entry, going by how those before it name their loss."""
        records = parse_entry(entry, has_loss=self._has_loss)
        self._has_loss = self._has_loss or (bool(records) and "loss" in entry)
        return records
