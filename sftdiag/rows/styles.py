"""Chat templates told by what they leave in a text, for rows that another template wrote."""

from __future__ import annotations

STYLES: dict[str, str] = {
    "ChatML": "<|im_start|>",
    "Llama 3": "<|start_header_id|>",
    "Llama 2 or Mistral": "[/INST]",
    "Gemma": "<start_of_turn>",
    "Phi-3 or Zephyr": "<|assistant|>",
    "DeepSeek": "<｜Assistant｜>",
    "Harmony": "<|start|>assistant",
    "Alpaca": "### Response:",
    "Vicuna": "ASSISTANT:",
}
"""Name of a template to a piece of text that only it leaves."""


def style_of(text: str) -> str | None:
    """Return the template that wrote a text, or None.

    Examples:
        >>> style_of("USER: hi ASSISTANT: hello")
        'Vicuna'
    """
    return next((name for name, piece in STYLES.items() if piece in text), None)
