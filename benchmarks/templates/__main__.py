"""Prints docs/templates.md: family x kind of row x what sftdiag says, and the injected faults."""

from __future__ import annotations

import argparse
import copy
import importlib
import logging
import os
import warnings
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from benchmarks.templates.families import FAMILIES, Family, Unavailable, tokenizer
from benchmarks.templates.faults import FAULTS
from benchmarks.templates.judge import Said, by_file, by_trainer, can_mask, tiny, without_cache
from benchmarks.templates.kinds import KINDS, Row, rows_of
from benchmarks.templates.truths import Truth, stops_elsewhere, truth_of

DOCS = Path(__file__).resolve().parents[2] / "docs" / "templates.md"

FILE, TRAINER = "inspect", "preflight"


class Cell(NamedTuple):
    """What was said of a family's rows of a kind, and what is true."""

    family: str
    kind: str
    way: str
    said: Said
    truth: Truth

    @property
    def false(self) -> frozenset[str]:
        """Warnings that nothing else explains and that are not true."""
        return roots(self.said) - self.truth.codes

    @property
    def missed(self) -> frozenset[str]:
        """True warnings that were not given, of rows that could be looked at."""
        if not self.said.judged or self.said.refused is not None:
            return frozenset()
        return self.truth.codes - frozenset(self.said.warnings)

    @property
    def text(self) -> str:
        """What stands in the table."""
        if self.false:
            return f"**false: {', '.join(sorted(self.false))}**"
        if self.missed:
            return f"**not named: {', '.join(sorted(self.missed))}**"
        if self.said.refused is not None:
            return "TRL refuses" if self.said.refused.startswith("TRL") else "refused"
        said = ", ".join(sorted(roots(self.said)))
        notes = ", ".join(f"({code})" for code in self.said.notes)
        quiet = "silent" if self.said.judged else "not judged"
        return " ".join(part for part in (said, notes) if part) or quiet


def roots(said: Said) -> frozenset[str]:
    """Return the codes of warnings that no other finding explains."""
    findings = said.report.findings if said.report is not None else ()
    loud = [f for f in findings if f.code in said.warnings and f.severity.label != "info"]
    return frozenset(finding.code for finding in loud if finding.consequence_of is None)


def cells(family: Family, way: str) -> list[Cell]:
    """Return every kind of row of a family, as a file or as a trainer sees it."""
    known = tokenizer(family)
    mask = can_mask(known)
    model = tiny(known) if way == TRAINER else None
    return [cell(family, kind, way, known, mask, model) for kind in KINDS]


def cell(family: Family, kind: str, way: str, known: Any, mask: bool, model: Any) -> Cell:
    """Return what is said of one kind of row; conversations train their answers where they can."""
    rows = rows_of(kind)
    options: dict[str, Any] = {}
    if mask and kind != "pre-tokenized" and {"messages", "conversations"} & set(rows[0]):
        options["assistant_only_loss"] = True
    truth = truth_of(_as_trained(known) if options else known, kind, rows)
    if kind == "pre-tokenized":
        rows = [_tokens(known, row) for row in rows]
    if way == FILE:
        said = by_file(family, rows, known, **options)
        return Cell(family.name, kind, way, said, truth)
    given: Any = rows
    if kind == "streamed":
        datasets: Any = importlib.import_module("datasets")
        given = datasets.IterableDataset.from_generator(lambda: iter(rows))
        options["max_steps"] = 5
    said = by_trainer(family, given, known, model, **options)
    talks = kind not in ("text", "prompt, completion text") and "SFT410" not in truth.codes
    if stops_elsewhere(known, kind) and talks:
        truth = truth._replace(codes=truth.codes | {"SFT423"})
    if truth.codes >= {"SFT410"} and "SFT403" in said.warnings:
        # Rows that were dropped whole cannot be looked at: what is true is that they were dropped.
        truth = truth._replace(codes=frozenset({"SFT403"}))
    return Cell(family.name, kind, way, said, truth)


def _as_trained(known: Any) -> Any:
    """Return a tokenizer with the template that TRL renders rows with to mask them."""
    from trl.chat_template_utils import get_training_chat_template

    template = get_training_chat_template(known)
    if template is None:
        return known
    trained = copy.copy(known)
    trained.chat_template = template
    return trained


def _tokens(known: Any, row: Row) -> Row:
    if known.chat_template:
        ids = known.apply_chat_template(row["messages"], return_dict=True)["input_ids"]
    else:
        ids = known(" ".join(m["content"] for m in row["messages"]) + known.eos_token)["input_ids"]
    return {"input_ids": list(ids)}


class Injected(NamedTuple):
    """A fault in a family's rows: what came first, and whether that is right."""

    family: str
    fault: str
    first: str
    right: bool


def injected(family: Family) -> list[Injected]:
    """Return every fault that a family's tokenizer can have."""
    base = tokenizer(family)
    found = []
    for name, fault in FAULTS.items():
        rows = fault.rows(base)
        template = fault.template(base) if fault.template is not None and rows else None
        if rows is None or (fault.template is not None and template is None):
            continue
        known = base
        if template is not None:
            known = copy.copy(base)
            known.chat_template = template
        said = by_file(family, rows, known, **fault.options)
        report = said.report
        first = report.primary.code if report is not None and report.primary is not None else "-"
        found.append(Injected(family.name, name, first, first in fault.codes))
    return found


def page(every: list[Cell], faults: list[Injected], missing: list[str]) -> str:
    """Return docs/templates.md."""
    false = [one for one in every if one.false]
    missed = [one for one in every if one.missed]
    right = sum(one.right for one in faults)
    lines = [
        "<!-- Written by python -m benchmarks.templates --write. -->",
        "",
        "# Real templates, real rows",
        "",
        "What sftdiag says of 48 sound rows of each kind with real tokenizers and chat templates:",
        f"`{FILE}` of a file, `{PREFLIGHT}` of a trainer that TRL has prepared. Conversations",
        "train their answers alone where TRL can mask the template, else whole and on purpose.",
        "A warning that stands here is true: what the template writes was compared with the row,",
        "without sftdiag's code. Notes are in brackets.",
        "",
        f"{len(every)} cells: {len(false)} with a false warning, {len(missed)} with a true one that"
        f" is not named. {right} of {len(faults)} injected faults come first by the right name"
        f" ({right / max(1, len(faults)):.1%}).",
    ]
    if missing:
        lines += ["", f"Not fetched: {', '.join(missing)}."]
    for way in (FILE, TRAINER):
        lines += ["", f"## {way}", "", *_table([one for one in every if one.way == way])]
    lines += ["", "## What the codes say", "", *CODES, "", "## Injected faults", ""]
    lines += _fault_table(faults)
    return "\n".join(lines) + "\n"


PREFLIGHT = "preflight(trainer)"

CODES = (
    "- SFT403: rows are dropped, since the template writes nothing for their roles.",
    "- SFT406: the template writes the header of another answer after the last one, and it is",
    "  trained.",
    "- SFT407 (a note): plain text lacks the begin token that every conversation has.",
    "- SFT410: the roles are not those that the template knows.",
    "- SFT423: the turn ends with another token than generation stops at.",
    "- SFT424: tool calls, tools or thinking are not written.",
    "- SFT425: the prompt alone is tokenized otherwise than in its row.",
    "- SFT426 (a note): columns that TRL does not read.",
    "- refused: `inspect` ends with the template's own message, or says that there is none.",
)


def _table(cells_: list[Cell]) -> list[str]:
    families = list(dict.fromkeys(one.family for one in cells_))
    at = {(one.family, one.kind): one.text for one in cells_}
    head = ["| rows | " + " | ".join(families) + " |", "|---" * (len(families) + 1) + "|"]
    rows = [
        f"| {kind} | " + " | ".join(at.get((family, kind), "") for family in families) + " |"
        for kind in KINDS
    ]
    return head + rows


def _fault_table(faults: list[Injected]) -> list[str]:
    families = list(dict.fromkeys(one.family for one in faults))
    at = {(one.family, one.fault): one.first if one.right else f"**{one.first}**" for one in faults}
    head = ["| fault | " + " | ".join(families) + " |", "|---" * (len(families) + 1) + "|"]
    rows = [
        f"| {fault} | " + " | ".join(at.get((family, fault), "") for family in families) + " |"
        for fault in FAULTS
    ]
    return head + rows


def main() -> None:
    """Print or write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/templates.md")
    parser.add_argument("--only", nargs="*", help="packages of the families to look at")
    parser.add_argument("--way", choices=(FILE, TRAINER), help="one of the two ways")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.ERROR)
    without_cache()
    every: list[Cell] = []
    faults: list[Injected] = []
    missing: list[str] = []
    for family in FAMILIES:
        if options.only and family.package not in options.only:
            continue
        try:
            tokenizer(family)
        except Unavailable as error:
            missing.append(str(error))
            continue
        for way in (FILE, TRAINER):
            if options.way in (None, way):
                every += cells(family, way)
        faults += injected(family)
    text = page(every, faults, missing)
    if options.write:
        DOCS.write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
