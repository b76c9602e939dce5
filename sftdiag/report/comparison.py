"""Two runs held against each other, as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sftdiag import texts
from sftdiag.report.full import setting
from sftdiag.report.line import Line
from sftdiag.values import Value

STYLES = {
    "worse": "bold red",
    "better": "bold green",
    "different": "bold yellow",
    "alike": "bold green",
    "unknown": "bold magenta",
}
"""How rich shows each outcome."""


def render(compared: Any, lang: str = "en") -> str:
    """Return a Comparison as plain text, ending with a newline."""
    return "\n".join(line.plain for line in lines(compared, lang)) + "\n"


def lines(compared: Any, lang: str) -> Iterator[Line]:
    """Yield a Comparison's lines: the outcome, each measure, the settings that differ."""
    words = words_of_comparisons(lang)
    outcome = words[compared.outcome]
    told = words["heading"].format(run=compared.run, baseline=compared.baseline, outcome="\0")
    before, _, after = told.partition("\0")
    yield Line(0, ((before, ""), (outcome, STYLES[compared.outcome]), (after, "")))
    yield from (Line(2, ((line, ""),)) for line in because(compared, words))
    for found in compared.differences:
        yield Line(2, ((_measure(found, words), "bold" if found.beyond else "dim"),))
    yield Line(0)
    if not compared.settings:
        yield Line(0, ((words["no_settings"], "dim"),))
        return
    yield Line(0, ((words["settings"] + words["colon"].rstrip(), "bold"),))
    for name, (old, new) in compared.settings.items():
        yield Line(2, ((f"{name}: {setting(old)} -> {setting(new)}", "cyan"),))


def words_of_comparisons(lang: str) -> texts.Texts:
    """Return the words of comparisons."""
    return texts.load(__file__, "comparison", lang)


def because(compared: Any, words: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a Comparison's outcome rests on, a sentence each."""
    if compared.decided_by is not None:
        yield words["decided"].format(measure=words[compared.decided_by])
    if compared.outcome == "different":
        yield words["by_heart" if compared.decided_by == "loss_end" else "starts_elsewhere"]
    if compared.other_rows:
        yield words["other_rows"]


def _measure(found: Value, words: Mapping[str, Any]) -> str:
    values: dict[str, Any] = {name: getattr(found, name) for name in found.fields}
    name = words[values["measure"]]
    text = "{name}{colon}{baseline:.4g} -> {run:.4g} ({change:+.1%}, ±{margin:.1%})".format(
        name=name, colon=words["colon"], **values
    )
    since = values["since_step"]
    return text if since is None else text + words["comma"] + words["since"].format(step=since)
