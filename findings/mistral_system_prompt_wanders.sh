#!/usr/bin/env bash
# One would guess: the system prompt stands at the beginning of a Mistral conversation.
# What happens: that depends on the tokenizer version. In v1 it is put before the first user
#   message, in v2 and v3 before the LAST one, in v7 it has a block of its own. In a training row
#   of several turns in v2 or v3 the first answers are therefore learned without the system
#   prompt, which is there when such a turn is asked. On the way two user messages in a row are
#   joined by an empty line, and from v2 on the spaces at the end of an assistant's text are cut
#   off (those at its beginning are kept).
# Versions: mistral-common 1.13.1 (with the tokenizers it ships), sentencepiece 0.2.3, Python
#   3.11.
# Output seen (▁ is a space; line ends as \n):
#   v1 <s>▁[INST]▁SYS\n\none▁[/INST]▁▁two▁▁</s>▁[INST]▁three\n\nfour▁[/INST]
#   v2 <s>[INST]▁one[/INST]▁▁two</s>[INST]▁SYS\n\nthree\n\nfour[/INST]
#   v3 <s>[INST]▁one[/INST]▁▁two</s>[INST]▁SYS\n\nthree\n\nfour[/INST]
#   v7 <s>[SYSTEM_PROMPT]▁SYS[/SYSTEM_PROMPT][INST]▁one[/INST]▁▁two</s>[INST]▁three\n\nfour[/INST]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile mistral-common==1.13.1 sentencepiece==0.2.3
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
from mistral_common.protocol.instruct.messages import (
    AssistantMessage,
    SystemMessage,
    UserMessage,
)
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

messages = [
    SystemMessage(content="SYS"),
    UserMessage(content="one"),
    AssistantMessage(content=" two  "),
    UserMessage(content="three"),
    UserMessage(content="four"),
]
texts = {}
for version in ("v1", "v2", "v3", "v7"):
    tokenizer = getattr(MistralTokenizer, version)()
    encoded = tokenizer.encode_chat_completion(ChatCompletionRequest(messages=list(messages)))
    texts[version] = encoded.text.replace("<0x0A>", r"\n")
    print(version, texts[version])

for version, text in texts.items():
    order = sorted(("SYS", "one", "two", "three", "four"), key=text.index)
    expected = ["one", "two", "SYS", "three", "four"] if version in ("v2", "v3") else order
    assert order == expected, (version, order)
    assert r"three\n\nfour" in text, version
    assert "▁▁two" in text and ("two▁▁" in text) == (version == "v1"), version
assert texts["v1"].index("SYS") < texts["v1"].index("one")
assert texts["v7"].startswith("<s>[SYSTEM_PROMPT]▁SYS[/SYSTEM_PROMPT]")
PY
