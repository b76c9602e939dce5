"""The checks of templates and ends on rows as plain values."""

from __future__ import annotations

import pytest

from sftdiag.checks.answers_truncated import AnswersTruncatedCheck
from sftdiag.checks.base import Inputs
from sftdiag.checks.content_left_out import ContentLeftOutCheck
from sftdiag.checks.double_bos import DoubleBosCheck
from sftdiag.checks.duplicate_rows import DuplicateRowsCheck
from sftdiag.checks.end_of_turn_untrained import EndOfTurnUntrainedCheck
from sftdiag.checks.packing_without_boundaries import PackingWithoutBoundariesCheck
from sftdiag.checks.prompt_not_prefix import PromptNotPrefixCheck
from sftdiag.checks.template_mismatch import TemplateMismatchCheck
from sftdiag.checks.unread_input import UnreadInputCheck
from sftdiag.context import RunContext
from sftdiag.samples import (
    CONVERSATION,
    PROMPT_COMPLETION,
    TEXT,
    TOKENS,
    Sample,
    Split,
    Tokenization,
)
from sftdiag.turns import Turns

BEGIN, END, OPEN, EOS = 1, 2, 8, 3
TURN = (BEGIN, 5, 6, END, OPEN, 7, 7, END)


def split(*rows: Sample, form: str = TOKENS) -> Split:
    return Split("train", rows, len(rows), form)


def whole(ids: tuple[int, ...], **more: object) -> Sample:
    return Sample(ids, ids, **more)  # type: ignore[arg-type]


def test_a_begin_token_that_opens_every_turn_is_no_sign_of_packing() -> None:
    row = whole(TURN * 4, answers=((5, 7),))
    known = Tokenization(bos_token_id=BEGIN, eos_token_ids=(END,), end_of_turn=END)
    learned = known.replace(turns=Turns(inside=(BEGIN, END), learned=True))
    check = PackingWithoutBoundariesCheck()
    assert check.look(Inputs(train=split(row), tokenization=learned)) == ()
    (found,) = check.look(Inputs(train=split(row), tokenization=known))
    assert found.severity.label == "warning"


def test_a_conversation_is_one_sample_however_it_is_written() -> None:
    known = Tokenization(bos_token_id=BEGIN, eos_token_ids=(END,))
    train = split(whole(TURN * 4), form=CONVERSATION)
    check = PackingWithoutBoundariesCheck()
    assert check.look(Inputs(train=train, tokenization=known)) == ()
    packed = Inputs(RunContext(packing=True), train, tokenization=known)
    assert len(check.look(packed)) == 1


def test_an_end_that_the_template_wrote_counts_though_it_ends_no_text() -> None:
    row = whole(TURN, answers=((5, 7),))
    known = Tokenization(eos_token_ids=(EOS,), end_of_turn=END, turns=Turns(ends=(END,)))
    check = EndOfTurnUntrainedCheck()
    assert check.look(Inputs(train=split(row), tokenization=known)) == ()


def test_a_reply_that_ends_before_the_next_mark_has_no_end() -> None:
    row = whole((5, OPEN, 7, 7, BEGIN, 5), answers=((2, 4),))
    known = Tokenization(eos_token_ids=(EOS,), reply_opening=(OPEN,))
    (found,) = EndOfTurnUntrainedCheck().look(Inputs(train=split(row), tokenization=known))
    assert (found.variant, found.severity.label) == ("absent", "warning")


def test_an_end_that_stands_after_no_answer_at_all_is_an_error() -> None:
    known = Tokenization(eos_token_ids=(EOS,))

    def said(answer: tuple[int, ...], end: int | None = None) -> str:
        """Return what is told of thirty rows with this answer, one of them with this end."""
        rows = []
        for number in range(30):
            ids = (5, 6, *answer, 20 + number)
            ids = (*ids, end) if end is not None and number == 0 else ids
            rows.append(Sample(ids, (-100, -100, *ids[2:])))
        seen = EndOfTurnUntrainedCheck().look(Inputs(train=split(*rows), tokenization=known))
        return " ".join(f"{one.severity.label} {one.variant}" for one in seen)  # type: ignore[union-attr]

    text = tuple(range(60, 68))
    assert said(text) == "error never"
    # One row that ends shows what the others lack; a label's reader takes the first token.
    assert said(text, EOS) == "warning absent"
    assert said((60,)) == "warning absent"
    marked = tuple(Sample((5, 6, *text, 99), (-100, -100, *text, 99)) for _ in range(30))
    (own,) = EndOfTurnUntrainedCheck().look(Inputs(train=split(*marked), tokenization=known))
    assert (own.severity.label, own.variant) == ("warning", "absent")


@pytest.mark.parametrize("pad", [EOS, 1])
def test_an_end_that_is_masked_after_every_answer_is_an_error(pad: int) -> None:
    known = Tokenization(eos_token_ids=(EOS,), pad_token_id=pad)

    def told(answer: tuple[int, ...], ends: int) -> tuple[str, str]:
        """Return what is said of thirty rows with this answer; of so many the end is trained."""
        rows = []
        for number in range(30):
            ids = (5, 6, *answer, 20 + number, EOS)
            end = EOS if number < ends else -100
            rows.append(Sample(ids, (-100, -100, *ids[2:-1], end), answers=((2, len(ids) - 1),)))
        (one,) = EndOfTurnUntrainedCheck().look(Inputs(train=split(*rows), tokenization=known))
        return one.severity.label, one.variant

    text, kind = tuple(range(60, 68)), "pad_is_end" if pad == EOS else "masked"
    assert told(text, 0) == ("error", kind)
    # One row teaches to stop; a label's reader takes the first token.
    assert told(text, 1) == ("warning", kind)
    assert told((), 0) == ("warning", kind)


@pytest.mark.parametrize("column", ["labels", "completion_mask", "assistant_masks"])
def test_an_end_that_the_row_itself_masks_is_not_the_collators_doing(column: str) -> None:
    known = Tokenization(eos_token_ids=(EOS,), pad_token_id=EOS)

    def told(end: int) -> str | None:
        rows = []
        for number in range(30):
            ids = (5, 6, *range(60, 68), 20 + number, EOS)
            kept = (0, 0, *(1 for _ in ids[2:-1]), end)
            own = [token if keep else -100 for token, keep in zip(ids, kept, strict=True)]
            row = {column: own if column == "labels" else list(kept)}
            labels = (-100, -100, *ids[2:-1], -100)
            rows.append(Sample(ids, labels, row=row, answers=((2, len(ids) - 1),)))
        (one,) = EndOfTurnUntrainedCheck().look(Inputs(train=split(*rows), tokenization=known))
        return one.variant

    assert (told(0), told(1)) == ("masked", "pad_is_end")


def test_rows_that_go_on_after_the_last_end() -> None:
    header = (OPEN, 9)
    row = whole((*TURN, *header), answers=((5, 7),))
    known = Tokenization(
        eos_token_ids=(END,), end_of_turn=END, turns=Turns(ends=(END,), header_after=header)
    )
    check = EndOfTurnUntrainedCheck()
    (found,) = check.look(Inputs(train=split(row), tokenization=known))
    assert found.variant == "goes_on"
    masked = row.replace(labels=(*TURN, -100, -100))
    assert check.look(Inputs(train=split(masked), tokenization=known)) == ()


def test_a_mask_says_that_rows_are_no_plain_text() -> None:
    known = Tokenization(eos_token_ids=(EOS,))
    check = EndOfTurnUntrainedCheck()
    (note,) = check.look(Inputs(train=split(whole((5, 6, 7))), tokenization=known))
    masked = Sample((5, 6, 7, 9), (-100, -100, 7, 9))
    (loud,) = check.look(Inputs(train=split(masked), tokenization=known))
    assert (note.severity.label, loud.severity.label) == ("info", "warning")


def test_lengths_that_agree_are_no_cut_where_shorter_rows_end_likewise() -> None:
    known = Tokenization(eos_token_ids=(EOS,))
    unended = [whole(tuple(range(5, 5 + n))) for n in (*range(10, 30), 40, 40, 40)]
    check = AnswersTruncatedCheck()
    quiet = check.look(Inputs(train=split(*unended), tokenization=known))
    assert quiet == () or "SFT408" not in str(quiet)
    ended = [whole((*row.input_ids, EOS)) for row in unended[:-3]]
    (found,) = check.look(Inputs(train=split(*ended, *unended[-3:]), tokenization=known))
    assert found.evidence["rows"] == 3
    plain = split(*ended, *unended[-3:], form=TEXT)
    assert not isinstance(check.look(Inputs(train=plain, tokenization=known)), list)


def cut(number: int, *, full: int = 30, trained: int = 3) -> Sample:
    """Return a row that was cut within its reply, of ``full`` tokens then."""
    prompt, reply = (6, number + 20), tuple(range(40 + number, 50 + number))
    labels = (-100,) * (len(prompt) + len(reply) - trained) + reply[len(reply) - trained :]
    return Sample(
        (*prompt, *reply),
        labels,
        answers=((2, 12),),
        full_tokens=full,
        full_answer_tokens=full - 3,
    )


def test_replies_that_all_are_cut_teach_no_end() -> None:
    """As where ends are masked; not where a row has its end, or where none has a label."""
    rows = [cut(number, trained=10) for number in range(30)]
    known = Tokenization(eos_token_ids=(EOS,))
    check = AnswersTruncatedCheck()

    def found(*rows: Sample, known: Tokenization | None = known) -> tuple[str, str]:
        inputs = Inputs(RunContext(max_length=12), split(*rows), tokenization=known)
        (one,) = check.look(inputs)
        return one.severity.label, one.variant

    assert found(*rows) == ("error", "no_end")
    whole_row = Sample((6, 7, 41, EOS), (-100, -100, 41, EOS), answers=((2, 3),), full_tokens=4)
    assert found(*rows, whole_row) == ("warning", "default")
    before = Sample((6, 7, 8), (-100,) * 3, full_tokens=30, full_answer_tokens=20)
    assert found(*rows, before) == ("error", "no_end")
    first_turn = Sample(
        (6, 7, 41, EOS, 6, 9, 42, 43),
        (-100, -100, 41, EOS, -100, -100, 42, 43),
        answers=((2, 3), (6, 8)),
        full_tokens=30,
        full_answer_tokens=20,
    )
    assert found(*rows, first_turn) == ("warning", "default")
    assert found(*rows[:5]) == ("warning", "default")
    unseen = [row.replace(full_answer_tokens=None) for row in rows]
    assert found(*unseen)[0] == "warning"
    assert found(*rows, known=None)[0] == "warning"


def test_roles_that_no_template_knows() -> None:
    row = whole((5, 6), roles=("human", "gpt"))
    known = Tokenization(has_template=True)
    check = TemplateMismatchCheck()
    (found,) = check.look(Inputs(train=split(row), tokenization=known))
    assert (found.variant, found.evidence["roles"]) == ("roles", "gpt, human")
    silent = row.replace(left_out=("roles",))
    (found,) = check.look(Inputs(train=split(silent), tokenization=known))
    assert found.variant == "roles_left_out"
    for fine in (row.replace(answers=((1, 2),)), row.replace(roles=("user", "assistant"))):
        assert check.look(Inputs(train=split(fine), tokenization=known)) == ()


def test_a_role_of_the_rows_own_is_not_repeated() -> None:
    row = whole((5, 6), roles=("human", "zanzibar"))
    known = Tokenization(has_template=True)
    (found,) = TemplateMismatchCheck().look(Inputs(train=split(row), tokenization=known))
    assert "zanzibar" not in str(found)


def test_what_is_left_out_is_told_by_the_gravest_part() -> None:
    rows = (
        whole((5,), left_out=("thinking_history", "tool_calls")),
        *(whole((5,)) for _ in range(9)),
    )
    (found,) = ContentLeftOutCheck().look(Inputs(train=split(*rows)))
    assert (found.variant, found.evidence["rows"]) == ("tool_calls", 1)
    assert ContentLeftOutCheck().look(Inputs(train=split(*rows[1:]))) == ()


def test_prompts_are_compared_where_they_are_masked() -> None:
    rows = (*(whole((5, 6), prompt_lost=2) for _ in range(3)), whole((5, 6), prompt_lost=0))
    check = PromptNotPrefixCheck()
    (found,) = check.look(Inputs(train=split(*rows, whole((5, 6)))))
    assert (found.evidence["rows"], found.evidence["seen"]) == (3, 4)
    context = RunContext(completion_only_loss=False)
    assert check.look(Inputs(context, split(*rows))) == ()


def test_a_prompt_that_is_no_prefix_is_mended_as_its_form_says() -> None:
    asked, said = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
    ways = [
        (PROMPT_COMPLETION, {"prompt": "a ", "completion": "b"}, "boundary"),
        (CONVERSATION, {"prompt": [asked, said], "completion": [said]}, "turn"),
        (CONVERSATION, {"prompt": [asked], "completion": [said]}, "template"),
    ]
    for form, row, key in ways:
        train = split(whole((5, 6), prompt_lost=2, row=row), form=form)
        (found,) = PromptNotPrefixCheck().look(Inputs(train=train))
        assert [fix.key for fix in found.fixes] == [key]


def test_a_sampler_is_refused_only_where_it_is_a_slip_of_the_pen() -> None:
    check = UnreadInputCheck()
    for name in ("group_by_lenght", "group-by-length", "sequental"):
        (found,) = check.look(Inputs(RunContext(sampler=name)))
        assert found.variant == "sampler"
    for name in (None, "random", "sequential", "batch_rebalance", "by_perplexity"):
        assert check.look(Inputs(RunContext(sampler=name))) == ()


def test_a_formatting_function_that_is_passed_by() -> None:
    (found,) = UnreadInputCheck().look(Inputs(RunContext(formatting_ignored=True)))
    assert (found.variant, found.severity.label) == ("formatting", "warning")


def test_plain_text_without_the_token_that_conversations_begin_with() -> None:
    train = split(whole((5, 6)), form=TEXT)
    known = Tokenization(bos_token_id=BEGIN, turns=Turns(begins=BEGIN))
    check = DoubleBosCheck()
    (found,) = check.look(Inputs(train=train, tokenization=known))
    assert (found.variant, found.severity.label) == ("missing", "info")
    assert check.look(Inputs(train=train, tokenization=known.replace(adds_bos=True))) == ()
    talks = split(whole((5, 6)), form=CONVERSATION)
    assert check.look(Inputs(train=talks, tokenization=known)) == ()


def test_what_all_rows_begin_with_makes_no_copies() -> None:
    """A list of tools of 200 tokens, and 30 tokens of each row's own."""
    rows = [whole((*range(1000, 1200), *range(40 * i, 40 * i + 30))) for i in range(40)]
    check = DuplicateRowsCheck()
    assert check.look(Inputs(train=split(*rows))) == ()
    (found,) = check.look(Inputs(train=split(*rows[:20], *rows[:20])))
    assert found.evidence["rows"] == 20
