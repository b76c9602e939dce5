"""docs/gpu.md: what today's code says of the stored runs, and what stopping them saves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks.gpu.finetunes import about, bars, misses, tables
from benchmarks.gpu.finetunes.reasons import REASONS
from benchmarks.gpu.finetunes.replay import Judged, agrees, of_run, recorded
from benchmarks.gpu.finetunes.results import Run
from benchmarks.gpu.finetunes.score import Scored, score, stopped_on

PAGE = "gpu.md"
FOLDER = "gpu"
"""Of the plots, beside the page."""

HOW = """
Real fine-tunes with TRL of two bases, on one GPU that several runs share, with and without a fault.
The first base is a Llama of 26 M parameters; `python -m benchmarks.gpu.finetunes` makes it, its
runs and this page. The second is SmolLM2-135M-Instruct with its own tokenizer and chat template;
`python -m benchmarks.gpu.finetunes.smollm2` makes its runs. What is judged is the replay of a run's
log by today's code, with what the checks before step 1 saw, as `attach(trainer, stop_on="error")`
judges it live. Each faulty run of the first base was trained to its end without sftdiag, each run
of the second watched to its end, without a stop. Seconds are those of that run, on its own clock.

A run's name says its fault, what is trained (all, LoRA or QLoRA), training rows x epochs, the
batch, the optimizer and its peak rate, the steps between two log rows, and the seed.

- **Harm**: a final loss (the last evaluation's, or that of the answers to 200 held-out questions)
  above the median of the healthy twins of all seeds by more than three of their standard deviations
  and at least 0.1, or not finite; fixed before the first run. Where the fault is in the evaluation
  set alone (eval-distribution, eval-template), the model is its twin's and the evaluation misleads.
- **Onset**: 0 for a fault that is there from the start; for overfitting the step of the lowest
  evaluation loss (around the lowest median of three neighbours); for others where it was put.
- **Found**: the primary finding names the fault, at the stop or, without one, at the end; where all
  is over by then, as a spike is, the most important warning that was told. What the log showed
  before the onset names nothing. `CAUSES` in `matrix.py` lists the codes that name each fault, and
  the causes that are right.
- **First warning**: the first warning or error that names the fault, after the onset, as a share of
  the run; a check before step 1 counts as step 0. A fault that is never named counts as infinite.
- **Saved**: seconds after the stop, of the whole run or, for later faults, of what remained after
  the onset. A run that is not stopped saves nothing. A run that is stopped before step 1 still does
  that step.
""".strip()

STOPPING = """
All of this is judged with `stop_on="error"`: what is certain to ruin the run, or proven to be
wasted ([severities](concepts.md)). What is seen before step 1 stays a warning where a run with it
trains something (a part of the answers, a worse model, or one whose evaluation misleads) or where
it may be meant (rows in another template, thinking that is left out).
`stop_on="warning"` stops for these, too. *Truly* counts the runs that the matrix took for healthy
and whose warning is true all the same, with its reason in what is missed.
""".strip()

CUT = """
A watched log ends where it was stopped: what today's code says after that step is in the tables
below, by the log of the run without sftdiag.
""".strip()

UNSEEN = """
Said live is held against today's detectors, over the log and the steps that were kept, with what
the checks said then. Elsewhere the checks are today's: since these runs, packed rows are compared
document by document, and rows that differ by a system turn alone are a note (SFT414).
""".strip()

SECOND = """
Its rows are made of Debian texts as messages, prompt and completion, plain text, tokens with
labels, packed, with several turns, tool calls and thinking, in English and Chinese. A run's name
says its fault or trap, what is trained, the rows' form and source, rows x epochs (t2: two turns),
the batch of a step, the optimizer and its peak rate, the steps between two log rows, and the seed.
`CAUSES` in `smollm2/specs.py` lists what names each fault. No checkpoint was kept: the last column
of the runs is what would have been.
""".strip()

BY_FAULT = """
All but the number of runs is of the harmful ones. What is *after* is the median share of the run
since the onset; that of the stop is of the stopped runs.
""".strip()

LATER = """
When each could be told, at the earliest by an evaluation, and when it was; shares of the run since
the onset. An evaluation loss that rises once may be a bump; a rise that is told stands for two
evaluations at least. What the log shows of the rows or of the resume, before any of them, is known
at once.
""".strip()

EACH = """
Steps stand with their share of the run and their second, both from its start. The last column has
the lowest evaluation loss of the checkpoints kept at the stop, and of the run to its end; *none*
where there is no checkpoint yet, or no finite loss.
""".strip()


class Scores:
    """Everything that the page says, of the runs given."""

    def __init__(
        self,
        runs: Sequence[Run],
        reasons: Mapping[str, str] = REASONS,
        bound: bars.Bars = bars.FIRST,
    ) -> None:
        self.runs = runs
        self.reasons = reasons
        self.bound = bound
        self.scored: list[Scored] = score(runs)
        self.healthy: list[tuple[Run, Judged]] = [
            (run, of_run(run)) for run in runs if not run.faulty
        ]
        self.missed = [*misses.of_faulty(self.scored), *misses.of_healthy(self.healthy)]

    @property
    def unexplained(self) -> list[str]:
        """Names of the runs that are missed without a reason."""
        return misses.unexplained(self.missed, self.reasons)

    @property
    def harmful(self) -> list[Scored]:
        """The runs whose fault did harm."""
        return [s for s in self.scored if s.harm]

    @property
    def reached(self) -> list[bars.Reached]:
        """What must be reached, and what is."""
        return bars.reached(self.runs, self.scored, self.healthy, self.bound, self.reasons)

    @property
    def stopping(self) -> list[bars.Stopping]:
        """What stopping at errors does, and what stopping at warnings would."""
        healthy = [(run, of_run(run, stop_on="warning")) for run in self.runs if not run.faulty]
        return [
            bars.stopping("error", self.scored, self.healthy, self.reasons),
            bars.stopping("warning", stopped_on("warning", self.scored), healthy, self.reasons),
        ]

    def page(self, second: Scores | None = None) -> str:
        """Return docs/gpu.md, with the second base's runs beside these where they are given."""
        lines = [
            "<!-- Written by python -m benchmarks.gpu.finetunes report --write. -->\n",
            "# Fine-tunes on a GPU, with and without faults\n",
            f"{HOW}\n",
            *tables.must_reach(self.reached, second.reached if second else ()),
            f"{STOPPING}\n",
            *tables.stopping(
                {
                    tables.FIRST_BASE: self.stopping,
                    **({tables.SECOND_BASE: second.stopping} if second else {}),
                }
            ),
            *(f"# {title}\n" for title in ("The first base",) if second),
            *self.sections(about.FAULTS, about.TRAPS),
            "## Curves\n",
            *(f"![{name}]({FOLDER}/{name}.svg)" for name in sorted(self.faults())),
        ]
        if second:
            lines += ["", "# The second base\n", f"{SECOND}\n"]
            lines += second.sections(about.SECOND_FAULTS, about.SECOND_TRAPS)
            from benchmarks.gpu.variants.report import part  # it judges with what is here

            lines += part()
        return "\n".join(lines).rstrip() + "\n"

    def sections(self, faults: Mapping[str, str], traps: Mapping[str, str]) -> list[str]:
        """Return what the page says of these runs, given what their faults and traps mean."""
        return [
            f"What is missed: {len(self.missed)}, each with its reason below.\n",
            *_live(self.runs),
            *_overhead(self.runs),
            *_in_all(self.scored),
            "## By fault\n",
            f"{BY_FAULT}\n",
            *about.of_all(self.faults(), faults),
            *tables.by_fault(self.scored),
            "## Later faults\n",
            f"{LATER}\n",
            *tables.later(self.scored),
            "## Healthy runs\n",
            *about.of_all({run.spec.trap or "plain" for run, _ in self.healthy}, traps),
            *tables.by_trap(self.healthy),
            "## What is missed\n",
            *tables.misses(self.missed, self.reasons),
            "## Each harmful run\n",
            f"{EACH}\n",
            *tables.each(self.harmful),
            "## Faults that did no harm, or of which that is not known\n",
            *tables.harmless(self.scored),
        ]

    def write(self, docs: Path, second: Scores | None = None) -> None:
        """Write the page and a plot for each fault."""
        from benchmarks.gpu.finetunes.plots import draw

        (docs / PAGE).write_text(self.page(second), encoding="utf-8")
        (docs / FOLDER).mkdir(exist_ok=True)
        for fault, scored in self.faults().items():
            draw(fault, scored, self.runs, docs / FOLDER / f"{fault}.svg")

    def faults(self) -> dict[str, list[Scored]]:
        """Return the scored runs by fault."""
        grouped: dict[str, list[Scored]] = {}
        for scored in self.scored:
            grouped.setdefault(scored.run.spec.fault, []).append(scored)
        return grouped


def _live(runs: Sequence[Run]) -> list[str]:
    """Say in how many watched runs today's code says what was said live."""
    watched = [(run, run.watched) for run in runs if run.watched is not None]
    differ = [(run, result) for run, result in watched if not agrees(run, result)]
    lines = [
        f"Of {len(watched)} watched runs, today's code says of {len(watched) - len(differ)} what "
        "was said live: the same primary finding, first warning and stop. "
        f"{sum(run.faulty for run, _ in watched)} of them have a fault, and "
        f"{sum(not result.complete for _, result in watched)} were stopped live: what stops save "
        "is by replay.",
        "",
    ]
    if differ:
        rows = [
            (
                f"`{run.spec.name}`",
                _said(recorded(result)),
                _said(of_run(run, result, result.stop_on).said),
            )
            for run, result in differ
        ]
        lines += tables.table(("run", "live", "today"), rows)
        cut = any(result.stop_on for _, result in differ)
        lines += [CUT if cut else UNSEEN, ""]
    return lines


def _said(said: tuple[str | None, int | None, int | None]) -> str:
    primary, first, stop = said
    when = "" if first is None else f", first warning at step {first}"
    return f"{primary or 'nothing'}{when}{'' if stop is None else f', stopped at step {stop}'}"


def _overhead(runs: Sequence[Run]) -> list[str]:
    """Say how much longer the healthy twins took with sftdiag."""
    ratios = [
        run.watched.seconds / run.plain.seconds
        for run in runs
        if not run.faulty and run.plain and run.watched
        if run.plain.complete and run.watched.complete
    ]
    if not ratios:
        return []
    return [
        f"{len(ratios)} healthy runs were made both with and without sftdiag: with it they took "
        f"{median(ratios):.3f} times as long in the median ({min(ratios):.3f} to "
        f"{max(ratios):.3f}; the GPU is shared by other runs meanwhile).",
        "",
    ]


def _in_all(scored: Sequence[Scored]) -> list[str]:
    """Say what all faulty runs took, and would have taken."""
    pairs = [
        (s.run.plain, s.run.watched) for s in scored if s.harm and s.run.plain and s.run.watched
    ]
    lines = []
    if pairs:
        without, live = (
            sum(result.seconds for result in side) for side in zip(*pairs, strict=True)
        )
        lines = [
            f"Measured live: the {len(pairs)} harmful runs that were made both ways took "
            f"{without:,.0f} GPU seconds without sftdiag and {live:,.0f} with it.",
            "",
        ]
    alone = [s.run.spec.name for s in scored if s.run.plain is None and s.run.full.stop_on]
    if alone:
        lines += [
            f"Judged by the watched run, which a stop may have cut short: {', '.join(alone)}.",
            "",
        ]
    return lines
