"""Settings: what a user chooses.

Arguments win over ``sftdiag.toml`` or ``pyproject.toml``, those over the environment's
``SFTDIAG_STOP_ON`` and the like, those over the defaults.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping

from sftdiag.errors import ConfigError, meant
from sftdiag.findings import Severity
from sftdiag.hints import Any
from sftdiag.texts import check_language
from sftdiag.values import Value

VARIABLE = "SFTDIAG_"
"""Begins the environment's variables: ``SFTDIAG_STOP_ON`` is the setting ``stop_on``."""

_SWITCHES = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}

Trigger = Severity | str | Iterable[str] | Mapping[str, Severity | str] | None
"""A severity or its label; codes and names; codes and names each with its severity; None: never."""


class Settings(Value):
    """The choices that change what is reported.

    Attributes:
        select: codes, beginnings of codes or names to report; empty means all.
        ignore: the same, to leave out; wins over ``select``.
        fail_on: the severity from which a run counts as failed.
        lang: ``"en"`` or ``"zh"``.
        train_on_prompt: the prompt is trained on purpose; no check speaks of it.
        stop_on: what stops a run under the callback, as :class:`sftdiag.policy.Rule` parses it.
        raise_on: likewise, what ends it with an exception.
        grace_steps: the callback's step before which nothing stops or raises.
        save_on_stop: whether the callback's stop saves a checkpoint.

    Raises:
        ConfigError: a severity or language does not exist.
    """

    select: frozenset[str] = frozenset()
    ignore: frozenset[str] = frozenset()
    fail_on: Severity = Severity.ERROR
    lang: str = "en"
    train_on_prompt: bool = False
    stop_on: Trigger = None
    raise_on: Trigger = None
    grace_steps: int = 0
    save_on_stop: bool = False

    def _validate(self) -> None:
        """Refuse what the class says it refuses."""
        check_language(self.lang)

    def reports(self, code: str, name: str) -> bool:
        """Return whether findings of this code and name are wanted."""
        if self.ignore and matches(self.ignore, code, name):
            return False
        return not self.select or matches(self.select, code, name)

    def updated(self, **changes: Any) -> Settings:
        """Return settings with the changes that are not None.

        Raises:
            ConfigError: a value is outside its domain.
        """
        given = {key: _convert(key, value) for key, value in changes.items() if value is not None}
        return self.replace(**given)


def is_enabled(wanted: bool = True) -> bool:
    """Return whether sftdiag is on: it is wanted, and no ``SFTDIAG_DISABLE=1`` turns it off.

    Raises:
        ConfigError: ``wanted`` is neither True nor False.
    """
    disabled = os.environ.get("SFTDIAG_DISABLE", "").strip().lower()
    return _switch("enabled", wanted) and not (disabled and _SWITCHES.get(disabled, True))


def count(key: str, value: Any, least: int = 0) -> int:
    """Return a whole number that is at least so large.

    Raises:
        ConfigError: it is none.
    """
    if type(value) is not int or value < least:
        raise ConfigError(f"{key} must be {least} or more, got {value!r}")
    return value


def _switch(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"{key} must be true or false, got {value!r}")
    return value


def matches(selectors: Iterable[str], code: str, name: str) -> bool:
    """Return whether a selector is the name, the code or the beginning of the code."""
    return any(s == name or code.startswith(s.upper()) for s in selectors)


def load_settings(folder: str = ".", check: Callable[[Settings], object] | None = None) -> Settings:
    """Read the nearest ``sftdiag.toml`` or ``[tool.sftdiag]`` of ``pyproject.toml``, going up.

    What the file does not say comes from the environment.

    Args:
        folder: where to begin.
        check: raises ConfigError for settings that it knows to be wrong; the file or variable is
            named then.

    Raises:
        ConfigError: the file is no TOML, or it or the environment has a key or value that does
            not exist.
    """
    base = from_environment(os.environ, check)
    here = os.path.abspath(folder)
    while True:
        for filename, path_to_table in (
            ("sftdiag.toml", ()),
            ("pyproject.toml", ("tool", "sftdiag")),
        ):
            path = os.path.join(here, filename)
            if os.path.isfile(path):
                table = _read_table(path, path_to_table)
                if table is not None:
                    return _from_table(path, table, base, check)
        parent = os.path.dirname(here)
        if parent == here:
            return base
        here = parent


def from_environment(
    environment: Mapping[str, str], check: Callable[[Settings], object] | None = None
) -> Settings:
    """Return the settings of variables such as ``SFTDIAG_STOP_ON=error``; an empty one is none.

    Codes and names are given with commas, switches as 1 or 0, true or false.

    Args:
        environment: the process's.
        check: as for :func:`load_settings`.

    Raises:
        ConfigError: a value does not exist, or a variable is a setting's but for its spelling.
    """
    settings = Settings()
    for variable, value in environment.items():
        if not variable.startswith(VARIABLE) or not value.strip():
            continue
        key = variable.removeprefix(VARIABLE).lower()
        if key not in Settings.fields:
            # SFTDIAG_WEBHOOK and what watch --exec tells are no settings, and near to none.
            if told := meant(key, Settings.fields):
                raise ConfigError(f"{variable}: no such setting{told}")
            continue
        try:
            settings = settings.updated(**{key: _read_word(key, value.strip())})
            if check is not None:
                check(settings)
        except ConfigError as error:
            raise ConfigError(f"{variable}: {error}") from None
    return settings


def _read_word(key: str, word: str) -> Any:
    """Return a variable's text as what a settings file would hold."""
    if isinstance(getattr(Settings, key), bool):
        return _SWITCHES.get(word.lower(), word)
    return int(word) if key == "grace_steps" and word.isdecimal() else word


def _read_table(path: str, keys: tuple[str, ...]) -> Mapping[str, Any] | None:
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    # A pyproject.toml without our table costs no parse.
    if keys and b"tool.sftdiag" not in content:
        return None
    import tomllib

    try:
        table: Any = tomllib.loads(content.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: expected TOML: {error}") from None
    for key in keys:
        table = table.get(key) if isinstance(table, Mapping) else None
        if table is None:
            return None
    if not isinstance(table, Mapping):
        raise ConfigError(f"{path}: expected a table of settings, got {table!r}")
    return table


def _from_table(
    path: str,
    table: Mapping[str, Any],
    base: Settings,
    check: Callable[[Settings], object] | None,
) -> Settings:
    known = {name.replace("_", "-"): name for name in Settings.fields}
    changes = {}
    for key, value in table.items():
        name = known.get(key.replace("_", "-"))
        if name is None:
            told = f"{path}: unknown setting {key!r}; expected {', '.join(known)}"
            raise ConfigError(told + meant(key, known))
        changes[name] = value
    try:
        settings = base.updated(**changes)
        if check is not None:
            check(settings)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    return settings


def _convert(key: str, value: Any) -> Any:
    if key == "fail_on":
        return Severity.parse(value)
    if key in ("select", "ignore"):
        return selectors(value, key)
    if key in ("stop_on", "raise_on"):
        return value if isinstance(value, (Severity, Mapping)) else selectors(value, key)
    if key in ("train_on_prompt", "save_on_stop"):
        return _switch(key, value)
    if key == "grace_steps":
        return count(key, value)
    if not isinstance(value, str):
        raise ConfigError(f"{key} must be a string, got {value!r}")
    return value


def selectors(value: str | Iterable[str], key: str) -> frozenset[str]:
    """Return codes and names given as ``"A,B"`` or as several strings.

    Raises:
        ConfigError: something else was given.
    """
    if not isinstance(value, Iterable):
        raise ConfigError(f"{key} must be codes or names, got {value!r}")
    parts = [value] if isinstance(value, str) else list(value)
    if not all(isinstance(part, str) for part in parts):
        raise ConfigError(f"{key} must be codes or names, got {value!r}")
    names = (name.strip() for part in parts for name in part.split(","))
    return frozenset(name for name in names if name)
