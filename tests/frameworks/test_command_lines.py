"""LLaMA-Factory's and TRL's command lines: the callback gets into the trainer that they make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="needs the extra trainer")

import finetune
import stand_ins
import transformers

import sftdiag
from sftdiag.frameworks import llamafactory, trl
from sftdiag.frameworks._in_process import met

TRAIN = transformers.Trainer.train


class Factory:
    """LLaMA-Factory, as far as its command line and its function go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.folder = folder
        self.callbacks: list[Any] = []
        self.trainer: Any = None
        self.started = ""
        put = stand_ins.put
        put(monkeypatch, "llamafactory.hparams.parser", read_args=self.read_args)
        hparams = stand_ins.sys.modules["llamafactory.hparams"]
        monkeypatch.setattr(
            hparams, "DataArguments", type("DataArguments", (), {"cutoff_len": 2048}), raising=False
        )
        self.tuner = put(monkeypatch, "llamafactory.train.tuner", run_exp=self.run_exp)
        self.launcher = put(
            monkeypatch, "llamafactory.launcher", launch=self.launch, __file__="launcher.py"
        )

    def read_args(self, args: Any) -> Any:
        if args is not None:
            return args
        return json.loads(Path(stand_ins.sys.argv[1]).read_text(encoding="utf-8"))

    def run_exp(self, args: Any = None, callbacks: Any = None) -> None:
        given = self.read_args(args)
        self.callbacks = list(callbacks or ())
        self.trainer = finetune.make_trainer("none", self.folder, max_steps=given["max_steps"])
        for callback in self.callbacks:
            self.trainer.add_callback(callback)
        self.trainer.train()

    def launch(self) -> None:
        assert stand_ins.sys.argv.pop(1) == "train"
        self.started = self.launcher.__file__
        self.tuner.run_exp()


@pytest.fixture
def factory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Factory:
    return Factory(monkeypatch, tmp_path / "out")


@pytest.fixture
def settings(tmp_path: Path) -> str:
    file = tmp_path / "x.json"
    file.write_text('{"max_steps": 4, "cutoff_len": 300}', encoding="utf-8")
    return str(file)


def test_its_function_returns_the_callback(factory: Factory) -> None:
    callback = llamafactory.run_exp({"max_steps": 4}, ["another"][:0], lang="zh")
    assert factory.callbacks == [callback]
    assert callback.report.language == "zh"
    assert callback.known.framework == "llama-factory"
    assert callback.known.max_length == 2048
    assert {rows.split for rows in callback.report.rows} == {"train", "eval"}
    assert transformers.Trainer.train is TRAIN


def test_a_wrong_option_is_said_before_anything_is_loaded(factory: Factory) -> None:
    with pytest.raises(sftdiag.ConfigError, match="SFT999"):
        llamafactory.run_exp({"max_steps": 4}, stop_on="SFT999")
    assert factory.trainer is None


def test_its_command_line(factory: Factory, settings: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["x", "train", settings])
    assert llamafactory.main(["train", settings]) == 0
    (callback,) = factory.callbacks
    assert callback.known.max_length == 300
    # What it has torchrun start on several devices, as words of a command.
    assert factory.started.split() == ["-m", "sftdiag.frameworks.llamafactory", llamafactory.RANK]


def test_a_rank_of_its_command_line(
    factory: Factory, settings: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["x", llamafactory.RANK, settings])
    assert llamafactory.main([llamafactory.RANK, settings]) == 0
    assert len(factory.callbacks) == 1


def test_flags_instead_of_a_file(factory: Factory) -> None:
    assert llamafactory.context(["--cutoff_len", "512"]).max_length == 512
    assert llamafactory.context(["--cutoff_len=64", "--x"]).max_length == 64
    assert llamafactory.context(["--cutoff_len"]).max_length == 2048


def test_its_other_trainer_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("USE_V1", "1")
    assert llamafactory.main(["train", "x.yaml"]) == 2
    assert "USE_V1" in capsys.readouterr().err


def test_a_callback_of_the_run_s_own_is_kept(tmp_path: Path) -> None:
    trainer = finetune.make_trainer("none", tmp_path, max_steps=2)
    own = sftdiag.attach(trainer)
    with met(sftdiag.DiagnosticsCallback()):
        trainer.train()
    present = trainer.callback_handler.callbacks
    assert [each for each in present if isinstance(each, sftdiag.DiagnosticsCallback)] == [own]


def test_an_error_of_the_run_leaves_no_trace(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no"), met(sftdiag.DiagnosticsCallback()):
        raise RuntimeError("no")
    assert transformers.Trainer.train is TRAIN


def test_trl_s_command_line_starts_this_module(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from accelerate.commands import launch

    started: list[Any] = []
    monkeypatch.setattr(launch, "launch_command", started.append)
    for name in [name for name in stand_ins.sys.modules if name.startswith("trl.cli")]:
        monkeypatch.delitem(stand_ins.sys.modules, name)
    monkeypatch.setattr("sys.argv", ["x"])
    given = ["--model_name_or_path", "m", "--dataset_name", "d", "--output_dir", str(tmp_path)]
    given += ["--use_cpu", "true", "--bf16", "false"]
    trl.main(["sft", "--num_processes", "2", *given])
    (args,) = started
    assert (args.module, args.training_script) == (True, "sftdiag.frameworks.trl")
    assert args.training_script_args == [trl.SCRIPT, "sft", *given]
    assert args.num_processes == 2


def test_a_script_of_trl_trains_with_the_callback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trainers: list[Any] = []

    def run_module(name: str, run_name: str) -> None:
        assert (name, run_name) == ("trl.scripts.sft", "__main__")
        assert stand_ins.sys.argv == ["sft.py", "--x"]
        trainers.append(finetune.make_trainer("none", tmp_path, max_steps=4))
        trainers[0].train()

    monkeypatch.setattr("runpy.run_module", run_module)
    monkeypatch.setattr("sys.argv", ["x"])
    assert trl.main([trl.SCRIPT, "sft", "--x"]) == 0
    present = trainers[0].callback_handler.callbacks
    (callback,) = [each for each in present if isinstance(each, sftdiag.DiagnosticsCallback)]
    assert callback.known.framework == "trl"
    assert {rows.split for rows in callback.report.rows} == {"train", "eval"}
