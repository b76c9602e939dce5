"""Value: the base of every frozen dataclass that crosses a border, with its JSON round trip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from math import isfinite
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Self


class Value:
    """Gives a frozen dataclass ``to_dict`` and ``from_dict``; fields are JSON types or Values."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return strict-JSON values: enums as labels, non-finite numbers as strings."""
        return {f.name: encode(getattr(self, f.name)) for f in fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild the value from :meth:`to_dict`; unknown keys are ignored.

        Raises:
            ValueError: a required field is missing or has another type.
        """
        return decode(cls, data)  # type: ignore[no-any-return]


def encode(value: object) -> Any:
    """Return ``value`` as strict-JSON types."""
    if isinstance(value, Value):
        return value.to_dict()
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [encode(item) for item in value]
    return value


def decode(expected: Any, data: Any) -> Any:
    """Return ``data``, made by :func:`encode`, as the type ``expected``.

    Raises:
        ValueError: ``data`` does not fit ``expected``.
    """
    from types import UnionType
    from typing import Union, get_args, get_origin, get_type_hints

    origin, arguments = get_origin(expected), get_args(expected)
    if origin in (UnionType, Union):
        return _decode_union(arguments, data)
    if origin is tuple and isinstance(data, list):
        if arguments[1:] == (...,):
            return tuple(decode(arguments[0], item) for item in data)
        return tuple(decode(kind, item) for kind, item in zip(arguments, data, strict=True))
    if origin is Mapping and isinstance(data, Mapping):
        return {key: decode(arguments[1], item) for key, item in data.items()}
    if expected is Any:
        return data
    if isinstance(expected, type):
        if is_dataclass(expected) and isinstance(data, Mapping):
            hints = get_type_hints(expected)
            known = {name: decode(hint, data[name]) for name, hint in hints.items() if name in data}
            try:
                return expected(**known)
            except TypeError as error:
                raise ValueError(f"{expected.__name__}: {error}") from None
        if issubclass(expected, Enum) and isinstance(data, str) and data.upper() in expected.__members__:
            return expected[data.upper()]
        if expected is float and isinstance(data, (int, float, str)) and not isinstance(data, bool):
            return float(data)
        if isinstance(data, expected) and not (expected is int and isinstance(data, bool)):
            return data
    raise ValueError(f"expected {getattr(expected, '__name__', expected)}, got {data!r}")


def _decode_union(choices: tuple[Any, ...], data: Any) -> Any:
    """Return ``data`` as the first choice that keeps its own JSON type, else as any that fits."""
    if data is None and type(None) in choices:
        return None
    for choice in choices:
        if isinstance(choice, type) and type(data) is choice:
            return data
    for choice in choices:
        if choice is not type(None):
            try:
                return decode(choice, data)
            except ValueError:
                continue
    raise ValueError(f"expected one of {choices}, got {data!r}")
