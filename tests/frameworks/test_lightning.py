"""Lightning's callback, by what its Trainer calls and shows; for real in tests/acceptance."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import logs
import pytest
import stand_ins

import sftdiag
from sftdiag.sources import open_run

MODULE = "sftdiag.frameworks.lightning"

STEPS, EVERY, BATCHES = 60, 2, 20


@pytest.fixture
def lightning(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    stand_ins.put(monkeypatch, "lightning.pytorch", Callback=object)
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    yield importlib.import_module(MODULE)
    sys.modules.pop(MODULE, None)


class Strategy:
    """Another rank that says yes to a question once it is its turn."""

    def __init__(self, *yes: int) -> None:
        self.asked = 0
        self.yes = yes

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:
        assert not all
        self.asked += 1
        return decision or self.asked in self.yes


def make_trainer(folder: Path, **changes: Any) -> Any:
    return SimpleNamespace(
        **{
            "fast_dev_run": False,
            "log_dir": str(folder),
            "default_root_dir": str(folder),
            "global_step": 0,
            "global_rank": 0,
            "world_size": 1,
            "strategy": Strategy(),
            "log_every_n_steps": EVERY,
            "num_training_batches": BATCHES,
            "current_epoch": 0,
            "accumulate_grad_batches": 1,
            "callback_metrics": {},
            "sanity_checking": False,
            "should_stop": False,
            "optimizers": [SimpleNamespace(param_groups=[{"lr": 1e-3, "weight_decay": 0.1}])],
            "estimated_stepping_batches": STEPS,
            "train_dataloader": SimpleNamespace(batch_size=8, dataset=[0] * 160),
            "max_epochs": 3,
            "precision": "bf16-mixed",
            "gradient_clip_val": 1.0,
            "gradient_clip_algorithm": None,
        }
        | changes
    )


NETWORK = SimpleNamespace(parameters=list, children=list)


def train(callback: Any, trainer: Any, losses: list[float], **named: bool) -> int:
    """Have the Trainer's events called as it does; return the steps made."""
    callback.on_train_start(trainer, NETWORK)
    for index, loss in enumerate(losses):
        if named.get("by_step", True):
            trainer.callback_metrics |= {"train_loss": loss * 1.0, "train_loss_step": loss * 1.0}
        trainer.global_step += 1
        trainer.current_epoch, batch = divmod(index, BATCHES)
        outputs = {"loss": loss} if named.get("returned", True) else None
        callback.on_train_batch_end(trainer, NETWORK, outputs, None, batch)
        if batch == BATCHES - 1:
            trainer.callback_metrics["val_loss"] = loss + 0.01
            callback.on_validation_end(trainer, NETWORK)
            trainer.callback_metrics |= {"train_loss": loss + 1.0, "train_loss_epoch": loss + 1.0}
            callback.on_train_epoch_end(trainer, NETWORK)
        if trainer.should_stop:
            break
    callback.on_train_end(trainer, NETWORK)
    return int(trainer.global_step)


WELL = [logs.decay(step, STEPS) for step in range(1, STEPS + 1)]
BLOWN = [*WELL[:30], *[math.nan] * 30]


def test_a_row_where_its_loggers_get_one(lightning: Any, tmp_path: Path) -> None:
    callback, trainer = lightning.DiagnosticsCallback(stop_on="error"), make_trainer(tmp_path)
    assert train(callback, trainer, WELL) == STEPS
    run = open_run(tmp_path)
    rows = list(run.entries)
    assert [row["step"] for row in rows if "loss" in row] == list(range(EVERY, STEPS + 1, EVERY))
    assert [row["step"] for row in rows if "eval_loss" in row] == [20, 40, 60]
    assert rows[0] == {"step": 2, "loss": WELL[1], "learning_rate": 1e-3, "epoch": 0.1}
    known = run.context
    assert (known.framework, known.max_steps, known.num_train_epochs) == ("lightning", STEPS, 3)
    assert (known.learning_rate, known.weight_decay, known.max_grad_norm) == (1e-3, 0.1, 1.0)
    assert (known.precision, known.per_device_train_batch_size) == ("bf16", 8)
    assert callback.report.verdict == "healthy"


def test_a_blow_up_is_stopped(lightning: Any, tmp_path: Path) -> None:
    callback, trainer = lightning.DiagnosticsCallback(stop_on="error"), make_trainer(tmp_path)
    assert train(callback, trainer, BLOWN) <= 30 + 3 * EVERY
    assert callback.report.primary.code == "SFT106"


@pytest.mark.parametrize("named", [{"by_step": False}, {}])
def test_a_module_that_logs_no_loss_by_step(lightning: Any, tmp_path: Path, named: Any) -> None:
    trainer = make_trainer(tmp_path, accumulate_grad_batches=4)
    train(lightning.DiagnosticsCallback(), trainer, WELL, **named)
    seen = [row["loss"] for row in open_run(tmp_path).entries if "loss" in row]
    # What training_step returned has been divided by the micro-batches.
    assert seen[0] == WELL[1] * (1 if not named else 4)
    assert len(seen) == STEPS / EVERY


def test_losses_by_epoch_alone(lightning: Any, tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    train(lightning.DiagnosticsCallback(), trainer, WELL, by_step=False, returned=False)
    rows = [row for row in open_run(tmp_path).entries if "loss" in row]
    assert [(row["step"], row["epoch"]) for row in rows] == [(20, 1), (40, 2), (60, 3)]


def test_names_of_one_s_own_and_the_check_before_training(lightning: Any, tmp_path: Path) -> None:
    columns = {"loss": "nll", "eval_loss": "held_out"}
    callback, trainer = lightning.DiagnosticsCallback(columns=columns), make_trainer(tmp_path)
    trainer.sanity_checking = True
    trainer.callback_metrics["held_out"] = 9.0
    callback.on_validation_end(trainer, NETWORK)
    callback.on_train_start(trainer, NETWORK)
    callback.on_validation_end(trainer, NETWORK)
    trainer.sanity_checking, trainer.global_step = False, EVERY
    trainer.callback_metrics["nll"] = 2.0
    callback.on_train_batch_end(trainer, NETWORK, None, None, 1)
    trainer.callback_metrics["held_out"] = 2.5
    callback.on_validation_end(trainer, NETWORK)
    callback.on_exception(trainer, NETWORK, KeyboardInterrupt())
    rows = list(open_run(tmp_path).entries)
    assert [row.get("loss") or row["eval_loss"] for row in rows] == [2.0, 2.5]


def test_ranks_stop_and_raise_together(lightning: Any, tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path / "a", world_size=2, strategy=Strategy(9))
    assert train(lightning.DiagnosticsCallback(stop_on="error"), trainer, WELL) == 5 * EVERY
    trainer = make_trainer(tmp_path / "b", world_size=2, strategy=Strategy(10))
    with pytest.raises(sftdiag.UnhealthyRunError):
        train(lightning.DiagnosticsCallback(raise_on="error"), trainer, WELL)
    assert trainer.global_step == 5 * EVERY
    with pytest.raises(sftdiag.UnhealthyRunError, match="SFT106"):
        train(lightning.DiagnosticsCallback(raise_on="error"), make_trainer(tmp_path / "c"), BLOWN)


def test_a_fault_keeps_no_rank_from_the_others(
    lightning: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("broken")

    asked = []
    for name, owner in (("", None), ("log", sftdiag.Loop), ("Loop", lightning)):
        callback = lightning.DiagnosticsCallback(stop_on="error")
        trainer = make_trainer(tmp_path / name, world_size=2)
        if owner is not None:
            monkeypatch.setattr(owner, name, broken)
        train(callback, trainer, WELL)
        asked.append(trainer.strategy.asked)
    assert asked[0] == asked[1] == asked[2] > STEPS / EVERY
    assert callback.report.verdict == "inconclusive"


class Saver:
    """A checkpoint callback that keeps the last of its saves, as Lightning's does unasked."""

    best_k_models: Mapping[str, float] = {}
    best_model_path = last_model_path = ""
    save_top_k = 1
    _last_global_step_saved = 0

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step % 10 == 0:
            self.save(trainer)

    def on_train_epoch_end(self, trainer: Any, *_: Any) -> None:
        self.save(trainer)

    on_validation_end = on_exception = on_train_end = on_train_epoch_end

    def save(self, trainer: Any) -> None:
        step = self._last_global_step_saved = trainer.global_step
        self.best_model_path = f"epoch={trainer.current_epoch}.ckpt"
        trainer.saved.append(step)


def make_saving_trainer(folder: Path, saver: Saver) -> Any:
    return make_trainer(folder, checkpoint_callbacks=[saver], saved=[])


class WithSaver:
    """Our callback and the Trainer's saver, in the order in which Lightning calls them."""

    def __init__(self, callback: Any, saver: Saver) -> None:
        self.both = (callback, saver)

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any) -> None:
            for each in self.both:
                if hasattr(each, name):
                    getattr(each, name)(*args)

        return call


@pytest.mark.parametrize("losses", [BLOWN, [*WELL[:30], *[900.0] * 30]])
@pytest.mark.parametrize("asked", [{"stop_on": "error"}, {"raise_on": "error"}])
def test_no_good_checkpoint_gives_way_to_ruined_weights(
    lightning: Any, tmp_path: Path, losses: list[float], asked: Any, caplog: Any
) -> None:
    saver = Saver()
    callback, trainer = lightning.DiagnosticsCallback(**asked), make_saving_trainer(tmp_path, saver)
    both: Any = WithSaver(callback, saver)
    try:
        train(both, trainer, losses)
    except sftdiag.UnhealthyRunError as error:
        both.on_exception(trainer, NETWORK, error)
    else:
        assert "nearest checkpoint: that of step 30; no other is saved any more" in caplog.text
    assert trainer.saved[-1] == 30 < trainer.global_step
    fixes = [fix.text for cause in callback.report.primary.causes for fix in cause.fixes]
    assert any("the checkpoint of step 30" in fix for fix in fixes)
    assert "none is known of" not in str(fixes)
    callback.teardown(trainer, NETWORK, "fit")
    saver.on_train_end(trainer)
    assert trainer.saved[-1] == trainer.global_step


def test_sound_weights_are_saved_at_a_stop(lightning: Any, tmp_path: Path) -> None:
    saver = Saver()
    trainer = make_saving_trainer(tmp_path, saver)
    callback = lightning.DiagnosticsCallback(stop_on={"SFT101": "info"})
    train(WithSaver(callback, saver), trainer, [2.0 + step % 2 * 0.01 for step in range(STEPS)])
    assert trainer.should_stop
    assert trainer.saved[-1] == trainer.global_step < STEPS


def test_ranks_keep_the_same_from_saving(lightning: Any, tmp_path: Path) -> None:
    """Another rank says yes to the stop; or also that the weights are worse."""
    for yes, kept in (((9,), False), ((9, 11), True)):
        saver = Saver()
        trainer = make_saving_trainer(tmp_path / str(kept), saver)
        trainer.world_size, trainer.strategy = 2, Strategy(*yes)
        train(WithSaver(lightning.DiagnosticsCallback(stop_on="error"), saver), trainer, WELL)
        assert (trainer.saved == [] or trainer.saved[-1] < trainer.global_step) is kept


def test_which_checkpoints_there_are(lightning: Any, tmp_path: Path) -> None:
    saver = Saver()
    trainer, callback = make_saving_trainer(tmp_path, saver), lightning.DiagnosticsCallback()
    callback.on_train_start(trainer, NETWORK)

    def seen(**now: Any) -> tuple[int, ...]:
        vars(saver).update(now)
        callback._look_at_saves(trainer)
        return tuple(sorted(callback._loop._monitor.signals.checkpoints))

    first, better = 2.0, 1.9
    assert seen() == ()
    assert seen(best_k_models={"a": first}, _last_global_step_saved=5) == (5,)
    assert seen(best_k_models={"a": first, "b": 1.8}, _last_global_step_saved=9) == (5, 9)
    assert seen(best_k_models={"a": better}, _last_global_step_saved=12) == (12,)
    assert seen(last_model_path="last", _last_global_step_saved=14) == (12, 14)
    named = {"epoch=0-step=3-v1.ckpt": 2.5}
    assert seen(best_k_models=named, last_model_path="") == (3,)
    assert seen(save_top_k=-1, best_k_models={}, best_model_path="c") == (3, 14)


def test_a_saver_that_tells_nothing_harms_nothing(lightning: Any, tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, checkpoint_callbacks=[object(), None])
    callback = lightning.DiagnosticsCallback(stop_on="error")
    train(callback, trainer, BLOWN)
    assert trainer.should_stop
    assert callback.report.primary.code == "SFT106"


def test_a_mistyped_option_names_this_callback(lightning: Any) -> None:
    with pytest.raises(TypeError, match=r"DiagnosticsCallback.*stop_onn"):
        lightning.DiagnosticsCallback(stop_onn="error")


def test_off(lightning: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(lightning.DiagnosticsCallback(enabled=False), make_trainer(tmp_path), BLOWN)
    train(lightning.DiagnosticsCallback(), make_trainer(tmp_path, fast_dev_run=1), BLOWN)
    assert not list(tmp_path.iterdir())
    with pytest.raises(sftdiag.ConfigError):
        lightning.DiagnosticsCallback(stop_on="eror")
