"""The probes on a 4-bit base with an adapter; needs bitsandbytes, whose kernels run on the CPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import sftdiag
from sftdiag.cli.main import main
from sftdiag.probes import PROBES

finetune = pytest.importorskip("finetune", reason="needs the extra trainer")
bitsandbytes = pytest.importorskip("bitsandbytes", reason="needs bitsandbytes")

import setups  # noqa: E402
import tiny_models  # noqa: E402
import torch  # noqa: E402
from datasets import Dataset  # noqa: E402
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training  # noqa: E402
from transformers import AutoModelForCausalLM, BitsAndBytesConfig  # noqa: E402
from trl import SFTConfig, SFTTrainer  # noqa: E402

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved 4-bit model that knows GENERAL."""
    folder = tmp_path_factory.mktemp("base")
    tiny_models.pretrained().save_pretrained(folder / "full")
    four_bit = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32
    )
    model = AutoModelForCausalLM.from_pretrained(folder / "full", quantization_config=four_bit)
    model.save_pretrained(folder / "4bit")
    finetune.make_tokenizer().save_pretrained(folder / "4bit")
    return folder / "4bit"


def train(base: Path, folder: Path, probes: Any, rate: float) -> tuple[Any, Any]:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(base)
    assert any(isinstance(m, bitsandbytes.nn.Linear4bit) for m in model.modules())
    model = prepare_model_for_kbit_training(model)
    wide = LoraConfig(r=16, lora_alpha=32, lora_dropout=0.1, target_modules="all-linear")
    arguments = {**setups.ARGUMENTS, "max_steps": 30, "eval_strategy": "steps", "eval_steps": 10}
    trainer = SFTTrainer(
        model=get_peft_model(model, wide),
        args=SFTConfig(
            str(folder),
            **arguments,
            bf16=False,
            gradient_checkpointing=True,
            learning_rate=rate,
            assistant_only_loss=True,
        ),
        train_dataset=Dataset.from_list(setups.messages(setups.PAIRS)),
        eval_dataset=Dataset.from_list(setups.messages(setups.HELD_OUT)),
        processing_class=finetune.make_tokenizer(),
    )
    callback = sftdiag.attach(trainer, probes=probes)
    trainer.train()
    trainer.save_model()
    return trainer, callback


def test_a_4bit_base_is_what_an_adapter_is_compared_with(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It forgets; the run is as without probes; and the saved adapter tells the same."""
    asked = sftdiag.Probes(seconds=60, reply_tokens=16, texts=tiny_models.GENERAL)
    runs = [train(base, tmp_path / str(i), probes, 2e-2) for i, probes in enumerate((None, asked))]
    logs = [
        [
            {k: v for k, v in row.items() if "runtime" not in k and "per_second" not in k}
            for row in trainer.state.log_history
        ]
        for trainer, _ in runs
    ]
    assert logs[0] == logs[1]
    trainer, callback = runs[1]
    assert {kind.name for kind in PROBES} <= set(callback.report.ran)
    (forgot,) = [f for f in callback.report.findings if f.code == "SFT302"]
    assert all("lora" in n for n, p in trainer.model.named_parameters() if p.requires_grad)

    files = {"texts.txt": tiny_models.GENERAL, "prompts.txt": [q for q, _ in setups.HELD_OUT]}
    for name, lines in files.items():
        (tmp_path / name).write_text("\n".join(lines))
    capsys.readouterr()
    given = ("--prompts", str(tmp_path / "prompts.txt"), "--texts", str(tmp_path / "texts.txt"))
    assert main(["probe", str(tmp_path / "1"), *given, "--format", "json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)["reports"]
    (later,) = [f for f in report["findings"] if f["code"] == "SFT302"]
    for name in ("before", "loss"):
        assert later["evidence"][name] == pytest.approx(forgot.evidence[name], rel=0.02)
