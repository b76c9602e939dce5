"""The fingerprint of a dataset's rows: the same for the same rows, none where it cannot be told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sftdiag.trainer.fingerprint import ROWS, fingerprint

torch = pytest.importorskip("torch", reason="needs the extra trainer")
datasets = pytest.importorskip("datasets", reason="needs the extra trainer")

ROW_LIST = [{"input_ids": [n, n + 1], "labels": [-100, n + 1], "text": "x"} for n in range(200)]


def changed(place: int, **values: Any) -> list[dict[str, Any]]:
    return [{**row, **values} if n == place else row for n, row in enumerate(ROW_LIST)]


def test_the_same_rows_in_other_clothes() -> None:
    mark = fingerprint(ROW_LIST)
    assert mark is not None
    table = datasets.Dataset.from_list(ROW_LIST)
    assert fingerprint(table) == mark
    assert fingerprint(table.with_format("torch")) == mark
    assert fingerprint(table.map(lambda row: row, new_fingerprint="other")) == mark
    assert fingerprint(table.remove_columns("text")) == mark


def test_other_rows() -> None:
    others = [
        changed(0, input_ids=[9, 9]),
        changed(0, labels=[0, 1]),
        ROW_LIST[:-1],
        ROW_LIST[::-1],
        [{"text": f"row {n}"} for n in range(200)],
    ]
    marks = {fingerprint(rows) for rows in (ROW_LIST, *others)}
    assert len(marks) == 1 + len(others)
    assert None not in marks


def test_the_same_rows_on_another_day() -> None:
    """As with a chat template that writes the date before the turns."""

    def rows(day: int) -> list[dict[str, Any]]:
        return [{"input_ids": [1, day, *range(n, n + 30)]} for n in range(100)]

    assert fingerprint(rows(24)) == fingerprint(rows(25)) is not None


class Augmented:
    """Rows that are made anew at each reading, with a random number of the global generator."""

    def __len__(self) -> int:
        return 100

    def __getitem__(self, place: int) -> dict[str, Any]:
        return {"input_ids": torch.randint(0, 999, (8,))}


class Stream:
    """Rows that come in order only."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        raise AssertionError("a row was taken from the stream")


class Broken(Augmented):
    """Rows that cannot be read."""

    def __getitem__(self, place: int) -> dict[str, Any]:
        raise OSError


@pytest.mark.parametrize(
    "rows",
    [
        None,
        [],
        Augmented(),
        Stream(),
        Broken(),
        [{"image": object()}] * 5,
        {"a": ROW_LIST, "b": Stream()},
    ],
)
def test_none_where_it_cannot_be_told(rows: Any) -> None:
    before = torch.get_rng_state()
    assert fingerprint(rows) is None
    assert torch.equal(torch.get_rng_state(), before)


def test_several_sets() -> None:
    both = {"a": ROW_LIST, "b": ROW_LIST}
    assert fingerprint(both) not in (None, fingerprint({**both, "b": changed(0, labels=[1, 1])}))


def test_few_rows_are_read() -> None:
    class Counting(list[Any]):
        read = 0

        def __getitem__(self, place: Any) -> Any:
            self.read += 1
            return super().__getitem__(place)

    rows = Counting(ROW_LIST * 50)
    assert fingerprint(rows) is not None
    assert rows.read < 1.2 * ROWS
