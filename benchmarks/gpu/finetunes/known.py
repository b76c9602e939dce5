"""What sftdiag knows of stored runs before step 1, by the checks as they are today.

Made on any machine: the trainer is built from the same rows, tokenizer and arguments; the model has
untrained weights, which nothing before step 1 looks at.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from benchmarks.gpu.finetunes.base import make_model
from benchmarks.gpu.finetunes.matrix import Spec
from benchmarks.gpu.finetunes.results import ENDING, read, write
from benchmarks.gpu.finetunes.text import questions
from benchmarks.gpu.finetunes.train import Bench
from sftdiag.checks import run_checks
from sftdiag.rows.preflight import from_trainer
from sftdiag.trainer.context import of_trainer


class WithoutGpu(Bench):
    """Makes the trainers of the GPU's runs without one."""

    def arguments(self, spec: Spec) -> dict[str, Any]:
        """Return what SFTConfig was given on the GPU, save for the device."""
        return {**super().arguments(spec), "bf16": spec.fault != "fp16", "use_cpu": True}


def add(folder: Path, text: Path, *, again: bool) -> int:
    """Write ``context`` and ``checked`` into the runs of a folder that lack one of them.

    Args:
        folder: of the runs.
        text: see :func:`~benchmarks.gpu.finetunes.text.write`.
        again: ask the checks about all runs; a context that is there stays.

    Returns:
        How many files were written.
    """
    written = 0
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch) / "base"
        tokenizer: Any = AutoTokenizer.from_pretrained(text)
        tokenizer.save_pretrained(base)
        make_model(len(tokenizer), tiny=False).save_pretrained(base)
        bench = WithoutGpu(base, questions(text), Path(scratch), tiny=False)
        for path in sorted(folder.glob(f"*{ENDING}")):
            result = read(path)
            if result.get("context") and result.get("checked") and not again:
                continue
            written += 1
            spec = Spec(**result["spec"])
            trainer = bench.trainer(spec, Path(scratch) / "run")
            result["context"] = result.get("context") or of_trainer(trainer).to_dict()
            result["checked"] = run_checks(from_trainer(trainer)).to_dict()
            write(path, result)
            print(
                path.name, [seen["code"] for seen in result["checked"]["observations"]], flush=True
            )
    return written
