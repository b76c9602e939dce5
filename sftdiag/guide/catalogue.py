"""The guide as text: every code, and what is known of one. ``explain``, ``rules`` and the docs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from string import Formatter
from typing import TYPE_CHECKING

from sftdiag import texts
from sftdiag.context import RunContext
from sftdiag.detectors import DETECTORS
from sftdiag.errors import ConfigError, meant
from sftdiag.findings import Detection, Severity
from sftdiag.guide import wording
from sftdiag.guide.base import Case, Symptom
from sftdiag.guide.symptoms import NAMES, SYMPTOMS
from sftdiag.signals.stream import Signals
from sftdiag.values import Value

if TYPE_CHECKING:
    from sftdiag.checks import Check

CURVES = "curves"

_DETECTED = {kind.code: kind for kind in DETECTORS}

NOTES: dict[str, str] = {note: kind.code for kind in DETECTORS for note in kind.notes}
"""Names of the info notes, with the code each belongs to."""


class Rule(Value):
    """A row of ``sftdiag rules``."""

    code: str
    name: str
    severity: str
    seen_by: str
    title: str


def rules(lang: str) -> list[Rule]:
    """Return every code and note in one language, in the order of the codes."""
    words = texts.load(__file__, "explain", lang)
    rows = []
    for symptom in SYMPTOMS:
        title = texts.load(__file__, symptom.name, lang)["title"]
        row = (symptom.code, symptom.name, symptom.severity.label, words[symptom.seen_by], title)
        rows.append(Rule(*row))
        for note in _notes(symptom):
            title = wording.seen(symptom, lang)["notes"][note]["title"]
            rows.append(Rule(symptom.code, note, Severity.INFO.label, words["log"], title))
    for check in _checks():
        title = _check_texts(check, lang)["title"]
        rows.append(Rule(check.code, check.name, check.severity.label, words["check"], title))
    return rows


def _checks() -> tuple[Check, ...]:
    # Their modules load only when they are asked for: a log needs none of them.
    from sftdiag.checks import CHECKS

    return CHECKS


def check_selectors(selectors: Iterable[str]) -> None:
    """Check that every selector is a code, the beginning of one, or a name.

    Raises:
        ConfigError: one is not.
    """
    names = NAMES.values() | NOTES.keys()
    for selector in selectors:
        code = selector.upper()
        known = code.startswith("SFT") and any(known.startswith(code) for known in NAMES)
        if selector not in names and not known and not _is_check(selector):
            told = f"unknown code or name {selector!r}; see `sftdiag rules`"
            raise ConfigError(told + meant(selector, _known()))


def _known() -> list[str]:
    """Return every code and name."""
    checks = [text for check in _checks() for text in (check.code, check.name)]
    return [*NAMES, *NAMES.values(), *NOTES, *checks]


def _is_check(selector: str) -> bool:
    code = selector.upper()
    by_code = code.startswith("SFT")
    return any(
        selector == check.name or (by_code and check.code.startswith(code)) for check in _checks()
    )


def explain(code: str, lang: str) -> str:
    """Return what the guide says of a code, a name, a note or ``curves``.

    Raises:
        ConfigError: there is no such code or name.
    """
    if code == CURVES:
        return _explain_curves(lang)
    wanted = NOTES.get(code, code)
    for symptom in SYMPTOMS:
        if wanted.upper() == symptom.code or wanted == symptom.name:
            return _explain_symptom(symptom, lang)
    for check in _checks():
        if code.upper() == check.code or code == check.name:
            return _explain_check(check, lang)
    told = f"unknown code or name {code!r}; see `sftdiag rules`, or `curves`"
    raise ConfigError(told + meant(code, [CURVES, *_known()]))


def _explain_symptom(symptom: Symptom, lang: str) -> str:
    words = texts.load(__file__, "explain", lang)
    unit = wording.of(symptom, lang)
    seen = wording.seen(symptom, lang)
    causes = texts.load(__file__, "causes", lang)
    severity = f"{words['severity']}: {symptom.severity.label}"
    lines = [
        f"{symptom.code} {symptom.name}: {unit['title']}",
        f"{severity}, {words[symptom.seen_by]}",
        "",
        unit["explanation"].strip(),
        "",
        *_sentences(seen["seen"], words),
        "",
        f"{words['why']}: {unit['why']}",
        "",
        f"{words['causes']}:",
    ]
    # Fixes are written for a run; with nothing known of it they say what holds in general.
    detection = Detection(symptom.code, symptom.name, symptom.severity, 0, 0, "loss")
    unknown = Case(detection, Signals(RunContext()))
    for rule in symptom.causes:
        lines.append(f"- {causes[rule.id]} ({rule.id})")
        for propose in rule.fixes:
            if (advice := propose(unknown)) is not None:
                lines.append(f"    {unit['fixes'][advice.key].format(**advice.values)}")
    for note in _notes(symptom):
        about = seen["notes"][note]
        lines += ["", f"{words['notes']}: {about['title']} ({note})"]
        lines += [_with_names(about["seen"]), about["why"]]
    return "\n".join(lines)


def _explain_check(check: Check, lang: str) -> str:
    words = texts.load(__file__, "explain", lang)
    unit = _check_texts(check, lang)
    names = texts.load(__file__, "causes", lang)
    lines = [
        f"{check.code} {check.name}: {unit['title']}",
        f"{words['severity']}: {check.severity.label}, {words['check']}",
        "",
        unit["explanation"].strip(),
        "",
        *_sentences(unit["seen"], words),
        "",
        f"{words['why']}: {unit['why']}",
        "",
        f"{words['confirms']}: {', '.join(f'{names[id]} ({id})' for id in check.causes)}",
        "",
        f"{words['fixes']}:",
        *(f"- {text}" for text in unit["fixes"].values()),
    ]
    return "\n".join(lines)


def _sentences(seen: Mapping[str, str], words: texts.Texts) -> list[str]:
    """Return the sentences of which one tells what was seen, as a list with its heading."""
    named = dict.fromkeys(_with_names(sentence) for sentence in seen.values())
    return [f"{words['seen']}:", *(f"- {sentence}" for sentence in named)]


def _with_names(sentence: str) -> str:
    """Return a sentence with the names of a run's numbers, as the evidence in JSON has them."""
    parts = Formatter().parse(sentence)
    return "".join(f"{text}‹{name}›" if name else text for text, name, *_ in parts)


def _explain_curves(lang: str) -> str:
    words = texts.load(__file__, "explain", lang)
    unit = texts.load(__file__, "curves", lang)
    lines = [unit["title"]]
    for number, curve in enumerate(unit["curves"], start=1):
        known = [code for code in curve["codes"] if any(s.code == code for s in SYMPTOMS)]
        see = f" ({words['see']} {', '.join(known)})" if known else ""
        lines += [
            "",
            f"{number}. {curve['name']}: {curve['shape']}",
            f"   -> {curve['advice']}{see}",
        ]
    return "\n".join(lines)


def _notes(symptom: Symptom) -> tuple[str, ...]:
    kind = _DETECTED.get(symptom.code)
    return kind.notes if kind is not None else ()


def _check_texts(check: Check, lang: str) -> texts.Texts:
    from sftdiag import checks

    return texts.load(checks.__file__, check.name, lang)
