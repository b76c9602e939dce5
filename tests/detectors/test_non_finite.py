from __future__ import annotations

import random
from math import inf, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import feed, fired, train_rows

import sftdiag
from sftdiag.context import RunContext
from sftdiag.findings import Finding

GOOD = {"loss": 2.0, "grad_norm": 1.0, "entropy": 2.0}


def log(*rows: dict[str, float]) -> list[dict[str, float]]:
    return [{"step": step, **row} for step, row in enumerate(rows, start=1)]


def last(rows: list[dict[str, float]]) -> Finding:
    (finding,) = [f for f in sftdiag.analyze({"log_history": rows}).findings if f.code == "SFT106"]
    return finding


@pytest.mark.parametrize(
    "bad",
    [
        {"loss": nan},
        {"loss": inf, "grad_norm": inf},
        {"loss": "NaN"},
        {"loss": 0.0, "grad_norm": nan},
        {"loss": 0.0, "grad_norm": "nan", "entropy": nan},
        {"loss": 0.0, "entropy": nan},
    ],
)
def test_two_records_without_a_finite_loss(bad: dict[str, float]) -> None:
    rows = log(*[GOOD] * 10, *[bad] * 5)
    assert fired(rows) == [("non-finite", "error", 12)]
    (finding,) = feed(rows)
    assert finding.onset_step == 11
    assert finding.evidence["last_good_step"] == 10


def test_one_record_is_enough_behind_a_gradient_that_did_harm() -> None:
    """A loss scaler skips an infinite gradient, and the next loss is finite."""
    broke = [{"loss": 9.0, "grad_norm": inf}, {"loss": nan, "grad_norm": nan}]
    rows = log(*[GOOD] * 5, *broke)
    assert ("non-finite", "error", 7) in fired(rows)
    assert "non-finite" not in {n for n, *_ in fired(rows, RunContext(precision="fp16"))}
    scattered = fired(log(*[GOOD] * 5, {"loss": 2.0, "grad_norm": inf}, *[GOOD] * 5))
    assert "non-finite" not in {name for name, *_ in scattered}


def test_a_lost_record_is_enough_beside_an_evaluation_that_is_lost() -> None:
    """Those are other rows: no bad batch, broken weights."""
    rows = log(*[GOOD] * 3, {"loss": nan})
    assert ("non-finite", "error", 4) in fired([*rows, {"step": 4, "eval_loss": nan}])
    assert fired([*rows, {"step": 4, "eval_loss": 2.0}]) == []
    assert (
        fired([*log(*[GOOD] * 3), {"step": 3, "eval_loss": 2.0}, {"step": 3, "eval_loss": nan}])
        == []
    )


@pytest.mark.parametrize("bad", [{"loss": nan}, {"loss": 0.0, "grad_norm": nan}])
def test_a_log_that_ends_in_one_lost_record_is_not_healthy(bad: dict[str, float]) -> None:
    rows = log(*[{"loss": 3.0 - 0.02 * n, "grad_norm": 1.0} for n in range(60)])
    assert sftdiag.analyze({"log_history": rows}).verdict == "healthy"
    report = sftdiag.analyze({"log_history": [*rows, {"step": 61, **bad}]})
    assert (report.verdict, report.findings) == ("inconclusive", ())
    assert "61" in (report.reason or "")
    again = [*rows, {"step": 61, **bad}, {"step": 62, "loss": 1.8, "grad_norm": 1.0}]
    assert sftdiag.analyze({"log_history": again}).verdict == "healthy"


def test_the_record_in_which_it_broke_is_the_onset() -> None:
    """With logging_steps above 1 the first window still averages finite losses."""
    rows = log(*[GOOD] * 5, {"loss": 1.1, "grad_norm": nan}, *[{"loss": 0.0, "grad_norm": nan}] * 3)
    (finding,) = feed(rows)
    assert (finding.onset_step, finding.fired_step) == (6, 7)


def test_from_the_first_record() -> None:
    (finding,) = feed(log(*[{"loss": nan}] * 3))
    assert (finding.onset_step, finding.fired_step) == (1, 2)
    assert finding.evidence["last_good_step"] is None


def test_one_bad_batch_is_no_lost_run() -> None:
    assert fired(log(*[GOOD] * 5, {"loss": nan}, *[GOOD] * 5)) == []


def test_it_never_resolves() -> None:
    rows = log(*[GOOD] * 5, *[{"loss": nan}] * 3, *[GOOD] * 50)
    assert [f.resolved_step for f in feed(rows)] == [None]


def test_a_missing_grad_norm_is_no_nan() -> None:
    assert fired(train_rows([2.0, 1.5, 1.2] * 10)) == []


def test_every_second_record_lost_is_no_bad_batch() -> None:
    rows = log(*[GOOD, {"loss": nan}] * 30)
    assert fired(rows) == [("non-finite", "error", 20)]
    (finding,) = feed(rows)
    assert "10 log rows" in finding.message
    assert "Once a weight is NaN" not in finding.why


def test_a_nan_that_passes_is_none_in_the_weights() -> None:
    rows = log(*[GOOD] * 5, *[{"loss": nan}] * 3, *[GOOD] * 2, {"loss": nan}, GOOD)
    before = last(rows[:8])
    assert "has not been finite since step 6" in before.message
    assert "Once a weight is NaN" in before.why
    after = last(rows)
    assert "in 4 log rows, lastly at step 11, and finite in others" in after.message
    assert "Once a weight is NaN" not in after.why
    assert (after.severity.label, after.fired_step, after.resolved_step) == ("error", 7, None)
    assert not any("go back" in fix.text for cause in after.causes for fix in cause.fixes)


LEAPS = [2.0, 1.9, 1.8, 1.7, 1.6, 20.0]
BATCHES = [1.9, 2.3, 1.2, 2.0, 1.4, 2.6]


@pytest.mark.parametrize("every", [1, 10, 50])
@pytest.mark.parametrize(
    ("losses", "more", "zeros"),
    [
        (LEAPS, {}, 2),
        ([*LEAPS[:-1], 40.0], {}, 1),
        ([8870.27], {}, 1),
        ([2.0, 1.9, 344093.0], {}, 1),
        (BATCHES, {}, 0),
        (LEAPS, {"grad_norm": 0.0}, 0),
    ],
)
def test_zeros_behind_a_leap_are_a_hidden_nan(
    losses: list[float], more: dict[str, float], zeros: int, every: int
) -> None:
    """Not behind ordinary losses, nor where the gradient says that no label was there; one is
    enough behind a loss that only broken weights have."""
    rows = [{"loss": loss} for loss in losses] + [{"loss": 0.0, **more}] * 2
    log = [{"step": every * i, **row} for i, row in enumerate(rows, start=1)]
    non_finite = [f for f in feed(log) if f.code == "SFT106"]
    assert bool(non_finite) is bool(zeros)
    if zeros:
        assert non_finite[0].fired_step == log[zeros - 3]["step"]
        assert non_finite[0].onset_step == log[-2]["step"]


def test_zeros_while_the_schedule_is_held() -> None:
    """The trainer holds it where a step was skipped; a rate that never moved says nothing."""
    losses = [2.0, 2.2, 1.9, 2.1, 1.8, 2.0, 0.0, 0.0]
    held = [{"loss": x, "learning_rate": (9 - min(i, 5)) * 1e-5} for i, x in enumerate(losses)]
    assert fired(log(*held)) == [("non-finite", "error", 8)]
    assert fired(log(*({**row, "learning_rate": 1e-5} for row in held))) == []


def test_zeros_beside_an_evaluation_that_is_nan() -> None:
    rows = log(*[GOOD] * 5, {"loss": 0.0}, {"eval_loss": nan}, {"loss": 0.0})
    rows = [{k: v for k, v in row.items() if k != "grad_norm"} for row in rows]
    assert ("non-finite", "error", 8) in fired(rows)


@pytest.mark.parametrize(("good", "step"), [(0, 3), (5, 7), (200, 202)])
def test_a_gradient_that_a_loss_of_zero_cannot_have(good: int, step: int) -> None:
    rows = log(*[GOOD] * good, *[{"loss": 0.0, "grad_norm": 1.0}] * 10)
    assert [told for told in fired(rows) if told[0] == "non-finite"] == [
        ("non-finite", "error", step)
    ]
    (finding,) = [f for f in feed(rows) if f.code == "SFT106"]
    assert "gradient norm of 1" in finding.message
    assert not any(c.id == "label-mask" and c.status.name == "LIKELY" for c in finding.causes)


def test_zeros_that_were_learned_have_a_gradient() -> None:
    losses = [1.0, 0.3, 0.05, 0.004, 0.0003, 0.0, 0.0001, *[0.0] * 20]
    rows = log(*({"loss": loss, "grad_norm": 0.3 * loss + 1e-3} for loss in losses))
    assert [code for code, *_ in fired(rows) if code in ("non-finite", "zero-loss")] == []


def test_zeros_of_a_policy_have_a_gradient() -> None:
    rows = log(*[{"loss": 0.0, "grad_norm": 0.2, "reward": 0.5}] * 20)
    assert fired(rows) == [("policy-loss-zero", "info", 5)]


def ranked(fall: float, entropy: float = 1.0, rows: int = 20) -> list[dict[str, float]]:
    draw = random.Random(0)
    return log(
        *(
            {
                "loss": 6.667 * (1.0 if step < 10 else fall) * draw.gauss(1.0, 0.004),
                "entropy": 6.5 * (1.0 if step < 10 else entropy) * draw.gauss(1.0, 0.004),
                "grad_norm": draw.gauss(1.0, 0.05),
                "mean_token_accuracy": draw.gauss(0.11, 0.003),
            }
            for step in range(rows)
        )
    )


@pytest.mark.parametrize("ranks", [2, 4, 8])
def test_nan_on_one_rank_takes_its_part_of_the_loss(ranks: int) -> None:
    """transformers' filter adds 0 for it: the loss falls by 1/N, and nothing else moves."""
    rows = ranked(1 - 1 / ranks)
    context = RunContext(world_size=ranks)
    assert ("non-finite", "error", 12) in fired(rows, context)
    finding = next(f for f in feed(rows, context) if f.code == "SFT106")
    assert f"on 1 of the {ranks} ranks" in finding.message
    assert "looks like progress" in finding.why
    for other in (
        RunContext(world_size=1),
        RunContext(),
        RunContext(world_size=ranks, logging_nan_inf_filter=False),
    ):
        assert "SFT106" not in {f.code for f in feed(rows, other)}


def test_a_fall_that_was_learned_is_none_of_a_rank() -> None:
    context = RunContext(world_size=2)
    assert "SFT106" not in {f.code for f in feed(ranked(0.5, entropy=0.5), context)}
    assert "SFT106" not in {f.code for f in feed(ranked(0.8), context)}


def in_long_rows(
    ranks: int, every: int, at: int, *, seed: int = 0, lost: int = 1
) -> list[dict[str, float]]:
    """Return a run that learns, in rows of many steps, and loses ranks in mid-row.

    transformers' filter lets a lost rank add the mean of the steps summed up so far in its row.
    """
    draw = random.Random(seed)
    rows = []
    for number in range(1, 16):
        step = number * every
        level = 0.8 + 2.5 * 0.75**number
        noise = draw.gauss(1.0, 0.02)
        before = min(max(at - (step - every), 0), every)
        rank = 0.0 if not before else before * (every + 1) / ((before + 1) * every)
        share = 1.0 if before == every else rank
        rows.append(
            {
                "step": step,
                "loss": level
                * noise
                * draw.gauss(1.0, 0.004)
                * (ranks - lost + lost * share)
                / ranks,
                "entropy": 1.02 * level * noise * draw.gauss(1.0, 0.004),
                "grad_norm": level * draw.gauss(1.0, 0.1),
                "mean_token_accuracy": 1 - 0.25 * level * noise,
            }
        )
    return rows


@pytest.mark.parametrize("ranks", [2, 4, 8])
@pytest.mark.parametrize("every", [10, 50])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_nan_on_one_rank_is_named_within_two_long_rows(
    ranks: int, every: int, share: float
) -> None:
    """Wherever in a row it happens, and while the loss falls."""
    rows = in_long_rows(ranks, every, round((10 + share) * every))
    finding = next(f for f in feed(rows, RunContext(world_size=ranks)) if f.code == "SFT106")
    assert finding.fired_step in (11 * every, 12 * every)
    assert f"on 1 of the {ranks} ranks" in finding.message
    whole = in_long_rows(ranks, every, 10**6)
    assert "SFT106" not in {f.code for f in feed(whole, RunContext(world_size=ranks))}


def test_nan_on_two_of_four_ranks_is_counted() -> None:
    rows = in_long_rows(4, 10, 100, lost=2)
    finding = next(f for f in feed(rows, RunContext(world_size=4)) if f.code == "SFT106")
    assert "on 2 of the 4 ranks" in finding.message


@pytest.mark.parametrize("ranks", [2, 3, 4, 8, 16])
def test_a_spike_that_passes_is_no_lost_rank(ranks: int) -> None:
    losses = [2.1, 2.0, 2.0, 1.9, 1.9, 1.8, 1.8, 6.9, 6.4, 5.1, 4.5, 4.2, 3.4, 2.9, 2.8, 2.4, 2.2]
    entropies = [
        3.8,
        3.8,
        3.8,
        3.7,
        3.6,
        3.5,
        3.4,
        4.9,
        5.1,
        4.9,
        4.8,
        4.5,
        4.0,
        3.8,
        3.7,
        3.6,
        3.5,
    ]
    rows = log(
        *(
            {"loss": loss, "entropy": entropy, "grad_norm": 2.0}
            for loss, entropy in zip(losses, entropies, strict=True)
        )
    )
    assert "SFT106" not in {f.code for f in feed(rows, RunContext(world_size=ranks))}


# fmt: off
BY_HEART = {
    4: (
        [
            3.819, 3.308, 2.934, 2.613, 2.338, 2.063, 1.814, 1.626, 1.421, 1.289, 1.137, 1.019,
            0.9227, 0.8105, 0.7338, 0.6382, 0.5473, 0.4919, 0.4034, 0.3431,
        ],
        [
            4.116, 4.088, 4.034, 3.95, 3.821, 3.632, 3.392, 3.115, 2.819, 2.555, 2.309, 2.089,
            1.927, 1.801, 1.668, 1.573, 1.498, 1.379, 1.284, 1.176,
        ],
        [
            0.2036, 0.5107, 0.625, 0.6357, 0.6107, 0.6357, 0.6929, 0.6964, 0.7536, 0.7321,
            0.8357, 0.8536, 0.8786, 0.9321, 0.9429, 0.9679, 0.9929, 1.0, 1.0, 1.0,
        ],
    ),
    2: (
        [
            1.362, 1.226, 1.123, 1.065, 1.029, 0.9781, 0.9546, 0.8869, 0.9576, 0.8429, 0.7082,
            0.7614, 0.6841, 0.5723, 0.5855, 0.5693, 0.5019, 0.5273, 0.4879, 0.4198, 0.4102,
            0.2857, 0.3032, 0.2948, 0.2823, 0.2121, 0.1858, 0.1594, 0.1025, 0.08687, 0.1028,
        ],
        [
            2.142, 1.77, 1.552, 1.428, 1.308, 1.241, 1.217, 1.196, 1.161, 1.157, 1.092, 1.071,
            1.027, 0.9507, 0.9066, 0.8665, 0.8741, 0.8534, 0.7682, 0.7227, 0.7118, 0.6078,
            0.5916, 0.5798, 0.5165, 0.4424, 0.4402, 0.4368, 0.3581, 0.3125, 0.3042,
        ],
        [
            0.6143, 0.6286, 0.6286, 0.6857, 0.6357, 0.6929, 0.6714, 0.7143, 0.7143, 0.7286,
            0.8143, 0.7714, 0.8, 0.8429, 0.8143, 0.8143, 0.8786, 0.85, 0.8643, 0.8786, 0.8786,
            0.9214, 0.9357, 0.9143, 0.9143, 0.9429, 0.9357, 0.9714, 1.0, 0.9857, 0.9643,
        ],
    ),
}
# fmt: on
"""Losses, entropies and accuracies of two runs of the example, a row every five steps: at the end
the loss falls faster than the entropy. By ranks at which they were once taken for a lost one."""


@pytest.mark.parametrize("ranks", BY_HEART)
def test_rows_that_are_learned_by_heart_are_no_lost_rank(ranks: int) -> None:
    rows = log(
        *(
            {"loss": loss, "entropy": entropy, "mean_token_accuracy": accuracy}
            for loss, entropy, accuracy in zip(*BY_HEART[ranks], strict=True)
        )
    )
    for row in rows:
        row["step"] *= 5
    assert "SFT106" not in {f.code for f in feed(rows, RunContext(world_size=ranks))}


@settings(max_examples=60, deadline=None)
@given(
    ranks=st.integers(2, 32),
    every=st.sampled_from([1, 10, 50]),
    noise=st.floats(0.0, 0.3),
    falls=st.lists(st.floats(0.4, 1.0), min_size=3, max_size=3),
    seed=st.integers(0, 10**6),
)
def test_falls_that_were_learned_are_no_lost_rank(
    ranks: int, every: int, noise: float, falls: list[float], seed: int
) -> None:
    """Epoch borders: entropy and accuracy fall with the loss, as batches and learning move them."""
    draw = random.Random(seed)
    rows, level = [], 2.5
    for number in range(1, 41):
        level *= falls[number // 10 - 1] if number % 10 == 0 and number < 40 else 0.995
        batch = level * draw.lognormvariate(0.0, noise)
        rows.append(
            {
                "step": number * every,
                "loss": batch,
                "entropy": batch**0.9 * draw.gauss(1.0, 0.01),
                "mean_token_accuracy": max(0.0, 1 - 0.25 * batch),
                "grad_norm": draw.lognormvariate(0.0, 0.3),
            }
        )
    assert "SFT106" not in {f.code for f in feed(rows, RunContext(world_size=ranks))}


@pytest.mark.parametrize("precision", ["bf16", None, "fp16"])
def test_a_nan_gradient_and_a_lost_loss_are_two_rows(precision: str | None) -> None:
    """In fp16 the loss scaler skips such a step, and the next row is the first that is lost."""
    rows = log(*[GOOD] * 5, {"loss": 1.1, "grad_norm": nan}, *[{"loss": nan, "grad_norm": nan}] * 2)
    (finding,) = (f for f in feed(rows, RunContext(precision=precision)) if f.code == "SFT106")
    assert finding.fired_step == (8 if precision == "fp16" else 7)


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ({"precision": "fp16"}, "LIKELY"),
        ({"precision": "bf16", "method": "full"}, "RULED_OUT"),
        ({"precision": "bf16", "method": "qlora", "quantization": "4bit"}, "POSSIBLE"),
        ({"dtype": "bfloat16", "method": "full"}, "POSSIBLE"),
        ({"dtype": "float16"}, "LIKELY"),
    ],
)
def test_what_rules_the_number_format_out_is_proof(facts: dict[str, str], status: str) -> None:
    """The run's arguments are; the dtype of the stored weights is not."""
    rows = log(*[GOOD] * 5, *[{"loss": nan}] * 3)
    (finding,) = feed(rows, RunContext(**facts))
    found = {cause.id: cause.status.name for cause in finding.causes}
    assert found["quantization-or-dtype"] == status


@pytest.mark.parametrize("first", [1.0446, 344093.0])
def test_a_first_loss_that_was_finite_speaks_for_labels(first: float) -> None:
    rows = log({"loss": first, "grad_norm": nan}, *[{"loss": 0.0, "grad_norm": nan}] * 5)
    finding = next(f for f in feed(rows) if f.code == "SFT106")
    assert finding.causes[0].id == "hardware-or-kernel"
    labels = next(cause for cause in finding.causes if cause.id == "label-mask")
    assert labels.status.name == "POSSIBLE"
    assert any("finite up to step 1" in text for text in labels.against)


def test_deepspeed_skips_the_steps_and_keeps_the_weights() -> None:
    """It logs inf for the gradient; the row in which it breaks averages what was finite before."""
    rows = log(*[GOOD] * 5, {"loss": 1.1, "grad_norm": inf}, *[{"loss": 0.0, "grad_norm": inf}] * 3)
    context = RunContext(precision="bf16", deepspeed=True, method="full")
    finding = next(f for f in feed(rows, context) if f.code == "SFT106")
    assert finding.fired_step == 7
    assert "DeepSpeed skips its steps" in finding.message
    assert "the weights are those of the last step" in finding.why
    text = str([cause.fixes for cause in finding.causes])
    assert "checkpoint of step 5 or earlier" in text
    assert "NaN weights" not in text
    assert "damaged" not in text.replace("damaged or badly quantized", "")


@pytest.mark.parametrize(("every", "cause"), [(10, "learning-rate-too-high"), (1, "hardware")])
def test_what_a_first_row_of_many_steps_shows_was_made_in_them(every: int, cause: str) -> None:
    rows = [{"step": every, "loss": 1.9e5, "grad_norm": nan}]
    rows += [{"step": n * every, "loss": 0.0, "grad_norm": nan} for n in range(2, 6)]
    finding = next(f for f in feed(rows, RunContext(precision="bf16")) if f.code == "SFT106")
    assert finding.causes[0].id.startswith(cause)


def test_a_run_that_was_done_again_is_judged_again() -> None:
    rows = log(*[GOOD] * 20, *[{"loss": nan}] * 5)
    rows += [{**GOOD, "step": step} for step in range(15, 60)]
    assert [finding.resolved_step for finding in feed(rows)] == [None, 15]


def test_an_infinite_loss_is_no_sign_of_rows_without_labels() -> None:
    finding = feed(train_rows([inf] * 5, grad_norm=inf))[-1]
    mask = next(cause for cause in finding.causes if cause.id == "label-mask")
    assert mask.status.name != "LIKELY"
    assert not any("not one log row" in reason for reason in mask.because)
