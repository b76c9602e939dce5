"""Small tokenizers of bytes, with the special tokens and the chat template that a test asks for."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

HEAD = "<|im_start|>{{ m['role'] }}\n"
ASKED = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
EACH = "{% for m in messages %}"
SAID = "{{ m['content'] }}"

CHATML = f"{EACH}{HEAD}{SAID}<|im_end|>\n{{% endfor %}}{ASKED}"
DEFAULT_SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou help.<|im_end|>\n{% endif %}"
    + CHATML
)
ALWAYS_HEADER = (
    "<s>" + EACH + "<|head|>{{ m['role'] }}<|tail|>\n\n" + SAID + "<|eot|>{% endfor %}"
    "<|head|>assistant<|tail|>{{ '\n\n' }}"
)
BEGIN_EACH_TURN = (
    EACH + "{% if m['role'] == 'user' %}<s>[INST] " + SAID + " [/INST]"
    "{% else %} " + SAID + " </s>{% endif %}{% endfor %}"
)
NEWLINE = (
    EACH
    + HEAD
    + SAID
    + "{% if m['role'] != 'assistant' %}<|im_end|>{% endif %}\n{% endfor %}"
    + ASKED
)
NOTHING = (
    EACH
    + HEAD
    + SAID
    + "{% if m['role'] != 'assistant' %}<|im_end|>\n{% endif %}{% endfor %}"
    + ASKED
)
LAST_END = (
    EACH + HEAD + SAID + "{% if loop.last %}</s>{% else %}<|im_end|>{% endif %}{% endfor %}" + ASKED
)
BARE_REPLY = (
    "<s>" + EACH + "{% if m['role'] == 'user' %}<|head|>" + SAID + "{% elif m['role'] == 'tool' %}"
    "<|eot|>" + SAID + "<|tail|>{% else %}{% if not m.get('tool_calls') %}"
    "{% if loop.previtem['role'] != 'tool' %}<|im_start|>{% endif %}" + SAID + "</s>{% endif %}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>{% endif %}"
)
RAISES = EACH + "{{ raise_exception('turns must begin with a name') }}{% endfor %}"
BROKEN = "{% for m in messages %}{{ m['content'] }"

SPECIAL = ("<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|head|>", "<|tail|>", "<|eot|>")


def tokenizer(
    template: str | None, *, bos: str | None = None, eos: str = "<|im_end|>", pad: str = "<pad>"
) -> Any:
    """Return a tokenizer whose tokens are bytes, and the special ones."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    model = models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[])
    made = Tokenizer(model)
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=made,
        eos_token=eos,
        pad_token=pad,
        extra_special_tokens=list(SPECIAL),
        **({"bos_token": bos} if bos is not None else {}),
    )
    fast.chat_template = template
    return fast


def talk(*said: str) -> list[dict[str, str]]:
    """Return a conversation of a user and an assistant."""
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": text} for i, text in enumerate(said)]
