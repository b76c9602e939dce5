"""What the ranks of one run tell each other, so that all decide alike and none waits for ever.

Words go through the key-value store that the process group was started with. No collective: a rank
without the callback could not take part in one. Nothing that another run wrote is read as this
one's: rank 0 names the run by a token of its own, the others put their words under it, each with a
token of its own, and a verdict counts for a rank only if it holds that rank's. A verdict is written
once (compare and set) and read by all: a rank that no longer waits settles it as well, so that no
two ranks go by different ones.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

GRACE = 2.0
"""Seconds for a rank to announce itself once the ranks have met: it did so before its first step,
of whose end every rank waits for the others, and a word takes the store milliseconds."""

PATIENCE = 30.0
"""Seconds for the word of a rank that has announced itself; it is at the same place of the run, and
late only by what other callbacks do there on one rank."""

LONG_PATIENCE = 300.0
"""Likewise at an evaluation, where a callback may write samples; and beyond the probes' budget."""

Verdict = Mapping[str, Any]
"""The words of all ranks, or the ranks that lack and why; and the tokens it holds for."""

_PAUSES = (0.001, 0.05)
"""Seconds between two looks, the first and the longest."""

_GONE, _FAILED = "gone", "failed: "
_met: dict[str, str] = {}
"""The token of each rank's announcement that this process has met with last."""


class Ranks:
    """The ranks of one ``train()``, seen from one of them.

    Args:
        rank: this one's number.
        count: how many there are.
        store: of torch.distributed; None where there is none.
        place: where in the store they meet.

    Attributes:
        missing: the ranks that did not come, once that is known.
        why: a key of ranks.toml for what is wrong: ``"absent"``, ``"late"``, ``"failed"``,
            ``"apart"`` or ``"no_store"``.
        reason: the error of a rank that failed.
    """

    def __init__(
        self, rank: int = 0, count: int = 1, store: Any = None, place: str = "run"
    ) -> None:
        self.rank, self.count = rank, count
        self.missing: tuple[int, ...] = ()
        self.why: str | None = None if store is not None or count == 1 else "no_store"
        self.reason = ""
        self._store = store
        self._place = f"sftdiag/{place}"
        self._token = uuid.uuid4().hex
        self._run = self._token
        # An announcement met with before is one of a run that an error has ended.
        self._old = dict(_met)
        self._calls = 0

    @classmethod
    def of(cls, args: Any, place: str = "run") -> Ranks:
        """Return the ranks that train with these TrainingArguments."""
        from torch import distributed

        if not (distributed.is_available() and distributed.is_initialized()):
            return cls(args.process_index, args.world_size)
        rank, count = distributed.get_rank(), distributed.get_world_size()
        store = distributed.distributed_c10d._get_default_store() if count > 1 else None
        return cls(rank, count, store, place)

    @property
    def alone(self) -> bool:
        """Whether there is one rank only."""
        return self.count == 1

    @property
    def first(self) -> bool:
        """Whether this is the rank whose word counts where they must not differ."""
        return self.rank == 0

    @property
    def speaks(self) -> bool:
        """Whether this rank is the one to say that another is missing: the first that is there."""
        if self._store is None:
            return self.first
        return all(q in self.missing or not self._announced(q) for q in range(self.rank))

    def announce(self) -> None:
        """Let the others know that this rank has the callback; waits for none."""
        if self._store is not None:
            self._put(self._name(self.rank), self._token)
            # The store answers a client in order: once it answers this, the others see the word.
            self._store.check([self._name(self.rank)])

    def leave(self) -> None:
        """Take the announcement back."""
        if self._store is not None:
            self._put(self._name(self.rank), _GONE)

    def fail(self, reason: str) -> None:
        """Let the others know that this rank no longer follows the run, so that none waits for it.

        Args:
            reason: the error, in a line.
        """
        if self._store is not None:
            self.why, self.missing, self.reason = "failed", (self.rank,), reason
            self._put(self._name(self.rank), _FAILED + reason)

    def differ(self) -> None:
        """Note that the ranks want different things: none of them acts from now on."""
        self.why = "apart"

    def meet(self, word: Any, *, grace: float = GRACE, patience: float = PATIENCE) -> list[Any]:
        """Give this rank's first word, which must be plain JSON, and take those of all ranks.

        Args:
            word: of this rank.
            grace: seconds for a rank to announce itself.
            patience: seconds for a rank that has.

        Returns:
            The words by rank, or none where a rank is missing.
        """
        if self.alone:
            return [word]
        if self._store is None:
            return []
        meets = self._gather if self.first else self._join
        verdict = meets(word, grace, patience)
        _met.update({self._name(int(rank)): t for rank, t in verdict.get("tokens", {}).items()})
        _met[self._name(0)] = self._run
        return self._taken(verdict)

    def exchange(self, word: Any, *, patience: float = LONG_PATIENCE) -> list[Any]:
        """Likewise, once the ranks have met: every rank must come here as often as the others."""
        if self.alone:
            return [word]
        if self.why is not None:
            return []
        before, self._calls = self._key(self._run), self._calls + 1
        key = self._key(self._run)
        if self.first:
            words, late = self._words(key, word, patience)
            verdict = self._lacking(late) if late else {"words": words}
            if not late:
                # Who has given this word has read the verdict before it.
                for name in (before, *(f"{before}/{q}" for q in range(1, self.count))):
                    self._store.delete_key(name)
            return self._taken(self._settle(key, verdict))
        self._put(f"{key}/{self.rank}", self._signed(word))
        self._until(lambda: self._has(key) or self._left([0]), 2 * patience)
        if self._has(key):
            return self._taken(self._get(key))
        return self._taken(self._settle(key, self._lacking([0])))

    def _gather(self, word: Any, grace: float, patience: float) -> Verdict:
        """Meet as the first rank: wait for the others' words and write the verdict."""
        others = range(1, self.count)
        key = self._key(self._run)
        self._until(lambda: all(self._announced(q) for q in others), grace)
        tokens = {str(q): token for q in others if (token := self._announced(q))}
        absent = [q for q in others if str(q) not in tokens]
        if absent:
            return self._settle(key, {**self._lacking(absent, "absent"), "tokens": tokens})
        words, late = self._words(key, word, patience, tokens)
        verdict = self._lacking(late) if late else {"words": words}
        return self._settle(key, {**verdict, "tokens": tokens})

    def _join(self, word: Any, grace: float, patience: float) -> Verdict:
        """Meet as another rank: put the word under the first rank's token, wait for the verdict."""
        if not self._until(lambda: self._announced(0) is not None, grace):
            return {"absent": [q for q in range(self.count) if not self._announced(q)]}

        def answered() -> bool:
            run = self._announced(0) or self._run
            if run != self._run:
                self._run = run
                self._put(f"{self._key(run)}/{self.rank}", self._signed(word))
            return self._mine() is not None

        if not self._until(answered, 2 * patience):
            self._settle(self._key(self._run), {"late": [0], "tokens": {}})
        return self._mine() or {"late": [0]}

    def _mine(self) -> Verdict | None:
        """Return the first verdict where it is one on this rank, not one of another run."""
        key = self._key(self._run)
        verdict: Verdict = self._get(key) if self._has(key) else {}
        return verdict if verdict.get("tokens", {}).get(str(self.rank)) == self._token else None

    def _words(
        self, key: str, word: Any, patience: float, tokens: dict[str, str] | None = None
    ) -> tuple[list[Any], list[int]]:
        """Return the words by rank, and the ranks that gave none in time."""
        keys = {q: f"{key}/{q}" for q in range(1, self.count)}
        self._until(lambda: self._has(*keys.values()) or self._left(list(keys)), patience)
        given = {q: self._get(name) for q, name in keys.items() if self._has(name)}
        if tokens is not None:
            tokens.update({str(q): signed["token"] for q, signed in given.items()})
        words = [word, *(signed["word"] for signed in given.values())]
        return words, [q for q in keys if q not in given]

    def _taken(self, verdict: Verdict) -> list[Any]:
        for why in ("absent", "late", "failed"):
            if why in verdict:
                self.why, self.missing = why, tuple(verdict[why])
                self.reason = next(map(self._error_of, self.missing))
        return list(verdict.get("words", ()))

    def _signed(self, word: Any) -> dict[str, Any]:
        return {"token": self._token, "word": word}

    def _name(self, rank: int) -> str:
        return f"{self._place}/rank/{rank}"

    def _key(self, run: str) -> str:
        return f"{self._place}/{run}/{self._calls}"

    def _announced(self, rank: int) -> str | None:
        """Return the token of a rank's newest announcement."""
        name = self._name(rank)
        token = str(self._get(name)) if self._has(name) else _GONE
        gone = token in (_GONE, self._old.get(name)) or token.startswith(_FAILED)
        return None if gone else token

    def _left(self, ranks: Sequence[int]) -> bool:
        """Return whether one of the ranks will say no more: it failed, or its run is over."""
        return any(self._error_of(q) or self._announced(q) is None for q in ranks)

    def _error_of(self, rank: int) -> str:
        """Return the error that a rank failed by; empty where it did not."""
        name = self._name(rank)
        token = str(self._get(name)) if self._has(name) else _GONE
        return token.removeprefix(_FAILED) if token.startswith(_FAILED) else ""

    def _lacking(self, ranks: Sequence[int], why: str = "late") -> dict[str, Any]:
        """Return the verdict where words of some ranks are not there."""
        failed = [q for q in ranks if self._error_of(q)]
        return {"failed": failed} if failed else {why: list(ranks)}

    def _has(self, *keys: str) -> bool:
        return bool(self._store.check(list(keys)))

    def _get(self, key: str) -> Any:
        return json.loads(self._store.get(key))

    def _put(self, key: str, word: Any) -> None:
        self._store.set(key, json.dumps(word))

    def _settle(self, key: str, verdict: Verdict) -> Verdict:
        """Write a verdict unless there is one; return the one that counts."""
        settled: Verdict = json.loads(self._store.compare_set(key, "", json.dumps(verdict)))
        return settled

    def _until(self, ready: Callable[[], bool], seconds: float) -> bool:
        """Return whether something comes true in time."""
        end, (pause, longest) = time.monotonic() + seconds, _PAUSES
        while not ready():
            if time.monotonic() > end:
                return False
            time.sleep(pause)
            pause = min(2 * pause, longest)
        return True
