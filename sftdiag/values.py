"""Value: the base of every frozen record here, with its JSON round trip.

A subclass lists its fields as a dataclass does. It is no dataclass because those write and compile
code for each class and import ``inspect``: together a quarter of the time of ``sftdiag analyze``
on a small log (benchmarks.speed.analyze).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from math import isfinite
from types import MappingProxyType, UnionType

from sftdiag.hints import EVALUATED, Any, ClassVar, Self, dataclass_transform

EMPTY: Mapping[str, Any] = MappingProxyType({})
"""The default of a mapping field; each value gets an empty dict of its own."""


class ValueType(type):
    """The class of values: mypyc leaves classes with one of their own as Python makes them."""


@dataclass_transform(frozen_default=True)
class Value(metaclass=ValueType):
    """A frozen record with comparison by value, a repr, ``replace`` and a JSON round trip."""

    fields: ClassVar[tuple[str, ...]] = ()
    _defaults: ClassVar[dict[str, Any]] = {}
    _blank: ClassVar[dict[str, Any]] = {}
    _required: ClassVar[frozenset[str]] = frozenset()
    _empties: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        annotations = cls.__annotations__
        own = [name for name, kind in annotations.items() if not str(kind).startswith("ClassVar")]
        cls.fields = (*cls.fields, *own)
        cls._defaults = cls._defaults | {name: vars(cls)[name] for name in own if name in vars(cls)}
        # Most of a value's many fields are the defaults: they come at once.
        cls._blank = dict.fromkeys(cls.fields) | cls._defaults
        cls._required = frozenset(cls.fields) - cls._defaults.keys()
        cls._empties = tuple(name for name, value in cls._defaults.items() if value is EMPTY)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # To say how strict a zip is takes as long as the rest of it.
        fields, values = self.fields, self.__dict__
        if len(args) == len(fields) and not kwargs:
            values.update(zip(fields, args))  # noqa: B905
            self._validate()
            return
        given = dict(zip(fields, args), **kwargs)  # noqa: B905
        # In the fields' order however it was made: equal values have the same hash.
        values.update(self._blank)
        values.update(given)
        strange = len(values) > len(fields) or len(args) > len(fields)
        if strange or not given.keys() >= self._required:
            self._refuse(args, kwargs)
        for name in self._empties:
            if name not in given:
                values[name] = {}
        self._validate()

    def _refuse(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        given = {*self.fields[: len(args)], *kwargs, *self._defaults}
        missing = [name for name in self.fields if name not in given]
        unknown = [name for name in kwargs if name not in self.fields]
        raise TypeError(
            f"{type(self).__name__} takes {', '.join(self.fields)}; "
            f"missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'}"
        )

    def _validate(self) -> None:
        """Raise when the fields do not fit together; subclasses override it."""

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen; use replace({name}=...)")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__dict__ == self.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *self.__dict__.values()))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.fields)
        return f"{type(self).__name__}({shown})"

    def replace(self, **changes: Any) -> Self:
        """Return a copy with the given fields changed."""
        copy = object.__new__(type(self))
        fields = copy.__dict__
        fields.update(self.__dict__)
        fields.update(changes)
        if len(fields) != len(self.fields):
            self._refuse((), {**self.__dict__, **changes})
        copy._validate()
        return copy

    def to_dict(self) -> dict[str, Any]:
        """Return strict-JSON values: enums as labels, non-finite numbers as strings."""
        return {name: encode(getattr(self, name)) for name in self.fields}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild the value from :meth:`to_dict`; unknown keys are ignored.

        Raises:
            ValueError: a required field is missing or has another type.
        """
        if not isinstance(data, Mapping):
            raise ValueError(f"expected an object for {cls.__name__}, got {data!r}")
        import typing  # what is read back asks for it; what is judged does not

        hints = typing.get_type_hints(
            cls, None, {name: getattr(typing, name) for name in EVALUATED}
        )
        known = {name: decode(hints[name], data[name]) for name in cls.fields if name in data}
        try:
            return cls(**known)
        except TypeError as error:
            raise ValueError(str(error)) from None


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
    import typing

    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if expected is typing.Any:
        return data
    if origin in (UnionType, typing.Union):
        return _decode_union(arguments, data)
    if origin is tuple and isinstance(data, list):
        if arguments[1:] == (...,):
            return tuple(decode(arguments[0], item) for item in data)
        return tuple(decode(kind, item) for kind, item in zip(arguments, data, strict=True))
    if origin is Mapping and isinstance(data, Mapping):
        return {key: decode(arguments[1], item) for key, item in data.items()}
    if isinstance(expected, type) and origin is None:
        if issubclass(expected, Value):
            return expected.from_dict(data)
        if issubclass(expected, Enum) and str(data).upper() in expected.__members__:
            return expected[str(data).upper()]
        if expected is float and isinstance(data, (int, float, str)) and type(data) is not bool:
            return _as_float(data)
        if isinstance(data, expected) and not (expected is int and type(data) is bool):
            return data
    raise ValueError(f"expected {getattr(expected, '__name__', expected)}, got {data!r}")


def _as_float(data: float | str) -> float:
    try:
        return float(data)
    except OverflowError:
        raise ValueError("expected a float, got a whole number beyond it") from None


def _decode_union(choices: tuple[Any, ...], data: Any) -> Any:
    """Return ``data`` as the choice that keeps its own JSON type, else as the first that fits."""
    if data is None and type(None) in choices:
        return None
    if float in choices and data in ("nan", "inf", "-inf"):
        return float(data)
    if type(data) in choices:
        return data
    for choice in choices:
        if choice is not type(None):
            try:
                return decode(choice, data)
            except ValueError:
                continue
    raise ValueError(f"expected one of {choices}, got {data!r}")
