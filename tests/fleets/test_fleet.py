"""Many runs: found however deep, a line each, the same line whoever reads them."""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest
from logs import healthy, overfitting, train_rows, write_state
from pages import FETCHES, read

import sftdiag
from sftdiag.cli.main import main
from sftdiag.config import Settings
from sftdiag.errors import ConfigError, SftdiagError, SourceError
from sftdiag.fleets import data, engines, html, judging, text
from sftdiag.fleets.finding import runs_below
from sftdiag.fleets.fleet import Fleet, fleet
from sftdiag.fleets.row import UNREADABLE, Row
from sftdiag.report.table import columns


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SFTDIAG_CACHE", str(folder))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six runs: two that overfit, one with every label masked, two healthy, one that is broken."""
    folder = tmp_path / "runs"
    for name, turn in (("early", 40), ("late", 120)):
        path = folder / "team" / "a" / "b" / "c" / name / "trainer_state.json"
        write_state(path, overfitting(turn=turn))
    write_state(folder / "masked" / "checkpoint-60" / "trainer_state.json", train_rows([0.0] * 60))
    for name in ("well", "fine"):
        closing = {"step": 200, "train_runtime": 7200.0, "train_loss": 1.5}
        write_state(folder / name / "trainer_state.json", [*healthy(), closing])
    (folder / "broken").mkdir()
    (folder / "broken" / "trainer_state.json").write_text("{")
    return folder


def names(found: Fleet) -> list[str]:
    return [os.path.basename(row.run) for row in found.rows]


def test_a_line_each_the_severest_first(root: Path) -> None:
    found = fleet(root)
    assert names(found) == ["early", "masked", "late", "fine", "well", "broken"]
    verdicts = ["error", "error", "warning", "healthy", "healthy", UNREADABLE]
    assert [row.verdict for row in found.rows] == verdicts
    early, masked = found.rows[:2]
    assert (early.wasted_steps, masked.wasted_steps) == (160, 59)
    assert "ends too early" in (found.rows[-1].reason or "")


def test_a_line_says_what_the_report_says(root: Path) -> None:
    write_state(
        root / "timed" / "trainer_state.json",
        [*overfitting(), {"step": 200, "train_runtime": 7200.0, "train_loss": 1.5}],
    )
    for step in (50, 80, 200):
        (root / "timed" / f"checkpoint-{step}").mkdir()
    (row,) = [row for row in fleet(root).rows if row.run.endswith("timed")]
    report = sftdiag.analyze(root / "timed")
    primary = report.primary
    assert primary is not None
    assert (row.verdict, row.code, row.name) == (report.verdict, primary.code, primary.name)
    assert row.cause == primary.causes[0].id == "eval-distribution"
    assert row.onset_step == primary.onset_step == 60
    assert (row.wasted_steps, row.wasted_share) == (140, 0.7)
    assert row.wasted_gpu_hours == pytest.approx(1.4)
    assert (row.best_step, row.checkpoint) == (60, 50)
    assert row.best_loss == primary.evidence["eval_loss_min"]


def test_a_cause_that_is_a_guess_names_no_group() -> None:
    rows = [Row(f"r{i}", "warning", "SFT102", "train-loss-rebound") for i in range(2)]
    rows += [Row("r", "error", "SFT201", "eval-loss-rising", "overfitting", "overfitting")] * 3
    found = Fleet.of(rows, "en")
    assert [(group.runs, group.cause) for group in found.groups] == [(3, "overfitting"), (2, None)]
    shown = text.render(found)
    assert "3 runs: overfitting" in shown
    assert "2 runs: SFT102 train-loss-rebound, cause open" in shown


def test_runs_are_found_once(root: Path) -> None:
    (root / "team" / "back").symlink_to(root, target_is_directory=True)
    (root / ".hidden").mkdir()
    write_state(root / ".hidden" / "trainer_state.json", healthy())
    write_state(root / "well" / "checkpoint-9" / "trainer_state.json", healthy())
    assert len(runs_below([str(root)])) == 6
    assert len(runs_below([str(root), str(root / "well")])) == 6
    with pytest.raises(SourceError, match="no such file"):
        runs_below([str(root / "nothing")])
    (root / "empty").mkdir()
    with pytest.raises(SourceError, match=r"no trainer_state\.json"):
        runs_below([str(root / "empty")])


def test_logs_of_other_tools_are_runs_too(root: Path) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in overfitting())
    (root / "other").mkdir()
    log = root / "other" / "log.jsonl"
    log.write_text(lines)
    (root / "printed.txt").write_text("{'loss': 2.0}\n" * 9)
    (row,) = [row for row in fleet(root).rows if row.run.endswith("log.jsonl")]
    assert (row.verdict, row.code) == ("error", "SFT201")
    assert len(fleet(root).rows) == 7
    log.write_text("".join(json.dumps(row) + "\n" for row in healthy()))
    (row,) = [row for row in fleet(root).rows if row.run.endswith("log.jsonl")]
    assert row.verdict == "healthy"


def test_more_processes_say_the_same(root: Path) -> None:
    one, two = (fleet(root, jobs=jobs, cached=False) for jobs in (1, 2))
    assert one == two


def test_a_second_look_reads_what_changed_only(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fleet(root)
    read: list[str] = []

    def counted(paths: Sequence[str], settings: Settings) -> list[Row]:
        read.extend(map(os.path.basename, paths))
        return judging.judged_all(paths, settings)

    monkeypatch.setattr(engines.local, "__defaults__", (1, counted))
    assert fleet(root) == first
    assert read == ["broken"]
    write_state(root / "well" / "trainer_state.json", overfitting())
    read.clear()
    assert names(fleet(root)).index("well") < 3
    assert sorted(read) == ["broken", "well"]
    read.clear()
    assert fleet(root, ignore="SFT201").count("error") == 1
    assert len(read) == 6


@pytest.mark.parametrize("content", ["", "{", "[]", '{"made_by": 1, "runs": 2}'])
def test_a_broken_cache_is_ignored(root: Path, cache: Path, content: str) -> None:
    first = fleet(root)
    (kept,) = cache.iterdir()
    kept.write_text(content)
    assert fleet(root) == first
    assert len(json.loads(kept.read_text())["runs"]) == 5


def test_kept_lines_that_make_no_sense_are_ignored(root: Path, cache: Path) -> None:
    first = fleet(root)
    (kept,) = cache.iterdir()
    content = json.loads(kept.read_text())
    for broken, run in zip(
        ([], None, [1], [2, []], ["x", {}]), list(content["runs"]), strict=False
    ):
        content["runs"][run] = broken
    kept.write_text(json.dumps(content))
    assert fleet(root) == first


def test_a_cache_of_another_version_is_ignored(root: Path, cache: Path) -> None:
    first = fleet(root)
    (kept,) = cache.iterdir()
    content = json.loads(kept.read_text())
    content["made_by"][0] = "0.0.0"
    for _, row in content["runs"].values():
        row[1] = "warning"
    kept.write_text(json.dumps(content))
    assert fleet(root) == first


def test_a_cache_that_cannot_be_written_costs_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SFTDIAG_CACHE", str(tmp_path / "file"))
    assert len(fleet(root).rows) == 6


def test_since(root: Path) -> None:
    old = time.time() - 10 * 86400
    os.utime(root / "well" / "trainer_state.json", (old, old))
    assert "well" not in names(fleet(root, since="7d"))
    assert "well" in names(fleet(root, since="2w"))
    assert "well" in names(fleet(root, since=old - 1))
    assert names(fleet(root, since="2026-01-01", cached=False))
    with pytest.raises(ConfigError, match="since must be"):
        fleet(root, since="yesterday")
    with pytest.raises(ConfigError, match="engine must be"):
        fleet(root, engine="dask")


def deadly(paths: Sequence[str], settings: Settings) -> list[Row]:
    if any(path.endswith("masked") for path in paths):
        os._exit(1)
    return judging.judged_all(paths, settings)


def test_a_process_that_dies_costs_one_run(root: Path) -> None:
    found = list(engines.local(runs_below([str(root)]), Settings(), 2, deadly))
    assert len(found) == 6
    (lost,) = [row for row in found if "died" in (row.reason or "")]
    assert lost.run.endswith("masked")
    assert sum(row.verdict != UNREADABLE for row in found) == 4


def test_a_fault_inside_costs_one_run(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: object) -> None:
        raise ZeroDivisionError("inside")

    monkeypatch.setattr(judging, "row_of", broken)
    found = fleet(root, jobs=1, cached=False)
    assert {row.verdict for row in found.rows} == {UNREADABLE}
    assert sum("ZeroDivisionError" in (row.reason or "") for row in found.rows) == 5


def test_the_command(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fleet", str(root)]) == 1
    shown = capsys.readouterr().out
    assert shown.startswith("6 runs: error 2, warning 1, healthy 2, unreadable 1\n")
    assert "  1 run: overfitting\n" in shown
    assert main(["fleet", str(root), "--lang", "zh"]) == 1
    assert "1 个运行：过拟合" in capsys.readouterr().out
    assert main(["fleet", str(root / "well"), "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["verdict"] for row in document["rows"]] == ["healthy"]
    assert main(["fleet", str(root / "broken")]) == 2
    assert main(["fleet", str(root / "nothing")]) == 2
    assert main(["fleet", str(root / "well"), "--since", "nonsense"]) == 2


def test_csv_and_html(root: Path) -> None:
    write_state(root / "<b>=x" / "trainer_state.json", overfitting())
    found = fleet(root)
    rows = list(csv.DictReader(io.StringIO(data.csv(found))))
    assert [row["run"] for row in rows] == [row.run for row in found.rows]
    assert rows[0]["onset_step"] == str(found.rows[0].onset_step)
    page = html.page(found)
    assert "&lt;b&gt;=x" in page
    assert "<b>" not in page
    assert data.csv(Fleet.of([Row("=1+1", "healthy")], "en")).splitlines()[1].startswith("'=1+1")


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_page_groups_the_runs_and_draws_each(root: Path, lang: str) -> None:
    odd = "</script><img src=x onerror=alert(1)>"
    write_state(root / "odd" / "trainer_state.json", overfitting())
    found = fleet(root, lang=lang)
    assert not FETCHES.search(html.page(found))
    named = [row.replace(run=odd, cause=odd, cause_name=odd) for row in found.rows[:1]]
    found = Fleet.of([*found.rows, *named], lang)
    shown = html.page(found)
    page = read(shown)
    assert not [tag for tag, _ in page.elements if tag == "img"]
    for row in found.rows:
        assert (row.reason if row.verdict == UNREADABLE else row.run) in page.text
    links = [attrs["href"] for tag, attrs in page.elements if tag == "a"]
    ids = {f"#{attrs['id']}" for _, attrs in page.elements if "id" in attrs}
    assert len(links) == len(found.groups) + 1
    assert set(links) <= ids
    drawn = [attrs for tag, attrs in page.elements if attrs.get("class") == "spark"]
    assert len(drawn) == sum(row.verdict != UNREADABLE for row in found.rows)
    notebook = read(found._repr_html_())
    assert notebook.text.count("SFT201") == shown.count("SFT201 ")
    # Without a style sheet, a path is filled and has no line.
    lines = [attrs for tag, attrs in notebook.elements if tag == "path"]
    assert len(lines) >= len(drawn)
    assert all(attrs["fill"] == "none" and attrs["stroke"] for attrs in lines)


def test_curves_are_kept_and_are_no_data(root: Path) -> None:
    first = fleet(root)
    early = first.rows[0]
    assert early.curves.startswith("M0 ")
    assert "|M" in early.curves
    assert fleet(root) == first
    assert "curves" not in early.to_dict()
    assert "curves" not in data.csv(first).splitlines()[0]


def test_as_a_frame(root: Path) -> None:
    pytest.importorskip("pandas")
    frame = sftdiag.fleet(root).to_frame()
    assert list(frame["verdict"]) == [row.verdict for row in fleet(root).rows]


def test_analyze_of_several_ends_with_the_table(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze", str(root / "well"), str(root / "fine")]) == 0
    shown = capsys.readouterr().out
    assert "\n2 runs: healthy 2\n" in shown
    assert shown.rstrip("\n").endswith(str(root / "well"))
    assert main(["analyze", str(root / "well"), str(root / "nothing")]) == 2
    assert "2 runs: healthy 1, unreadable 1" in capsys.readouterr().out
    assert main(["analyze", str(root / "well")]) == 0
    assert "runs: " not in capsys.readouterr().out


def test_the_table_lines_up_in_chinese(root: Path) -> None:
    found = fleet(root, lang="zh")
    table = list(text.table(found))
    wide = {columns(line.plain[: line.plain.index(str(root))]) for line in table[1:6]}
    assert len(wide) == 1


def test_the_page_goes_to_a_file(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "pages" / "fleet.html"
    assert main(["fleet", str(root), "--format", "html", "--output", str(file)]) == 1
    assert file.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert capsys.readouterr().out == ""
    assert (
        main(["fleet", str(root), "--output", str(root / "well" / "trainer_state.json" / "x")]) == 2
    )
    assert "cannot be written" in capsys.readouterr().err


def test_neither_evaluation_nor_checkpoint_of_a_blown_up_model_is_the_best(tmp_path: Path) -> None:
    rows = train_rows([3.0 - 0.01 * n if n < 50 else 60.0 for n in range(1, 121)])
    for step in (20, 40, 60, 80):
        rows.append({"step": step, "eval_loss": 2.9 - step / 100 if step < 50 else 1.0})
    for run, kept in (("early", (30, 90)), ("late", (90,))):
        for step in kept:
            (tmp_path / run / f"checkpoint-{step}").mkdir(parents=True)
        write_state(
            tmp_path / run / "trainer_state.json", sorted(rows, key=lambda row: row["step"])
        )
    early, late = sorted(fleet(tmp_path, cached=False).rows, key=lambda row: row.run)
    assert early.code == "SFT104"
    assert (early.best_step, early.checkpoint) == (40, 30)
    assert (late.best_step, late.checkpoint) == (40, None)


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is there")
def test_what_to_install_for_ray(root: Path) -> None:
    with pytest.raises(SftdiagError, match=r"pip install 'sftdiag\[ray\]'"):
        fleet(root, engine="ray", cached=False)
