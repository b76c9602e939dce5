"""``sftdiag mcp``: the diagnosis as tools for agents, read-only and below one folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from sftdiag.errors import ConfigError, SftdiagError
from sftdiag.texts import LANGUAGES

if TYPE_CHECKING:
    import argparse

ABOUT = (
    "Diagnoses supervised fine-tuning runs from their logs: what went wrong, since which step, "
    "why, and what to change. A finding's causes are confirmed, likely, possible or ruled out by "
    "the run's own numbers: change first what the primary finding's best supported cause says, "
    "and do not act on a ruled-out one. A verdict of inconclusive says what to log instead."
)


def register(commands: Any, formatter_class: Any) -> None:
    """Add the subcommand to the parser."""
    parser = commands.add_parser(
        "mcp",
        formatter_class=formatter_class,
        description="Serves the Model Context Protocol over standard input and output; needs pip "
        "install 'sftdiag[mcp]'. Reads runs below one folder only, writes nothing, and tells no "
        "text of training rows.",
    )
    parser.add_argument("--root", default=".", metavar="DIR", help="runs below it (default: .)")
    parser.add_argument("--lang", choices=LANGUAGES, default="en", help="default: en")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serve until the client goes away."""
    server(options.root, options.lang).run("stdio")
    return 0


def server(root: str, lang: str = "en") -> Any:
    """Return the server of the runs below a folder.

    Raises:
        ConfigError: the package mcp is not installed, or there is no such folder.
    """
    try:
        from mcp.server.mcpserver import MCPServer
        from mcp.server.mcpserver.exceptions import ToolError
    except ImportError:
        told = "sftdiag mcp needs the package mcp: pip install 'sftdiag[mcp]'"
        raise ConfigError(told).keyed("needs_mcp") from None
    if not os.path.isdir(root):
        raise ConfigError(f"--root {root}: no such folder").keyed("no_root", root=root)
    made = MCPServer("sftdiag", instructions=ABOUT)
    for tool in tools(root, lang):
        made.add_tool(_telling(tool, ToolError))
    return made


def _telling(tool: Callable[..., Any], tool_error: type[Exception]) -> Callable[..., Any]:
    """Return the tool with its errors as those whose words the server hands to the agent."""

    @wraps(tool)
    def told(*given: Any, **named: Any) -> Any:
        try:
            return tool(*given, **named)
        except ValueError as error:
            raise tool_error(str(error)) from None

    return told


def tools(root: str, lang: str) -> list[Callable[..., Any]]:
    """Return the tools; each takes paths relative to the root, and raises ValueError otherwise."""
    base = os.path.realpath(root)

    def below(path: str) -> str:
        full = os.path.realpath(os.path.join(base, path))
        if os.path.commonpath([base, full]) != base:
            raise ValueError(f"{path}: only paths below the served folder are read")
        return full

    def told(report: Any) -> dict[str, Any]:
        content = report.to_dict()
        # Curves are for drawing; an agent reads the evidence.
        del content["curves"]
        content["source"] = os.path.relpath(report.source, base)
        return dict(content)

    def analyze(path: str) -> dict[str, Any]:
        """Diagnose one run: a trainer_state.json, a checkpoint's or a run's folder."""
        import sftdiag

        with _as_value_error():
            return told(sftdiag.analyze(below(path), lang=lang))

    def explain(code: str) -> str:
        """Explain a finding by its code or name: what it means, its causes and fixes."""
        from sftdiag.guide import catalogue

        with _as_value_error():
            return catalogue.explain(code, lang)

    def compare(baseline: str, run: str) -> dict[str, Any]:
        """Hold a run against a baseline of the same task, beyond the noise of both."""
        import sftdiag

        with _as_value_error():
            (found,) = sftdiag.compare(below(baseline), below(run))
        content = found.to_dict()
        return {
            **content,
            "baseline": os.path.relpath(found.baseline, base),
            "run": os.path.relpath(found.run, base),
        }

    def fleet(path: str = ".") -> dict[str, Any]:
        """Diagnose all runs below a folder: a line each, the severest first, grouped by cause."""
        import sftdiag

        with _as_value_error():
            return sftdiag.fleet(below(path), cached=False, jobs=1, lang=lang).to_dict()

    return [analyze, explain, compare, fleet]


class _as_value_error:
    """Turns errors of ours into ValueError, as those of a path are."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, SftdiagError):
            raise ValueError(str(error)) from None
