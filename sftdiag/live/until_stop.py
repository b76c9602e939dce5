"""What a loop of one's own goes through, until it is to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Generic, TypeVar, cast

T = TypeVar("T")


class UntilStop(Generic[T]):
    """Goes through items, as long as they are; takes none in vain.

    Args:
        items: a data loader, a range, or what else a loop goes through.
        stops: whether the loop is to stop.
    """

    def __init__(self, items: Iterable[T], stops: Callable[[], bool]) -> None:
        self._items, self._stops = items, stops

    def __len__(self) -> int:
        return len(cast(Sized, self._items))

    def __iter__(self) -> Iterator[T]:
        if self._stops():
            return
        for item in self._items:
            yield item
            # Before the next is asked for.
            if self._stops():
                return
