#!/usr/bin/env bash
# One would guess: tokenizer.add_tokens(["ion"]) gives this one word a token; texts without it are
#   tokenized as before, and " ion" within a text is one token, too.
# What happens: an added token is cut out of the text before anything else, within words as well: every
#   word that contains its letters falls to pieces that the model has never read ("quest" + "ion"), and the
#   space before it is left alone. The base's own tokens for those words, space included, are never used
#   again: the first loss is higher on texts that have nothing to do with the new word. With
#   AddedToken("ion", single_word=True) other words stay whole; the lone space is there all the same.
#   decode() gives the text back in each case, so nothing shows.
# Versions: transformers 5.23.0, tokenizers 0.23.3, Python 3.11.
# Output seen (a byte-level BPE; tokens of " the nation asked a question of an ion"):
#   as it was: Ġthe Ġnation Ġasked Ġa Ġquestion Ġof Ġan Ġion
#   add_tokens(['ion']): Ġthe Ġ n a t ion Ġasked Ġa Ġqu es t ion Ġof Ġan Ġ ion
#   single_word=True: Ġthe Ġnation Ġasked Ġa Ġquestion Ġof Ġan Ġ ion
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile transformers==5.23.0 tokenizers==0.23.3
cd "$work"
PYTHONUTF8=1 "$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

TEXT = " the nation asked a question of an ion"


def new():
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<end>"],
        show_progress=False,
    )
    words.train_from_iterator([TEXT] * 4, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>")


def tokens(name, added=None):
    tokenizer = new()
    if added is not None:
        tokenizer.add_tokens([added])
    ids = tokenizer(TEXT)["input_ids"]
    found = tokenizer.convert_ids_to_tokens(ids)
    print(f"{name}: {' '.join(found)}")
    assert tokenizer.decode(ids) == TEXT
    return found


before = tokens("as it was")
added = tokens("add_tokens(['ion'])", "ion")
alone = tokens("single_word=True", AddedToken("ion", single_word=True))
assert {"Ġnation", "Ġquestion", "Ġion"} <= set(before)
assert not {"Ġnation", "Ġquestion", "Ġion"} & set(added) and added.count("ion") == 3
assert {"Ġnation", "Ġquestion"} <= set(alone) and alone[-2:] == ["Ġ", "ion"]
PY
