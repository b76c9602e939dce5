"""Ask a finished model: load it and what it was before, measure both, and report."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from sftdiag.config import Settings
from sftdiag.context import RunContext
from sftdiag.errors import ConfigError, SourceError
from sftdiag.findings import Report
from sftdiag.monitor import Monitor
from sftdiag.probes import PROBES
from sftdiag.probes.settings import ROWS, Probes
from sftdiag.probing.prober import Prober
from sftdiag.sources import journal, model_files, open_run
from sftdiag.trainer.versions import as_saved

try:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging as transformers_logging
except ImportError as error:
    raise ImportError("this needs transformers: pip install 'sftdiag[trainer]'") from error

ADAPTER = "adapter_config.json"


def probe_model(
    model_dir: str,
    probes: Probes,
    settings: Settings,
    *,
    base: str | None = None,
    adapter: str | None = None,
) -> Report:
    """Ask a model that is on disk, and return the report; its log is read too where it is beside.

    Args:
        model_dir: a model's or an adapter's folder.
        probes: what to measure; ``prompts`` are needed.
        settings: what to report, and in which language.
        base: the model before training.
        adapter: an adapter to put on the model; without it, the model is what it was before.

    Raises:
        SourceError: a model cannot be loaded.
        ConfigError: the chat template refuses a prompt.
    """
    if not probes.kinds:
        raise ConfigError(f"{ROWS[1]} is asked of a run's rows before training, with attach")
    if not sys.stderr.isatty():
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    is_adapter = os.path.isfile(os.path.join(model_dir, ADAPTER))
    if is_adapter:
        if adapter is not None:
            raise ConfigError(f"{model_dir} is an adapter already; give its model and --adapter")
        model_dir, adapter = base or _base_of(model_dir), model_dir
        base = None
    folder = adapter or model_dir
    tokenizer = _tokenizer(*dict.fromkeys(f for f in (folder, model_dir, base) if f))
    monitor = _replayed(folder, settings)
    prober = Prober(probes)
    step = monitor.signals.last_step
    if base is not None:
        _feed(monitor, prober.ask_before(_load(base), tokenizer))
    model = _load(model_dir)
    if adapter is not None:
        model = _with_adapter(model, adapter)
    _feed(monitor, prober.ask_now(model, tokenizer, step))
    report = monitor.report().replace(source=folder)
    if monitor.signals.records:
        return report
    names = {kind.name for kind in PROBES}
    skipped = {name: why for name, why in report.skipped.items() if name in names}
    return report.replace(skipped=skipped, reason=report.reason and next(iter(skipped.values())))


def _replayed(folder: str, settings: Settings) -> Monitor:
    """Return a Monitor that has seen the log beside the model, where there is one."""
    try:
        run = open_run(folder)
    except SourceError:
        # A model's own files do not say how it was trained: an adapter may have been merged.
        is_adapter = os.path.isfile(os.path.join(folder, ADAPTER))
        known = model_files.context((folder,)) if is_adapter else RunContext()
        return Monitor(known, settings, folder)
    monitor = Monitor(run.context, settings, folder)
    monitor.replay(run.entries, journal.segments(run.starts, run.context))
    # The plan is over: the model that is asked is the run's last word.
    monitor.signals.context = monitor.signals.context.replace(max_steps=None)
    return monitor


def _feed(monitor: Monitor, rows: list[Mapping[str, Any]]) -> None:
    for row in rows:
        monitor.feed_entry(row)


def _tokenizer(*folders: str) -> Any:
    problem: Exception | None = None
    for folder in folders:
        try:
            return AutoTokenizer.from_pretrained(folder)
        except Exception as error:  # what a folder lacks shows in many ways
            problem = problem or error
    raise SourceError(folders[0], _why_not("tokenizer", folders[0], problem))


def _load(folder: str) -> Any:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(folder, **as_saved())
    except Exception as error:
        raise SourceError(folder, _why_not("language model", folder, error)) from None
    # A quantized model has its place already.
    return model if getattr(model, "is_quantized", False) else model.to(device)


def _with_adapter(model: Any, folder: str) -> Any:
    try:
        from peft import PeftModel
    except ImportError:
        raise ConfigError("an adapter needs peft: pip install 'sftdiag[trainer]'") from None
    try:
        return PeftModel.from_pretrained(model, folder)
    except Exception as error:
        raise SourceError(folder, _why_not("adapter", folder, error)) from None


def _base_of(folder: str) -> str:
    try:
        with open(os.path.join(folder, ADAPTER), encoding="utf-8") as file:
            name = json.load(file).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError):
        name = None
    if not isinstance(name, str):
        raise SourceError(folder, "the adapter does not name its base model; give --base")
    return name


def _why_not(what: str, folder: str, error: Exception | None) -> str:
    """Return why something could not be loaded, as one line."""
    problem = " ".join(str(error).split())[:300]
    if not os.path.isdir(folder):
        return f"no such folder, and no {what} of that name can be loaded: {problem}"
    if not any(os.path.isfile(os.path.join(folder, name)) for name in ("config.json", ADAPTER)):
        return f"holds no {what}: expected a folder that save_model or save_pretrained wrote"
    return f"no {what} can be loaded: {problem}"
