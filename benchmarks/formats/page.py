"""docs/logs.md: which logs are read, what each holds and hides, what can be judged from it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import sftdiag
from benchmarks.formats import turned
from sftdiag.sources import open_run

ROOT = Path(__file__).resolve().parents[2]
MADE = ROOT / "tests" / "sources" / "made" / "overfitting"

METRICS = ("loss", "eval_loss", "learning_rate", "grad_norm", "epoch")


class Kind(NamedTuple):
    """A kind of log: its name, a file of the same run, and what is known to mislead in it."""

    name: str
    file: str | Callable[[Any, Path], Path]
    traps: str


KINDS = (
    Kind("trainer_state.json", "trainer_state.json", "the rows up to the last checkpoint only"),
    Kind(
        "console of transformers 5, TRL, axolotl (debug.log)",
        "nohup.log",
        "no steps (told by the bars, else by the closing row, else counted by 10 and said so); "
        "four digits; ranks that print the same lines (transformers 5.23)",
    ),
    Kind(
        "console of transformers 4",
        lambda state, folder: turned.console(state, folder / "c.log", strings=False),
        "no steps, as above; the loss is rounded to four decimals",
    ),
    Kind(
        "the rows that the callback kept (`_sftdiag/log.jsonl`)",
        lambda state, folder: turned.jsonl(state, folder / "log.jsonl"),
        "for runs that save no checkpoint; written by world rank 0",
    ),
    Kind("JSON list of rows", lambda s, f: turned.rows(s, f / "l.json"), "none known"),
    Kind("JSON lines", lambda s, f: turned.jsonl(s, f / "log.jsonl"), "none known"),
    Kind("CSV", lambda s, f: turned.table(s, f / "log.csv"), "none known"),
    Kind(
        "notebook (.ipynb), its table pasted as text, a model card's table",
        lambda s, f: turned.notebook(s, f / "n.ipynb"),
        "a row an evaluation; no learning rate and no gradient norm; of several trainings the last",
    ),
    Kind(
        "ms-swift logging.jsonl",
        lambda s, f: turned.ms_swift(s, f / "logging.jsonl"),
        "a gradient norm of NaN drops that step's gradients: the loss stays finite and the weights "
        "stand still (4.6.0); the last line repeats the whole log and is passed over",
    ),
    Kind(
        "LLaMA-Factory trainer_log.jsonl",
        lambda s, f: turned.llama_factory(s, f / "trainer_log.jsonl"),
        "a NaN loss stands as 0.0 and there is no grad_norm to tell it by; rows stand twice after "
        "a resume, or those before it are gone (0.9.5); the last evaluation is not in it",
    ),
    Kind(
        "torchtune DiskLogger",
        lambda s, f: turned.torchtune(s, f / "log_1.txt"),
        "no epoch, no evaluation; grad_norm only with clip_grad_norm (0.6.1)",
    ),
    Kind(
        "Megatron-LM and NeMo console",
        lambda s, f: turned.megatron(s, f / "m.log"),
        "no epoch in Megatron's; a NaN loss is left out of its lines and told by the gradient norm "
        "or the count of nan iterations, a loss of 0 after skipped steps is none (megatron-core "
        "0.19.2); NeMo's iterations count from "
        "0 (one is added; nemo_toolkit 2.7.3)",
    ),
    Kind(
        "mlx-lm console (and xtuner's, with a gradient norm)",
        lambda s, f: turned.mlx(s, f / "mlx.log"),
        "iterations are micro-batches; three decimals; no epoch, no gradient norm (0.28.4)",
    ),
    Kind(
        "Lightning metrics.csv",
        "lightning.csv",
        "steps count from 0 (one is added); epochs count from 0; rows of one step are "
        "merged; the epoch's mean beside the step's loss is passed over (2.6.6)",
    ),
    Kind(
        "litgpt metrics.csv",
        lambda s, f: turned.litgpt(s, f / "metrics.csv"),
        "steps are micro-batches, the loss a mean over the accumulation so far; the last "
        "evaluation stands at step 0 or one too far (0.5.13)",
    ),
    Kind(
        "W&B export (CSV) of a run or chart",
        lambda s, f: turned.wandb_csv(s, f / "run.csv"),
        "`Step` counts log calls: `train/global_step` is taken; a chart holds several runs, the "
        "first is read",
    ),
    Kind(
        "W&B offline run (.wandb)",
        "run-scripted.wandb",
        "written up to 15 s late; no end record after a kill; train_loss in the summary only "
        "(0.31.0)",
    ),
    Kind(
        "TensorBoard event files (needs `sftdiag[tensorboard]`)",
        "runs",
        "float32; `train/train_loss` is the closing mean, no curve",
    ),
    Kind("trackio database", "trackio.db", "steps count log calls; no closing row (0.43.0)"),
    Kind(
        "Parquet: trackio's export, W&B's history (needs pyarrow)",
        "trackio.parquet",
        "several runs in a file: `FILE::RUN`; a folder's are not looked into, for data is kept in "
        "such files, too (0.43.0)",
    ),
    Kind(
        "MLflow: mlflow.db, mlruns/",
        "mlflow.db",
        "NaN is kept as 0 with a mark, infinity as 1.8e308; several runs in a file: `FILE::RUN` "
        "(3.18.0)",
    ),
    Kind(
        "DVCLive folder",
        "dvclive",
        "counts log calls, so steps come from the epochs and the closing row; `train/loss` is the "
        "closing mean (3.49.1)",
    ),
    Kind(
        "SwanLab offline run (.swanlab)", "run-scripted.swanlab", "a 0 is an absent field (0.10.3)"
    ),
    Kind(
        "ClearML offline session",
        "clearml.zip",
        "NaN and infinity stand as 0.0: an evaluation of 0 is taken for NaN, a gradient norm of 0 "
        "beside a loss of 0 is passed over; no epoch (2.1.12)",
    ),
    Kind("Comet offline archive", "comet.zip", "NaN stands as text (3.58.8)"),
    Kind(
        "Ray result.json, progress.csv",
        "result.json",
        "training_iteration counts reports: `step` is taken where it was reported; progress.csv "
        "keeps the columns of the first report, so a later eval_loss is not in it (2.60.0)",
    ),
)


OTHERS = (
    (
        "a progress bar with metrics: scripts, Lightning, NeMo, torchtune, diffusers, OpenRLHF, "
        "ColossalAI, kohya's sd-scripts, ai-toolkit",
        "the bar's steps are batches; `avr_loss` is a mean over an epoch's steps; an evaluation's "
        "bar counts at its end",
    ),
    (
        "a line a step: torchtitan, NeMo Automodel, PaddleNLP, xtuner 1, verl, nanotron, "
        "DeepSpeed, ModelScope, OpenNMT, flax and flair",
        "verl's `lr(1e-3)` is in thousandths; OpenNMT prints no loss but perplexities; xtuner's "
        "ranks print losses of their own, the first rank's are read",
    ),
    (
        "fairseq, as text or JSON",
        "its losses are in bits: they are turned into nats; they hold the label smoothing",
    ),
    ("Keras's `fit`", "a row an epoch, and the loss is its mean"),
    (
        "a line a metric below the step: Composer (llm-foundry), NeMo RL",
        "Composer's learning rate has four decimals, so it is not read",
    ),
    (
        "a line an epoch: PEFT's and accelerate's examples, DeepSpeed-Chat",
        "epochs that count from 0 stand at their end; steps are a guess",
    ),
    (
        "a table of a number a row (CSV, JSON, Parquet): MLflow's get_metric_history, Comet's and "
        "Neptune's clients, Aim, readers of TensorBoard",
        "of several runs the first is read",
    ),
    (
        'JSON of whole columns: `{"loss": [...], "val_loss": [...]}`, pandas\' to_json, ClearML\'s '
        "get_reported_scalars",
        "a shorter list, as of evaluations, is spread evenly over the longest",
    ),
    (
        "TensorBoard's CSV or JSON of one curve, Neptune's of one series",
        "it names no metric: `--columns loss=Value`",
    ),
)
"""Logs that are read by their shape, and their traps."""


def page(shares: Sequence[str]) -> str:
    """Return the page; ``shares`` are the lines of the labelled logs."""
    lines = [
        "<!-- Written by python -m benchmarks.formats --write. -->",
        "",
        "# Logs that are read",
        "",
        "A log is recognised by its content, not by its name. `sftdiag columns FILE` shows what "
        "was recognised, `--columns loss=my/loss` names what was not, `--logging-steps N` says how "
        "far apart the rows of a log without steps are. `-` is standard input; a folder, a pattern "
        "and a tracker's database may hold several runs. Nothing is fetched: a URL is refused.",
        "",
        "The same overfitting run in every format (tests/sources/made holds those written by the "
        "tools themselves): what it holds, the primary finding, and which detectors cannot judge "
        "from it, beyond those that cannot from its trainer_state.json.",
        "",
        "| log | holds | primary | cannot be judged | known traps (version) |",
        "|---|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(cells)} |" for cells in _rows()]
    lines += [
        "",
        "## Consoles and exports of others",
        "",
        "Read by the shape of a line or file, whoever wrote it (tests/sources holds each):",
        "",
        "| log | known traps |",
        "|---|---|",
        *(f"| {log} | {traps} |" for log, traps in OTHERS),
        "",
        "A perplexity (`ppl`, `val_perplexity`) tells the loss, its logarithm, where no column "
        "of a loss stands beside it. Of an evaluation that names no step (`Validation "
        "perplexity: 12.5`, `[eval] loss: 2.5`) it is the step of the row before. Of a table "
        "that the Trainer shows or a model card holds, the columns beside `Validation Loss` "
        "are scores of the evaluation.",
        "",
        "## A run as it logs",
        "",
        "`sftdiag watch PATH` follows any of them, or all below a folder, from another process; "
        "`torchrun train.py 2>&1 | tee train.log | sftdiag watch -` follows what is printed. "
        "On a fine-tune of examples/finetune.py, at the first warning:",
        "",
        "![sftdiag watch train.log](watch.svg)",
        "",
        "## The labelled public logs in other formats",
        "",
    ]
    lines += [
        "184 public trainer_state.json files, turned into each format by benchmarks/formats and "
        "read again: the same primary finding, and alarms (warning or worse, at any step) where "
        "the trainer_state.json has none.",
        "",
        "| format | same primary | new alarms |",
        "|---|---|---|",
        *shares,
        "",
        "Aim's repositories (`.aim`, needs `sftdiag[aim]`, Python up to 3.12) are read run by "
        "run from the files that the package aim 3.29.1 writes (tests/sources/test_aim.py, "
        "which runs where it is installed): its queries go by an index that only its server "
        "fills, and see nothing before. A number that is tracked again at a step takes the "
        "place of the first.",
        "",
        "Not run, for they need a GPU; what they print was held against the logging code in "
        "their wheels: NeMo (the lines of nemo_toolkit 2.7.3's own ProgressPrinter, run by "
        "itself, a NaN loss included; 3.0.0 has none of its own any more), Megatron "
        "(training_log of megatron-bridge 0.3.1 and 0.6.2 and of megatron-core 0.19.2, read), "
        "axolotl 0.21.0 (read: the Trainer's dicts with ppl, eval_ppl, memory and tokens added)"
        " and unsloth (the Trainer's).",
    ]
    return "\n".join(lines) + "\n"


def _rows() -> Iterator[tuple[str, ...]]:
    state = json.loads((MADE / "trainer_state.json").read_text())
    own = sftdiag.analyze(MADE / "trainer_state.json")
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            given = kind.file
            path = MADE / given if isinstance(given, str) else given(state, Path(folder))
            rows = list(open_run(path).entries)
            report = sftdiag.analyze(path)
        held = [name for name in METRICS if any(name in row for row in rows)]
        lost = sorted(report.skipped.keys() - own.skipped.keys())
        primary = report.primary
        found = f"{primary.code} at step {primary.fired_step}" if primary else report.verdict
        yield kind.name, ", ".join(held), found, ", ".join(lost) or "-", kind.traps
