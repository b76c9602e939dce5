"""The public functions that need no training library."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from sftdiag.config import Settings, Trigger, count, load_settings
from sftdiag.context import RunContext, of_user
from sftdiag.errors import SourceError
from sftdiag.findings import Report, Severity
from sftdiag.hints import Any
from sftdiag.monitor import Monitor
from sftdiag.observations import Outcome
from sftdiag.sources import TRAINER_STATE, Run, journal, open_run, trainer_state
from sftdiag.values import EMPTY

Selectors = str | Iterable[str] | None


def project_settings() -> Settings:
    """Return the settings of the nearest sftdiag.toml or pyproject.toml, checked whole.

    What the file does not say comes from the environment's ``SFTDIAG_STOP_ON`` and the like.

    Raises:
        ConfigError: names the file or variable, and what in it does not exist.
    """
    return load_settings(check=_check)


def resolve_settings(**given: Any) -> Settings:
    """Return the project's settings; what is given, as :func:`make_settings` takes it, wins.

    Raises:
        ConfigError: a code, name, severity or language does not exist, here or in the file.
    """
    return make_settings(project_settings(), **given)


def _check(settings: Settings) -> None:
    # Most projects have no such file, and analyze none of its time to lose.
    from sftdiag.policy import Policy

    _check_selectors(settings)
    Policy.of(settings)


def _check_selectors(settings: Settings) -> None:
    if chosen := settings.select | settings.ignore:
        # The guide's catalogue loads only where something is chosen from it.
        from sftdiag.guide.catalogue import check_selectors

        check_selectors(chosen)


def make_settings(
    base: Settings | None = None,
    *,
    select: Selectors = None,
    ignore: Selectors = None,
    fail_on: Severity | str | None = None,
    lang: str | None = None,
    train_on_prompt: bool | None = None,
    stop_on: Trigger = None,
    raise_on: Trigger = None,
    grace_steps: int | None = None,
    save_on_stop: bool | None = None,
) -> Settings:
    """Return ``base`` with the choices that are not None, checked against the codes that exist.

    Raises:
        ConfigError: a code, name, severity or language does not exist.
    """
    settings = (base or Settings()).updated(
        select=select,
        ignore=ignore,
        fail_on=fail_on,
        lang=lang,
        train_on_prompt=train_on_prompt,
        stop_on=stop_on,
        raise_on=raise_on,
        grace_steps=grace_steps,
        save_on_stop=save_on_stop,
    )
    _check_selectors(settings)
    return settings


def analyze(
    path: str | os.PathLike[str] | Mapping[str, Any] | object,
    *,
    select: Selectors = None,
    ignore: Selectors = None,
    lang: str | None = None,
    context: RunContext | None = None,
    columns: Mapping[str, str] | None = None,
    logging_steps: int | None = None,
) -> Report:
    """Diagnose a finished or running log.

    What is not given (None) of ``select``, ``ignore`` and ``lang`` comes from the nearest
    ``sftdiag.toml`` or ``[tool.sftdiag]`` of ``pyproject.toml``, from the working folder upwards.

    Args:
        path: a log of any known format, a checkpoint's or run's folder, the parsed state, or a
            ``TrainerState``.
        select: codes or names to report; ``()`` for all.
        ignore: codes or names to leave out; ``()`` for none.
        lang: ``"en"`` or ``"zh"``.
        context: what is known of the run; wins over what its files say.
        columns: the Trainer's name to the log's, such as ``{"loss": "my/loss"}``.
        logging_steps: steps between two rows, for logs that show no step.

    Returns:
        What a callback would have reported at the log's last record.

    Raises:
        SourceError: the log cannot be read.
        ConfigError: a code, name or language does not exist, here or in the file.

    Examples:
        >>> rows = [{"step": step, "loss": 0.0, "grad_norm": 0.0} for step in range(1, 10)]
        >>> report = analyze({"log_history": rows})
        >>> report.verdict, report.primary.code, report.primary.fired_step
        ('error', 'SFT107', 3)
    """
    settings = resolve_settings(select=select, ignore=ignore, lang=lang)
    known = None if context is None else of_user(context)
    spacing = None if logging_steps is None else count("logging_steps", logging_steps, 1)
    own: Mapping[str, str] = EMPTY
    if columns:
        # The names of columns load regular expressions, and most logs need none of them.
        from sftdiag.columns import chosen

        own = chosen(columns)
    return replay(_open(path, own, spacing), settings, known)


def replay(run: Run, settings: Settings, context: RunContext | None = None) -> Report:
    """Feed a run's rows through a Monitor and return its report."""
    return replayed(run, settings, context)[1]


def replayed(
    run: Run, settings: Settings, context: RunContext | None = None
) -> tuple[Monitor, Report]:
    """Feed a run's rows through a Monitor; return it and its report."""
    known = run.context if context is None else context.filled_from(run.context)
    monitor = Monitor(known, settings, run.path)
    if run.checked != Outcome():
        monitor.take_checks(run.checked)
    monitor.take_checkpoints(run.checkpoints)
    monitor.take_rows(run.rows)
    monitor.replay(run.entries, journal.segments(run.starts, known))
    report = monitor.report()
    if run.format == TRAINER_STATE and not run.notes:
        return monitor, report
    from sftdiag.sources import notes

    return monitor, report.replace(format=run.format, notes=notes.told(run, settings.lang))


def assert_healthy(
    path_or_state: str | os.PathLike[str] | Mapping[str, Any] | Report | object,
    *,
    fail_on: Severity | str | None = None,
    select: Selectors = None,
    ignore: Selectors = None,
    lang: str | None = None,
    require_verdict: bool = False,
) -> Report:
    """Assert that a run has no unresolved finding of a severity.

    What is not given (None) comes from the nearest ``sftdiag.toml`` or ``pyproject.toml``, as with
    :func:`analyze`; without such a file a run fails from an error on.

    Args:
        path_or_state: what :func:`analyze` takes, or a :class:`Report`.
        fail_on: ``"info"``, ``"warning"`` or ``"error"``.
        select: codes or names that count; ``()`` for all.
        ignore: codes or names that do not count; ``()`` for none.
        lang: language of the message.
        require_verdict: fail a run that cannot be judged, too.

    Returns:
        The report, when the run passes.

    Raises:
        AssertionError: it does not; the message is the diagnosis.
        SourceError: the log cannot be read.
        ConfigError: a code, name, severity or language does not exist, here or in the file.
    """
    # pytest shows the test and the diagnosis, not this function.
    __tracebackhide__ = True
    settings = resolve_settings(select=select, ignore=ignore, fail_on=fail_on, lang=lang)
    if isinstance(path_or_state, Report):
        report = path_or_state
    else:
        report = replay(_open(path_or_state), settings)
    failed = [f for f in report.at_least(settings.fail_on) if settings.reports(f.code, f.name)]
    if failed or (require_verdict and report.verdict == "inconclusive"):
        from sftdiag.report.text import failure

        raise AssertionError(failure(report, failed))
    return report


def _open(
    path: str | os.PathLike[str] | Mapping[str, Any] | object,
    columns: Mapping[str, str] = EMPTY,
    logging_steps: int | None = None,
) -> Run:
    if isinstance(path, (str, os.PathLike)):
        return open_run(path, columns=columns, logging_steps=logging_steps)
    if isinstance(path, Mapping):
        state: Mapping[str, Any] = path
    elif isinstance(history := getattr(path, "log_history", None), list):
        state = {
            "log_history": history,
            "max_steps": getattr(path, "max_steps", None),
            "num_train_epochs": getattr(path, "num_train_epochs", None),
            "train_batch_size": getattr(path, "train_batch_size", None),
        }
    else:
        raise SourceError(
            type(path).__name__, "expected a path, a TrainerState or a dict with log_history"
        )
    return Run("state", trainer_state.entries("state", state), trainer_state.context(state))
