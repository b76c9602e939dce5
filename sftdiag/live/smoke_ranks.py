"""What keeps the ranks of a smoke test together: what one refuses or sees holds for all."""

from __future__ import annotations

from typing import Any

from sftdiag import texts
from sftdiag.errors import ConfigError
from sftdiag.live.ranks import PATIENCE, Ranks
from sftdiag.observations import Outcome, over_ranks


class SmokeRanks:
    """The ranks of one smoke test, seen from one of them.

    Args:
        args: the TrainingArguments.
        lang: language of what is said.
    """

    def __init__(self, args: Any, lang: str) -> None:
        self._ranks = Ranks.of(args, "smoke")
        self._lang = lang
        self._ranks.announce()

    def begin(self, refusal: str | None) -> None:
        """Wait for the other ranks, which have not met before: a while, not for ever.

        Args:
            refusal: why this rank cannot begin.

        Raises:
            ConfigError: a rank is missing, or cannot begin.
        """
        words = self._ranks.meet(refusal, grace=PATIENCE, patience=PATIENCE)
        if self._ranks.missing and refusal is None:
            refusal = texts.load(__file__, "ranks", self._lang)["smoke"].format(
                ranks=", ".join(map(str, self._ranks.missing)),
                count=self._ranks.count,
                seconds=PATIENCE,
            )
        refusals = [refusal, *words]
        reason = next((reason for reason in refusals if reason is not None), None)
        if reason is not None:
            self.leave()
            raise ConfigError(reason)

    def share(self, outcome: Outcome, failure: str | None) -> tuple[Outcome, str | None]:
        """Return what the checks say of any rank's rows, and the error of the first that had one.

        Args:
            outcome: what they say of this rank's.
            failure: this rank's error, if it had one.
        """
        word = {"checked": outcome.to_dict(), "failure": failure}
        words = self._ranks.exchange(word, patience=PATIENCE) or [word]
        failures = (word["failure"] for word in words)
        outcomes = [Outcome.from_dict(word["checked"]) for word in words]
        return over_ranks(outcomes), next((f for f in failures if f is not None), None)

    def leave(self) -> None:
        """End."""
        self._ranks.leave()
