"""Command lines that say all in full, read without argparse.

Loading argparse and building its parsers costs a tenth of ``sftdiag analyze`` on a small log. A
command declares its options once; argparse's parser and this one take the same declaration. What
is not said in full here (``-h``, an abbreviation, a value of a type, every mistake) is argparse's.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from types import SimpleNamespace

from sftdiag.hints import Any


class NotPlain(Exception):
    """A command declares what only argparse reads."""


class _Argument:
    """An option or a positional argument, as ``add_argument`` was told of it."""

    def __init__(
        self, name: str, action: str | None, default: Any, typed: bool, choices: Any, group: Any
    ) -> None:
        self.name, self.action, self.default = name, action, default
        self.typed, self.choices, self.group = typed, choices, group

    def takes(self, value: str) -> bool:
        """Return whether the value stands for itself, and is one that argparse would take."""
        if self.typed or not value or value.startswith("-"):
            return False
        return self.choices is None or value in self.choices

    def excludes(self, other: _Argument) -> bool:
        """Return whether no command line has both."""
        return self.group is not None and self.group is other.group and self is not other


class _Group:
    """Options of which one at the most is given."""

    def __init__(self, parser: Plain) -> None:
        self._parser = parser

    def add_argument(self, *names: str, **given: Any) -> None:
        """Add one of them."""
        self._parser.add_argument(*names, group=self, **given)


class Plain:
    """Takes a command's declaration as argparse's subparsers and parser do; reads lines by it."""

    def __init__(self) -> None:
        self._options: dict[str, _Argument] = {}
        self._single: list[_Argument] = []
        self._several: _Argument | None = None
        self._required: set[str] = set()
        self._set: dict[str, Any] = {}

    def add_parser(self, name: str, **given: Any) -> Plain:
        """Return itself: one command is declared."""
        return self

    def add_mutually_exclusive_group(self) -> _Group:
        """Return what takes options of which one at the most is given."""
        return _Group(self)

    def set_defaults(self, **values: Any) -> None:
        """Take values that no option changes."""
        self._set |= values

    def add_argument(
        self,
        *names: str,
        action: str | None = None,
        nargs: str | None = None,
        default: Any = None,
        type: Callable[[str], Any] | None = None,
        choices: Container[str] | None = None,
        required: bool = False,
        group: _Group | None = None,
        metavar: str | None = None,
        help: str | None = None,
    ) -> None:
        """Take an argument.

        Raises:
            NotPlain: only argparse does this.
        """
        option, several = names[0].startswith("-"), nargs == "+"
        if action not in (None, "store_true", "append") or (nargs and (option or not several)):
            raise NotPlain(names)
        if (type is not None and isinstance(default, str)) or (self._several and not option):
            raise NotPlain(names)
        name = next((name for name in names if name.startswith("--")), names[0])
        name = name.lstrip("-").replace("-", "_")
        default = False if action == "store_true" else default
        argument = _Argument(name, action, default, type is not None, choices, group)
        if option:
            self._options |= dict.fromkeys(names, argument)
        elif several:
            self._several = argument
        else:
            self._single.append(argument)
        if required:
            self._required.add(name)

    def read(self, words: Sequence[str]) -> SimpleNamespace | None:
        """Return the options of a command line, or None where argparse must read it."""
        values = {option.name: option.default for option in self._options.values()} | self._set
        seen: set[_Argument] = set()
        positional: list[str] = []
        rest, together = iter(words), True
        for word in rest:
            if not word.startswith("-"):
                # argparse refuses positional arguments that options stand between.
                if positional and not together:
                    return None
                positional.append(word)
                together = True
                continue
            together = False
            name, equals, value = word.partition("=")
            option = self._options.get(name)
            if option is None or any(option.excludes(other) for other in seen):
                return None
            if option.action == "store_true":
                if equals:
                    return None
                values[option.name] = True
            else:
                value = value if equals else next(rest, "")
                if not option.takes(value) or (equals and not name.startswith("--")):
                    return None
                if option.action == "append":
                    earlier = values[option.name] if option in seen else option.default
                    values[option.name] = [*(earlier or ()), value]
                else:
                    values[option.name] = value
            seen.add(option)
        if not self._required <= {option.name for option in seen}:
            return None
        return SimpleNamespace(**values) if self._place(positional, values) else None

    def _place(self, given: list[str], values: dict[str, Any]) -> bool:
        """Give each positional argument its words; return whether they fit."""
        single, several = given[: len(self._single)], given[len(self._single) :]
        if len(single) < len(self._single) or bool(several) != (self._several is not None):
            return False
        pairs = [*zip(self._single, single, strict=True)]
        values |= {argument.name: word for argument, word in pairs}
        if self._several is not None:
            pairs += [(self._several, word) for word in several]
            values[self._several.name] = several
        return all(argument.takes(word) for argument, word in pairs)
