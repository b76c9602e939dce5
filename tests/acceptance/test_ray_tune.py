"""Trials on Ray, where it is installed: a Tuner of two workers, and two that share a search."""

from __future__ import annotations

from collections.abc import Iterator
from math import isnan, nan
from pathlib import Path
from typing import Any

import pytest
import small_search
from small_search import START, Break, make_trainer

ray = pytest.importorskip("ray")
tune = pytest.importorskip("ray.tune")
pytest.importorskip("optuna")

import sftdiag  # noqa: E402
from sftdiag.searches.ray_tune import Stopper, trainable  # noqa: E402

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    ray.cloudpickle.register_pickle_by_value(small_search)
    paths = {"env_vars": {"PYTHONPATH": ":".join(__import__("sys").path)}}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=paths)
    yield
    ray.shutdown()


def breaks_at_high_rates(settings: dict[str, Any]) -> Any:
    made = make_trainer(settings)
    if settings["learning_rate"] > 0.05:
        made.add_callback(Break(3))
    return made


def test_a_tuner_ends_what_sftdiag_finds(tmp_path: Path) -> None:
    stopper = Stopper()
    tuner = tune.Tuner(
        trainable(breaks_at_high_rates, START),
        param_space={"learning_rate": tune.grid_search([3e-3, 1e-2, 0.06])},
        tune_config=tune.TuneConfig(metric="eval_loss", mode="min", max_concurrent_trials=2),
        run_config=tune.RunConfig(stop=stopper, storage_path=str(tmp_path), name="x"),
    )
    results = tuner.fit()
    assert not results.errors
    assert results.get_best_result().config["learning_rate"] == 1e-2
    ended = {r.config["learning_rate"]: r.metrics for r in results}
    # Ended by what it reported first: the finding, or an evaluation that is NaN.
    assert ended[0.06].get("cause") or isnan(ended[0.06]["eval_loss"])
    assert ended[0.06]["share"] < 1
    assert ended[1e-2]["over"]


def test_workers_share_a_search(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/search.db"
    result = sftdiag.search(
        make_trainer,
        START,
        storage=storage,
        folder=tmp_path,
        steps=("effective_batch",),
        engine="ray",
        jobs=2,
    )
    assert len(result.trials) == 3
    assert not result.failed
    kept = __import__("optuna").load_study(study_name="sftdiag/effective_batch", storage=storage)
    done = [t for t in kept.trials if t.state.name in ("COMPLETE", "PRUNED")]
    assert len(done) == 3
    assert len({t.user_attrs["sftdiag:owner"] for t in done}) == 2


def test_the_stopper_ends_a_nan_and_a_hopeless_curve_at_once() -> None:
    stopper = Stopper()
    for share, loss in ((0.25, 2.0), (0.5, 1.5), (1.0, 1.0)):
        assert not stopper("a", {"eval_loss": loss, "share": share, "over": share == 1.0})
    assert not stopper("b", {"eval_loss": 1.9, "share": 0.25})
    assert stopper("b", {"eval_loss": nan, "share": 0.5})
    assert not stopper("c", {"eval_loss": 2.5, "share": 0.25})
    assert stopper("d", {"eval_loss": 9.0, "share": 0.25})
    assert stopper("e", {"eval_loss": 1.0, "share": 0.25, "cause": "SFT106"})
    assert stopper.causes == {"b": "SFT203", "d": "cannot-become-best", "e": "SFT106"}
    assert not stopper.stop_all()
