"""Snippets of docs/gates.md and pages.md run as they stand (generate.py --check holds outputs)."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import junitparser
import pytest
from conftest import ROOT

from sftdiag.config import load_settings

yaml = pytest.importorskip("yaml")
from docs import printed  # noqa: E402

PAGE = (ROOT / "docs" / "gates.md").read_text(encoding="utf-8")
SNIPPETS = [(kind, code) for kind, code in printed.FENCED.findall(PAGE)]


@pytest.fixture
def folder() -> Iterator[Path]:
    with printed.workspace(PAGE) as made:
        yield made


def test_every_kind_of_snippet_is_run_here() -> None:
    kinds = {kind for kind, _ in SNIPPETS}
    assert kinds == {"python", "sh", "toml", "yaml"}
    titled = [code.split("\n")[0] for kind, code in SNIPPETS if kind != "sh"]
    assert all(re.match(r"# [\w./-]+", title) for title in titled), titled
    commands = "".join(code for kind, code in SNIPPETS if kind == "sh")
    for kind, code in SNIPPETS:
        assert kind != "python" or code.split("\n")[0].removeprefix("# ") in commands


def test_the_commands_exit_as_they_say(folder: Path) -> None:
    commands = [line for kind, code in SNIPPETS if kind == "sh" for line in code.splitlines()]
    assert len(commands) > 15
    for command in commands:
        _, _, told = command.partition("# exit code ")
        done = printed.call(command, folder)
        assert done.code == int(told or 0), (command, done)
    baseline = json.loads((folder / "baseline.json").read_text())
    assert {entry["code"] for entry in baseline["accepted"]} >= {"SFT201", "SFT101"}
    assert (folder / "run.html").read_text().startswith("<!doctype html>")


def test_the_commands_of_the_page_on_pages(folder: Path) -> None:
    page = (ROOT / "docs" / "pages.md").read_text(encoding="utf-8")
    (folder / "outputs").symlink_to(folder / "runs" / "main")
    commands = [code.strip() for kind, code in printed.FENCED.findall(page) if kind == "sh"]
    assert len(commands) == 3
    for command in commands:
        done = printed.call(command, folder)
        assert done.code == int(command.partition("# exit code ")[2] or 0), done
    for name in ("run", "fleet", "compare"):
        assert (folder / f"{name}.html").read_text().startswith("<!doctype html>")


def test_the_settings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = [code for kind, code in SNIPPETS if kind == "toml"]
    (folder / "sftdiag.toml").write_text(code)
    monkeypatch.chdir(folder)
    settings = load_settings()
    assert (settings.fail_on.label, set(settings.ignore)) == ("warning", {"SFT105"})


def test_the_action_does_what_the_page_shows(folder: Path) -> None:
    done, summary = printed.action(folder, printed.job(PAGE))
    assert done.code == 1
    assert done.out.startswith("::error file=runs/new,title=SFT201 eval-loss-rising::")
    assert "SFTConfig.num_train_epochs`: 80 → 25" in summary
    suites = junitparser.JUnitXml.fromfile(str(folder / "sftdiag.xml"))
    assert suites.failures == 1
    assert json.loads((folder / "sftdiag.sarif").read_text())["version"] == "2.1.0"


def test_the_action_tells_bad_usage_from_a_sick_run(folder: Path) -> None:
    done, _ = printed.action(folder, {"runs": "runs/new"})
    assert done.code == 1
    done, summary = printed.action(folder, {"runs": "runs/new", "fail-on": "fatal"})
    assert (done.code, summary) == (2, "")
    assert "severity must be one of" in done.err or "--fail-on" in done.err
    healthy, summary = printed.action(folder, {"runs": "runs/main\n", "lang": "zh"})
    assert healthy.code == 0
    assert "🟢" in summary
    with pytest.raises(KeyError, match="run"):
        printed.action(folder, {"run": "runs/new"})


def test_the_action_takes_a_baseline(folder: Path) -> None:
    printed.call("sftdiag analyze runs/new --write-baseline known.json", folder)
    done, _ = printed.action(folder, {"runs": "runs/new", "baseline": "known.json"})
    assert done.code == 0


def test_the_job_of_gitlab(folder: Path) -> None:
    (job,) = [yaml.safe_load(c)["health"] for k, c in SNIPPETS if k == "yaml" and ".gitlab" in c]
    done = printed.call("\n".join(job["script"]), folder)
    assert done.code == 0, done
    assert (folder / job["artifacts"]["reports"]["junit"]).exists()


def test_the_hook(folder: Path) -> None:
    (config,) = [yaml.safe_load(c) for k, c in SNIPPETS if k == "yaml" and ".pre-commit" in c]
    (wanted,) = config["repos"][0]["hooks"]
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    (hook,) = [hook for hook in hooks if hook["id"] == wanted["id"]]
    committed = [str(p.relative_to(folder)) for p in folder.rglob("*.json")]
    files = [file for file in sorted(committed) if re.search(hook["files"], file)]
    assert "runs/new/trainer_state.json" in files
    command = " ".join([hook["entry"], *wanted["args"]])
    done = printed.call(f"{command} {' '.join(files)}", folder)
    assert done.code == 1
    assert done.out.count("\n") == len(files)
    assert printed.call(f"{command} runs/main/trainer_state.json", folder).code == 0


def test_links_of_the_page_are_there() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", PAGE)
    assert targets
    for target in targets:
        assert (ROOT / "docs" / target).exists(), target


def test_the_script_of_the_action_is_bash(tmp_path: Path) -> None:
    steps = yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"]
    for step in steps:
        subprocess.run(["bash", "-n"], input=step["run"], text=True, check=True)
