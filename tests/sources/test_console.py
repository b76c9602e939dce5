"""Console text as people paste it."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from logs import healthy, overfitting

import sftdiag
from sftdiag.errors import SourceError
from sftdiag.sources import Run, open_run

FOUR = "{{'loss': {loss}, 'grad_norm': {norm}, 'learning_rate': 2e-05, 'epoch': {epoch}}}"


def read(tmp_path: Path, text: str, **how: Any) -> tuple[Run, list[dict[str, Any]]]:
    path = tmp_path / "log.txt"
    path.write_text(text)
    run = open_run(path, **how)
    return run, [dict(row) for row in run.entries]


def lines(count: int = 6) -> list[str]:
    return [FOUR.format(loss=2.0 - 0.1 * n, norm=1.0, epoch=0.1 * (n + 1)) for n in range(count)]


@pytest.mark.parametrize(
    "line",
    [
        "{'loss': 1.25, 'grad_norm': nan, 'learning_rate': 2e-05, 'epoch': 0.5}",
        "{'loss': '1.25', 'grad_norm': 'nan', 'learning_rate': '2e-05', 'epoch': '0.5'}",
        '{"loss": 1.25, "grad_norm": NaN, "learning_rate": 2e-05, "epoch": 0.5}',
        "{'loss': tensor(1.25), 'grad_norm': tensor(nan), 'learning_rate': 2e-05, 'epoch': 0.5}",
        "{'loss': np.float64(1.25), 'grad_norm': nan, 'learning_rate': 2e-05, 'epoch': 0.5}",
        "{'loss': tensor(1.25, device='cuda:0'), 'grad_norm': nan, 'learning_rate': 2e-05, "
        "'epoch': 0.5}",
        "[INFO|2026-11-30 10:00:00] trainer:12 >> {'loss': 1.25, 'grad_norm': nan, "
        "'learning_rate': 2e-05, 'epoch': 0.5}",
        "\x1b[32m{'loss': 1.25, 'grad_norm': nan, 'learning_rate': 2e-05, 'epoch': 0.5}\x1b[0m",
        " 50%|#####     | 5/10 [00:01<00:01]{'loss': 1.25, 'grad_norm': nan, "
        "'learning_rate': 2e-05, 'epoch': 0.5}",
        "[rank0]: {'loss': 1.25, 'grad_norm': nan, 'learning_rate': 2e-05, 'epoch': 0.5}",
        "0: {'loss': 1.25, 'grad_norm': nan, 'learning_rate': 2e-05, 'epoch': 0.5}",
        "[default0]:{'loss': 1.25, 'grad_norm': nan, 'learning_rate': 2e-05, 'epoch': 0.5}",
        "{'loss': 1.25, 'grad_norm': nan,\n 'learning_rate': 2e-05,\n 'epoch': 0.5}",
    ],
    ids=range(13),
)
def test_a_row_however_it_is_printed(tmp_path: Path, line: str) -> None:
    _, rows = read(tmp_path, f"Loading checkpoint shards: 100%|###| 2/2 [00:01]\n{line}\n")
    (row,) = rows
    assert float(row["loss"]) == 1.25
    assert str(row["grad_norm"]).lower() == "nan"
    assert float(row["learning_rate"]) == 2e-5
    assert float(row["epoch"]) == 0.5


def test_dicts_of_something_else_are_no_rows(tmp_path: Path) -> None:
    text = "{'input_ids': [1, 2], 'labels': [3]}\n{'lr': 0.1}\n{'name': 'loss'}\n" + lines(1)[0]
    assert len(read(tmp_path, text)[1]) == 1


def test_what_the_callback_says_is_no_row(tmp_path: Path) -> None:
    said = "sftdiag: stopped at step 140 of 3,000 by SFT201 eval-loss-rising; best eval_loss 1.5 at"
    assert len(read(tmp_path, f"{said} step 60\n" + "\n".join(lines()))[1]) == 6


def test_ranks_that_print_the_same(tmp_path: Path) -> None:
    once = read(tmp_path, "\n".join(lines()))[1]
    told = read(tmp_path, "\n".join(f"[rank{rank}]: {line}" for line in lines() for rank in (0, 1)))
    assert [row["loss"] for row in told[1]] == [row["loss"] for row in once]
    assert ("ranks", {"ranks": 2}) in told[0].notes
    untold = read(tmp_path, "\n".join(line for line in lines() for _ in range(4)))[1]
    assert untold == once


@pytest.mark.parametrize(
    "mark", ["[rank{}]: ", "{}: ", "[default{}]:", "[1,{}]<stdout>:", "{:>2}: "]
)
def test_ranks_that_print_their_own_losses(tmp_path: Path, mark: str) -> None:
    text = []
    for n, line in enumerate(lines()):
        text.append(mark.format(0) + line)
        text.append(mark.format(1) + line.replace("'loss': ", f"'loss': {n}"))
    rows = read(tmp_path, "\n".join(text))[1]
    assert [row["loss"] for row in rows] == [
        row["loss"] for row in read(tmp_path, "\n".join(lines()))[1]
    ]


def test_rows_that_repeat_by_themselves_are_kept(tmp_path: Path) -> None:
    dead = "{'loss': 0.0, 'grad_norm': nan, 'learning_rate': 0.0, 'epoch': 0.01}"
    assert len(read(tmp_path, "\n".join([*lines(3), dead, dead, dead]))[1]) == 6


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ("Step 4 | loss:nan lr:1e+30 tokens_per_second_per_gpu:32.5 ", {"step": 4, "loss": "nan"}),
        (
            " [2026-01-01 10:00:00] iteration       10/     100 | consumed samples:          160 | "
            "elapsed time per iteration (ms): 250.1 | learning rate: 1.500000E-06 | global batch "
            "size:    16 | lm loss: 1.080000E+01 | loss scale: 1.0 | grad norm: 2.300 | number of "
            "skipped iterations:   0 | number of nan iterations:   0 |",
            {"step": 10, "loss": "1.080000E+01", "grad_norm": "2.300"},
        ),
        (
            " [2026-01-01 10:00:00] iteration       12/     100 | learning rate: 1.500000E-06 | "
            "loss scale: 1.0 | grad norm: nan | number of skipped iterations:   0 | number of nan "
            "iterations:   0 |",
            {"step": 12, "loss": "nan", "grad_norm": "nan"},
        ),
        (
            " iteration       30/     900 | elapsed time per iteration (ms): 99.0 | learning rate "
            "1.500E-06 | lm loss NAN | loss scale 64.0 |",
            {"step": 30, "loss": "NAN", "learning_rate": "1.500E-06"},
        ),
        (
            " validation loss at iteration 30 | LM loss: 2.500000E+00 | LM PPL: 1.218249E+01",
            {"step": 30, "eval_loss": "2.500000E+00"},
        ),
        (
            " [2026-01-01 10:00:00] iteration       12/     100 | learning rate: 1.500000E-06 | "
            "loss scale: 4096.0 | number of skipped iterations:   1 | "
            "number of nan iterations:   1 |",
            {"step": 12, "loss": "nan"},
        ),
        (
            "Training epoch 0, iteration 9/99 | lr: 1.499e-07 | global_batch_size: 8 | global_step:"
            " 9 | reduced_train_loss: 11.03 | train_step_timing in s: 1.08 | val_loss: 10.2",
            {"step": 10, "loss": "11.03", "eval_loss": "10.2", "learning_rate": "1.499e-07"},
        ),
        (
            "Epoch 1 | iter 8 step 4 | loss train: 5.904, val: n/a | iter time: 19.85 ms (step)",
            {"step": 4, "loss": "5.904", "epoch": "1"},
        ),
        (
            "Epoch 1:  50%|#####| 5/10 [00:01<00:01, 4.9it/s, v_num=0, train_loss=1.25, "
            "val_loss=2.5]",
            {"step": 15, "loss": "1.25", "eval_loss": "2.5"},
        ),
        ("[10:00:01] step 30 loss 1.5 lr 2e-5", {"step": 30, "loss": "1.5"}),
        ("step: 30/900, train loss: 1.5, val loss: 2.5", {"step": 30, "eval_loss": "2.5"}),
        (
            "Iter 30: Train loss 1.5, Learning Rate 2.000e-05, It/sec 2.1, Tokens/sec 99.1, "
            "Trained Tokens 900, Peak mem 4.1 GB",
            {"step": 30, "loss": "1.5", "learning_rate": "2.000e-05"},
        ),
        ("Iter 30: Val loss 2.5, Val took 1.1s", {"step": 30, "eval_loss": "2.5"}),
        (
            "2026/01/01 10:00:00 - mmengine - INFO - Iter(train) [  30/900]  lr: 2.0e-05  "
            "eta: 0:11:00  time: 0.3  data_time: 0.1  memory: 9000  loss: 1.5  grad_norm: nan",
            {"step": 30, "loss": "1.5", "learning_rate": "2.0e-05", "grad_norm": "nan"},
        ),
        (
            "01/01 10:00:00 - mmengine - INFO - Epoch(train) [2][30/90]  lr: 2.0e-05  loss: 1.5",
            {"step": 120, "loss": "1.5"},
        ),
        ("Epoch:[0/19](30/900) loss:1.5 lr:0.0002 epoch_Time:9.0min:", {"step": 30, "loss": "1.5"}),
        ("Epoch [1/3], Step [30/90], Loss: 1.5", {"step": 30, "loss": "1.5"}),
        ("30 | loss 1.5000 | lr 3.000000e-04 | 104.61ms", {"step": 30, "loss": "1.5000"}),
        ("Iteration 30/90: loss=1.5", {"step": 30, "loss": "1.5"}),
        ("Batch 30/90, Loss: 1.5", {"step": 30, "loss": "1.5"}),
        ("Epoch 1, Batch 30, Loss: 1.5", {"step": 30, "loss": "1.5"}),
        (
            "Epoch 3/9 - Train Loss: 1.5 - Val Loss: 2.5",
            {"epoch": "3", "loss": "1.5", "eval_loss": "2.5", "step": 10},
        ),
        ("Epoch [3/9], Loss: 1.5", {"epoch": "3", "loss": "1.5"}),
        ("iter 30: loss 1.5, time 99.10ms, mfu 31.10%", {"step": 30, "loss": "1.5"}),
        (
            "Epoch: 1/3, step 4/9 completed (loss: 1.5):  50%|#####     | 5/10 [00:01<00:01]",
            {"step": 5, "loss": "1.5"},
        ),
        ("Training:  50%|#####     | 5/10 [00:01<00:01, 1.1s/it, loss=1.5]", {"step": 5}),
        ("| 0.5 | 1.0 | 20 | 0.7 |", {}),
        ("Validating, loss 1.5:  50%|#####     | 5/10 [00:01<00:01, loss=1.5]", {}),
    ],
    ids=[
        "torchtune",
        "megatron",
        "megatron-nan",
        "megatron-without-colons",
        "megatron-evaluation",
        "megatron-skipped",
        "nemo",
        "litgpt",
        "lightning",
        "script",
        "words",
        "mlx-lm",
        "mlx-lm-evaluation",
        "xtuner",
        "xtuner-epochs",
        "batch-of-epoch",
        "step-in-brackets",
        "number-first",
        "iteration-of",
        "batch-of",
        "epoch-and-batch",
        "once-an-epoch",
        "once-an-epoch-alone",
        "nanogpt",
        "loss-before-a-bar",
        "loss-behind-a-bar",
        "no header",
        "bar-of-an-evaluation",
    ],
)
def test_lines_of_other_tools(tmp_path: Path, line: str, row: dict[str, Any]) -> None:
    if not row:
        with pytest.raises(SourceError):
            read(tmp_path, line)
        return
    (found,) = read(tmp_path, f"starting\n{line}\n")[1]
    found.setdefault("loss", found.pop("train_loss", None))
    assert row.items() <= found.items()


@pytest.mark.parametrize(
    "line",
    [
        "Epoch [{epoch}/3], Step [{step}/4], Loss: {loss}",
        "Epoch {epoch} step {step} loss {loss}",
        "Epoch: {epoch}/3, step {step} (loss: {loss}):  50%|##   | {step}/4 [00:01<00:01, 2s/it]",
    ],
    ids=["of", "bare", "bar"],
)
def test_steps_that_begin_anew_in_each_epoch_count_on(tmp_path: Path, line: str) -> None:
    said = [
        line.format(epoch=epoch, step=step, loss=4.0 - epoch - 0.1 * step)
        for epoch in (1, 2, 3)
        for step in (1, 2, 3, 4)
    ]
    rows = read(tmp_path, "\n".join(said))[1]
    assert [row["step"] for row in rows] == [*range(1, 13)]
    assert [round(float(row["loss"]), 1) for row in rows][::4] == [2.9, 1.9, 0.9]
    for row in rows:
        assert -(-row.get("epoch", row["step"] / 4) // 1) == -(-row["step"] // 4)


def test_epochs_at_a_bar_of_the_whole_run_show_that_nothing_moves(tmp_path: Path) -> None:
    said = [
        f"Epoch {epoch}, Loss: {loss}:   6%|#  | {7 * (epoch - 1) + step}/42 [00:01<00:09"
        for epoch in range(1, 4)
        for step, loss in enumerate([0.9741, 1.3742, 1.239, 0.967, 1.0386, 1.1681, 1.224], 1)
    ]
    path = tmp_path / "run.log"
    path.write_text("\n".join(said))
    (finding,) = sftdiag.analyze(path).findings
    assert (finding.code, finding.severity.label) == ("SFT101", "error")


def test_an_epochs_mean_is_no_row_beside_those_of_its_steps(tmp_path: Path) -> None:
    said = [f"step {step} loss {3 - 0.1 * step:.1f}" for step in range(1, 9)]
    said[4:4] = ["Epoch 1/2 - Train Loss: 2.75 - Val Loss: 2.9"]
    assert len(read(tmp_path, "\n".join([*said, "Epoch 2/2 - Train Loss: 2.35"]))[1]) == 8


def test_a_bar_that_is_drawn_again_is_one_row(tmp_path: Path) -> None:
    bar = "loss: {:.1f}:  50%|##   | {}/8 [00:01<00:01, 2s/it]"
    drawn = [bar.format(3 - 0.1 * n, n) for n in range(9) for _ in range(2)]
    rows = read(tmp_path, "\r".join(drawn))[1]
    assert [row["step"] for row in rows] == [*range(1, 9)]


def test_mlx_says_how_long_it_trains(tmp_path: Path) -> None:
    said = ["Starting training..., iters: 400", "Iter 1: Val loss 2.5, Val took 1.1s"]
    said += [f"Iter {10 * n}: Train loss {3 - 0.1 * n:.3f}, It/sec 2.1" for n in range(1, 9)]
    run, rows = read(tmp_path, "\n".join(said))
    assert run.context.max_steps == 400
    assert [row["step"] for row in rows] == [1, *range(10, 90, 10)]


def test_a_metric_that_is_a_dict_is_a_cell_without_a_number(tmp_path: Path) -> None:
    table = "Epoch\tTraining Loss\tValidation Loss\tAccuracy\n" + "".join(
        f"{n}\t{1 / n}\t{0.5 + 0.1 * n}\t{{'accuracy': 0.8}}\n" for n in (1, 2, 3)
    )
    rows = read(tmp_path, table)[1]
    assert [float(row["loss"]) for row in rows] == [1.0, 0.5, 1 / 3]


@pytest.mark.parametrize(
    ("line", "framework", "setting"),
    [
        ("Step {} | loss:nan lr:50.0 grad_norm:0.5 ", "torchtune", "optimizer.lr"),
        (
            "Epoch 1 | iter {0} step {0} | loss train: nan, val: n/a | iter time: 19.85 ms (step)",
            "litgpt",
            None,
        ),
        ("step {} loss nan lr 50.0", None, "SFTConfig.learning_rate"),
    ],
)
def test_whose_lines_they_are_tells_the_names_of_settings(
    tmp_path: Path, line: str, framework: str | None, setting: str | None
) -> None:
    path = tmp_path / "run.log"
    printed = ["starting", *(line.format(step) for step in range(1, 9)), "step 9 loss 1.5"]
    path.write_text("\n".join(printed))
    assert open_run(path).context.framework == framework
    fixes = [fix for c in sftdiag.analyze(path).findings[0].causes for fix in c.fixes]
    named = {name for fix in fixes for name in fix.changes}
    assert setting is None or setting in named
    assert framework is None or not any(name.startswith("SFTConfig") for name in named)


@pytest.mark.parametrize(
    "text",
    [
        "Step\tTraining Loss\tValidation Loss\n10\t1.5\t2.5\n20\tNo log\t2.25\n",
        "| Training Loss | Epoch | Step | Validation Loss |\n|:---:|:---:|:---:|:---:|\n"
        "| 1.5 | 1.0 | 10 | 2.5 |\n| No log | 2.0 | 20 | 2.25 |\n\nwords\n",
    ],
    ids=["pasted", "model card"],
)
def test_tables(tmp_path: Path, text: str) -> None:
    rows = read(tmp_path, text)[1]
    assert [(r["step"], r.get("loss"), r["eval_loss"]) for r in rows] == [
        (10, "1.5", "2.5"),
        (20, None, "2.25"),
    ]


def test_a_table_of_epochs_with_times_and_words_between_its_rows(tmp_path: Path) -> None:
    text = "epoch     train_loss  valid_loss  time    \n" + "".join(
        f"{n}         {1.5 / n:.6f}    {2.5 + n:.6f}    00:0{n}     \nnow at its best: {n}.\n"
        for n in (1, 2, 3)
    )
    rows = read(tmp_path, text)[1]
    assert [(float(r["loss"]), float(r["eval_loss"])) for r in rows] == [
        (1.5, 3.5),
        (0.75, 4.5),
        (0.5, 5.5),
    ]
    assert len({row["step"] for row in rows}) == 3


def test_cells_of_words_percents_and_bold_numbers(tmp_path: Path) -> None:
    text = (
        "| Epoch | Training Loss | Validation Loss | Accuracy | Note |\n|:---:|---:|---:|---|---|\n"
        "| **001** | 3.5 | 3.25 | 41.5% | random words |\n| 2 | N/A | 2.5 | N/A | better |\n"
        "| 3 | **2.0** | **2.25** | 58% | best so far |\n| 4 | low | 2.75 | 60% | no row |\n"
    )
    rows = read(tmp_path, text)[1]
    told = [(int(r["epoch"]), r.get("loss"), r["eval_loss"]) for r in rows]
    assert told == [(1, "3.5", "3.25"), (2, None, "2.5"), (3, "2.0", "2.25")]


def test_a_card_of_preferences_is_not_judged(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(
        "| Training Loss | Epoch | Step | Validation Loss | Rewards/chosen | Kl |\n"
        "|:-:|:-:|:-:|:-:|:-:|:-:|\n"
        + "".join(
            f"| {0.5 / n} | {n}.0 | {50 * n} | 0.4 | {2.0 * n} | 0.1 |\n" for n in range(1, 6)
        )
    )
    report = sftdiag.analyze(path)
    assert (report.verdict, report.findings) == ("inconclusive", ())
    assert "preference" in (report.reason or "")


def test_a_piece_without_its_beginning_has_the_steps_of_its_bar(tmp_path: Path) -> None:
    row = "{{'loss': {:.4f}, 'learning_rate': 1e-05, 'epoch': {:.3f}}}"
    piece = [row.format(1.02 + 0.003 * (-1) ** n, 0.425 + 0.025 * n) for n in range(11)]
    text = "\n".join([*piece, " 68%|######8   | 135/200 [1:10:00<0:40:00, 31.1s/it]"])
    run, rows = read(tmp_path, text)
    assert ([rows[0]["step"], rows[-1]["step"]], run.context.max_steps) == ([85, 135], 200)
    report = sftdiag.analyze(tmp_path / "log.txt")
    assert (report.verdict, report.findings) == ("inconclusive", ())
    assert "mid-run" in (report.reason or "")


@pytest.mark.parametrize(
    "written", ["NAN", "-nan", "+Inf", "1.#QNAN", "-1.#IND", "1.#INF", "-nan(ind)", "Infinity"]
)
@pytest.mark.parametrize(
    "line", ["step {0} | loss: {1} | lr: 2e-5", "{0},{1},2e-5"], ids=["console", "csv"]
)
def test_a_loss_that_is_no_number_however_it_is_written(
    tmp_path: Path, line: str, written: str
) -> None:
    path = tmp_path / "log.txt"
    head = "" if "loss" in line else "step,loss,lr\n"
    good = [line.format(n, 2.0 - 0.01 * n) for n in range(1, 21)]
    path.write_text(head + "\n".join([*good, *(line.format(n, written) for n in (21, 22))]))
    (finding,) = sftdiag.analyze(path).findings
    assert (finding.name, finding.onset_step) == ("non-finite", 21)


@pytest.mark.parametrize("make", [healthy, overfitting])
def test_the_diagnosis_is_that_of_the_same_rows(tmp_path: Path, make: Any) -> None:
    rows = make()
    own = sftdiag.analyze({"log_history": rows, "max_steps": 200})
    text = []
    for row in rows:
        text.append(repr({name: value for name, value in row.items() if name != "step"}))
        text.append(f"\r {row['step'] // 2}%|#| {row['step']}/200 [00:10<00:10]")
    (tmp_path / "run.log").write_text("\n".join(text))
    other = sftdiag.analyze(tmp_path / "run.log")
    assert (other.verdict, other.primary_id) == (own.verdict, own.primary_id)
    assert other.summary.max_steps == 200


def test_in_any_encoding_and_packed(tmp_path: Path) -> None:
    import gzip

    text = "训练开始\n" + "\n".join(lines())
    for name, data in {
        "utf8": text.encode(),
        "bom": text.encode("utf-8-sig"),
        "powershell": text.encode("utf-16"),
        "packed": gzip.compress(text.encode()),
        "windows": text.replace("\n", "\r\n").encode("gbk"),
    }.items():
        (tmp_path / name).write_bytes(data)
        assert len(list(open_run(tmp_path / name).entries)) == 6, name


def test_a_log_of_any_length_is_read_line_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tracemalloc

    monkeypatch.setattr("sftdiag.sources.console.SURVEYED_ROWS", 200)

    def peak(count: int) -> int:
        draw = random.Random(0)
        with open(tmp_path / "long.log", "w") as file:
            for n in range(count):
                loss = 2.0 * draw.gauss(1.0, 0.05)
                file.write(FOUR.format(loss=loss, norm=1.0, epoch=f"{n / 1000:.5f}") + "\n")
                file.write(f"\r 10%|#| {n + 1}/{count} [00:10<00:10]" * 3)
        tracemalloc.start()
        assert sftdiag.analyze(tmp_path / "long.log").summary.last_step == count
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    few, many = peak(1_000), peak(5_000)
    # The rows alone would take 3 MB; the blocks that detectors keep fill up.
    assert many < few + 1_200_000


@pytest.mark.parametrize("junk", ["{'loss': ", "{'loss': 1.0, " * 50, "{" * 5000, "\0" * 5000])
def test_what_is_cut_off_hides_no_row_behind_it(tmp_path: Path, junk: str) -> None:
    assert len(read(tmp_path, f"{junk}\n" + "\n".join(lines()))[1]) >= 5


def test_an_evaluation_that_stands_in_every_bar_is_one(tmp_path: Path) -> None:
    bars = [
        f"\rEpoch 0:  {n}%|#| {n}/50 [00:01<00:01, 4.9it/s, v_num=0, train_loss={2 - n / 50:.3f}, "
        f"val_loss={2.5 if n < 30 else 2.25}]"
        for n in range(10, 50)
    ]
    rows = read(tmp_path, "".join(bars))[1]
    assert [float(row["eval_loss"]) for row in rows if "eval_loss" in row] == [2.5, 2.25]
    assert len(rows) == 40


def test_what_megatron_leaves_out_of_a_line_is_not_healthy(tmp_path: Path) -> None:
    """It names a loss above 0 only; steps skipped by float16's scale say nothing of the loss."""

    def line(step: int, loss: str, norm: str = "1.200", skipped: int = 0) -> str:
        told = f" lm loss: {loss} |" if loss else ""
        return (
            f" [2026-01-01 10:00:00] iteration {step:8}/      60 | learning rate: 1.500000E-05 |"
            f"{told} loss scale: 1.0 | grad norm: {norm} | number of skipped iterations:"
            f" {skipped:3} | number of nan iterations:   0 |"
        )

    good = [line(step, f"{2 + 8 / step:.6E}") for step in range(1, 31)]
    for name, tail, code in (
        ("nan", [line(step, "", "nan") for step in range(31, 61)], "SFT106"),
        ("zero", [line(step, "", "0.000") for step in range(31, 61)], "SFT107"),
    ):
        path = tmp_path / f"{name}.log"
        path.write_text("\n".join([*good, *tail]))
        report = sftdiag.analyze(path)
        assert report.primary is not None
        assert report.primary.code == code
    skipped = line(1, "", "0.700", 1).replace(" grad norm: 0.700 |", "")
    assert len(read(tmp_path, "\n".join([skipped, *good]))[1]) == len(good)
    test = " validation loss at iteration 30 on test set | lm loss value: 9.1E+00 | "
    assert len(read(tmp_path, "\n".join([*good, test]))[1]) == len(good)
    as_zero = line(31, "0.000000E+00", "0.700", 1).replace(" grad norm: 0.700 |", "")
    assert len(read(tmp_path, "\n".join([*good, as_zero]))[1]) == len(good)


@pytest.mark.parametrize(
    ("shown", "epoch", "planned"),
    [
        ("[60/60 03:01, Epoch 20/20]", 10.0, 60),
        (" [ 29/290 02:50 < 38:04, 0.12 it/s, Epoch 0.48/5]", 30 / 58, 290),
        ("[60/60 09:26, Epoch 0/1]", None, 60),
        ("[58/60 09:26 < 00:20, 0.12 it/s, Epoch 0.46/1]", None, 60),
        ("", None, None),
    ],
    ids=["whole", "under way", "less than one", "a part of one", "untold"],
)
@pytest.mark.parametrize("as_notebook", [False, True])
def test_what_stands_above_a_table_tells_its_epochs(
    tmp_path: Path, shown: str, epoch: float | None, planned: int | None, as_notebook: bool
) -> None:
    cells = [("Step", "Training Loss"), ("15", "2.5"), ("30", "1.5")]
    if as_notebook:
        rows = "".join(f"<tr><td>{'</td><td>'.join(row)}</td></tr>" for row in cells)
        html = f"<div><progress value='1' max='60'></progress>{shown}</div><table>{rows}</table>"
        outputs = [{"data": {"text/html": [html]}, "output_type": "display_data"}]
        cell = {"cell_type": "code", "outputs": outputs}
        run, found = read(tmp_path, json.dumps({"cells": [cell], "nbformat": 4}))
    else:
        run, found = read(tmp_path, f"{shown}\n" + "\n".join("\t".join(row) for row in cells))
        assert run.context.max_steps == planned
    assert [row["step"] for row in found] == [15, 30]
    assert found[1].get("epoch") == (pytest.approx(epoch) if epoch else None)
