"""The quick version: small sets and their limits; a minute."""

from __future__ import annotations

from benchmarks.accuracy import judges, sets
from benchmarks.accuracy.ladders import doubtless
from benchmarks.accuracy.page import judged, judged_healthy
from benchmarks.accuracy.score import score

HEALTHY = 1_100
"""Fifty of every kind, the plain one twice."""

DOUBTLESS = 6
"""Runs of a limit, a row count and logging_steps: every noise and vocabulary."""

LIMITS = {
    "healthy alarms": 0.01,
    "healthy errors": 0.0,
    "real right": 0.9,
    "gpu right": 0.97,
    "wrong": 0.0,
}
"""What the quick version holds the rates to: the project's own targets."""


def quick() -> int:
    """Score small sets; return 1 and say so when a rate is worse than its limit."""
    healthy, said = judged_healthy(HEALTHY)
    alarms = score(healthy, said)
    rates = {"healthy alarms": alarms.alarmed / alarms.healthy}
    rates["healthy errors"] = float(sum(one.error for one in said.values()))
    wrong = 0
    if sets.corpus().is_dir():
        for name, runs in (("real", sets.real()), ("gpu", sets.gpu())):
            s = score(runs, judged(judges.sftdiag, runs))
            rates[f"{name} right"] = s.right / s.sick
            wrong += s.wrong + s.alarmed
    rates["wrong"] = float(wrong)
    bad = [
        name
        for name, rate in rates.items()
        if (rate < LIMITS[name] if "right" in name else rate > LIMITS[name])
    ]
    for name, rate in rates.items():
        print(f"{name}: {rate:.4f}, limit {LIMITS[name]:g}{'  WORSE' if name in bad else ''}")
    late = beyond_doubt()
    return 1 if bad or (late and doubtless.ENFORCED) else 0


def beyond_doubt() -> bool:
    """Print what is not named within its rows; return whether there is any."""
    late = [one for one in doubtless.held(DOUBTLESS) if not one.holds]
    for one in late:
        limit = one.limit
        print(
            f"{limit.disease} {limit.size:g}, logging_steps {one.every}: {one.within} of {one.runs}"
            f" within {limit.within} rows{'  WORSE' if doubtless.ENFORCED else ', not enforced'}"
        )
    return bool(late)
