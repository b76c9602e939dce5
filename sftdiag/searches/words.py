"""Words: a search's result as sentences and cells, in one language, for every renderer."""

from __future__ import annotations

from collections.abc import Sequence

from sftdiag import texts
from sftdiag.searches.budget import cost_of
from sftdiag.searches.outcome import COMPLETE, FAILED, Trial
from sftdiag.searches.progress import Standing
from sftdiag.searches.result import SearchResult
from sftdiag.searches.settings import ACCUMULATION, EPOCHS, RANK, RATE, SEED, batch_of
from sftdiag.searches.steps import REFINE, SEEDS, Choice
from sftdiag.tuning.choice import LABELS
from sftdiag.tuning.numbers import number
from sftdiag.tuning.prospects import HOPELESS

COLUMNS = ("trial", "for", "varied", "result", "loss", "time")
"""Keys of search.toml, in the order of the table of trials."""

RIGHT = frozenset({"trial", "loss", "time"})
"""Columns of numbers."""

SHOWN = {
    RATE: "with_rate",
    EPOCHS: "with_epochs",
    RANK: "with_rank",
    ACCUMULATION: "with_batch",
}
"""What a refinement varies, and the words of search.toml for it."""

MINUTE, HOUR = 60.0, 3600.0


def words(lang: str) -> texts.Texts:
    """Return the words of a search."""
    return texts.load(__file__, "search", lang)


def value(result: SearchResult, step: str, settings: dict[str, float]) -> str:
    """Return what a step varies, of some settings."""
    if step in (RATE, EPOCHS, RANK):
        return number(settings[step])
    if step == SEEDS:
        return _of_trial(result, settings)
    if step == REFINE:
        return ", ".join(_named(result, settings, tuple(SHOWN)))
    batch = str(batch_of(result.facts, settings))
    made = next((made for made in result.choices if made.step == step), None)
    if made is None or settings[RATE] == made.before[RATE]:
        return batch
    return str(words(result.language)["at_rate"].format(batch=batch, rate=number(settings[RATE])))


def _of_trial(result: SearchResult, settings: dict[str, float]) -> str:
    """Return which trial a second seed is of."""
    twin = {**settings, SEED: result.start[SEED]}
    number = next((t.number for t in result.trials if t.settings == twin), "?")
    said = words(result.language)["second_seed"]
    return str(said.format(seed=int(settings[SEED]), trial=number))


def _named(result: SearchResult, settings: dict[str, float], names: Sequence[str]) -> list[str]:
    """Return settings in words."""
    said = words(result.language)
    return [
        said[SHOWN[name]].format(
            value=batch_of(result.facts, settings)
            if name == ACCUMULATION
            else number(settings[name])
        )
        for name in names
        if name != RANK or result.facts.method != "full"
    ]


def _different(result: SearchResult, trial: Trial) -> str:
    """Return in what a trial of the refinement differs from what the four steps chose."""
    made = next((made for made in result.choices if made.step == REFINE), None)
    if made is None:
        return value(result, REFINE, trial.settings)
    names = [name for name in SHOWN if trial.settings[name] != made.before[name]]
    return ", ".join(_named(result, trial.settings, names))


def about(result: SearchResult) -> list[str]:
    """Return what was searched, in how many trials, and what they cost."""
    said = words(result.language)
    facts, trials = result.facts, result.trials
    samples = "?" if facts.samples is None else f"{facts.samples:,}"
    method = said["full"] if facts.method == "full" else LABELS.get(facts.method, facts.method)
    lines = [texts.counted(said["about"].format(method=method, samples=samples, rows=facts.rows))]
    counts = said["counts"].format(
        trials=len(trials),
        complete=sum(trial.outcome.state == COMPLETE for trial in trials),
        pruned=len(result.pruned),
        failed=len(result.failed),
        time=duration(result.seconds, result.language),
    )
    lines.append(texts.counted(counts))
    if result.gpu_seconds:
        time = duration(result.gpu_seconds, result.language)
        lines.append(said["gpu_time"].format(time=time))
    if result.budget is not None:
        used = sum(cost_of(trial.outcome) for trial in result.trials) / result.budget
        given = duration(result.budget, result.language)
        lines.append(said["budget"].format(budget=given, used=used))
    if result.seeds is None:
        return [*lines, said["noise_unknown"]]
    return [*lines, said["noise"].format(gap=result.seeds)]


def choice(result: SearchResult, made: Choice) -> list[str]:
    """Return what a step chose, and by how much beyond noise."""
    said = words(result.language)
    if made.loss is None:
        return [said[made.why]] if made.why else []
    before = value(result, made.step, made.before)
    after = value(result, made.step, made.chosen)
    key = "kept" if before == after else "changed"
    lines = [said[key].format(before=before, value=after, loss=made.loss)]
    if made.gain is not None and before != after:
        lines.append(_gain(made, said))
    if made.cheaper:
        lines.append(
            said["cheaper"].format(
                best=made.best, best_loss=made.best_loss, margin=made.margin or 0.0
            )
        )
    return [*lines, *([said[made.why]] if made.why else [])]


def _gain(made: Choice, said: texts.Texts) -> str:
    gain, margin = made.gain or 0.0, made.margin
    if not margin:
        return str(said["gain_alone"].format(gain=gain))
    if gain > margin:
        return str(said["gain"].format(gain=gain, margin=margin, times=gain / margin))
    return str(said["inside"].format(gain=-gain, margin=margin))


def changes(result: SearchResult) -> list[str]:
    """Return the diff of the arguments, and of the batch that they make."""
    said = words(result.language)
    lines = [
        f"{name}: {number(before)} -> {number(after)}"
        for name, (before, after) in result.changes.items()
    ]
    before, after = result.batches
    if before != after:
        lines.append(said["batch"].format(before=before, after=after))
    return lines or [said["unchanged"]]


def cells(result: SearchResult, trial: Trial) -> list[str]:
    """Return a trial's words, a column each."""
    said, outcome = words(result.language), trial.outcome
    loss = outcome.judged
    return [
        str(trial.number),
        str(said[trial.step]),
        _different(result, trial)
        if trial.step == REFINE
        else value(result, trial.step, trial.settings),
        ended(trial, result.language),
        "" if loss is None else f"{loss:.4f}",
        duration(outcome.seconds, result.language),
    ]


def heads(lang: str) -> Sequence[str]:
    """Return the heads of the table of trials."""
    said = words(lang)
    return [str(said[name]) for name in COLUMNS]


def ended(trial: Trial, lang: str) -> str:
    """Return how a trial ended."""
    said, outcome = words(lang), trial.outcome
    if outcome.state == COMPLETE:
        return str(said["complete"])
    if outcome.state == FAILED:
        reason = f"{outcome.reason}: {outcome.detail}" if outcome.detail else outcome.reason
        return str(said["failed"].format(reason=reason))
    key = "hopeless" if outcome.cause == HOPELESS else "pruned"
    cause = f"{outcome.cause} {outcome.cause_name}"
    return str(said[key].format(cause=cause, step=outcome.last_step, steps=outcome.steps))


def duration(seconds: float, lang: str) -> str:
    """Return a time in seconds, minutes or hours."""
    said = words(lang)
    if seconds < 2 * MINUTE:
        return str(said["seconds"].format(value=seconds))
    if seconds < 2 * HOUR:
        return str(said["minutes"].format(value=seconds / MINUTE))
    return str(said["hours"].format(value=seconds / HOUR))


def standing(now: Standing, lang: str) -> str:
    """Return how far a search is, and the time left."""
    said = words(lang)
    line = said["standing"].format(step=said[now.step], number=now.done + 1, left=now.left)
    if now.seconds_left is None:
        return str(line)
    return f"{line} · {said['time_left'].format(time=duration(now.seconds_left, lang))}"
