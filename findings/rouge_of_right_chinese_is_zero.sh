#!/usr/bin/env bash
# One would guess: ROUGE holds words of a reply against words of the reference, in any language; a reply
#   that is the reference, letter for letter, scores 1.
# What happens: rouge_score and torchmetrics make a space of all that is not a to z or 0 to 9. A right reply
#   in Chinese, Russian or Greek scores 0, a wrong one that has the reference's digits scores 1, "C++" is
#   "C#" and -5 is 5. As metric_for_best_model it stands at 0, or follows the numbers in the text. A
#   tokenizer of one's own (rouge_score's tokenizer=, torchmetrics' normalizer= and tokenizer=) cures it.
# Versions: rouge-score 0.1.2, torchmetrics 1.9.0, Python 3.11.
# Output seen (rougeL of the reply against the reference by rouge_score, by torchmetrics, and by both with
#   the letters as words):
#   the cat sat on it / the cat sat on it: 1.00 1.00, letters 1.00 1.00
#   猫坐在垫子上 / 猫坐在垫子上: 0.00 0.00, letters 1.00 1.00
#   кошка сидит / кошка сидит: 0.00 0.00, letters 1.00 1.00
#   η γάτα κάθεται / η γάτα κάθεται: 0.00 0.00, letters 1.00 1.00
#   公司2024年倒闭 / 会议在2024年召开: 1.00 1.00, letters 0.53 0.53
#   C# / C++: 1.00 1.00, letters 0.40 0.40
#   5 / -5: 1.00 1.00, letters 0.67 0.67
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 numpy==2.4.6 torchmetrics==1.9.0 \
  rouge-score==0.1.2
cd "$work"
OMP_NUM_THREADS=1 "$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
from rouge_score.rouge_scorer import RougeScorer
from torchmetrics.functional.text import rouge_score

PAIRS = {
    ("the cat sat on it", "the cat sat on it"): 1,
    ("猫坐在垫子上", "猫坐在垫子上"): 0,
    ("кошка сидит", "кошка сидит"): 0,
    ("η γάτα κάθεται", "η γάτα κάθεται"): 0,
    ("会议在2024年召开", "公司2024年倒闭"): 1,
    ("C++", "C#"): 1,
    ("-5", "5"): 1,
}


class Letters:
    def tokenize(self, text):
        return list(text.replace(" ", ""))


plain, letters = RougeScorer(["rougeL"]), RougeScorer(["rougeL"], tokenizer=Letters())
for (reference, reply), wanted in PAIRS.items():
    first = plain.score(reference, reply)["rougeL"].fmeasure
    second = rouge_score(reply, reference, rouge_keys="rougeL")["rougeL_fmeasure"].item()
    third = letters.score(reference, reply)["rougeL"].fmeasure
    fourth = rouge_score(
        reply,
        reference,
        rouge_keys="rougeL",
        normalizer=lambda text: text,
        tokenizer=Letters().tokenize,
    )["rougeL_fmeasure"].item()
    print(f"{reply} / {reference}: {first:.2f} {second:.2f}, letters {third:.2f} {fourth:.2f}")
    assert first == second == wanted, (reply, first, second)
    assert abs(third - fourth) < 1e-6
    assert (third == 1) == (reply == reference), (reply, third)
PY
