"""Makes the runs: the second base's, with the step computed in another way."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

import sftdiag
from benchmarks.gpu.finetunes.smollm2 import sources
from benchmarks.gpu.finetunes.smollm2.bench import Tunes
from benchmarks.gpu.finetunes.train import Bench, Clock
from benchmarks.gpu.variants.cases import variant_of

transformers: Any = importlib.import_module("transformers")


def bench(base: Path, text: Path, work: Path, tiny: bool) -> Variants:
    """Return the bench of a worker."""
    return Variants(base, sources.read(text), work, tiny=tiny)


class Variants(Tunes):
    """The second base; what cannot be made says why."""

    def warm_up(self) -> None:
        """Take none: no time is compared."""

    def run(self, spec: Any, *, watched: bool) -> dict[str, Any]:
        """Train, and return what is kept of the run; or why there is none."""
        needs = variant_of(spec.kind).needs
        try:
            if needs and find_spec(needs) is None:
                raise ImportError(f"{needs} is not installed")
            if not torch.cuda.is_available() and needs:
                raise RuntimeError("needs a GPU")
            result = super().run(spec, watched=watched)
        except Exception as error:
            why = f"{type(error).__name__}: {error}".splitlines()[0]
            return self._without(spec, watched, why)
        return {**result, "guard": variant_of(spec.kind).guard and watched}

    @staticmethod
    def _without(spec: Any, watched: bool, why: str) -> dict[str, Any]:
        known = {"spec": spec.as_dict(), "watched": watched, "not_run": why, "error": why}
        return {**known, "steps": 0, "max_steps": 0, "losses": {}, "findings": [], "log": []}

    def _made(self, spec: Any, folder: Path, clock: Clock, watched: bool) -> tuple[Any, Any]:
        trainer = self.trainer(spec, folder, [clock])
        guard = variant_of(spec.kind).guard
        return trainer, sftdiag.attach(trainer, guard=guard) if watched else None

    def model(self, spec: Any) -> Any:
        """Return the base; packed to 4 bits, as QLoRA does, for that."""
        return Bench.model(self, spec) if spec.method == "qlora" else super().model(spec)

    def arguments(self, spec: Any) -> dict[str, Any]:
        """Return what SFTConfig is given; on the CPU nothing that needs a GPU."""
        given = super().arguments(spec)
        if not self.cuda:
            given.update(bf16=False, fp16=False)
        return given
