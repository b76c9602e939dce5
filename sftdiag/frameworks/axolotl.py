"""axolotl: a plugin, by a line of the YAML or by the entry point of the installed package.

plugins: [sftdiag.frameworks.axolotl.Plugin]
sftdiag: {stop_on: error}

Where the package is installed axolotl knows the plugin without the first line; the plugin watches
a run whose YAML names it there, or has a section ``sftdiag``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from axolotl.integrations.base import BasePlugin
from pydantic import BaseModel

from sftdiag.context import RunContext
from sftdiag.errors import ConfigError
from sftdiag.live.attach import attach
from sftdiag.live.bad_steps import Guard
from sftdiag.live.callback import DiagnosticsCallback
from sftdiag.records import as_positive

NAME = "axolotl"

PLUGIN = "sftdiag.frameworks.axolotl.Plugin"


class Options(BaseModel):  # type: ignore[misc]
    """The section ``sftdiag`` of axolotl's YAML.

    Attributes:
        sftdiag: arguments of :func:`sftdiag.attach`; true for none, false for no callback.
    """

    sftdiag: dict[str, Any] | bool | None = None


class Plugin(BasePlugin):  # type: ignore[misc]
    """Attaches the callback to axolotl's trainer."""

    def get_input_args(self) -> str:
        """Return the class of the section ``sftdiag``."""
        return f"{__name__}.{Options.__name__}"

    def register(self, cfg: Any) -> None:
        """Refuse a section that the callback would refuse, before a model is loaded.

        Raises:
            ConfigError: an option does not exist, or its value is wrong.
        """
        chosen = options(cfg)
        if not chosen:
            return
        guard = chosen.pop("guard", None)
        try:
            Guard.parse(guard)
            DiagnosticsCallback(**chosen)
        except (ConfigError, TypeError) as error:
            problem = str(error).replace("DiagnosticsCallback.__init__() got an ", "")
            raise ConfigError(f"section sftdiag of the YAML: {problem}") from None

    def add_callbacks_post_trainer(self, cfg: Any, trainer: Any) -> list[Any]:
        """Attach to the trainer, which has the callback then; nothing is left to add."""
        chosen = options(cfg)
        if chosen is not None:
            callback = attach(trainer, **chosen)
            callback.known = context(cfg).filled_from(callback.known)
        return []


def options(cfg: Any) -> dict[str, Any] | None:
    """Return the section's options; None where the run is not to be watched."""
    section = cfg.get("sftdiag")
    if isinstance(section, Mapping):
        return dict(section)
    named = any(str(name).replace(":", ".") == PLUGIN for name in cfg.get("plugins") or ())
    return {} if section is True or (section is None and named) else None


def context(cfg: Any) -> RunContext:
    """Return what axolotl's settings say of the run under names of their own."""
    packing = cfg.get("sample_packing")
    return RunContext(
        framework=NAME,
        max_length=as_positive(cfg.get("sequence_len")),
        packing=packing if isinstance(packing, bool) else None,
    )
