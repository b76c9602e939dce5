"""Searches on real tiny trainers: chosen, pruned, failed, killed, shared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from math import nan
from pathlib import Path
from typing import Any

import pytest
import small_search
from conftest import ROOT
from pages import FETCHES, read
from small_search import START, Break, make_trainer

optuna = pytest.importorskip("optuna")

import sftdiag  # noqa: E402
from sftdiag.cli.main import main  # noqa: E402
from sftdiag.errors import ConfigError, UnhealthyRunError  # noqa: E402
from sftdiag.searches import html, owners, text  # noqa: E402
from sftdiag.searches import store as storing  # noqa: E402
from sftdiag.searches.outcome import COMPLETE, FAILED, PRUNED, Outcome, Point, Trial  # noqa: E402
from sftdiag.searches.result import SearchResult  # noqa: E402
from sftdiag.searches.settings import Facts, key_of, usual_start  # noqa: E402
from sftdiag.searches.storages import opened  # noqa: E402
from sftdiag.searches.store import SETTINGS, Store  # noqa: E402
from sftdiag.searches.trial import run_trial  # noqa: E402

SETTINGS_OF_ONE = usual_start(START)
BATCH_ONLY = ("effective_batch",)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[SearchResult, Path, list]:
    """One whole search."""
    folder = tmp_path_factory.mktemp("search")
    told: list[Any] = []
    return sftdiag.search(make_trainer, START, folder=folder, progress=told.append), folder, told


def test_the_four_steps(found: tuple[SearchResult, Path, list]) -> None:
    result, folder, told = found
    steps = [made.step for made in result.choices]
    assert steps == ["learning_rate", "num_train_epochs", "r", "effective_batch"]
    assert result.choices[2].why == "no_rank"
    assert result.facts.method == "full"
    assert result.facts.rows == 16
    ended = [trial for trial in result.trials if trial.outcome.judged is not None]
    rates = {trial.settings["learning_rate"] for trial in result.trials}
    assert {1e-5, 2e-5, 5e-5, 3e-3} <= rates
    # The tiny model learns at rates far above the guide's; more epochs only help it.
    assert result.settings["learning_rate"] > 1e-3
    assert result.settings["num_train_epochs"] == 3
    assert min(t.outcome.judged for t in ended if t.step != "seeds") == min(
        made.best_loss for made in result.choices if made.best_loss is not None
    )
    assert result.seeds is not None
    assert all(len(t.outcome.rows.losses) == 60 for t in ended)
    assert not result.failed
    assert len({key_of(trial.settings) for trial in result.trials}) == len(result.trials)
    assert told[0].done == 0
    assert told[-1].left <= 1
    assert all(now.seconds_left is None or now.seconds_left >= 0 for now in told)
    assert (folder / "journal.log").exists()


def test_a_low_rate_is_pruned_with_its_cause_in_the_storage(
    found: tuple[SearchResult, Path, list],
) -> None:
    result, folder, _ = found
    assert result.pruned
    for trial in result.pruned:
        assert trial.settings != result.settings
        assert trial.outcome.last_step < trial.outcome.steps
    kept = optuna.load_study(study_name="sftdiag/learning_rate", storage=opened(None, str(folder)))
    pruned = [t for t in kept.trials if t.state == optuna.trial.TrialState.PRUNED]
    assert pruned
    assert all(trial.user_attrs["cause"] for trial in pruned)
    complete = [t for t in kept.trials if t.state == optuna.trial.TrialState.COMPLETE]
    assert all(t.intermediate_values and t.value for t in complete)


def test_the_loss_is_that_of_the_rows(found: tuple[SearchResult, Path, list]) -> None:
    done = [trial.outcome for trial in found[0].trials if trial.outcome.rows is not None]
    assert done
    for outcome in done:
        pairs = zip(outcome.rows.losses, outcome.rows.tokens, strict=True)
        mean = sum(loss * tokens for loss, tokens in pairs) / sum(outcome.rows.tokens)
        assert mean == pytest.approx(outcome.loss, rel=1e-3)


def test_a_search_that_is_over_trains_nothing_again(
    found: tuple[SearchResult, Path, list],
) -> None:
    result, folder, _ = found

    def never(settings: dict[str, Any]) -> Any:
        raise AssertionError("trained again")

    assert sftdiag.search(never, START, folder=folder) == result
    with pytest.raises(ConfigError, match="began with"):
        sftdiag.search(never, {"learning_rate": 1e-4}, folder=folder)


def test_the_report(found: tuple[SearchResult, Path, list]) -> None:
    result = found[0]
    shown = str(result)
    assert f"SFTConfig.num_train_epochs: 1 -> {result.settings['num_train_epochs']}" in shown
    assert "two seeds of the same settings" in shown
    assert "times the noise" in shown
    data = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert data["schema_version"] == 1
    assert len(data["trials"]) == len(result.trials)
    assert data["trials"][0]["outcome"]["curve"]
    page = html.page(result)
    assert page.count("<svg") >= 2
    assert not FETCHES.search(page)
    assert all(name in read(page).text for name in result.changes)
    chinese = text.render(result.replace(language="zh"))
    assert "学习率" in chinese
    assert "噪声" in chinese
    assert result.sft_config["learning_rate"] == result.settings["learning_rate"]
    assert result.lora_config == {}


def test_texts_of_exceptions_stay_on_the_terminal() -> None:
    outcome = Outcome(FAILED, reason="OSError", detail="/canary/path")
    facts = Facts("lora", 4, 10, 10)
    trial = Trial(1, "learning_rate", usual_start(None), outcome)
    result = SearchResult(usual_start(None), usual_start(None), facts, (), (trial,))
    assert "canary" in str(result)
    assert "canary" not in json.dumps(result.to_dict())
    assert "canary" not in html.page(result)


def test_a_nan_ends_a_trial_within_two_log_rows(tmp_path: Path) -> None:
    for every in (1, 2):

        def breaks(settings: dict[str, Any], every: int = every) -> Any:
            made = make_trainer(settings, logging_steps=every)
            made.add_callback(Break(9))
            return made

        outcome = run_trial(breaks, {**SETTINGS_OF_ONE, "num_train_epochs": 4}, str(tmp_path))
        # At step 10 an evaluation meets the NaN first, or the log's row does.
        assert outcome.state == PRUNED
        assert outcome.cause in ("SFT106", "SFT203")
        assert outcome.last_step <= 9 + 1 + 2 * every
        assert outcome.steps == 32


def test_a_setting_that_nothing_reads_fails_the_trial(tmp_path: Path) -> None:
    def ignores(settings: dict[str, Any]) -> Any:
        return make_trainer({**settings, "learning_rate": 1e-3})

    outcome = run_trial(ignores, SETTINGS_OF_ONE, str(tmp_path))
    assert (outcome.state, outcome.reason) == (FAILED, "ValueError")
    assert outcome.detail == "make_trainer does not pass on learning_rate"


def sometimes(settings: dict[str, Any]) -> Any:
    if settings["gradient_accumulation_steps"] == 2:
        raise RuntimeError("no room for two")
    return make_trainer(settings)


def test_a_make_trainer_that_fails_costs_its_trial_only(tmp_path: Path) -> None:
    result = sftdiag.search(sometimes, START, folder=tmp_path, steps=BATCH_ONLY)
    (failed,) = result.failed
    assert (failed.outcome.reason, failed.outcome.detail) == ("RuntimeError", "no room for two")
    assert len(result.trials) == 3
    assert "RuntimeError: no room for two" in str(result)
    # Again: it is done. Asked to, what failed is run anew.
    assert sftdiag.search(sometimes, START, folder=tmp_path, steps=BATCH_ONLY) == result
    again = sftdiag.search(
        make_trainer, START, folder=tmp_path, steps=BATCH_ONLY, retry_failed=True
    )
    assert not again.failed
    assert len(again.trials) == 3


def test_it_stops_at_a_failed_trial_where_asked(tmp_path: Path) -> None:
    with pytest.raises(UnhealthyRunError, match="RuntimeError: no room for two"):
        sftdiag.search(sometimes, START, folder=tmp_path, steps=BATCH_ONLY, on_error="stop")
    done = Store(None, str(tmp_path), "sftdiag").done()
    assert [t.outcome.state for t in done.values()].count(COMPLETE) == 1
    assert [t.outcome.state for t in done.values()].count(FAILED) == 1


def test_a_fault_that_every_trial_would_have_ends_it_at_once(tmp_path: Path) -> None:
    masked = [{**row, "labels": [-100] * len(row["labels"])} for row in small_search.TRAIN]

    def broken(settings: dict[str, Any]) -> Any:
        made = make_trainer(settings)
        made.train_dataset = type(made.train_dataset).from_list(masked)
        return made

    with pytest.raises(UnhealthyRunError, match="SFT401"):
        sftdiag.search(broken, START, folder=tmp_path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"start": {"learningrate": 1}}, "did you mean learning_rate"),
        ({"start": {"learning_rate": -1}}, "above 0"),
        ({"start": {"r": "x"}}, "must be a number"),
        ({"steps": ["rank"]}, "steps are"),
        ({"on_error": "wait"}, "on_error must be"),
        ({"engine": "slurm"}, "engine must be"),
        ({"storage": "nosuchdb://x"}, "cannot be opened"),
    ],
)
def test_wrong_options(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        sftdiag.search(make_trainer, **{"folder": tmp_path, **options})


def call(storage: str, folder: Path, notes: Path, **more: str) -> subprocess.Popen[str]:
    """Start a search in a process of its own."""
    script = ROOT / "tests" / "helpers" / "small_search.py"
    command = [sys.executable, "-m", "sftdiag", "search", f"{script}:counted", "--format", "json"]
    command += ["--folder", str(folder), "--storage", storage]
    command += ["--steps", "learning_rate"]
    command += [f"--start={name}={value}" for name, value in START.items()]
    paths = [ROOT, ROOT / "examples", ROOT / "tests" / "helpers", *sys.path]
    known = {"PYTHONPATH": os.pathsep.join(map(str, paths)), "SEARCH_NOTES": str(notes)}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=open(folder.parent / "errors", "a"),
        text=True,
        env={**os.environ, **known, **more},
    )


def errors(folder: Path) -> str:
    """Return what the processes said on standard error."""
    lines = (folder / "errors").read_text().splitlines()
    return "\n".join(line for line in lines if line.startswith("sftdiag: "))


def trained(notes: Path) -> Counter[str]:
    """Return how often each settings were trained."""
    lines = notes.read_text().splitlines()
    return Counter(line.partition(" ")[2] for line in lines)


@pytest.mark.slow
def test_two_processes_share_the_trials_and_a_killed_one_loses_its_own_only(
    tmp_path: Path,
) -> None:
    """The first is killed in mid-trial; then two go on, and none trains what another has."""
    notes, storage = tmp_path / "notes", f"sqlite:///{tmp_path}/search.db"
    first = call(storage, tmp_path / "out", notes, SEARCH_DIES_AT="3")
    first.communicate(timeout=300)
    assert first.returncode == 9
    assert len(trained(notes)) == 3
    both = [call(storage, tmp_path / "out", notes) for _ in range(2)]
    printed = [process.communicate(timeout=500)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors(tmp_path)
    # What the trainers print goes to standard error.
    one, other = map(json.loads, printed)
    assert one["settings"] == other["settings"]
    counts = trained(notes)
    # The killed trial is the only one that was begun twice.
    assert sorted(counts.values())[-2:] == [1, 2]
    assert len(one["trials"]) == len(counts)
    processes = {line.split()[0] for line in notes.read_text().splitlines()}
    assert len(processes) == 3


def test_a_trial_is_claimed_once_and_given_up_when_its_process_is_gone(tmp_path: Path) -> None:
    storage = opened(None, str(tmp_path))
    one, other = Store(storage, "", "x"), Store(storage, "", "x")
    trial = one.claim("learning_rate", SETTINGS_OF_ONE)
    assert trial is not None
    assert other.claim("learning_rate", SETTINGS_OF_ONE) is None
    assert one.tell("learning_rate", trial, Outcome(COMPLETE, 1.0, steps=1))
    assert other.claim("learning_rate", SETTINGS_OF_ONE) is None
    more = {**SETTINGS_OF_ONE, "learning_rate": 1.0}
    gone = one.claim("learning_rate", more)
    assert gone is not None
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    machine, _, started = str(gone.user_attrs["sftdiag:owner"]).split(":")
    gone.set_user_attr("sftdiag:owner", f"{machine}:{dead}:{started}")
    taken = other.claim("learning_rate", more)
    assert taken is not None
    # The first one was only paused: what it found comes too late and changes nothing.
    assert not one.tell("learning_rate", gone, Outcome(COMPLETE, 0.5, steps=1))
    assert other.tell("learning_rate", taken, Outcome(COMPLETE, 2.0, steps=1))
    assert sorted(t.outcome.loss for t in other.done().values()) == [1.0, 2.0]


def test_settings_are_trained_once_whichever_step_asks_for_them(tmp_path: Path) -> None:
    storage = opened(None, str(tmp_path))
    one, other = Store(storage, "", "x"), Store(storage, "", "x")
    trial = one.claim("learning_rate", SETTINGS_OF_ONE)
    assert other.claim("effective_batch", SETTINGS_OF_ONE) is None
    assert one.tell("learning_rate", trial, Outcome(COMPLETE, 1.0, steps=1))
    assert other.claim("effective_batch", SETTINGS_OF_ONE) is None


def test_what_a_trial_came_to_outlives_a_storage_that_is_away_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storing, "PAUSE", 0.0)
    store = Store(None, str(tmp_path), "x")
    trial = store.claim("learning_rate", SETTINGS_OF_ONE)
    write, away = trial.set_user_attr, iter(range(storing.TRIES - 1))

    def locked(name: str, value: Any) -> None:
        if next(away, None) is not None:
            raise optuna.exceptions.StorageInternalError("database is locked")
        write(name, value)

    monkeypatch.setattr(trial, "set_user_attr", locked)
    assert store.tell("learning_rate", trial, Outcome(COMPLETE, 1.0, steps=1))
    assert [t.outcome.loss for t in store.done().values()] == [1.0]
    more = {**SETTINGS_OF_ONE, "learning_rate": 1.0}
    trial = store.claim("learning_rate", more)
    away = iter(range(storing.TRIES))
    write = trial.set_user_attr
    monkeypatch.setattr(trial, "set_user_attr", locked)
    with pytest.raises(ConfigError, match="did not take what a trial came to: database is locked"):
        store.tell("learning_rate", trial, Outcome(COMPLETE, 1.0, steps=1))


def test_a_kill_while_a_trial_is_told_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(None, str(tmp_path), "x")
    trial = store.claim("learning_rate", SETTINGS_OF_ONE)

    def killed(*args: Any) -> None:
        raise SystemExit

    monkeypatch.setattr(trial, "report", killed)
    with pytest.raises(SystemExit):
        store.tell("learning_rate", trial, Outcome(COMPLETE, 1.0, (Point(1, 1.0, 1.0),), steps=1))
    trial.set_user_attr("sftdiag:owner", "elsewhere:1:2")
    trial.set_user_attr("sftdiag:heartbeat", 0.0)
    again = Store(None, str(tmp_path), "x")
    assert again.claim("learning_rate", SETTINGS_OF_ONE) is None
    assert [t.outcome.loss for t in again.done().values()] == [1.0]


def test_a_number_that_another_process_has_got_since_is_no_sign_of_life() -> None:
    machine, process, started = owners.own().split(":")
    assert owners.is_gone(owners.own()) is False
    assert owners.is_gone(f"elsewhere:{process}:{started}") is None
    assert owners.is_gone("") is None
    if not Path("/proc/self/stat").exists():
        return
    # A container that was started again gives the same number to the same program.
    assert owners.is_gone(f"{machine}:{process}:{int(started) - 1}") is True
    assert owners.is_gone(f"{machine}:{process}") is None
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        stat = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
        assert owners.is_gone(f"{machine}:{child.pid}:{stat[19]}") is False
        assert child.stdin is not None
        child.stdin.close()
        while Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            time.sleep(0.01)
        # It has ended, and nobody has waited for it yet.
        assert owners.is_gone(f"{machine}:{child.pid}:{stat[19]}") is True


@pytest.mark.parametrize("where", ["sqlite:///{}/search.db", "{}/journal.log"])
def test_processes_that_begin_together_open_one_storage(where: str, tmp_path: Path) -> None:
    """On a database without tables each makes them, and all but one meet those of another."""
    script = (
        "import sys, time; from sftdiag.searches.store import Store\n"
        "print(flush=True); input(); Store(sys.argv[1], '', 'x').done()"
    )
    command = [sys.executable, "-W", "ignore", "-c", script, where.format(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [ROOT, *sys.path]))}
    processes = [subprocess.Popen(command, env=paths, **pipes) for _ in range(3)]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=100)
    assert [process.returncode for process in processes] == [0, 0, 0]


def test_a_trial_of_another_machine_is_lost_by_its_heartbeat(tmp_path: Path) -> None:
    store = Store(None, str(tmp_path), "x")
    trial = store.claim("learning_rate", SETTINGS_OF_ONE)
    trial.set_user_attr("sftdiag:owner", "elsewhere:1")
    assert store.claim("learning_rate", SETTINGS_OF_ONE) is None
    trial.set_user_attr("sftdiag:heartbeat", 0.0)
    assert store.claim("learning_rate", SETTINGS_OF_ONE) is not None


@pytest.mark.parametrize("where", ["sqlite:///{}/search.db", "{}/journal.log"])
def test_of_several_that_ask_at_once_one_trains(where: str, tmp_path: Path) -> None:
    """Each has a connection of its own, as processes have."""
    opening = where.format(tmp_path)
    Store(opening, "", "x").done()  # The tables are there before the threads ask.
    stores = [Store(opening, "", "x") for _ in range(4)]
    for store in stores:
        store.done()
    together = threading.Barrier(len(stores))
    for number in range(1, 6):
        settings = {**SETTINGS_OF_ONE, "learning_rate": number * 1e-4}
        claims: list[Any] = []

        def ask(store: Store, settings: dict[str, float] = settings) -> None:
            together.wait()
            claims.append(store.claim("learning_rate", settings))  # noqa: B023

        threads = [threading.Thread(target=ask, args=(store,)) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(claims) == len(stores)
        taken = [claim for claim in claims if claim is not None]
        assert len(taken) == 1
        assert stores[0].running()[-1] == settings
        assert taken[0].user_attrs[SETTINGS] == settings
        assert stores[1].tell("learning_rate", taken[0], Outcome(COMPLETE, 1.0, steps=1))
    assert len(stores[2].done()) == number


def test_a_journal_whose_last_line_was_torn_goes_on(tmp_path: Path) -> None:
    store = Store(None, str(tmp_path), "x")
    trial = store.claim("learning_rate", SETTINGS_OF_ONE)
    store.tell("learning_rate", trial, Outcome(COMPLETE, 1.0, steps=1))
    with open(tmp_path / "journal.log", "ab") as file:
        file.write(b'{"op_code":5,"torn')
    again = Store(None, str(tmp_path), "x")
    assert len(again.done()) == 1
    assert again.claim("learning_rate", {**SETTINGS_OF_ONE, "learning_rate": 0.5}) is not None
    assert len(Store(None, str(tmp_path), "x").done()) == 1


def test_an_interrupt_gives_the_trial_up(tmp_path: Path) -> None:
    def interrupted(settings: dict[str, Any]) -> Any:
        if settings["output_dir"].endswith("first"):
            return make_trainer(settings)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sftdiag.search(interrupted, START, folder=tmp_path, steps=BATCH_ONLY)
    store = Store(None, str(tmp_path), "sftdiag")
    assert store.done() == {}
    assert store.claim("effective_batch", SETTINGS_OF_ONE) is not None


def test_the_command_line_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "script.py"
    script.write_text("x = 1\n")
    fails, wrong, nothing = (tmp_path / f"{name}.py" for name in ("fails", "wrong", "nothing"))
    fails.write_text("one = 1\nx = one / 0\n")
    wrong.write_text("def (\n")
    nothing.write_text("def make_trainer(settings):\n    pass\n")
    for arguments, said in (
        ([str(tmp_path / "none.py")], "no such Python file"),
        ([f"{script}:make"], "has no function make"),
        ([str(script)], "has no function make_trainer"),
        ([str(script), "--start", "r:3"], "written as learning_rate=2e-4"),
        ([str(fails)], f"{fails}, line 2: ZeroDivisionError: division by zero\n"),
        ([str(wrong)], f"{wrong}, line 1: SyntaxError: "),
        ([str(nothing), "--folder", str(tmp_path)], "make_trainer is to return a transformers"),
    ):
        assert main(["search", *arguments]) == 2
        assert said in capsys.readouterr().err


def test_the_command_line_says_in_chinese_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "script.py"
    script.write_text("x = 1\n")
    whole = tmp_path / "whole.py"
    whole.write_text("def make_trainer(settings):\n    raise OSError('no disk')\n")
    journal = tmp_path / "journal"
    journal.write_text("no journal\nand its last line")
    for arguments, said in (
        ([str(tmp_path / "none.py")], "没有这个 Python 文件"),
        ([str(script)], "没有函数 make_trainer"),
        ([str(script), "--start", "r:3"], "--start 写作 learning_rate=2e-4"),
        ([str(whole), "--start", "lr=3"], "搜索可设的参数有 learning_rate"),
        ([str(whole), "--start", "r=-3"], "r 必须大于 0，得到的是 -3"),
        ([str(whole), "--steps", "rank"], "步骤有 learning_rate"),
        ([str(whole), "--storage", "nothing://x"], "无法打开存储"),
        ([str(whole), "--storage", str(journal)], "不是 Optuna 的日志文件"),
    ):
        folder = ["--folder", str(tmp_path / "search"), "--lang", "zh"]
        assert main(["search", *arguments, *folder]) == 2
        assert said in capsys.readouterr().err, said
    assert journal.read_text() == "no journal\nand its last line"


def test_errors_of_a_search_have_their_chinese(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    script = tmp_path / "breaks.py"
    script.write_text(
        "from small_search import make_trainer as good\n"
        "def make_trainer(settings):\n"
        "    if not settings['output_dir'].endswith('first'):\n"
        "        raise OSError('no disk')\n"
        "    return good(settings)\n"
    )
    given = ["search", str(script), "--folder", str(tmp_path / "search"), "--lang", "zh"]
    assert main([*given, "--on-error", "stop"]) == 2
    assert "一次试验失败：OSError: no disk" in capsys.readouterr().err
    assert main(given) == 2
    assert "学习率的试验没有一次训练到底：OSError: no disk" in capsys.readouterr().err
    assert main([*given, "--start", "r=8"]) == 2
    assert "存储中已有一次以" in capsys.readouterr().err


def test_a_nan_outcome_is_never_judged() -> None:
    assert Outcome(COMPLETE, nan).judged is None
    assert Outcome(PRUNED, 1.0).judged is None
