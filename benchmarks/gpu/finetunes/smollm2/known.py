"""What sftdiag knows of the stored runs before step 1, by the checks as they are today.

Made on any machine: the trainer is built as it was, and asked without training; of the settings,
weights and optimizer what was kept of the run counts.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from benchmarks.gpu.finetunes.results import ENDING, read, spec_of, write
from benchmarks.gpu.finetunes.smollm2 import faults, sources
from benchmarks.gpu.finetunes.smollm2.bench import Tunes
from sftdiag.checks import run_checks
from sftdiag.context import RunContext
from sftdiag.rows.preflight import from_trainer


class WithoutGpu(Tunes):
    """Makes the trainers of the GPU's runs without one, with untrained weights."""

    def model(self, spec: Any) -> Any:
        """Return a model of the base's size, whose weights nothing before step 1 looks at."""
        config = AutoConfig.from_pretrained(self.base)
        with torch.device("meta"):
            make: Any = AutoModelForCausalLM.from_config
            model = make(config, dtype=torch.float32)
        model.to_empty(device="cpu").tie_weights()
        return model

    def arguments(self, spec: Any) -> dict[str, Any]:
        """Return what SFTConfig was given on the GPU, save for the device."""
        given = super().arguments(spec)
        mixed = spec.fault not in faults.UNMIXED
        return {**given, "bf16": mixed, "use_cpu": True}


def again(folder: Path, rows: Path, base: Path, only: str = "") -> int:
    """Write ``checked`` into the runs of a folder anew, where it has changed.

    Args:
        folder: of the runs.
        rows: see :func:`~benchmarks.gpu.finetunes.smollm2.sources.write`.
        base: see :func:`~benchmarks.gpu.finetunes.smollm2.base.make`; only its tokenizer and
            configuration are read.
        only: runs whose name begins so.

    Returns:
        How many files were written.
    """
    written = 0
    with tempfile.TemporaryDirectory() as scratch:
        bench = WithoutGpu(base, sources.read(rows), Path(scratch), tiny=False)
        for path in sorted(folder.glob(f"{only}*{ENDING}")):
            result = read(path)
            seen = from_trainer(bench.trainer(spec_of(result), Path(scratch) / "run"))
            # What the GPU's weights, optimizer and schedule said, which there are none of here.
            live = RunContext.from_dict(result["context"]).filled_from(seen.context)
            checked = run_checks(seen.replace(context=live)).to_dict()
            loud = [s["code"] for s in checked["observations"] if s["severity"] != "info"]
            print(path.name, loud, flush=True)
            if checked != result["checked"]:
                written += 1
                live = result.get("checked_live", result["checked"])
                write(path, {**result, "checked": checked, "checked_live": live})
    return written
