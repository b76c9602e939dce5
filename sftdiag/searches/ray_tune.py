"""Ray: workers that share a search, and what a Tuner of your own needs for the same trials.

from ray import tune
from sftdiag.searches.ray_tune import Stopper, trainable

tuner = tune.Tuner(
    trainable(make_trainer, start={"num_train_epochs": 1}),
    param_space={"learning_rate": tune.loguniform(1e-5, 1e-2)},
    tune_config=tune.TuneConfig(metric="eval_loss", mode="min", num_samples=20),
    run_config=tune.RunConfig(stop=Stopper()),
)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any

from sftdiag.fleets.engines import NEEDS_RAY, RETRIES, cluster
from sftdiag.live.trials import finished
from sftdiag.searches.outcome import FAILED, Point
from sftdiag.searches.settings import usual_start
from sftdiag.searches.trial import MakeTrainer, run_trial
from sftdiag.tuning.prospects import HOPELESS, cannot_become_best

try:
    import ray
    from ray import tune
except ImportError as error:
    raise ImportError(NEEDS_RAY) from error

if TYPE_CHECKING:
    from sftdiag.searches.driver import Worker

SHARE, LOSS, CAUSE, OVER = "share", "eval_loss", "cause", "over"
"""Keys of a result: share of the schedule, evaluation loss, what ended the trial, whether it ran
to its end."""


def share(worker: Worker, jobs: int) -> None:
    """Let so many workers of the cluster share a search, a GPU each where there are any.

    A worker that dies is started again by Ray; its trial is given up and run anew.
    """
    with cluster(jobs):
        gpus = 1 if ray.cluster_resources().get("GPU") else 0
        work = ray.remote(max_retries=RETRIES, num_cpus=1, num_gpus=gpus)(_work)
        given = ray.put(worker)
        try:
            ray.get([work.remote(given) for _ in range(max(1, jobs))])
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None


def _work(worker: Worker) -> None:
    worker.work()


class Stopper(tune.Stopper):  # type: ignore[misc]
    """Ends a trial at an error that sftdiag found, a NaN, or a curve that cannot become the best.

    ASHA and MedianStopping keep a trial whose loss turned NaN after a good start.

    Args:
        metric: what is compared, smaller being better.
    """

    def __init__(self, metric: str = LOSS) -> None:
        self.metric = metric
        self.causes: dict[str, str] = {}
        self._curves: dict[str, list[tuple[float, float]]] = {}
        self._over: set[str] = set()

    def __call__(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Return whether the trial ends; ``causes`` then says why."""
        curve = self._curves.setdefault(trial_id, [])
        loss, place = result.get(self.metric), result.get(SHARE)
        if result.get(CAUSE):
            self.causes[trial_id] = str(result[CAUSE])
            return True
        if loss is None or place is None:
            return False
        if not isfinite(loss):
            self.causes[trial_id] = "SFT203"
            return True
        curve.append((float(place), float(loss)))
        if result.get(OVER):
            self._over.add(trial_id)
            return False
        rivals = finished([self._curves[other] for other in self._over])
        if cannot_become_best(curve, rivals.curves, rivals.best):
            self.causes[trial_id] = HOPELESS
            return True
        return False

    def stop_all(self) -> bool:
        """Return False: a trial's end is no other one's."""
        return False


class _Reports:
    """Hands each evaluation to Tune once, as the trial makes it."""

    def __init__(self) -> None:
        self._told = 0

    def __call__(self, share: float, curve: tuple[Point, ...]) -> None:
        for point in curve[self._told :]:
            tune.report({LOSS: point.loss, SHARE: min(share, 0.999), "step": point.step})
        self._told = len(curve)


def trainable(
    make_trainer: MakeTrainer, start: Mapping[str, float] | None = None
) -> Callable[[dict[str, Any]], None]:
    """Return what a Tuner runs: one watched trial of the settings in its ``config``.

    A finding that ends it is reported as ``cause``; an exception is raised, as Tune expects.

    Args:
        make_trainer: as for :func:`sftdiag.search`.
        start: the settings that the Tuner does not vary.
    """
    fixed = usual_start(start)

    def train(config: dict[str, Any]) -> None:
        folder = os.path.join(tune.get_context().get_trial_dir(), "trainer")
        outcome = run_trial(make_trainer, {**fixed, **config}, folder, moved=_Reports())
        if outcome.state == FAILED:
            raise RuntimeError(f"{outcome.reason}: {outcome.detail}")
        last = outcome.curve[-1].loss if outcome.curve else float("inf")
        loss = last if outcome.loss is None else outcome.loss
        share = outcome.last_step / max(1, outcome.steps)
        told = {LOSS: loss, SHARE: share, "step": outcome.last_step, CAUSE: outcome.cause}
        tune.report({**told, OVER: outcome.judged is not None})

    return train
