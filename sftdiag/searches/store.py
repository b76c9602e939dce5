"""Store: the trials of a search in an Optuna storage; one study a step, no trial run twice.

A trial is claimed by being in the storage as running, with its settings and whose it is. Where two
processes ask for the same settings at once, the lower number of the two trains and the other one is
given up: creating a trial with its attributes is atomic in every storage of Optuna, and whoever
comes second sees the first. Taking one from Optuna's queue is not: on SQLite two processes can get
the same one (findings/optuna_sqlite_queue_hands_a_trial_out_twice.sh), so nothing is queued here.
A trial whose process is gone is told by its heartbeat, and at once on the same machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sftdiag.errors import ConfigError
from sftdiag.searches.outcome import FAILED, PRUNED, Outcome, Trial
from sftdiag.searches.settings import ACCUMULATION, EPOCHS, RANK, RATE, key_of
from sftdiag.searches.steps import REFINE, SEEDS, STEPS

try:
    import optuna
    from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
    from optuna.storages.journal import (
        JournalFileBackend,
        JournalFileSymlinkLock,
        JournalStorage,
    )
    from optuna.trial import FrozenTrial, TrialState
except ImportError as error:
    raise ImportError("this needs Optuna: pip install 'sftdiag[search]'") from error

HEARTBEAT = 20.0
"""Seconds between signs of life: a write each, few against a training step's time."""

LOCKED = 60.0
"""Seconds to wait for another process's write to SQLite: after its own 5 s a result would be lost,
and its trial run again."""

GRACE = 120.0
"""Seconds without one after which a trial is lost: six are missed, and clocks of machines that
share a storage differ by less."""

JOURNAL = "journal.log"
"""The storage beside the trials, where none is given."""

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
        self._owner = f"{_machine()}:{os.getpid()}"

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
        found = []
        for step in _SHOWN:
            self.give_up_lost(step)
            alive = [t for t in self._trials(step) if t.state == TrialState.RUNNING]
            found += [dict(trial.user_attrs[SETTINGS]) for trial in alive]
        return found

    def claim(self, step: str, settings: Mapping[str, float]) -> optuna.Trial | None:
        """Return a trial of these settings for this process to run; None where another one does."""
        study = self._study(step)
        self.give_up_lost(step)
        key = key_of(settings)
        if any(self._holds(trial, key) for trial in self._trials(step)):
            return None
        name, distribution = _SHOWN[step]
        token = uuid.uuid4().hex
        about = {SETTINGS: dict(settings), STEP: step, OWNER: self._owner, BEAT: time.time()}
        study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.RUNNING,
                params={name: settings[name]},
                distributions={name: distribution},
                user_attrs={**about, CLAIM: token},
            )
        )
        held = [other for other in self._trials(step) if self._holds(other, key)]
        own = next(other for other in held if other.user_attrs.get(CLAIM) == token)
        trial = optuna.trial.Trial(study, own._trial_id)
        if own.number == min(other.number for other in held):
            return trial
        study.tell(trial, state=TrialState.FAIL)
        return None

    def tell(self, step: str, trial: optuna.Trial, outcome: Outcome) -> bool:
        """Keep what a trial came to; False where it was given up in the meantime."""
        try:
            for point in outcome.curve:
                trial.report(point.loss, point.step)
            if outcome.cause is not None:
                trial.set_user_attr("cause", f"{outcome.cause} {outcome.cause_name}")
                trial.set_user_attr("said", outcome.said)
            if outcome.reason is not None:
                trial.set_user_attr("reason", f"{outcome.reason}: {outcome.detail}")
            trial.set_user_attr(OUTCOME, outcome.to_dict())
            states = {PRUNED: TrialState.PRUNED, FAILED: TrialState.FAIL}
            state = states.get(outcome.state, TrialState.COMPLETE)
            value = outcome.loss if state == TrialState.COMPLETE else None
            self._study(step).tell(trial, value, state=state)
        except (ValueError, RuntimeError, optuna.exceptions.OptunaError):
            return False
        return True

    def give_up(self, step: str, trial: optuna.Trial) -> None:
        """Leave a trial that this process does not finish to whoever asks for it next."""
        self._study(step).tell(trial, state=TrialState.FAIL, skip_if_finished=True)

    def give_up_lost(self, step: str) -> None:
        """Give up the trials whose process is gone."""
        for trial in self._trials(step):
            if trial.state == TrialState.RUNNING and self._is_lost(trial):
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

    def _holds(self, trial: FrozenTrial, key: str) -> bool:
        """Return whether a trial of these settings is running or done."""
        if key_of(trial.user_attrs[SETTINGS]) != key:
            return False
        return trial.state == TrialState.RUNNING or OUTCOME in trial.user_attrs

    def _is_lost(self, trial: FrozenTrial) -> bool:
        machine, _, process = str(trial.user_attrs.get(OWNER, "")).rpartition(":")
        if machine == _machine() and process.isdecimal():
            return not _is_alive(int(process))
        return bool(time.time() - float(trial.user_attrs.get(BEAT, 0.0)) > GRACE)


def opened(storage: Any, folder: str) -> Any:
    """Return an Optuna storage.

    Raises:
        ConfigError: the URL or the file cannot be opened.
    """
    if storage is not None and not isinstance(storage, (str, os.PathLike)):
        return storage
    if storage is not None and "://" in os.fspath(storage):
        try:
            return optuna.storages.get_storage(_waiting(os.fspath(storage)))
        except Exception as error:
            first = str(error).strip().partition("\n")[0]
            told = f"the storage cannot be opened: {first}"
            raise ConfigError(told).keyed("search_storage", why=first) from None
    path = Path(storage) if storage is not None else Path(folder, JOURNAL)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _expect_journal(path)
        _mend(path)
        return JournalStorage(JournalFileBackend(str(path)))
    except (OSError, ValueError) as error:
        told = f"{path}: no journal of Optuna: {error}"
        raise ConfigError(told).keyed("search_journal", path=path, why=error) from None


def _waiting(url: str) -> Any:
    """Return the storage of a URL; SQLite's waits as long as it takes others to write."""
    if not url.startswith("sqlite:"):
        return url
    patient = {"connect_args": {"timeout": LOCKED}}
    return optuna.storages.RDBStorage(url, engine_kwargs=patient)


def _expect_journal(path: Path) -> None:
    """Raise ValueError where a file holds something else: it would be written to."""
    if not path.exists():
        return
    with open(path, "rb") as file:
        first = file.readline()
    # A first line that a kill left unfinished is Optuna's all the same.
    if first.endswith(b"\n") and "op_code" not in json.loads(first):
        raise ValueError("its first line is none")
    if first and not first.startswith(b"{"):
        raise ValueError("its first line is none")


def _mend(path: Path) -> None:
    """Cut off a last line that a kill left unfinished: Optuna reads no journal beyond one."""
    if not path.exists():
        return
    lock = JournalFileSymlinkLock(str(path))
    lock.acquire()
    try:
        with open(path, "r+b") as file:
            content = file.read()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                file.truncate(whole)
    finally:
        lock.release()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna's notes on studies and trials from the terminal for a while."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)


def _machine() -> str:
    """Return what tells this machine, since it booted, from others, without naming it."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    try:
        since = boot.read_text()
    except OSError:
        since = ""
    text = f"{socket.gethostname()}{uuid.getnode()}{since}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _is_alive(process: int) -> bool:
    if process == os.getpid():
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
