"""Why a run is missed, written after its curve was looked at: run -> reason."""

from __future__ import annotations

from collections.abc import Mapping

ALIKE: Mapping[str, tuple[str, ...]] = {}
"""Reason: the runs that it holds for."""

REASONS: Mapping[str, str] = {name: reason for reason, names in ALIKE.items() for name in names}

SECOND_ALIKE: Mapping[str, tuple[str, ...]] = {
    "the questions are names of commands in Latin letters, the answers Chinese: they share nothing "
    "by which an answer could be told from a stranger's": (
        "answers-of-others-neighbour.lora.pairs.commands.500x2.b8.adamw-0.0005.log2.s1",
    ),
    "true: the evaluation loss rose by 4 to 5 % while the train loss fell; the matrix, fixed "
    "before the first run, took three and four epochs of 240 rows for healthy": (
        "healthy-plain.full.messages.words.240x3.b8.adamw-0.0001.log2.s0",
        "healthy-plain.full.messages.words.240x3.b8.adamw-0.0001.log5.s2",
        "healthy-staircase.full.messages.words.240x4.b8.adamw-5e-05.log2.s0",
        "healthy-staircase.full.messages.words.240x4.b8.adamw-5e-05.log2.s1",
    ),
}
"""The same of the second base's runs."""

SECOND: Mapping[str, str] = {name: why for why, names in SECOND_ALIKE.items() for name in names}
