"""Watch a training loop of one's own, here one in plain Python that predicts the next letter.

python examples/loop.py                       # healthy
python examples/loop.py --blow-up-at 205      # its rate is 1,000 times as high from then on
"""

from __future__ import annotations

import argparse
import math
import random
from itertools import pairwise

import sftdiag

TEXT = "the cat sat on the mat and the dog sat on the log and the rat ran to the hat " * 20
LETTERS = sorted(set(TEXT))
STEPS, BATCH, EVERY, RATE = 400, 32, 10, 2.0


def main() -> int:
    """Train; return 1 when the run was stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blow-up-at", type=int, metavar="STEP", help="learn much too fast then")
    parser.add_argument("--output", help="the run's folder")
    chosen = parser.parse_args()
    pairs = [(LETTERS.index(a), LETTERS.index(b)) for a, b in pairwise(TEXT)]
    held_out = pairs[:200]
    scores = [[0.0] * len(LETTERS) for _ in LETTERS]
    draw = random.Random(0)
    known = sftdiag.RunContext(
        vocab_size=len(LETTERS), max_steps=STEPS, learning_rate=RATE, optim="sgd"
    )
    total = 0.0
    with sftdiag.Loop(chosen.output, stop_on="error", context=known) as run:
        for step in run.until_stop(range(1, STEPS + 1)):
            rate = RATE * (1000 if step >= (chosen.blow_up_at or math.inf) else 1)
            total += train(scores, draw.choices(pairs, k=BATCH), rate)
            if step % EVERY == 0:
                run.log(step=step, loss=total / EVERY, lr=rate)
                total = 0.0
            if step % (5 * EVERY) == 0:
                run.log(step=step, eval_loss=mean_loss(scores, held_out))
    print(f"step {step}: {run.report.verdict}")
    return int(run.should_stop)


def train(scores: list[list[float]], batch: list[tuple[int, int]], rate: float) -> float:
    """Make a step of gradient descent; return the batch's mean loss before it."""
    loss = mean_loss(scores, batch)
    steps = [(before, after, softmax(scores[before])) for before, after in batch]
    for before, after, chances in steps:
        for letter, chance in enumerate(chances):
            scores[before][letter] -= rate / len(batch) * (chance - (letter == after))
    return loss


def mean_loss(scores: list[list[float]], batch: list[tuple[int, int]]) -> float:
    """Return the mean loss of a batch, in nats a letter."""
    losses = []
    for before, after in batch:
        highest = max(scores[before])
        total = sum(math.exp(score - highest) for score in scores[before])
        losses.append(highest + math.log(total) - scores[before][after])
    return sum(losses) / len(losses)


def softmax(scores: list[float]) -> list[float]:
    """Return the chances that scores stand for."""
    powers = [math.exp(score - max(scores)) for score in scores]
    return [power / sum(powers) for power in powers]


if __name__ == "__main__":
    raise SystemExit(main())
