"""The reference of the public names, from their signatures and docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import sftdiag
from docs.site.codes import as_text

SECTIONS = ("Args", "Returns", "Raises", "Attributes", "Yields", "Examples", "Note")

LONGEST = 70
"""Characters of a signature on one line."""

PARTS = {
    "Judge a run": ("analyze", "assert_healthy", "compare", "assert_no_worse", "fleet"),
    "Watch a run": (
        "attach",
        "DiagnosticsCallback",
        "Guard",
        "Probes",
        "Loop",
        "smoke_test",
        "preflight",
    ),
    "Choose settings": ("recommend", "search"),
    "What is returned": ("Report", "Finding", "Cause", "Fix", "Severity", "Status"),
    "Below": ("Monitor", "LogRecord", "RunContext"),
    "Errors": ("SftdiagError", "ConfigError", "SourceError", "UnhealthyRunError"),
}


def page() -> str:
    """Return the page; a name that stands in no part stands at its end."""
    told = {"__version__", *(name for names in PARTS.values() for name in names)}
    rest = tuple(name for name in sftdiag.__all__ if name not in told)
    lines = ["# API", "", "Everything below is imported from `sftdiag`, and loads on first use."]
    for title, names in {**PARTS, **({"More": rest} if rest else {})}.items():
        lines += ["", f"## {title}"]
        for name in names:
            lines += ["", f"### {name} {{ #{name} }}", "", *_unit(name, getattr(sftdiag, name))]
    return "\n".join(lines) + "\n"


def _unit(name: str, unit: object) -> Iterator[str]:
    yield from ("```python", _signature(name, unit), "```", "")
    yield from documented(inspect.getdoc(unit) or "")
    if isinstance(unit, type) and not issubclass(unit, Exception):
        for key, member in vars(unit).items():
            function = member.__func__ if isinstance(member, classmethod) else member
            is_property = isinstance(member, property)
            if key.startswith("_") or not (is_property or inspect.isfunction(function)):
                continue
            summary = (inspect.getdoc(member) or "").partition("\n")[0]
            shown = key if is_property else f"{key}{_parameters(function, longest=1000)}"
            yield f"- `{name}.{shown}`: {_plain(summary)}"


def _signature(name: str, unit: object) -> str:
    if isinstance(unit, type):
        if "__init__" not in {key for base in unit.__mro__[:-1] for key in vars(base)}:
            return f"class {name}"
        fields = getattr(unit, "fields", ())
        made = f"({', '.join(fields)})" if fields else _parameters(unit)
        return f"class {name}{made}"
    return f"{name}{_parameters(unit)}"


def _parameters(function: object, longest: int = LONGEST) -> str:
    try:
        found = inspect.signature(function)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return "(...)"
    shown = [
        one.replace(annotation=inspect.Parameter.empty)
        for one in found.parameters.values()
        if one.name not in ("self", "cls")
    ]
    line = str(found.replace(parameters=shown, return_annotation=inspect.Signature.empty))
    if len(line) <= longest:
        return line
    return "(\n" + "".join(f"    {one},\n" for one in _names(shown)) + ")"


def _names(parameters: list[inspect.Parameter]) -> Iterator[str]:
    """Yield parameters as they are written, with the star before those by keyword only."""
    before = None
    for one in parameters:
        if one.kind is one.KEYWORD_ONLY and before not in (one.KEYWORD_ONLY, one.VAR_POSITIONAL):
            yield "*"
        before = one.kind
        yield str(one)


def documented(doc: str) -> Iterator[str]:
    """Yield a docstring in Google's style as Markdown."""
    section = ""
    for line in doc.split("\n"):
        head = re.fullmatch(r"(\w+):", line)
        if head and head[1] in SECTIONS:
            if section == "Examples":
                yield "```"
            section = head[1]
            yield from ("", f"**{section}**", "")
            if section == "Examples":
                yield "```python"
        elif section == "Examples":
            yield line.removeprefix("    ")
        elif section in ("", "Returns", "Yields", "Note"):
            yield _plain(line.strip())
        elif item := re.match(r"    ([\w*, ]+): (.*)", line):
            yield f"- `{item[1]}`: {_plain(item[2])}"
        else:
            yield f"  {_plain(line.strip())}".rstrip()
    if section == "Examples":
        yield "```"
    yield ""


def _plain(text: str) -> str:
    """Return text of a docstring: roles and double back quotes are code, nothing else is markup."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"``\1``", text)
    parts = re.split(r"(``[^`]+``)", text)
    return "".join(f"`{p[2:-2]}`" if i % 2 else as_text(p) for i, p in enumerate(parts))
