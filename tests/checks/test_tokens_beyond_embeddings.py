from __future__ import annotations

import pytest

from sftdiag.checks.base import Inputs
from sftdiag.checks.tokens_beyond_embeddings import TokensBeyondEmbeddingsCheck
from sftdiag.context import RunContext
from sftdiag.observations import Observation, Skip
from sftdiag.samples import Sample, Split, Tokenization

KNOWN = RunContext(embedding_rows=100)


def row(*ids: int) -> Sample:
    return Sample(ids, ids)


def look(
    *rows: Sample, context: RunContext = KNOWN, known: Tokenization | None = None, **sets: Sample
) -> list[Observation] | Skip:
    train = Split("train", rows, 1000, places=tuple(range(10, 10 + len(rows))))
    evaluations = tuple(Split(name, (sample,), 1) for name, sample in sets.items())
    seen = TokensBeyondEmbeddingsCheck().look(Inputs(context, train, evaluations, known))
    return seen if isinstance(seen, Skip) else list(seen)


def test_a_row_with_an_id_that_the_model_cannot_take_ends_the_run() -> None:
    (found,) = look(row(5, 99), row(3, 100, 104), row(101))
    assert found.severity.label == "error"
    numbers = {key: found.evidence[key] for key in ("rows", "token", "embeddings", "row")}
    assert numbers == {"rows": 2, "token": 104, "embeddings": 100, "row": 11}
    assert found.example == 1


def test_an_evaluation_set_that_holds_one_is_a_warning() -> None:
    (found,) = look(row(5), other=row(100))
    assert (found.series, found.severity.label) == ("other", "warning")


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (Tokenization(vocabulary=100, pad_token_id=99), []),
        (Tokenization(vocabulary=101, pad_token_id=100), [("warning", "padding")]),
        (Tokenization(vocabulary=101, pad_token_id=0), [("info", "unused")]),
        (Tokenization(pad_token_id=0), []),
        (None, []),
    ],
)
def test_tokens_of_the_tokenizer_that_no_row_holds(
    known: Tokenization | None, said: list[tuple[str, str]]
) -> None:
    seen = look(row(5, 99), known=known)
    assert not isinstance(seen, Skip)
    assert [(found.severity.label, found.variant) for found in seen] == said
    (error,) = look(row(100), known=known)
    assert error.severity.label == "error"


def test_where_the_embeddings_are_not_known_nothing_is_said() -> None:
    seen = look(row(5, 10**6), context=RunContext(vocab_size=100))
    assert isinstance(seen, Skip)
    assert seen.key == "no_embeddings"
