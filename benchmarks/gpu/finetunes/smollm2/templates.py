"""The chat templates of the second base's runs: its own, with marks, and those with a fault."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.gpu.finetunes.smollm2.sources import Turn
from benchmarks.gpu.finetunes.smollm2.specs import Tune

SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
"""What the model's own template writes where a conversation has no system turn."""

MARKED = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\n" + SYSTEM + "<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] }}<|im_end|>{% endgeneration %}{{ '\n' }}"
    "{% else %}{{ message['content'] }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Writes what the model's own does, and marks the answers, as assistant_only_loss needs it."""

CLOSE = "{% endgeneration %}"
UNMARKED_END = MARKED.replace(f"<|im_end|>{CLOSE}", f"{CLOSE}<|im_end|>")
WITHOUT_END = MARKED.replace(f"<|im_end|>{CLOSE}", CLOSE)
WITHOUT_HISTORY = MARKED.replace(
    "{% generation %}{{ message['content'] }}",
    "{% generation %}{{ message['content'] if loop.last else "
    "message['content'].split('</think>')[-1].lstrip() }}",
)

GREETING: Mapping[str, str] = {
    "alpaca": "Below is an instruction that describes a task. Write a response that appropriately "
    "completes the request.\n\n",
    "vicuna": "A chat between a curious user and an artificial intelligence assistant. ",
}
WRITTEN: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "alpaca": {"user": ("### Instruction:\n", "\n\n"), "assistant": ("### Response:\n", "\n")},
    "vicuna": {"user": ("USER: ", " "), "assistant": ("ASSISTANT: ", "\n")},
    "llama-3": {
        "user": ("<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"),
        "assistant": ("<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"),
    },
}
"""Other templates by style: what stands before and after a turn of each role."""


def of(spec: Tune, own: str) -> str:
    """Return a run's chat template, the model's own where no mark is needed."""
    if spec.fault == "end-of-turn" and spec.kind == "marks":
        return UNMARKED_END
    if spec.fault == "end-of-turn" and spec.kind == "template":
        return WITHOUT_END
    if spec.fault == "content-left-out" and spec.kind == "history":
        return WITHOUT_HISTORY
    return MARKED if spec.form in ("messages", "tokens", "packed") else own


def thoughtless(turn: Turn) -> Turn:
    """Return the turn without its thinking."""
    return {**turn, "content": turn["content"].rpartition("</think>\n\n")[2]}
