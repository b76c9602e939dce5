"""What trackers export of a run: charts, histories a number a row, curves as JSON, Parquet."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from sftdiag.errors import SourceError
from sftdiag.records import parse_entry
from sftdiag.sources import find_runs, open_run

STEPS, EVALUATED = range(10, 110, 10), range(50, 110, 50)


def loss(step: int) -> float:
    return 1.5 + 1 / step


def eval_loss(step: int) -> float:
    return 1.75 + 1 / step


WANTED = [(step, loss(step)) for step in STEPS]
WANTED_EVALUATIONS = [(step, eval_loss(step)) for step in EVALUATED]


def table(path: Path, rows: list[list[Any]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows(rows)
    return path


def read(path: str | Path, **how: Any) -> tuple[list[Any], list[Any]]:
    records = [record for row in open_run(path, **how).entries for record in parse_entry(row)]
    return (
        [(record.step, record.get("loss")) for record in records if record.kind == "train"],
        [(record.step, record.get("eval_loss")) for record in records if record.kind == "eval"],
    )


def points(train: str, evaluation: str) -> list[tuple[str, int, float]]:
    """Return the history metric by metric, as clients return it."""
    return [
        *((train, step, loss(step)) for step in STEPS),
        *((evaluation, step, eval_loss(step)) for step in EVALUATED),
    ]


@pytest.mark.parametrize(
    "head",
    [
        ["", "key", "value", "timestamp", "step"],
        ["run_id", "metric_name", "metric_value", "timestamp", "step"],
        ["run.hash", "metric.name", "value", "metric.context.subset", "step"],
        ["run", "tag", "value", "wall_time", "step"],
        ["run", "attribute_path", "value", "timestamp", "step"],
    ],
    ids=["mlflow", "ids", "aim", "tensorboard", "neptune"],
)
def test_a_table_of_a_number_a_row(tmp_path: Path, head: list[str]) -> None:
    aim = "metric.context.subset" in head
    rows: list[list[Any]] = [head]
    for name, step, value in points("train/loss", "eval/loss"):
        split, _, metric = name.partition("/")
        rows.append(["a", metric if aim else name, value, split if aim else 1700000 + step, step])
    if head[0]:
        rows += [["b", "train/loss", 9.0, 1, step] for step in STEPS]
    assert read(table(tmp_path / "history.csv", rows)) == (WANTED, WANTED_EVALUATIONS)


@pytest.mark.parametrize("shape", ["list", "lines", "object"])
def test_comets_and_mlflows_histories_as_json(tmp_path: Path, shape: str) -> None:
    rows = [
        {"metricName": name, "metricValue": str(value), "timestamp": 17e8 + step, "step": step}
        for name, step, value in points("train_loss", "eval_loss")
    ]
    path = tmp_path / "history"
    if shape == "lines":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        path.write_text(json.dumps(rows if shape == "list" else {"metrics": rows}))
    trained, evaluated = read(path)
    assert trained == WANTED
    assert evaluated == WANTED_EVALUATIONS


def test_a_run_that_was_resumed_keeps_its_order(tmp_path: Path) -> None:
    at = [10, 20, 30, 20, 30, 40]
    rows = [["key", "value", "timestamp", "step"]]
    rows += [["loss", str(loss(n)), str(17e8 + n), str(step)] for n, step in enumerate(at, 1)]
    rows += [["eval_loss", "2.5", str(17e8 + 3), "30"]]
    trained, evaluated = read(table(tmp_path / "history.csv", rows))
    assert [step for step, _ in trained] == at
    assert evaluated == [(30, 2.5)]


def test_means_of_train_rows_at_an_evaluation_are_no_closing_row(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"step": step, "loss": loss(step)} for step in STEPS]
    for step in EVALUATED:
        rows.append({"step": step, "train_loss": 9.0, "val_loss": eval_loss(step)})
    rows.sort(key=lambda row: row["step"])
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    assert read(path) == (WANTED, WANTED_EVALUATIONS)
    closing = {"step": 100, "train_loss": 2.0, "train_runtime": 9.0}
    path.write_text("\n".join(map(json.dumps, [*rows, closing])))
    assert list(open_run(path).entries)[-1]["train_loss"] == 2.0
    assert "train_loss" not in list(open_run(path).entries)[5]


def test_a_nested_line_a_number(tmp_path: Path) -> None:
    path = tmp_path / "training_logs.jsonl"
    lines = [
        {"name": name, "data": {"epoch": step / 50, "step": step, "value": value}}
        for name, step, value in points("training_loss", "validation_loss")
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    assert read(path) == (WANTED, WANTED_EVALUATIONS)


def test_clearmls_curves(tmp_path: Path) -> None:
    path = tmp_path / "scalars.json"
    curves = {
        "train": {"loss": {"name": "loss", "x": [*STEPS], "y": [*map(loss, STEPS)]}},
        "eval": {"loss": {"name": "loss", "x": [*EVALUATED], "y": [*map(eval_loss, EVALUATED)]}},
    }
    path.write_text(json.dumps(curves, indent=1))
    assert read(path) == (WANTED, WANTED_EVALUATIONS)
    assert open_run(path).format == "json-columns"


@pytest.mark.parametrize("above", [False, True])
@pytest.mark.parametrize("as_pandas", [False, True])
def test_a_list_a_metric(tmp_path: Path, above: bool, as_pandas: bool) -> None:
    """Keras' history and those of scripts; a shorter list is spread over the longest."""
    lists: dict[str, Any] = {
        "step": [*STEPS],
        "train_loss": [*map(loss, STEPS)],
        "val_loss": [*map(eval_loss, EVALUATED)],
        "best": 0.5,
    }
    if as_pandas:
        whole = {n: v for n, v in lists.items() if n in ("step", "train_loss")}
        lists = {n: {str(at): one for at, one in enumerate(v)} for n, v in whole.items()}
    path = tmp_path / "history.json"
    path.write_text(json.dumps({"history": lists, "name": "a"} if above else lists))
    trained, evaluated = read(path)
    assert trained == WANTED
    assert evaluated == ([] if as_pandas else WANTED_EVALUATIONS)


def test_an_object_without_a_loss_is_told_by_its_keys(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    for content in ({"lr": [1, 2]}, {"loss": "ce"}, {"loss": {"name": "ce"}}, {"loss": []}):
        path.write_text(json.dumps(content))
        with pytest.raises(SourceError, match="a JSON object without log_history"):
            open_run(path)


def test_a_folder_with_a_history_is_a_run(tmp_path: Path) -> None:
    (tmp_path / "history.json").write_text(json.dumps({"loss": [2.0, 1.5]}))
    (tmp_path / "config.json").write_text(json.dumps({"lr": [1, 2]}))
    assert find_runs(tmp_path) == [str(tmp_path / "history.json")]


@pytest.mark.parametrize("run", ["llama - lora - r8", "Group: sft", "sunny-run-3"])
@pytest.mark.parametrize("metric", ["train/loss", "Training Loss"])
def test_wandbs_charts_however_a_run_is_called(tmp_path: Path, run: str, metric: str) -> None:
    name = f"{run} - {metric}"
    rows: list[list[Any]] = [["Step", name, f"{name}__MIN", f"{name}__MAX"]]
    rows += [[step, loss(step), 0, 9] for step in STEPS]
    assert read(table(tmp_path / "chart.csv", rows))[0] == WANTED


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_tensorboards_curve_names_no_metric(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"curve.{ending}"
    rows: list[list[Any]] = [[17e8 + step, step, loss(step)] for step in STEPS]
    if ending == "json":
        path.write_text(json.dumps(rows))
    else:
        table(path, [["Wall time", "Step", "Value"], *rows])
    with pytest.raises(SourceError, match="Wall time, Step, Value: --columns loss=NAME"):
        open_run(path)
    assert read(path, columns={"loss": "Value"})[0] == WANTED


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "Name,State,Created,train/loss,eval/loss\nx,finished,2026,1.5,1.6\n", "of runs"),
        ("a.csv", "run_id,status,start_time,metrics.loss\nx,FINISHED,2026,1.5\n", "of runs"),
        ("a.json", '{"train/loss": 1.5, "_step": 9, "_runtime": 1.5}', "W&B's summary"),
        ("loss", "1700000000010 2.5 10\n1700000000020 2.25 20\n", "MLflow's file of one metric"),
    ],
)
def test_files_without_a_curve(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(SourceError, match=said):
        open_run(tmp_path / name)


def test_parquet_of_several_runs(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [
        {"run_name": run, "step": n, "train/global_step": step, "train/loss": loss(step) + more}
        for run, more in (("a", 0.0), ("b", 1.0))
        for n, step in enumerate(STEPS)
    ]
    path = tmp_path / "project.parquet"
    parquet.write_table(arrow.Table.from_pylist(rows), path)
    first, second = find_runs(path)
    assert second == f"{path}::b"
    assert read(first)[0] == WANTED
    assert read(second)[0] == [(step, value + 1.0) for step, value in WANTED]
    parquet.write_table(arrow.Table.from_pylist([{"text": "a"}]), path)
    with pytest.raises(SourceError, match="a Parquet file in which no column is a loss"):
        open_run(path)


def test_a_history_in_parquet(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [
        {"_step": n, "train/global_step": s, "train/loss": loss(s)} for n, s in enumerate(STEPS)
    ]
    path = tmp_path / "0000.parquet"
    parquet.write_table(arrow.Table.from_pylist(rows), path)
    assert read(path)[0] == WANTED
    long = [{"attribute_path": n, "step": s, "float_value": v} for n, s, v in points("loss", "lr")]
    parquet.write_table(arrow.Table.from_pylist(long), path)
    assert read(path)[0] == WANTED
