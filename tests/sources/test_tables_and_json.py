"""JSON lines, JSON lists, CSV, notebooks, and how a path is found."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from logs import Row, noisy, overfitting, train_rows, write_state

import sftdiag
from sftdiag.cli.main import main
from sftdiag.errors import SourceError
from sftdiag.sources import find_runs, open_run

ROWS = [{"step": step, "loss": 2.0 - step / 100} for step in range(10, 70, 10)]


def found(path: Path, **how: Any) -> list[tuple[Any, Any]]:
    return [(row["step"], float(row["loss"])) for row in open_run(path, **how).entries]


WANTED = [(row["step"], row["loss"]) for row in ROWS]


def test_json_lines_with_something_else_between(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    lines = [json.dumps({"config": {"lr": 1}}), *map(json.dumps, ROWS), '{"step": 70, "lo']
    path.write_text("\n".join(lines))
    assert found(path) == WANTED
    assert open_run(path).format == "jsonl"


def test_a_json_list(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_text(json.dumps(ROWS, indent=1))
    assert found(path) == WANTED
    path.write_text("[1, {}]")
    with pytest.raises(SourceError):
        open_run(path)


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_tables_of_any_delimiter(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "log"
    lines = [mark.join(("Step", "train/loss", "note"))]
    lines += [mark.join((str(r["step"]), str(r["loss"]), "")) for r in ROWS]
    path.write_text("\ufeff" + "\n".join(lines))
    assert found(path) == WANTED


def test_wandbs_export_of_a_chart(tmp_path: Path) -> None:
    path = tmp_path / "chart.csv"
    names = ["train/global_step", "a-1 - train/loss", "a-1 - train/loss__MIN", "b-2 - train/loss"]
    lines = [",".join(f'"{name}"' for name in names)]
    lines += [f'"{r["step"]}","{r["loss"]}","0","9"' for r in ROWS]
    path.write_text("\n".join(lines))
    assert found(path) == WANTED
    run = open_run(path)
    assert run.format == "wandb-csv"
    assert run.notes == (("several_runs", {"runs": 2}),)
    other = {"loss": "b-2 - train/loss"}
    assert {loss for _, loss in found(path, columns=other)} == {9.0}


def test_wandbs_export_of_a_run_takes_the_trainers_step(tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    lines = ["Step,train/loss,train/global_step,eval/loss,gpu.0.temp"]
    for n, r in enumerate(ROWS):
        lines += [f"{2 * n},{r['loss']},{r['step']},,", f"{2 * n + 1},,{r['step']},1.5,", ",,,,60"]
    path.write_text("\n".join(lines))
    rows = list(open_run(path).entries)
    assert [row["step"] for row in rows if "loss" in row] == [step for step, _ in WANTED]
    assert sum("eval_loss" in row for row in rows) == len(ROWS)


ODD = [{"tick": row["step"], "my/loss": row["loss"]} for row in ROWS]
"""A log under names that no table knows."""

NOBODY_KNOWS = {
    "a table": "tick,my/loss\n" + "\n".join(f"{r['tick']},{r['my/loss']}" for r in ODD),
    "JSON lines": '{"note": "begin"}\n' + "\n".join(map(json.dumps, ODD)),
    "json-list": json.dumps(ODD),
    "text with dicts": "begin\n" + "\n".join(map(str, ODD)),
}


@pytest.mark.parametrize(("what", "text"), NOBODY_KNOWS.items(), ids=NOBODY_KNOWS)
def test_columns_that_nobody_knows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str, text: str
) -> None:
    """They are told by name, by `columns` and `analyze` alike, and then taken."""
    path = tmp_path / "log.txt"
    path.write_text(text)
    for command in ("columns", "analyze"):
        assert main([command, str(path)]) == 2
        said = capsys.readouterr().err
        assert f"{path}: looks like {what}" in said
        assert "its columns of numbers are tick, my/loss: --columns loss=NAME" in said
    assert found(path, columns={"loss": "my/loss", "step": "tick"}) == WANTED


def test_spacys_table_is_told_as_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    rows = "".join(f"  {n}  {200 * n}   {900.0 * n:.2f}   {50 + n}.00   0.5{n}\n" for n in range(5))
    path.write_text("Pipeline: ['tagger']\nE    #       LOSS TAGGER  TAG_ACC  SCORE\n" + rows)
    with pytest.raises(SourceError, match=r"spaCy's training table.* holds no mean loss"):
        open_run(path)


def test_columns_that_are_not_there(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("tick 1 my/loss 2.0\n" * 5)
    with pytest.raises(SourceError, match="text without a row of a log"):
        open_run(path, columns={"loss": "my/loss"})


def columns_told(path: Path) -> str:
    with pytest.raises(SourceError) as told:
        open_run(path, columns={"loss": "my/loss"})
    return str(told.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize("name", ["log.jsonl", "run/trainer_state.json", "run"])
def test_a_column_that_was_named_and_is_not_there(tmp_path: Path, name: str) -> None:
    """Another one is not taken for it; one that comes with a later row is."""
    path, rows = tmp_path / name, train_rows(noisy([2.0] * 60, 0.01))
    state = path / "trainer_state.json" if name == "run" else path

    def write(rows: list[Row]) -> None:
        text = "\n".join(map(json.dumps, rows))
        state.parent.mkdir(exist_ok=True)
        state.write_text(text if name == "log.jsonl" else json.dumps({"log_history": rows}))

    write(rows)
    told = columns_told(path)
    assert told == "--columns loss=my/loss: no such column; its columns are step, epoch, loss"
    assert len(list(open_run(path, columns={"eval_loss": "my/eval"}).entries)) == 60
    write([*rows, {**rows[-1], "step": 61, "my/loss": 0.5}])
    assert [row["loss"] for row in open_run(path, columns={"loss": "my/loss"}).entries][-1] == 0.5


def test_a_summary_row_and_a_repeated_step_are_no_fault(tmp_path: Path) -> None:
    rows = overfitting(turn=300)
    again = [row for row in rows if row["step"] > 150]
    end = {"step": 200, "train_runtime": 100.0, "train_loss": 1.7, "epoch": 2.0}
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(map(json.dumps, [*rows, end, *again, end])))
    report = sftdiag.analyze(path)
    assert report.verdict == "healthy"


def test_a_loss_of_zero_where_nan_is_written_so(tmp_path: Path) -> None:
    """LLaMA-Factory's file has no gradient norm: an evaluation says what the zeros are."""
    rows: list[dict[str, Any]] = [
        {"current_steps": s, "total_steps": 100, "loss": 2.0 - s / 90, "lr": 1e-4, "epoch": s / 50}
        for s in range(5, 55, 5)
    ]
    rows += [{**rows[-1], "current_steps": s, "loss": 0.0} for s in range(55, 90, 5)]
    rows.append({"current_steps": 85, "total_steps": 100, "eval_loss": float("nan"), "epoch": 1.7})
    rows.append({**rows[-2], "current_steps": 90})
    path = tmp_path / "trainer_log.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    report = sftdiag.analyze(path)
    assert report.format == "llama-factory"
    assert report.primary is not None
    assert report.primary.code == "SFT106"
    assert "may be either" in " ".join(report.notes)


def notebook(outputs: list[dict[str, Any]]) -> str:
    cells = [{"cell_type": "code", "source": "train()", "outputs": outputs}]
    return json.dumps(
        {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1
    )


def test_a_notebooks_table(tmp_path: Path) -> None:
    head = "<th>Step</th><th>Training Loss</th><th>Validation Loss</th>"
    body = "".join(
        f"<tr>\n<td>{r['step']}</td>\n<td>{r['loss']}</td>\n<td>No log</td>\n</tr>" for r in ROWS
    )
    page = '<div><progress value="60"></progress></div><table border="1" class="dataframe">\n'
    page += (
        f'<thead>\n<tr style="text-align: left;">{head}</tr></thead><tbody>{body}</tbody></table>'
    )
    path = tmp_path / "train.ipynb"
    path.write_text(notebook([{"output_type": "display_data", "data": {"text/html": [page]}}]))
    assert found(path) == WANTED
    assert open_run(path).format == "notebook"


def test_a_notebooks_printed_lines(tmp_path: Path) -> None:
    lines = [str({"loss": r["loss"], "epoch": r["step"] / 20}) + "\n" for r in ROWS]
    path = tmp_path / "train.ipynb"
    path.write_text(notebook([{"output_type": "stream", "name": "stdout", "text": lines}]))
    assert [loss for _, loss in found(path)] == [loss for _, loss in WANTED]


def test_kaggles_log(tmp_path: Path) -> None:
    parts = [
        {
            "stream_name": "stdout",
            "time": 1.5,
            "data": str({"loss": r["loss"], "epoch": 0.1}) + "\n",
        }
        for r in ROWS
    ]
    path = tmp_path / "kernel.log"
    path.write_text("[" + "\n,".join(map(json.dumps, parts)) + "\n]")
    assert [loss for _, loss in found(path)] == [loss for _, loss in WANTED]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\n".join(map(json.dumps, ROWS))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert [row["step"] for row in open_run("-").entries] == [step for step, _ in WANTED]


def test_patterns_and_urls(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_state(tmp_path / name / "trainer_state.json", overfitting())
    (tmp_path / "c").mkdir()
    assert find_runs(tmp_path / "*") == [str(tmp_path / "a"), str(tmp_path / "b")]
    assert len(find_runs(tmp_path / "*" / "trainer_state.json")) == 2
    with pytest.raises(SourceError, match="no such file"):
        find_runs(tmp_path / "*.json")
    with pytest.raises(SourceError, match="is a URL; download"):
        find_runs("https://wandb.ai/team/project/runs/1")


def test_a_folder_of_several_formats_of_one_run(tmp_path: Path) -> None:
    text = "\n".join(map(json.dumps, ROWS))
    (tmp_path / "logging.jsonl").write_text(text)
    (tmp_path / "train.log").write_text(text.replace('"', "'"))
    (tmp_path / "README.md").write_text("| Step | Training Loss |\n| 1 | 2.0 |\n")
    assert find_runs(tmp_path) == [str(tmp_path / "logging.jsonl")]
    (tmp_path / "slurm").mkdir()
    for job in (1, 2):
        (tmp_path / "slurm" / f"slurm-{job}.out").write_text(text.replace('"', "'"))
    assert len(find_runs(tmp_path)) == 3
    write_state(tmp_path / "checkpoint-5" / "trainer_state.json", overfitting())
    assert find_runs(tmp_path) == [str(tmp_path)]


@pytest.mark.parametrize(
    "text",
    [
        '{"loss": "mse", "optimizer": "adam"}\n{"loss": "nll"}\n',
        "model,loss\nbert,mse\ngpt,nll\n",
        "The loss of 3 sheep, step by step: a story.\n",
        "learning_rate: 2e-5\nloss: mse\nsteps: 100\n",
        "  5%|4         | 20/436 [01:02<21:40,  3.12s/it]\n",
        'Traceback (most recent call last):\n  File "a.py", line 3\nValueError: loss is None\n',
    ],
    ids=["settings", "table", "prose", "yaml", "bars", "traceback"],
)
def test_what_names_a_loss_and_is_no_log(tmp_path: Path, text: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(text)
    with pytest.raises(SourceError) as raised:
        open_run(path)
    assert "\n" not in str(raised.value)
    assert "save_state()" in str(raised.value)


def test_columns_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log.csv"
    path.write_text("Step,train/loss,my/acc\n10,1.5,0.3\n20,1.25,0.4\n")
    assert main(["columns", str(path)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{path}: read as csv, 2 rows"
    assert [line.split() for line in said[1:3]] == [
        ["step", "Step", "10,", "20"],
        ["loss", "train/loss", "1.5,", "1.25"],
    ]
    assert said[3] == "Not known as a metric: my/acc"
    more = ["--columns", "mean_token_accuracy=my/acc", "--lang", "zh"]
    assert main(["columns", str(path), *more]) == 0
    assert "my/acc" in capsys.readouterr().out.splitlines()[3]
    assert main(["columns", str(path), "--columns", "nonsense=my/acc"]) == 2
