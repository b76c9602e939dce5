"""Evidence on a learning rate that is too high, shared by the symptoms that it causes."""

from __future__ import annotations

from sftdiag.detectors._eval_rise import MIN_RISE
from sftdiag.guide.base import Case, CauseRule, Evidence, FixText, Weight
from sftdiag.ranges import (
    SGD_LEARNING_RATE,
    SMALL_MODEL_RATE,
    USUAL_LEARNING_RATE,
    WARMUP_SHARE,
    beyond_any,
    bound_of_any,
    learning_rate_ranges,
    speak_of,
)

NEAR_PEAK = 0.5
"""Share of the peak from which the rate is near it."""

USUAL_CLIP = 1.0
"""The norm that transformers clips to unless told otherwise."""

ROUNDED = 0.01
"""Share by which a logged rate may exceed the one asked for: logs round to three digits."""

STEP = 5.0
"""Factor from one rate to the next to try: the guide's 5e-5 to 1e-5."""


def rate_before(case: Case) -> Evidence | None:
    """The same of what is over with its first row: the rates after it did not do it."""
    return _against_ranges(case, highest_rate(case, case.detection.onset_step))


def rate_against_ranges(case: Case) -> Evidence | None:
    """The highest learning rate against the ranges of the method."""
    return _against_ranges(case, highest_rate(case, case.detection.step))


def _against_ranges(case: Case, rate: float | None) -> Evidence | None:
    if rate is None:
        return Evidence(Weight.MISSING, "rate_unknown")
    if (beyond := _beyond(case, rate)) is not None:
        return beyond
    if not case.context.adaptive:
        return None
    method = case.context.method
    high, full = (max(r.high for r in learning_rate_ranges(m)) for m in (method, "full"))
    values = {"rate": rate, "high": high}
    if rate > high and not speak_of(case.context.total_parameters):
        parameters = {"parameters": case.context.total_parameters}
        return Evidence(Weight.FITS, "rate_above_small", {**values, **parameters})
    if rate > high:
        return Evidence(Weight.SUPPORTS, "rate_above", values)
    if method is None and rate > full:
        return Evidence(Weight.MISSING, "rate_by_method", {**values, "full": full})
    return Evidence(Weight.AGAINST, "rate_inside", values)


def beyond_every_range(case: Case) -> Evidence | None:
    """A rate that breaks any model, whatever the curve looks like afterwards."""
    return _beyond(case, highest_rate(case, case.detection.step))


def beyond_before(case: Case) -> Evidence | None:
    """The same of what is over with its first row."""
    return _beyond(case, highest_rate(case, case.detection.onset_step))


def _beyond(case: Case, rate: float | None) -> Evidence | None:
    adaptive = case.context.adaptive
    if not beyond_any(rate, case.context.method, adaptive=adaptive):
        return None
    values = {"rate": rate, "any": bound_of_any(adaptive=adaptive)}
    return Evidence(Weight.SUPPORTS, "rate_beyond" if adaptive else "rate_beyond_sgd", values)


def highest_rate(case: Case, step: int) -> float | None:
    """Return the highest rate reached by a step, as far as the log tells: none later did harm."""
    signals = case.signals
    if signals.peak_learning_rate_step <= step:
        return signals.peak_learning_rate
    return max(rates_up_to(case, step), default=signals.first_learning_rate)


def rates_up_to(case: Case, step: int) -> list[float]:
    """Return the rates of the blocks that began by this step."""
    return [
        block.learning_rate
        for block in case.signals.blocks
        if block.learning_rate is not None and block.first_step <= step
    ]


def rate_near_its_peak(case: Case) -> Evidence | None:
    """A rate that is too large does its harm near the peak of its schedule, if it has one.

    Most runs are near their peak for most of their life, so it only fits.
    """
    onset, seen = case.detection.onset_step, case.detection.step
    before = [
        (block.last_step, block.learning_rate)
        for block in case.signals.blocks
        if block.learning_rate is not None and block.first_step <= seen
    ]
    peak = max((rate for _, rate in before), default=0.0)
    meanwhile = [rate for step, rate in before if step >= onset]
    if not meanwhile or all(rate >= NEAR_PEAK * peak for _, rate in before):
        return None
    share = max(meanwhile) / peak
    near = share >= NEAR_PEAK
    weight, key = (Weight.FITS, "near_peak") if near else (Weight.AGAINST, "past_peak")
    return Evidence(weight, key, {"share": share})


def evaluation_rises_too(case: Case) -> Evidence | None:
    """Train and evaluation loss rise together when the model itself gets worse."""
    best = case.signals.best_evaluation()
    if best is None:
        return None
    points = case.signals.evaluations[best[0]]
    if points[-1].loss <= best[1].loss + MIN_RISE * abs(best[1].loss):
        return None
    values = {"best": best[1].loss, "last": points[-1].loss}
    return Evidence(Weight.SUPPORTS, "evaluation_rises", values)


def rate_in_use(case: Case) -> float | None:
    """Return the run's peak rate: the arguments', unless the log shows a higher one.

    A resumed run goes on with its checkpoint's schedule, whatever the arguments say now.
    """
    asked, seen = case.context.learning_rate, case.signals.peak_learning_rate
    if seen is not None and asked is not None and seen > (1 + ROUNDED) * asked:
        return seen
    return asked or seen


def lower_learning_rate(case: Case) -> FixText:
    """From the run's peak to the usual rate of its method; LoRA's, the higher, when unknown."""
    old = rate_in_use(case)
    if old is None:
        return FixText("lower_rate_generally")
    new = old / STEP
    if not case.context.adaptive:
        new = min(new, SGD_LEARNING_RATE)
    elif speak_of(case.context.total_parameters):
        new = min(new, USUAL_LEARNING_RATE[case.context.method or "lora"])
    elif beyond_any(old, case.context.method, adaptive=case.context.adaptive):
        new = min(new, SMALL_MODEL_RATE)
    key = "lower_rate" if case.context.adaptive else "lower_rate_sgd"
    return FixText(key, {"old": old, "new": new}, {"SFTConfig.learning_rate": (old, new)})


BEYOND_EVERY_RANGE = CauseRule(
    "learning-rate-too-high", (beyond_every_range,), (lower_learning_rate,), needs_evidence=True
)
"""A rate that breaks any model, whatever the curve looks like afterwards."""


def clip_on(case: Case) -> FixText:
    """Turn clipping on."""
    changes = {"SFTConfig.max_grad_norm": (case.context.max_grad_norm, USUAL_CLIP)}
    return FixText("clip_on", {"new": USUAL_CLIP}, changes)


def keep_clipping(case: Case) -> FixText:
    """Clip the gradient and warm up: what keeps a step small where the slope is steep."""
    return clip_on(case) if case.context.max_grad_norm == 0.0 else FixText("clip")


def warm_up(case: Case) -> FixText | None:
    """Warm up over the guide's share of the steps, unless the run does."""
    old, steps = case.context.warmup_steps, case.context.max_steps
    if old is None or steps is None:
        return FixText("warm_up")
    new = round(WARMUP_SHARE * steps)
    if old >= new:
        return None
    values = {"old": old, "new": new}
    return FixText("warm_up_to", values, {"SFTConfig.warmup_steps": (old, new)})
