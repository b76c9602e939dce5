"""Why a run is missed, written after its curve was looked at: run -> reason."""

from __future__ import annotations

from collections.abc import Mapping

ALIKE: Mapping[str, tuple[str, ...]] = {
    "The answer of the next row is as good English as the right one: train and evaluation loss "
    "fall as in a healthy run and end 0.25 higher, which only the healthy twin shows. No check "
    "compares a prompt with its answer.": (
        "answers-of-others.full.4000x2.b16.adamw-0.0002.log5.s0",
        "answers-of-others.lora.4000x2.b16.adamw-0.001.log5.s1",
    ),
    "The jump of the loss from 4.0 to 7.7 and back is found. The order of the data and the "
    "learning rate are both held to be likely, and the rate stands first.": (
        "corrupted-shard.full.4000x2.b16.adamw-0.0002.log5.s0",
        "corrupted-shard.full.4000x2.b16.adamw-0.0002.log5.s1",
    ),
    "The rate warms up a second time after the resume; the evaluation loss rises by 4 % and "
    "comes down again with the rate, to 0.1 above the twin's. The restart stands in the log's "
    "learning rate, where no detector looks for it.": (
        "lost-optimizer.full.4000x2.b16.adamw-0.0002.log5.s0",
        "lost-optimizer.full.4000x2.b16.adamw-0.0002.log5.s1",
    ),
    "Train and evaluation loss jump together at the half, where the other rows begin. The rise "
    "of the evaluation is found; that it came in one step, with a jump of the train loss and "
    "rows that are not shuffled, is no evidence of the guide for the order of the data.": (
        "unshuffled.full.4000x1.b16.adamw-0.0002.log5.s0",
        "unshuffled.full.4000x1.b16.adamw-0.0002.log5.s1",
    ),
    "The loss falls to 4.3 in 25 steps, climbs to 5.0 while the rate warms up and stays there. The "
    "early jump is seen at step 90; from step 220 on a flat loss, with other causes, stands above "
    "it.": ("learning-rate-too-high.full.4000x2.b16.adamw-0.001.log5.s0",),
    "The loss falls to 4.3 in 50 steps and climbs to 5.0 in the next 250 of 1200. It is found as a "
    "rising evaluation loss, whose causes are overfitting and another distribution; both are held "
    "to be possible only, since the rise came before any row was repeated.": (
        "learning-rate-too-high.full.600x2.b1.adamw-0.0002.log10.s0",
        "learning-rate-too-high.full.600x2.b1.adamw-0.0002.log10.s1",
    ),
    "The loss falls smoothly from 6.2 to 4.6, as a slow healthy run's does, and levels out "
    "because the schedule ends; the rate is 1/200 of the twin's. Nothing in this log says that "
    "there was more to learn, and the guide's ranges are not for models of this size.": (
        "learning-rate-too-low.full.4000x2.b16.adamw-1e-06.log5.s0",
    ),
}
"""Reason: the runs that it holds for."""

REASONS: Mapping[str, str] = {name: reason for reason, names in ALIKE.items() for name in names}
