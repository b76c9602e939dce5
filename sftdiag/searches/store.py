"""Store: the trials of a search in an Optuna storage; one study a step, no trial run twice.

A trial is claimed by being in the storage as running, with its settings and whose it is. Where two
processes ask for the same settings at once, the first of the two trials is run and the other one is
given up: creating a trial with its attributes is atomic in every storage of Optuna, and whoever
comes second sees the first. Taking one from Optuna's queue is not: on SQLite two processes can get
the same one (findings/optuna_sqlite_queue_hands_a_trial_out_twice.sh), so nothing is queued here.
A trial whose process is gone is told by its heartbeat, and at once on the same machine. Its outcome
is written before all else that is said of it: a kill after that loses nothing.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from sftdiag.errors import ConfigError
from sftdiag.searches import owners
from sftdiag.searches.outcome import FAILED, PRUNED, Outcome, Trial
from sftdiag.searches.settings import ACCUMULATION, EPOCHS, RANK, RATE, key_of
from sftdiag.searches.steps import REFINE, SEEDS, STEPS
from sftdiag.searches.storages import opened, quiet

try:
    import optuna
    from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
    from optuna.trial import FrozenTrial, TrialState
except ImportError as error:
    raise ImportError("this needs Optuna: pip install 'sftdiag[search]'") from error

HEARTBEAT = 20.0
"""Seconds between signs of life: a write each, few against a training step's time."""

GRACE = 120.0
"""Seconds without one after which a trial is lost: six are missed, and clocks of machines that
share a storage differ by less."""

TRIES, PAUSE = 5, 2.0
"""Of writing what a trial came to, and seconds between them: a storage that is away for a moment
must not cost a training."""

OUTCOME, SETTINGS, STEP, OWNER, BEAT, CLAIM = (
    *("sftdiag:outcome", "sftdiag:settings", "sftdiag:step"),
    *("sftdiag:owner", "sftdiag:heartbeat", "sftdiag:claim"),
)
"""Attributes of a trial. ``cause`` and ``reason`` are written beside them in plain words."""

PLAN, RETRIED = "sftdiag:plan", "sftdiag:retried"
"""Attributes of a study."""

_SHOWN: Mapping[str, tuple[str, BaseDistribution]] = {
    RATE: (RATE, FloatDistribution(1e-8, 1.0, log=True)),
    SEEDS: (RATE, FloatDistribution(1e-8, 1.0, log=True)),
    EPOCHS: (EPOCHS, FloatDistribution(0.01, 1000.0)),
    RANK: (RANK, IntDistribution(1, 4096)),
    STEPS[3]: (ACCUMULATION, IntDistribution(1, 65536)),
    REFINE: (RATE, FloatDistribution(1e-8, 1.0, log=True)),
}
"""What a step varies, as Optuna and its dashboard show it."""


class Store:
    """The trials of one search.

    Args:
        storage: an Optuna storage, its URL, the path of a journal file, or None for one in the
            folder.
        folder: of the search.
        name: of the search, for storages that hold several.
    """

    def __init__(self, storage: Any, folder: str, name: str) -> None:
        self._storage = opened(storage, folder)
        self._name = name
        self._studies: dict[str, optuna.Study] = {}
        # A trial that is done changes no more, and is asked for at each evaluation of the others.
        self._read: dict[tuple[str, int], Outcome] = {}

    def plan(self, new: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Return what the search was begun with; the first that is given is kept."""
        study = self._study(STEPS[0])
        kept: dict[str, Any] | None = study.user_attrs.get(PLAN)
        if kept is None and new is not None:
            study.set_user_attr(PLAN, dict(new))
            kept = study.user_attrs.get(PLAN)
        return kept

    def done(self) -> dict[str, Trial]:
        """Return the trials that are done by the key of their settings, numbered as they ended."""
        ended = []
        for place, step in enumerate(_SHOWN):
            for trial in self._trials(step):
                if trial.state.is_finished() and OUTCOME in trial.user_attrs:
                    order = (str(trial.datetime_complete), place, trial.number)
                    ended.append((order, step, trial))
        found: dict[str, Trial] = {}
        for number, (_, step, trial) in enumerate(sorted(ended, key=lambda item: item[0]), 1):
            settings = trial.user_attrs[SETTINGS]
            if (kept := self._read.get((step, trial.number))) is None:
                kept = self._read[step, trial.number] = Outcome.from_dict(trial.user_attrs[OUTCOME])
            found.setdefault(key_of(settings), Trial(number, step, settings, kept))
        return found

    def running(self) -> list[dict[str, float]]:
        """Return the settings of the trials under way, whoever runs them."""
        self.give_up_lost()
        alive = [t for step in _SHOWN for t in self._trials(step) if t.state == TrialState.RUNNING]
        return [dict(trial.user_attrs[SETTINGS]) for trial in alive]

    def claim(self, step: str, settings: Mapping[str, float]) -> optuna.Trial | None:
        """Return a trial of these settings for this process to run; None where another one does."""
        self.give_up_lost()
        key = key_of(settings)
        if self._held(key):
            return None
        study = self._study(step)
        name, distribution = _SHOWN[step]
        token = uuid.uuid4().hex
        about = {SETTINGS: dict(settings), STEP: step, OWNER: owners.own(), BEAT: time.time()}
        study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.RUNNING,
                params={name: settings[name]},
                distributions={name: distribution},
                user_attrs={**about, CLAIM: token},
            )
        )
        held = self._held(key)
        own = next(other for other in held if other.user_attrs.get(CLAIM) == token)
        trial = optuna.trial.Trial(study, own._trial_id)
        if own._trial_id == min(other._trial_id for other in held):
            return trial
        study.tell(trial, state=TrialState.FAIL)
        return None

    def tell(self, step: str, trial: optuna.Trial, outcome: Outcome) -> bool:
        """Keep what a trial came to; False where it was given up in the meantime.

        Raises:
            ConfigError: the storage does not take it.
        """
        for left in reversed(range(TRIES)):
            try:
                self._keep(step, trial, outcome)
                return True
            except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
                return False
            except (OSError, optuna.exceptions.StorageInternalError) as error:
                if not left:
                    first = str(error).strip().partition("\n")[0]
                    told = f"the storage did not take what a trial came to: {first}"
                    raise ConfigError(told).keyed("search_kept", why=first) from error
            time.sleep(PAUSE)
        raise AssertionError

    def _keep(self, step: str, trial: optuna.Trial, outcome: Outcome) -> None:
        trial.set_user_attr(OUTCOME, outcome.to_dict())
        for point in outcome.curve:
            trial.report(point.loss, point.step)
        if outcome.cause is not None:
            trial.set_user_attr("cause", f"{outcome.cause} {outcome.cause_name}")
            trial.set_user_attr("said", outcome.said)
        if outcome.reason is not None:
            trial.set_user_attr("reason", f"{outcome.reason}: {outcome.detail}")
        states = {PRUNED: TrialState.PRUNED, FAILED: TrialState.FAIL}
        state = states.get(outcome.state, TrialState.COMPLETE)
        value = outcome.loss if state == TrialState.COMPLETE else None
        self._study(step).tell(trial, value, state=state)

    def give_up(self, step: str, trial: optuna.Trial) -> None:
        """Leave a trial that this process does not finish to whoever asks for it next."""
        self._study(step).tell(trial, state=TrialState.FAIL, skip_if_finished=True)

    def give_up_lost(self) -> None:
        """Give up the trials whose process is gone, of whatever step."""
        for step in _SHOWN:
            for trial in self._trials(step):
                if trial.state == TrialState.RUNNING and _is_lost(trial):
                    # Another process may do so at the same moment.
                    with suppress(optuna.exceptions.UpdateFinishedTrialError, ValueError):
                        self._study(step).tell(trial.number, state=TrialState.FAIL)

    def retry_failed(self) -> None:
        """Let the trials that failed so far be run again."""
        for step in _SHOWN:
            study = self._study(step)
            failed = [t.number for t in study.get_trials() if t.state == TrialState.FAIL]
            study.set_user_attr(RETRIED, failed)

    @contextmanager
    def beating(self, trial: optuna.Trial) -> Iterator[None]:
        """Give signs of life for a trial."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(HEARTBEAT):
                try:
                    trial.set_user_attr(BEAT, time.time())
                except Exception:
                    # A storage that is away for a moment may be back at the next beat.
                    continue

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _study(self, step: str) -> optuna.Study:
        if step not in self._studies:
            with quiet():
                self._studies[step] = optuna.create_study(
                    storage=self._storage,
                    study_name=f"{self._name}/{step}",
                    sampler=optuna.samplers.RandomSampler(seed=0),
                    pruner=optuna.pruners.NopPruner(),
                    load_if_exists=True,
                )
        return self._studies[step]

    def _trials(self, step: str) -> list[FrozenTrial]:
        """Return a step's trials but those that are to be run again."""
        study = self._study(step)
        again = set(study.user_attrs.get(RETRIED, ()))
        trials = study.get_trials(deepcopy=False)
        return [t for t in trials if SETTINGS in t.user_attrs and t.number not in again]

    def _held(self, key: str) -> list[FrozenTrial]:
        """Return the trials of some settings that run or are done, of whatever step."""
        return [
            trial
            for step in _SHOWN
            for trial in self._trials(step)
            if key_of(trial.user_attrs[SETTINGS]) == key
            if trial.state == TrialState.RUNNING or OUTCOME in trial.user_attrs
        ]


def _is_lost(trial: FrozenTrial) -> bool:
    gone = owners.is_gone(str(trial.user_attrs.get(OWNER, "")))
    if gone is None:
        return bool(time.time() - float(trial.user_attrs.get(BEAT, 0.0)) > GRACE)
    return gone
