"""Consoles of frameworks: what each prints, line by line, read at the right steps and epochs."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log
from pathlib import Path
from typing import Any

import pytest

import sftdiag
from sftdiag.errors import SourceError
from sftdiag.records import LogRecord, parse_entry
from sftdiag.sources import Run, open_run

STEPS, PER_EPOCH = range(1, 41), 10


def loss(step: int) -> float:
    return 1.5 + 1 / step


def eval_loss(step: int) -> float:
    return 1.75 + 1 / step


def bits(number: float) -> str:
    return f"{number / log(2):.5f}"


def epoch_of(step: int) -> int:
    return (step - 1) // PER_EPOCH


def within(step: int) -> int:
    return (step - 1) % PER_EPOCH + 1


def bar(of: str, done: int, total: int, metrics: str) -> str:
    return (
        f"{of}{100 * done // total:3d}%|##   | {done}/{total} [00:10<00:20,  1.50it/s, {metrics}]"
    )


def records(tmp_path: Path, text: str) -> tuple[Run, list[LogRecord]]:
    path = tmp_path / "run.log"
    path.write_text(text)
    run = open_run(path)
    return run, [record for row in run.entries for record in parse_entry(row)]


def kohya(step: int) -> str:
    last = [bar("epoch validation steps: ", n, 2, f"val_epoch_avg_loss={eval_loss(step):.3g}")
            for n in (1, 2)]  # fmt: skip
    shown = bar("steps: ", step, 40, f"avr_loss={loss(step):.5g}")
    return "\r".join([shown, *(last if step % PER_EPOCH == 0 else [])])


def openrlhf(step: int) -> str:
    of = f"Train step of epoch {epoch_of(step)}: "
    shown = f"gpt_loss={loss(step):.5g}, loss_mean=9, lr=1e-05"
    told = f"Eval stage of steps {step}: "
    ends = [bar(told, n, 2, f"eval gpt_loss={eval_loss(step):.5g}") for n in (1, 2)]
    drawn = bar(of, within(step), PER_EPOCH, shown)
    return "\r".join([drawn, *(ends if step % PER_EPOCH == 0 else [])])


def lightning(step: int) -> str:
    of, done = f"Epoch {epoch_of(step)}: ", within(step)
    drawn = [bar(of, done, PER_EPOCH, f"v_num=3, train_loss_step={loss(step):.5g}")]
    if done == PER_EPOCH:
        again = f"v_num=3, train_loss_step={loss(step):.5g}, val_loss={eval_loss(step):.5g}"
        drawn.append(bar(of, done, PER_EPOCH, again))
    return "\r".join(drawn)


def script(step: int) -> str:
    of = f"Epoch {epoch_of(step) + 1}/4: "
    return bar(of, within(step), PER_EPOCH, f"avg_loss={loss(step):.5g}, lr=1.00e-05")


def diffusers(step: int) -> str:
    return bar("Steps: ", step, 40, f"lr=1e-5, step_loss={loss(step):.5g}")


def torchtune(step: int) -> str:
    of = f"{epoch_of(step) + 1}|{step}|Loss: {loss(step)}: "
    return bar(of, within(step), PER_EPOCH, "x=1")


def fairseq_json(step: int) -> str:
    epoch = epoch_of(step) + 1
    said = [
        f'2026-01-01 10:00:00 | INFO | train_inner | {{"epoch": {epoch}, "update": {step / 10}, '
        f'"loss": "{bits(loss(step))}", "ppl": "9.1", "wps": "99", "num_updates": "{step}", '
        '"lr": "1e-05", "gnorm": "0.5", "wall": "9"}'
    ]
    if step % PER_EPOCH == 0:
        said += [
            f'2026-01-01 10:00:00 | INFO | valid | {{"epoch": {epoch}, "valid_loss": '
            f'"{bits(eval_loss(step))}", "valid_wps": "99", "valid_num_updates": "{step}"}}',
            f'2026-01-01 10:00:00 | INFO | train | {{"epoch": {epoch}, "train_loss": "9.9", '
            f'"train_wps": "99", "train_num_updates": "{step}", "train_lr": "1e-05"}}',
        ]
    return "\n".join(said)


def fairseq(step: int) -> str:
    epoch = epoch_of(step) + 1
    said = [
        f"2026-01-01 10:00:00 | INFO | train_inner | epoch {epoch:03d}: {within(step):6d} / 10 "
        f"loss={bits(loss(step))}, nll_loss=1.1, ppl=2.14, wps=99, num_updates={step}, lr=1e-05, "
        "gnorm=0.5, clip=0, wall=9"
    ]
    if step % PER_EPOCH == 0:
        said += [
            f"2026-01-01 10:00:00 | INFO | valid | epoch {epoch:03d} | valid on 'valid' subset | "
            f"loss {bits(eval_loss(step))} | ppl 2.14 | wps 99 | num_updates {step} | best_loss 1",
            f"2026-01-01 10:00:00 | INFO | train | epoch {epoch:03d} | loss 9.9 | nll_loss 9.1 | "
            f"ppl 33.94 | wps 99 | num_updates {step} | lr 1e-05 | gnorm 1.241 | wall 9",
        ]
    return "\n".join(said)


def opennmt(step: int) -> str:
    said = [
        f"[2026-01-01 10:00:00,264 INFO] Step {step}/40; acc:  42.02; ppl: {exp(loss(step)):.4f}; "
        f"xent: {loss(step):.2f}; lr: 0.00010; 2214/2168 tok/s;    950 sec"
    ]
    if step % PER_EPOCH == 0:
        said += [
            "[2026-01-01 10:00:00,264 INFO] Train perplexity: 99.1",
            f"[2026-01-01 10:00:00,264 INFO] Validation perplexity: {exp(eval_loss(step)):.4f}",
            "[2026-01-01 10:00:00,264 INFO] Validation accuracy: 35.9623",
        ]
    return "\n".join(said)


def torchtitan(step: int) -> str:
    said = [
        f"[titan] 2026-01-01 10:00:00,123 - root - INFO - \x1b[31mstep: {step:2d}  \x1b[32mloss: "
        f"{loss(step):7.4f}  \x1b[38;2;180;60;0mgrad_norm:  0.5000  \x1b[34mtps: 1,234\x1b[39m"
    ]
    if step % PER_EPOCH == 0:
        said.append(
            f"[titan] 2026-01-01 10:00:00,123 - root - INFO - \x1b[35mvalidate step: {step:2d}  "
            f"\x1b[32mloss: {eval_loss(step):7.4f}  \x1b[33mmemory: 10GiB(12.3%)\x1b[39m"
        )
    return "\n".join(said)


def automodel(step: int) -> str:
    head = "2026-01-01 10:00:00 | INFO | root | "
    said = [
        f"{head}step {step} | epoch {epoch_of(step)} | loss {loss(step):.4f} | grad_norm 0.5000 | "
        "lr 1.00e-05 | mem 12.34 GiB | tps 1234.56(1234.56/gpu)"
    ]
    if step % PER_EPOCH == 0:
        told = f"[val] step {step} | epoch {epoch_of(step)} | loss {eval_loss(step):.4f}"
        said.append(f"{head}{told} | lr 1.00e-05 | num_label_tokens 100")
    return "\n".join(said)


def paddle(step: int) -> str:
    head = "[2026-01-01 10:00:00,123] [    INFO] - "
    said = [
        f"{head}loss: {loss(step):.8f}, learning_rate: 1e-05, global_step: {step}, "
        f"interval_runtime: 1.23, progress_or_epoch: {step / PER_EPOCH:.4f}"
    ]
    if step % PER_EPOCH == 0:
        told = f"eval_loss: {eval_loss(step)}, eval_runtime: 1.2, epoch: {step / PER_EPOCH}"
        said.append(f"{head}{told}")
    return "\n".join(said)


def verl(step: int) -> str:
    said = [f"step:{step} - train/loss:{loss(step):.4f} - train/lr(1e-3):0.010 - train/time(s):1"]
    if step % PER_EPOCH == 0:
        said.append(f"step:{step} - val/loss:{eval_loss(step):.4f}")
    return "\n".join(said)


def deepspeed(step: int) -> str:
    return (
        f"[2026-01-01 10:00:00,123] [INFO] [logging.py:96:log_dist] [Rank 0] step={step}, "
        f"skipped=0, lr=[1e-05, 1e-05], mom=[(0.9, 0.95)]\nsteps: {step} loss: {loss(step):.4f} "
        "iter time (s): 1.234 samples/sec: 12.3"
    )


def xtuner(step: int) -> str:
    return "\n".join(
        f"[XTuner][RANK {rank}][2026-01-01 10:00:00][INFO] Step {step}/40 lr: 0.000010 time: 1.2 "
        f"total_loss: {loss(step) + rank:.4f} reduced_llm_loss: 9.1 grad_norm: 0.500 tgs: 805.3 "
        for rank in (0, 1)
    )


def flax(step: int) -> str:
    said = [f"Step... ({step} | Loss: {loss(step)}, Learning Rate: 1e-05)"]
    if step % PER_EPOCH == 0:
        said.append(f"Step... ({step} | Eval Loss: {eval_loss(step)} | Eval Perplexity: 9.1)")
    return "\n".join(said)


def prime(step: int) -> str:
    return f"INFO Step {step} | Time: 1s | Loss: {loss(step):.4f} | Grad. Norm: 0.5000 | LR: 1e-05"


def slime(step: int) -> str:
    told = {"train/loss": loss(step), "train/grad_norm": 0.5, "train/lr-pg_0": 1e-5}
    return f"model.py:100 - step {step}: {told | {'train/step': step}}"


def composer(step: int) -> str:
    """Its rate of four decimals is 0.0000, which is none."""
    said = [
        f"[batch={step}/40]:",
        f"\t Train time/batch: {step}",
        f"\t Train loss/train/total: {loss(step):.4f}",
        f"\t Train metrics/train/LanguageCrossEntropy: {loss(step):.4f}",
        "\t Train lr-DecoupledAdamW/group0: 0.0000",
        "\t Train l2_norm/grad/global: 0.5000",
    ]
    if step % PER_EPOCH == 0:
        said += [
            "[Eval batch=98/98] Eval on eval data:",
            f"\t Eval metrics/eval/LanguageCrossEntropy: {eval_loss(step):.4f}",
        ]
    return "\n".join(said)


def ai_toolkit(step: int) -> str:
    return bar("my_lora: ", step, 40, "x").replace("x]", f"lr: 1.0e-05 loss: {loss(step):.4e}]")


def maxtext(step: int) -> str:
    return f"completed step: {step}, seconds: 1.2, total_weights: 8192, loss: {loss(step):.3f}"


def flair(step: int) -> str:
    said = [
        f"2026-01-01 10:00:00,123 epoch {epoch_of(step) + 1} - iter {within(step)}/10 - loss "
        f"{loss(step):.8f} - time (sec): 1.2 - lr: 0.000010 - momentum: 0.0"
    ]
    if step % PER_EPOCH == 0:
        said += [
            f"2026-01-01 10:00:00,123 EPOCH {epoch_of(step) + 1} done: loss 9.9 - lr 0.000010",
            f"2026-01-01 10:00:00,123 DEV : loss {eval_loss(step)} - f1-score (micro avg)  0.8",
        ]
    return "\n".join(said)


@pytest.mark.parametrize(
    ("printed", "holds"),
    [
        (kohya, "eval"),
        (openrlhf, "eval lr epoch"),
        (lightning, "eval epoch"),
        (script, "lr epoch"),
        (diffusers, "lr"),
        (torchtune, "epoch"),
        (fairseq_json, "eval lr norm"),
        (fairseq, "eval lr norm"),
        (opennmt, "eval"),
        (torchtitan, "eval norm"),
        (automodel, "eval lr norm"),
        (paddle, "eval lr epoch"),
        (verl, "eval lr"),
        (deepspeed, "lr"),
        (xtuner, "lr norm"),
        (flax, "eval lr"),
        (prime, "lr norm"),
        (slime, "lr norm"),
        (flair, "eval lr epoch"),
        (composer, "eval norm no rate"),
        (ai_toolkit, "lr"),
        (maxtext, ""),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_a_framework_prints(tmp_path: Path, printed: Callable[[int], str], holds: str) -> None:
    _, found = records(tmp_path, "starting\n" + "\n".join(map(printed, STEPS)) + "\n")
    rows = [record for record in found if record.kind == "train"]
    assert [row.step for row in rows] == [*STEPS]
    assert [row.get("loss") for row in rows] == pytest.approx([*map(loss, STEPS)], abs=1e-3)
    evaluations = [record for record in found if record.kind == "eval"]
    at = [*STEPS][PER_EPOCH - 1 :: PER_EPOCH] if "eval" in holds else []
    assert [row.step for row in evaluations] == at
    assert [next(iter(row.eval_losses().values())) for row in evaluations] == pytest.approx(
        [*map(eval_loss, at)], abs=6e-3
    )
    if "lr" in holds:
        assert {row.get("learning_rate") for row in rows} == {1e-5}
    if "no rate" in holds:
        assert {row.get("learning_rate") for row in rows} == {None}
    if "norm" in holds:
        assert {row.get("grad_norm") for row in rows} == {0.5}
    if "epoch" in holds:
        assert [row.epoch for row in rows] == pytest.approx([step / PER_EPOCH for step in STEPS])


@pytest.mark.parametrize(
    ("shown", "read"),
    [("0.00000", None), ("0.00002", None), ("0.000020", 2e-5), ("0.0001", 1e-4), ("0.0", 0.0)],
)
def test_a_rate_of_fixed_decimals_may_have_lost_its_digits(
    tmp_path: Path, shown: str, read: float | None
) -> None:
    _, (row,) = records(tmp_path, f"Step 5/40; acc: 9.1; ppl: 4.50; lr: {shown}; 5 sec")
    assert row.get("learning_rate") == read


def test_nanogpts_evaluation_of_both_splits_ends_no_run(tmp_path: Path) -> None:
    """Its mean over train rows is no closing row: the evaluations behind it count."""
    said = []
    for step in range(0, 201, 10):
        falls = 2.5 - step / 100
        if step % 50 == 0:
            said.append(
                f"step {step}: train loss {falls:.4f}, val loss {2 + (step / 100) ** 2:.4f}"
            )
        said.append(f"iter {step}: loss {falls:.4f}, time 99.10ms, mfu 31.10%")
    _, found = records(tmp_path, "\n".join(said))
    assert [row.kind for row in found].count("summary") == 0
    assert sum(row.kind == "eval" for row in found) == 5
    primary = sftdiag.analyze(tmp_path / "run.log").primary
    assert primary is not None
    assert primary.code == "SFT201"


def test_losses_in_bits_and_means_are_told(tmp_path: Path) -> None:
    assert ("bits", {}) in records(tmp_path, "\n".join(map(fairseq, STEPS)))[0].notes
    run, _ = records(tmp_path, "\r".join(map(kohya, STEPS)))
    assert ("means", {"column": "avr_loss"}) in run.notes


@pytest.mark.parametrize("done", ["[====]", "━━━━━━━━━━━━━━━━━━━━"])
def test_keras(tmp_path: Path, done: str) -> None:
    """Only the line that ends an epoch is its mean, drawn again with the evaluation."""
    said = []
    for epoch in (1, 2, 3, 4):
        end = f"{done} 15s 300ms/step - accuracy: 0.5 - loss: {loss(epoch):.4f}"
        said += [
            f"Epoch {epoch}/4",
            f" 3/10 {done} ETA: 10s - accuracy: 0.1 - loss: 9.9000",
            f"10/10 {end}",
            f"10/10 {end} - val_accuracy: 0.6 - val_loss: {eval_loss(epoch):.4f}",
        ]
    run, found = records(tmp_path, "\n".join(said))
    told = [(row.kind, row.step, row.epoch) for row in found]
    each = [[("train", 10 * n, float(n)), ("eval", 10 * n, float(n))] for n in (1, 2, 3, 4)]
    assert told == [place for pair in each for place in pair]
    assert [row.get("eval_loss") for row in found if row.kind == "eval"] == pytest.approx(
        [*map(eval_loss, (1, 2, 3, 4))], abs=1e-4
    )
    assert run.context.max_steps == 40


@pytest.mark.parametrize(
    "line",
    [
        "01/01/2026 10:00:00 - INFO - __main__ - epoch {n}: perplexity: 9.1 eval_loss: {eval}",
        "epoch={n}: train_ppl=tensor(9.1, device='cuda:0') train_epoch_loss=tensor({loss}, "
        "device='cuda:0') eval_ppl=tensor(9.1, device='cuda:0') eval_epoch_loss=tensor({eval})",
        "epoch {n} train loss: {loss}\nepoch {n} val loss: {eval}\nepoch {n} test loss: 9.9",
    ],
    ids=["evaluations alone", "tensors", "two lines"],
)
def test_lines_of_whole_epochs_that_count_from_0(tmp_path: Path, line: str) -> None:
    said = [line.format(n=n, loss=loss(n + 1), eval=eval_loss(n + 1)) for n in range(5)]
    _, found = records(tmp_path, "\n".join(said))
    evaluations = [row for row in found if row.kind == "eval"]
    assert [(row.step, row.epoch) for row in evaluations] == [
        (10 * n, float(n)) for n in range(1, 6)
    ]
    assert [row.get("eval_loss") for row in evaluations] == [eval_loss(n + 1) for n in range(5)]
    trained = [row.get("loss") for row in found if row.kind == "train"]
    assert trained in ([], [loss(n + 1) for n in range(5)])


@pytest.mark.parametrize(
    "line",
    [
        "New best eval loss: 0.5",
        "eval loss improved from 9.9 to 0.5",
        "Test loss: 0.5",
        "test step 8: loss 0.5",
        "Testing: 100%|##| 2/2 [00:01<00:00, 2it/s, loss=0.5]",
        "SFT201 at step 8: eval_loss 0.5",
    ],
)
def test_what_is_said_of_an_evaluation_later_is_none(tmp_path: Path, line: str) -> None:
    said = [f"step {step} loss {loss(step)}" for step in range(1, 9)]
    _, found = records(tmp_path, "\n".join([*said, line]))
    assert [row.kind for row in found] == ["train"] * 8


def test_an_evaluation_without_a_step_is_read_where_nothing_else_is(tmp_path: Path) -> None:
    said = [f"step {step} loss {loss(step)}" for step in range(1, 9)]
    said.insert(4, "[eval] loss: 2.5, perplexity: 12.18")
    _, found = records(tmp_path, "\n".join(said))
    assert [(row.step, row.get("eval_loss")) for row in found if row.kind == "eval"] == [(4, 2.5)]
    rows = [f"{{'loss': {loss(n)}, 'epoch': {n / 4}}}" for n in range(1, 9)]
    rows[4:4] = ["{'eval_loss': 2.5, 'eval_runtime': 1.0, 'epoch': 1.0}"]
    _, found = records(tmp_path, "\n".join([*rows, "  eval_loss   =   2.5"]))
    assert sum(row.kind == "eval" for row in found) == 1


def test_another_ranks_bar_that_is_behind_is_no_new_epoch(tmp_path: Path) -> None:
    drawn = [line for step in STEPS for line in (script(step), script(max(1, step - 1)))]
    _, found = records(tmp_path, "\n".join(drawn))
    steps = [row.step for row in found]
    assert steps == sorted(steps)
    assert steps[-1] == 40


def test_a_bar_without_a_loss_is_none(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        records(tmp_path, bar("Map: ", 5, 10, "mem=1.5"))


def rows_of(tmp_path: Path, text: str) -> list[dict[str, Any]]:
    path = tmp_path / "rows"
    path.write_text(text)
    return [dict(row) for row in open_run(path).entries]


def test_a_table_of_epochs_with_no_other_train_loss(tmp_path: Path) -> None:
    """fastai's CSVLogger: its train_loss is the loss, its epochs count from 0."""
    said = ["epoch,train_loss,valid_loss,accuracy,time"]
    said += [f"{n},{loss(n + 1)},{eval_loss(n + 1)},0.5,00:30" for n in range(6)]
    rows = rows_of(tmp_path, "\n".join(said))
    assert [row["step"] for row in rows] == [10, 20, 30, 40, 50, 60]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [float(row["loss"]) for row in rows] == [loss(n + 1) for n in range(6)]


def test_bars_in_one_line_and_rows_behind_a_bar(tmp_path: Path) -> None:
    """A notebook loses the returns between bars; verl prints its rows behind one."""
    joined = "".join(bar("Steps: ", step, 40, f"loss={loss(step)}") for step in STEPS)
    _, found = records(tmp_path, f"{joined}Saving\n")
    assert [(row.step, row.get("loss")) for row in found] == [(step, loss(step)) for step in STEPS]
    behind = "\n".join(bar("Epoch 1/3: ", step, 40, "x=1") + verl(step) for step in STEPS)
    _, found = records(tmp_path, behind)
    assert [row.step for row in found if row.kind == "train"] == [*STEPS]
    assert sum(row.kind == "eval" for row in found) == 4


def test_blocks_below_a_heading(tmp_path: Path) -> None:
    """NeMo RL prints a line a metric; a step counts within its epoch."""
    said = []
    for step in STEPS:
        if within(step) == 1:
            said.append(f"{'=' * 25} Epoch {epoch_of(step) + 1}/4 {'=' * 25}")
        said += [
            f"{'=' * 25} Step {within(step)}/{PER_EPOCH} {'=' * 25}",
            "> Taking a training step...",
            "Training Results:",
            f"  • Loss: {loss(step)}",
            "  • Grad norm: 0.5000",
            "Timing:",
            "  • Total step time: 1.23s",
            *([f"  • Validation loss: {eval_loss(step)}"] if within(step) == PER_EPOCH else []),
        ]
    _, found = records(tmp_path, "\n".join(said))
    rows = [row for row in found if row.kind == "train"]
    assert [(row.step, row.get("loss")) for row in rows] == [(step, loss(step)) for step in STEPS]
    assert {row.get("grad_norm") for row in rows} == {0.5}
    assert [row.epoch for row in rows] == pytest.approx([step / PER_EPOCH for step in STEPS])
    evaluated = [(row.step, row.get("eval_loss")) for row in found if row.kind == "eval"]
    assert evaluated == [(step, eval_loss(step)) for step in (10, 20, 30, 40)]


def test_lines_that_tell_a_loss_alone_are_told_what_they_lack(tmp_path: Path) -> None:
    said = "\n".join(f"training loss: {loss(step)}" for step in STEPS)
    with pytest.raises(SourceError, match=r'tell a loss but no step.*such as "step 10 loss 2.5"'):
        records(tmp_path, said)
