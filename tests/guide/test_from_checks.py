"""What the checks before step 1 found settles a symptom's cause; what they did not find, too."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logs import Row, noisy, overfitting, train_rows

from sftdiag.checks import Inputs, run_checks
from sftdiag.context import RunContext
from sftdiag.findings import Cause, Finding, Report, Status
from sftdiag.guide.base import Evidence, Weight, rank, settle
from sftdiag.guide.dialect import OWN_LOOPS
from sftdiag.guide.symptoms import SYMPTOMS
from sftdiag.monitor import Monitor
from sftdiag.samples import IGNORE_INDEX, Sample, Split, Tokenization

KNOWN = RunContext(vocab_size=384, method="full", precision="bf16")


def split(labels: str, name: str = "train", tokens: tuple[int, int] = (10, 200)) -> Split:
    draw = random.Random(name)
    samples = []
    for _ in range(40):
        ids = tuple(draw.randint(*tokens) for _ in range(30))
        kept = {
            "own": ids[15:],
            "none": (IGNORE_INDEX,) * 15,
            "other": tuple(draw.randint(*tokens) for _ in range(15)),
        }[labels]
        samples.append(Sample(ids, (IGNORE_INDEX,) * 15 + kept, split=name))
    return Split(name, tuple(samples), 400)


def flat(**constant: float) -> list[Row]:
    return train_rows(noisy([5.9] * 60, 0.005), **constant)


def diagnosed(rows: list[Row], inputs: Inputs | None, context: RunContext = KNOWN) -> Report:
    monitor = Monitor(context)
    if inputs is not None:
        monitor.take_checks(run_checks(inputs))
    for row in rows:
        monitor.feed_entry(row)
    return monitor.report()


def first(report: Report) -> tuple[str, str, str, str | None]:
    assert report.primary is not None
    cause = report.primary.causes[0]
    return report.primary.code, cause.id, cause.status.name, cause.check


def statuses(finding: Finding | None) -> dict[str, Status]:
    assert finding is not None
    return {cause.id: cause.status for cause in finding.causes}


def empty(share: float, left_out: tuple[str, ...] = ()) -> Inputs:
    """Return rows of which this share has an answer of nothing but its end."""
    samples = []
    for number in range(40):
        ids = (7, 5, number, 8, 9, *(() if number < 40 * share else (4, number)), 2)
        labels = (IGNORE_INDEX,) * 5 + ids[5:]
        samples.append(Sample(ids, labels, answers=((5, len(ids) - 1),), left_out=left_out))
    return Inputs(train=Split("train", tuple(samples), 40))


NOTHING = train_rows([3.0, 0.5, 0.01, *[1e-5] * 12], learning_rate=2e-5, grad_norm=0.1)
"""A loss next to nothing within a part of an epoch."""


def test_empty_answers_are_the_root_of_what_the_curve_shows() -> None:
    rows = overfitting()
    report = diagnosed(rows, empty(1.0))
    assert first(report) == ("SFT201", "poor-data", "CONFIRMED", "SFT421")
    roots = [f.code for f in report.findings if f.consequence_of is None]
    assert roots == ["SFT201"]
    assert first(diagnosed(rows, empty(0.6)))[:3] == ("SFT201", "poor-data", "LIKELY")
    # A tenth of empty rows explains nothing.
    few = diagnosed(rows, empty(0.1))
    assert "poor-data" not in statuses(few.primary)


def test_a_loss_next_to_nothing_is_what_empty_answers_cost() -> None:
    """No symptom of its own beside them; where a tenth is empty, it is one."""
    assert first(diagnosed(NOTHING, empty(1.0))) == ("SFT421", "poor-data", "CONFIRMED", "SFT421")
    assert first(diagnosed(NOTHING, empty(0.1)))[0] == "SFT111"


def test_calls_that_the_template_leaves_out_are_the_root_of_empty_answers() -> None:
    report = diagnosed(NOTHING, empty(1.0, ("tool_calls",)))
    assert first(report) == ("SFT424", "chat-template", "CONFIRMED", "SFT424")
    assert "poor-data" not in statuses(report.primary)
    of = {f.code: (f.consequence_of or "").partition("@")[0] for f in report.findings}
    assert of == {"SFT424": "", "SFT421": "SFT424"}


def test_the_same_flat_curve_under_three_causes() -> None:
    normal = {"learning_rate": 2e-5, "grad_norm": 2.0}
    sound, none, other = (Inputs(train=split(kind)) for kind in ("own", "none", "other"))
    too_low = diagnosed(flat(learning_rate=1e-8, grad_norm=2.0), sound)
    assert first(too_low) == ("SFT101", "learning-rate-too-low", "CONFIRMED", None)
    masked = diagnosed(flat(**normal), none)
    assert first(masked) == ("SFT101", "label-mask", "CONFIRMED", "SFT401")
    misaligned = diagnosed(flat(**normal), other)
    assert first(misaligned) == ("SFT101", "label-misalignment", "CONFIRMED", "SFT404")
    assert statuses(too_low.primary)["label-misalignment"] is Status.RULED_OUT


def test_the_symptom_stays_first_and_the_check_is_told_as_its_cause() -> None:
    report = diagnosed(flat(learning_rate=2e-5, grad_norm=2.0), Inputs(train=split("other")))
    symptom, check = (next(f for f in report.findings if f.code == c) for c in ("SFT101", "SFT404"))
    assert report.primary_id == symptom.id
    assert check.consequence_of == symptom.id
    cause = symptom.causes[0]
    assert cause.because[0] == f"SFT404: {check.message}"
    assert cause.fixes == check.causes[0].fixes


def test_a_check_without_a_symptom_is_first() -> None:
    rows = train_rows(noisy([3.0 - 0.02 * step for step in range(60)], 0.01), learning_rate=2e-5)
    assert first(diagnosed(rows, Inputs(train=split("other"))))[0] == "SFT404"


def test_what_has_not_run_is_missing_and_how_to_run_it_is_said() -> None:
    report = diagnosed(flat(learning_rate=2e-5, grad_norm=2.0), None)
    mask = next(c for c in report.primary.causes if c.id == "label-mask")  # type: ignore[union-attr]
    assert mask.status is Status.POSSIBLE
    assert any("run sftdiag.preflight(trainer)" in text for text in mask.missing)


def test_a_check_of_the_evaluation_set_speaks_for_its_distribution() -> None:
    rows = overfitting(400, turn=180)
    alike = Inputs(train=split("own"), evaluations=(split("own", "eval"),))
    other = alike.replace(evaluations=(split("own", "eval", (300, 380)),))
    told = []
    for inputs in (alike, other):
        causes = {c.id: c for c in diagnosed(rows, inputs).primary.causes}  # type: ignore[union-attr]
        told.append((causes["eval-distribution"].because, causes["eval-distribution"].against))
    assert any("eval-distribution-shift looked at" in text for text in told[0][1])
    assert any(text.startswith("SFT414: ") for text in told[1][0])


@pytest.mark.parametrize(
    ("sampler", "samples", "status"),
    [
        ("sequential", 400, Status.LIKELY),
        ("random", 400, Status.RULED_OUT),
        ("random", None, Status.POSSIBLE),
        (None, 400, Status.POSSIBLE),
    ],
)
def test_the_order_of_the_rows(sampler: str | None, samples: int | None, status: Status) -> None:
    losses = [3.0 - 0.02 * step if step < 100 else min(2.0, 0.02 * step - 1) for step in range(300)]
    context = RunContext(sampler=sampler, train_samples=samples)
    report = diagnosed(train_rows(noisy(losses, 0.02)), None, context)
    assert report.primary is not None
    assert report.primary.code == "SFT102"
    assert statuses(report.primary)["data-order"] is status


IN_ORDER = RunContext(sampler="sequential", train_samples=400)


def set_in_order(*tokens: tuple[int, int]) -> Split:
    """Return rows of these ranges of tokens, one block after another."""
    rows = tuple(row for low_high in tokens for row in split("own", tokens=low_high).samples)
    return Split("train", rows, len(rows), places=tuple(range(len(rows))))


FIRST, SECOND = (10, 200), (210, 380)
IN_BLOCKS = Inputs(IN_ORDER, set_in_order(FIRST, FIRST, SECOND, SECOND))
OF_ONE_KIND = Inputs(IN_ORDER, set_in_order(FIRST, FIRST, FIRST, FIRST))
OF_THE_FIRST = (split("own", "eval", FIRST),)


def data_order(report: Report, code: str) -> Cause:
    symptom = next(finding for finding in report.findings if finding.code == code)
    return next(cause for cause in symptom.causes if cause.id == "data-order")


def risen_in_the_first_epoch() -> list[Row]:
    """Return a run of one epoch whose evaluation loss rises from its middle on."""
    rows = train_rows(noisy([3.0 - 0.005 * step for step in range(200)], 0.01))
    return [
        one
        for row in rows
        for at in [{"step": row["step"], "epoch": row["step"] / 200}]
        for one in (
            {**row, **at},
            {**at, "eval_loss": 3.0 - 0.005 * row["step"] + 0.02 * max(0, row["step"] - 100)},
        )
        if "loss" in one or row["step"] % 20 == 19
    ]


@pytest.mark.parametrize(
    ("inputs", "status", "check"),
    [
        (IN_BLOCKS.replace(evaluations=OF_THE_FIRST), Status.CONFIRMED, "SFT420"),
        (IN_BLOCKS, Status.LIKELY, "SFT420"),
        (OF_ONE_KIND.replace(evaluations=OF_THE_FIRST), Status.POSSIBLE, None),
        (None, Status.LIKELY, None),
    ],
)
def test_rows_in_blocks_for_an_evaluation_loss_that_rises_in_the_first_epoch(
    inputs: Inputs | None, status: Status, check: str | None
) -> None:
    cause = data_order(diagnosed(risen_in_the_first_epoch(), inputs, IN_ORDER), "SFT201")
    assert (cause.status, cause.check) == (status, check)
    if check is not None:
        assert any(text.startswith("SFT420: The rows are taken as they") for text in cause.because)
        assert "SFTConfig.train_sampling_strategy" in cause.fixes[0].changes
    if inputs is None:
        assert any("rows-in-blocks has not run" in text for text in cause.missing)


@pytest.mark.parametrize(
    ("framework", "told"),
    [
        (None, "sftdiag.preflight(trainer)"),
        ("ms-swift", "sftdiag.preflight(trainer)"),
        *((name, "sftdiag inspect DATA") for name in OWN_LOOPS),
    ],
)
def test_a_check_that_has_not_run_says_how_it_can(framework: str | None, told: str) -> None:
    context = IN_ORDER.replace(framework=framework)
    cause = data_order(diagnosed(risen_in_the_first_epoch(), None, context), "SFT201")
    (text,) = [text for text in cause.missing if "rows-in-blocks has not run" in text]
    assert told in text


@pytest.mark.parametrize(("copies", "status"), [(0, "POSSIBLE"), (10, "POSSIBLE"), (30, "LIKELY")])
def test_rows_that_are_copies_are_seen_again_in_the_first_epoch(copies: int, status: str) -> None:
    rows = split("own").samples
    repeated = Split("train", (*rows[: 40 - copies], *rows[:1] * copies), 400)
    report = diagnosed(risen_in_the_first_epoch(), Inputs(train=repeated))
    finding = next(finding for finding in report.findings if finding.code == "SFT201")
    cause = next(cause for cause in finding.causes if cause.id == "overfitting")
    assert cause.status.name == status
    assert (cause.check == "SFT416") == (status == "LIKELY")


def test_rows_in_blocks_that_are_drawn_at_random_are_no_cause() -> None:
    drawn = IN_ORDER.replace(sampler="random")
    inputs = IN_BLOCKS.replace(context=drawn, evaluations=OF_THE_FIRST)
    cause = data_order(diagnosed(risen_in_the_first_epoch(), inputs, drawn), "SFT201")
    assert cause.status is Status.RULED_OUT
    assert not any("rows-in-blocks" in text for text in (*cause.against, *cause.missing))


def rebound(*, sudden: bool, grad_norm: float = 4.0) -> list[Row]:
    """Return a loss that falls and rises again, with the accuracy and within one record or not."""
    losses = [3.0 - 0.02 * step if step < 100 else min(2.0, 0.02 * step - 1) for step in range(300)]
    if sudden:
        losses = [3.0 - 0.02 * step if step < 100 else 5.0 for step in range(130)]
    rows = train_rows(noisy(losses, 0.02), grad_norm=4.0)
    for row in rows[100:] if sudden else []:
        row.update(mean_token_accuracy=0.03, grad_norm=grad_norm)
    for row in rows[:100] if sudden else []:
        row.update(mean_token_accuracy=0.3)
    return rows


@pytest.mark.parametrize(
    ("inputs", "sudden", "grad_norm", "status"),
    [
        (IN_BLOCKS, False, 4.0, Status.LIKELY),
        (OF_ONE_KIND, False, 4.0, Status.POSSIBLE),
        (IN_BLOCKS, True, 4.0, Status.LIKELY),
        # A few broken rows in the middle are not seen by what compares the last rows.
        (OF_ONE_KIND, True, 4.0, Status.LIKELY),
        # The steps grew, whatever the order of the rows.
        (IN_BLOCKS, True, 60.0, Status.POSSIBLE),
    ],
)
def test_rows_in_blocks_for_a_train_loss_that_rises_again(
    inputs: Inputs, sudden: bool, grad_norm: float, status: Status
) -> None:
    rows = rebound(sudden=sudden, grad_norm=grad_norm)
    assert data_order(diagnosed(rows, inputs, IN_ORDER), "SFT102").status is status


@pytest.mark.parametrize("inputs", [IN_BLOCKS, OF_ONE_KIND])
def test_rows_in_blocks_for_spikes(inputs: Inputs) -> None:
    """What compares the last rows says nothing against a batch of odd rows."""
    losses = [1.0 + 2.0 * 0.99**step * (4 if step in (210, 260, 350) else 1) for step in range(400)]
    cause = data_order(diagnosed(train_rows(noisy(losses, 0.02)), inputs, IN_ORDER), "SFT105")
    told = [text for text in (*cause.because, *cause.against) if "rows-in-blocks" in text]
    assert told == []
    assert any("SFT420" in text for text in cause.because) is (inputs is IN_BLOCKS)


def test_epochs_against_the_data() -> None:
    context = RunContext(train_samples=60_000, num_train_epochs=5.0)
    report = diagnosed(overfitting(400, turn=180), None, context)
    text = " ".join(report.primary.causes[0].because)  # type: ignore[union-attr]
    assert "5 epochs of 60,000 samples" in text


def test_every_check_that_the_guide_names_exists() -> None:
    outcome = run_checks(Inputs(train=split("own")))
    known = {*outcome.ran, *outcome.skipped}
    named = set()
    for symptom in SYMPTOMS:
        report = diagnosed([], None)
        for rule in symptom.causes:
            for look in rule.looks:
                named |= {cell for c in (look.__closure__ or ()) if (cell := c.cell_contents)}
    assert report.findings == ()
    names = {name for name in named if isinstance(name, str) and "-" in name}
    assert "label-misalignment" in names
    assert names <= known


PIECES = st.lists(st.sampled_from(list(Weight)), max_size=6)


@given(PIECES, PIECES, PIECES)
def test_more_evidence_never_puts_a_confirmed_cause_behind_an_unconfirmed_one(
    before: list[Weight], more: list[Weight], other: list[Weight]
) -> None:
    """The two that do: what rules it out, and beside a likely one what speaks against it."""

    def evidence(weights: list[Weight]) -> tuple[Evidence, ...]:
        return tuple(Evidence(weight, "key") for weight in weights)

    confirmed = evidence([*before, Weight.CONFIRMS])
    grown = (*confirmed, *evidence(more))
    excluded = any(piece.weight is Weight.RULES_OUT for piece in grown)
    contradicted = any(piece.weight is Weight.AGAINST for piece in grown)
    assert (settle(grown) is Status.CONFIRMED) is not (excluded or contradicted)
    assert settle(grown) is not Status.RULED_OUT
    rival = evidence(other)
    if not excluded and Weight.CONFIRMS not in other:
        assert rank(grown) < rank(rival)


def test_support_with_a_counter_argument_comes_before_no_evidence_at_all() -> None:
    weighed = (Evidence(Weight.SUPPORTS, "key"), Evidence(Weight.AGAINST, "key"))
    assert rank(weighed) < rank((Evidence(Weight.MISSING, "key"),))
    assert rank((Evidence(Weight.MISSING, "key"),)) < rank((Evidence(Weight.AGAINST, "key"),))


def test_a_clip_that_leaves_no_step_is_the_cause_of_a_flat_loss() -> None:
    known = KNOWN.replace(
        optim="adamw_torch",
        max_grad_norm=1e-10,
        adam_epsilon=1e-8,
        learning_rate=1e-4,
        trainable_parameters=10**8,
        total_parameters=10**8,
    )
    rows = flat(grad_norm=4.0, learning_rate=1e-4)
    report = diagnosed(rows, Inputs(known), known)
    assert first(report) == ("SFT101", "optimizer-settings", "CONFIRMED", "SFT512")
    usual = known.replace(max_grad_norm=1.0)
    assert "optimizer-settings" not in statuses(diagnosed(rows, Inputs(usual), usual).primary)


@pytest.mark.parametrize(("rows", "status"), [(40, Status.LIKELY), (4, Status.POSSIBLE)])
def test_new_tokens_that_nothing_trains_hold_a_loss_up_where_most_rows_have_them(
    rows: int, status: Status
) -> None:
    samples = split("own").samples
    new = 383
    marked = tuple(
        Sample((new, *one.input_ids), (IGNORE_INDEX, *one.labels), split="train")
        if index < rows
        else one
        for index, one in enumerate(samples)
    )
    known = KNOWN.replace(method="lora", trainable_parameters=2, total_parameters=100)
    inputs = Inputs(
        known,
        Split("train", marked, 400),
        tokenization=Tokenization(untrained_token_ids=(new,)),
    )
    falls_then_sticks = [8.0 - 0.2 * step for step in range(10)] + [5.9] * 60
    losses = train_rows(noisy(falls_then_sticks, 0.005), learning_rate=2e-4, grad_norm=2.0)
    report = diagnosed(losses, inputs, known)
    assert statuses(report.primary)["frozen-parameters"] is status
    first_cause = first(report)
    assert (first_cause[1] == "frozen-parameters") == (status is Status.LIKELY)
