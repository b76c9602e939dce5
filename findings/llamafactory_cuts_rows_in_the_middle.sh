#!/usr/bin/env bash
# One would guess: cutoff_len takes the end off a row that is too long (or drops the row), as other
#   trainers do.
# What happens: LLaMA-Factory shares the length out between a turn's question and its answer, and
#   cuts the end off each. What goes first is the end of the question: its last word, and the tokens
#   that close it and begin the answer. A row that is six tokens too long has its answer right
#   behind half a sentence of the user's, without <|im_start|>assistant, and is learned so; the
#   answer's end is there, so that nothing looks cut. Of a long answer the end is lost as well.
#   Neither the loss nor the number of tokens shows it.
# Versions: llamafactory 0.9.5, transformers 5.6.0, Python 3.11.
# Output seen (a question of 40 words and an answer of 8 in the template qwen: 58 tokens):
#   cutoff_len 100: ... w39 <|im_end|> \n <|im_start|> assistant \n a0 a1 a2 a3 a4 a5 a6 a7 <|im_end|> \n
#   cutoff_len 52: ... w33 w34 w35 w36 w37 w38 a0 a1 a2 a3 a4 a5 a6 a7 <|im_end|> \n
#   cutoff_len 40: ... w25 w26 a0 a1 a2 a3 a4 a5 a6 a7 <|im_end|> \n
#     trained: a0 a1 a2 a3 a4 a5 a6 a7 <|im_end|> \n
#   an answer of 40 words, cutoff_len 40: ... w15 a0 a1 ... a20
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1
python3 -m venv "$work/venv"
# what the data part needs; the web interface and torchaudio are left out
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.6.0 peft==0.18.1 \
    trl==0.24.0 accelerate==1.11.0 datasets==4.0.0 omegaconf==2.3.0 av==16.0.0 scipy pandas \
    einops sentencepiece protobuf matplotlib
"$work/venv/bin/pip" install -q --no-compile --no-deps llamafactory==0.9.5
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
import importlib.machinery
import sys
import types

import accelerate
import datasets
import peft
import transformers
import trl

# imported for audio only, and its builds want another torch
sys.modules["torchaudio"] = types.ModuleType("torchaudio")
sys.modules["torchaudio"].__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)

from llamafactory.data.processor.supervised import SupervisedDatasetProcessor
from llamafactory.data.template import get_template_and_fix_tokenizer
from llamafactory.hparams import DataArguments
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

assert all((accelerate, datasets, peft, trl))
words = ["<pad>", "<|im_end|>", "<|im_start|>", "system", "user", "assistant", "\n"]
words += [f"{kind}{number}" for kind in "wa" for number in range(60)]
inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "<pad>"))
inner.pre_tokenizer = pre_tokenizers.Sequence(
    [
        pre_tokenizers.Split(Regex(r"\n"), "isolated"),
        pre_tokenizers.Split(Regex(" +"), "removed"),
    ]
)
tokenizer = transformers.PreTrainedTokenizerFast(
    tokenizer_object=inner,
    eos_token="<|im_end|>",
    pad_token="<pad>",
    additional_special_tokens=["<|im_start|>", "<|im_end|>"],
)


def row(cutoff, asked, answered):
    args = DataArguments(template="qwen", cutoff_len=cutoff, default_system="")
    processor = SupervisedDatasetProcessor(
        template=get_template_and_fix_tokenizer(tokenizer, args),
        tokenizer=tokenizer,
        processor=None,
        data_args=args,
    )
    done = processor.preprocess_dataset(
        {
            "_prompt": [
                [{"role": "user", "content": " ".join(f"w{number}" for number in range(asked))}]
            ],
            "_response": [
                [
                    {
                        "role": "assistant",
                        "content": " ".join(f"a{number}" for number in range(answered)),
                    }
                ]
            ],
            "_system": [""],
            "_tools": [""],
            "_images": [None],
            "_videos": [None],
            "_audios": [None],
        }
    )
    ids, labels = done["input_ids"][0], done["labels"][0]
    trained = [label for label in labels if label != -100]
    return [tokenizer.decode(each).replace("\n", "\\n").split() for each in (ids, trained)]


whole, _ = row(100, 40, 8)
short, trained = row(40, 40, 8)
long, _ = row(40, 30, 40)
near, _ = row(52, 40, 8)
print("cutoff_len 100: ... " + " ".join(whole[-16:]))
print("cutoff_len 52: ... " + " ".join(near[-16:]))
print("cutoff_len 40: ... " + " ".join(short[-12:]))
print("  trained: " + " ".join(trained))
print(f"an answer of 40 words, cutoff_len 40: ... {' '.join(long[18:21])} ... {long[-1]}")

assert len(whole) == 58 and "assistant" in whole
assert len(short) == len(long) == 40 and "assistant" not in short + long + near
assert short[short.index("a0") - 1].startswith("w") and short[-2] == "<|im_end|>"
assert long[-1].startswith("a"), long
PY
