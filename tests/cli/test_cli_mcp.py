"""The tools for agents: what they say, and that they read below their folder only."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sftdiag.cli.main import main
from sftdiag.cli.mcp import server, tools


@pytest.fixture
def served(runs: Path) -> dict[str, Callable[..., Any]]:
    return {tool.__name__: tool for tool in tools(str(runs), "en")}


def test_what_the_tools_say(served: dict[str, Callable[..., Any]]) -> None:
    found = served["analyze"]("overfitting")
    assert (found["source"], found["primary"]) == ("overfitting", "SFT201")
    assert json.dumps(found, allow_nan=False)
    assert "curves" not in found
    assert "overfit" in served["explain"]("SFT201")
    assert served["compare"]("healthy", "learning-rate-too-low")["outcome"] == "worse"
    verdicts = {row["verdict"] for row in served["fleet"]()["rows"]}
    assert {"error", "healthy"} <= verdicts


@pytest.mark.parametrize("path", ["..", "../..", "/", "overfitting/../../..", "/etc"])
def test_nothing_above_the_folder_is_read(served: dict[str, Callable[..., Any]], path: str) -> None:
    for call in (
        lambda: served["analyze"](path),
        lambda: served["compare"]("healthy", path),
        lambda: served["fleet"](path),
    ):
        with pytest.raises(ValueError, match="only paths below"):
            call()


def test_a_link_out_of_the_folder_is_not_followed(runs: Path, tmp_path: Path) -> None:
    os.symlink(runs / "healthy", tmp_path / "link")
    analyze = tools(str(tmp_path), "en")[0]
    with pytest.raises(ValueError, match="only paths below"):
        analyze("link")


def test_errors_are_a_line(served: dict[str, Callable[..., Any]]) -> None:
    with pytest.raises(ValueError, match="no such file or folder"):
        served["analyze"]("none")
    with pytest.raises(ValueError, match="unknown code"):
        served["explain"]("SFT999")


def test_a_client_lists_and_calls_the_tools(runs: Path) -> None:
    pytest.importorskip("mcp.server.mcpserver")
    import anyio
    from mcp import Client

    async def ask() -> tuple[set[str], list[str]]:
        async with Client(server(str(runs))) as client:
            listed = await client.list_tools()
            asked = [("analyze", "path", "overfitting"), ("explain", "code", "SFT999")]
            asked += [("analyze", "path", path) for path in ("none", "../..")]
            said = [await client.call_tool(tool, {name: value}) for tool, name, value in asked]
            return {tool.name for tool in listed.tools}, [str(each) for each in said]

    names, said = anyio.run(ask)
    assert names == {"analyze", "explain", "compare", "fleet"}
    wanted = ("SFT201", "unknown code", "no such file or folder", "only paths below")
    assert [word in told for word, told in zip(wanted, said, strict=True)] == [True] * 4


def test_without_the_package_it_says_how(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "mcp.server.mcpserver", None)
    assert main(["mcp", "--root", str(runs)]) == 2
    assert "pip install 'sftdiag[mcp]'" in capsys.readouterr().err
