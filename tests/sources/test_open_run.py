from __future__ import annotations

import json
import math
import os
import pickle
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from logs import healthy, train_rows, write_state

import sftdiag
from sftdiag.context import RunContext
from sftdiag.errors import SourceError
from sftdiag.sources import find_runs, open_run, trainer_state

STATE = json.dumps({"log_history": train_rows([1.0, 2.0])})

BAD = {
    "empty": (b"", "is empty"),
    "blank": (b" \n", "is empty"),
    "text": (b"epoch 1 ends, loss is low", "text without a row of a log"),
    "binary": (bytes(range(255, -1, -1)), "is no text"),
    "half": (STATE[: len(STATE) // 2].encode(), "JSON that ends too early (line 1)"),
    "a list": (b"[1, 2]", "text without a row of a log"),
    "null": (b"null", "text without a row of a log"),
    "another object": (b'{"a": 1, "b": 2}', "its keys are a, b"),
    "history is no list": (b'{"log_history": {"a": 1}}', "log_history is a JSON object"),
    "empty history": (b'{"log_history": []}', "log_history is empty"),
    "an odd row": (b'{"log_history": [{"step": 1}, 3]}', "log_history[1]: expected an object"),
    "lfs": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n",
        "Git LFS pointer",
    ),
    "deep": (b"[" * 100_000, "text without a row"),
    "a deep state": (b'{"log_history": ' + b"[" * 100_000, "JSON nested too deep"),
    "utf-16 of something else": ("epoch 1".encode("utf-16"), '(it begins "epoch 1")'),
    "weights": (b"\x48\0\0\0\0\0\0\0" + b'{"a":{"dtype":"F32","shape":[2]}}', "safetensors"),
    "a pickle": (b"\x80\x04\x95\0", "a pickle, which is never opened"),
    "a page": (b"<!doctype html><p>loss</p>", "HTML"),
    "settings": (b'{"lr": 1,\n "epochs": 3}', "its keys are lr, epochs"),
    "another table": (b"a,b,c\n1,2,3\n", "a table without a column of a loss"),
    "our own findings": (b'{"event": "start", "step": 0}\n', "what sftdiag itself said"),
    "latin-1": (b'{"log_history": [{"step": 1, "x": "\xe9"}]}', "no text in UTF-8 (byte 35)"),
    "cut behind a row": (b'{"log_history": [{"step": 1}', "JSON that ends too early (line 1)"),
    "a comma is missing": (b'{"log_history": [{"step": 1}\n{"step": 2}]}', "not JSON (line 2)"),
    "digits": (b'{"log_history": [{"step": ' + b"9" * 5000 + b"}]}", "too many digits"),
    "a key of two lines": (b'{"a\\nb": 1}', "its keys are a\\nb"),
    "history is a text": (b'{"log_history": "x"}', "log_history is a JSON string"),
}


@pytest.mark.parametrize(("content", "problem"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line_that_names_the_file(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    path = tmp_path / "trainer_state.json"
    path.write_bytes(content)
    with pytest.raises(SourceError) as raised:
        open_run(path)
    message = str(raised.value)
    assert message.startswith(f"{path}: ")
    assert problem in message
    assert "\n" not in message


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_bom_is_simply_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(STATE.encode(encoding))
    assert len(open_run(path).entries) == 2


def test_a_context_with_numbers_that_no_run_has_says_nothing_of_them(tmp_path: Path) -> None:
    write_state(tmp_path / "trainer_state.json", train_rows([1.0]))
    kept = tmp_path / "_sftdiag" / "context.json"
    kept.parent.mkdir()
    kept.write_text('{"learning_rate": 2e-5, "max_steps": -4, "vocab_size": 1e30}')
    assert open_run(tmp_path).context == RunContext()
    kept.write_text(
        '{"learning_rate": 2e-5, "max_steps": -4, "max_grad_norm": Infinity, "world_size": 0}'
    )
    assert open_run(tmp_path).context == RunContext(learning_rate=2e-5)
    kept.write_text('{"learning_rate": 1%s}' % ("0" * 400))
    assert open_run(tmp_path).context == RunContext()


def test_bare_nan_tokens_are_read(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text('{"log_history": [{"step": 1, "loss": NaN}], "best_metric": Infinity}')
    assert len(open_run(path).entries) == 1


@pytest.mark.parametrize("what", ["missing", "folder", "unreadable"])
def test_no_log_there(tmp_path: Path, what: str) -> None:
    path = tmp_path / "run"
    if what == "folder":
        path.mkdir()
        (path / "notes.txt").write_text("x")
    if what == "unreadable":
        (path / "trainer_state.json").mkdir(parents=True)
    with pytest.raises(SourceError, match=r"trainer_state\.json"):
        open_run(path)


def test_the_newest_checkpoint_of_a_run(tmp_path: Path) -> None:
    for step in (9, 100, 20):
        write_state(
            tmp_path / f"checkpoint-{step}" / "trainer_state.json", train_rows([1.0] * step)
        )
    (tmp_path / "checkpoint-500").mkdir()
    assert len(open_run(tmp_path).entries) == 100
    assert find_runs(tmp_path) == [str(tmp_path)]
    assert len(open_run(tmp_path / "checkpoint-20").entries) == 20


@pytest.mark.parametrize(("global_step", "rows"), [(120, 7), (100, 7), (50, 100)])
def test_the_runs_own_state_against_its_checkpoints(
    tmp_path: Path, global_step: int, rows: int
) -> None:
    write_state(tmp_path / "checkpoint-100" / "trainer_state.json", train_rows([1.0] * 100))
    write_state(tmp_path / "trainer_state.json", train_rows([1.0] * 7), global_step=global_step)
    assert len(open_run(tmp_path).entries) == rows


def test_a_folder_of_runs(tmp_path: Path) -> None:
    for name in ("b", "a", "deep/er"):
        write_state(tmp_path / name / "checkpoint-1" / "trainer_state.json", train_rows([1.0]))
    expected = [str(tmp_path / name) for name in ("a", "b", "deep/er")]
    assert find_runs(tmp_path) == expected
    with pytest.raises(SourceError, match="holds 3 runs"):
        open_run(tmp_path)


def test_what_the_files_beside_a_log_say(tmp_path: Path) -> None:
    write_state(
        tmp_path / "trainer_state.json",
        train_rows([1.0]),
        max_steps=10,
        num_train_epochs=9223372036854775807,
        train_batch_size=4,
    )
    (tmp_path / "config.json").write_text(
        json.dumps(
            {
                "model_type": "qwen2",
                "vocab_size": 151_936,
                "torch_dtype": "bfloat16",
                "quantization_config": {"load_in_4bit": True},
            }
        )
    )
    (tmp_path / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "r": 32, "lora_alpha": 64, "target_modules": ["q_proj"]})
    )
    assert open_run(tmp_path).context == RunContext(
        method="qlora",
        model_type="qwen2",
        vocab_size=151_936,
        dtype="bfloat16",
        quantization="4bit",
        max_steps=10,
        per_device_train_batch_size=4,
        lora_r=32,
        lora_alpha=64.0,
        target_modules=("q_proj",),
    )


@pytest.mark.parametrize(
    ("files", "framework"),
    [
        (("trainer_log.jsonl",), "llama-factory"),
        (("logging.jsonl", "args.json"), "ms-swift"),
        (("logging.jsonl",), None),
    ],
)
def test_whose_files_they_are_tells_the_names_of_settings(
    tmp_path: Path, files: tuple[str, ...], framework: str | None
) -> None:
    """A checkpoint's state is the same in all that train with transformers' trainer."""
    state = tmp_path / "checkpoint-3" / "trainer_state.json"
    write_state(state, train_rows([math.nan] * 3, learning_rate=50.0))
    for name in files:
        (tmp_path / name).write_text("")
    assert open_run(state).context.framework == framework
    fixes = sftdiag.analyze(state).findings[0].causes[0].fixes
    named = {name for fix in fixes for name in fix.changes}
    assert named
    assert any(name.startswith("SFTConfig") for name in named) == (framework is None)


def test_files_beside_a_log_that_are_broken_say_nothing(tmp_path: Path) -> None:
    write_state(tmp_path / "trainer_state.json", train_rows([1.0]))
    (tmp_path / "config.json").write_text("{")
    (tmp_path / "adapter_config.json").write_text("[]")
    (tmp_path / "_sftdiag").mkdir()
    (tmp_path / "_sftdiag" / "context.json").write_text('{"vocab_size": "many"}')
    assert open_run(tmp_path).context == RunContext()


def test_a_pickle_beside_a_log_is_never_opened(tmp_path: Path) -> None:
    write_state(tmp_path / "trainer_state.json", train_rows([1.0]))
    opened = tmp_path / "opened"
    (tmp_path / "training_args.bin").write_bytes(f"cos\nmkdir\n(V{opened}\ntR.".encode())
    open_run(tmp_path)
    assert not opened.exists()
    pickle.loads((tmp_path / "training_args.bin").read_bytes())
    assert opened.exists()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 10**6), st.integers(1, 40))
def test_damaged_bytes_are_read_or_refused_in_one_line(
    tmp_path: Path, seed: int, changes: int
) -> None:
    draw = random.Random(seed)
    content = bytearray(json.dumps({"log_history": healthy(30, 10)}).encode())
    for _ in range(changes):
        content[draw.randrange(len(content))] = draw.randrange(256)
    path = tmp_path / "state.json"
    path.write_bytes(content[: draw.randrange(len(content))] if seed % 2 else content)
    problem = ""
    try:
        open_run(path)
    except SourceError as error:
        problem = str(error)
    assert "\n" not in problem


def test_the_parents_files_are_a_checkpoints_only(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"vocab_size": 99}')
    for name in ("checkpoint-3", "exp2"):
        write_state(tmp_path / name / "trainer_state.json", train_rows([1.0]))
    assert open_run(tmp_path / "checkpoint-3").context.vocab_size == 99
    assert open_run(tmp_path / "exp2").context.vocab_size is None


def test_the_state_knows_its_own_plan_best(tmp_path: Path) -> None:
    write_state(tmp_path / "trainer_state.json", train_rows([1.0]), max_steps=10)
    (tmp_path / "_sftdiag").mkdir()
    kept = RunContext(max_steps=99, vocab_size=5)
    (tmp_path / "_sftdiag" / "context.json").write_text(json.dumps(kept.to_dict()))
    assert open_run(tmp_path).context == RunContext(max_steps=10, vocab_size=5)


def test_one_bad_state_hides_no_other_run(tmp_path: Path) -> None:
    for name in ("a", "b", "b/checkpoint-5", "checkpoint-\u00b2"):
        write_state(tmp_path / name / "trainer_state.json", train_rows([1.0]))
    (tmp_path / "b" / "trainer_state.json").write_text("{")
    assert [Path(run).name for run in find_runs(tmp_path)] == ["a", "b", "checkpoint-\u00b2"]
    assert len(open_run(tmp_path / "b").entries) == 1


@pytest.mark.parametrize(
    ("max_steps", "rounded", "done", "epoch", "planned"),
    [
        (30, 2, 15, 1.0, 2),
        (20, 2, 15, 1.0, None),
        # Of 23 steps an epoch; of 411; of 272.
        (3000, 131, 3000, 130.4348, None),
        (10_000, 25, 10_000, 24.33, None),
        (500, 2, 500, 1.838, None),
        # Two and a half epochs of 10 steps.
        (25, 3, 25, 2.5, None),
        # 14 batches of an epoch, accumulated by 4 in threes, the rest dropped or carried over.
        (9, 3, 9, 2.857, 3),
        (9, 3, 9, 2.571, 3),
        (9, 3, 4, 1.2857, 3),
    ],
)
def test_epochs_that_max_steps_was_rounded_up_to_are_no_plan(
    max_steps: int, rounded: int, done: int, epoch: float, planned: float | None
) -> None:
    state = {"num_train_epochs": rounded, "max_steps": max_steps, "global_step": done}
    assert trainer_state.context({**state, "epoch": epoch}).num_train_epochs == planned


def test_a_torn_newest_checkpoint_does_not_hide_the_one_before(tmp_path: Path) -> None:
    rows = train_rows([3.0, 2.5, 2.0, 1.8])
    for step in (2, 4):
        write_state(tmp_path / f"checkpoint-{step}" / "trainer_state.json", rows[:step])
    state = tmp_path / "checkpoint-4" / "trainer_state.json"
    assert len(open_run(tmp_path).entries) == 4
    state.write_bytes(state.read_bytes()[:100])
    assert len(open_run(tmp_path).entries) == 2
    (note,) = sftdiag.analyze(tmp_path).notes
    newest, read = (os.path.join(f"checkpoint-{step}", "trainer_state.json") for step in (4, 2))
    assert note == f"{newest} is damaged; what came after {read} is not known."
    (tmp_path / "checkpoint-2" / "trainer_state.json").write_bytes(b"{")
    with pytest.raises(SourceError, match=r"checkpoint-4.*ends too early"):
        open_run(tmp_path)
