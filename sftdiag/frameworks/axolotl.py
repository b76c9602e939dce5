"""axolotl: a plugin, by a line of the YAML or by the entry point of the installed package.

plugins: [sftdiag.frameworks.axolotl.Plugin]
sftdiag: {stop_on: error}

With the package installed axolotl knows the plugin without the first line; it watches a run whose
YAML names it there, or has a section ``sftdiag``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from axolotl.integrations.base import BasePlugin
from pydantic import BaseModel, field_validator

from sftdiag.context import RunContext
from sftdiag.errors import ConfigError
from sftdiag.live.attach import attach
from sftdiag.live.callback import DiagnosticsCallback
from sftdiag.records import as_positive

NAME = "axolotl"

PLUGIN = "sftdiag.frameworks.axolotl.Plugin"


class Options(BaseModel):
    """The section ``sftdiag`` of axolotl's YAML.

    Attributes:
        sftdiag: arguments of :func:`sftdiag.attach`; true for none.
    """

    sftdiag: dict[str, Any] | bool | None = None

    @field_validator("sftdiag")
    @classmethod
    def _known(cls, value: dict[str, Any] | bool | None) -> dict[str, Any] | bool | None:
        """Refuse what the callback would refuse, before a model is loaded."""
        given = {**value} if isinstance(value, Mapping) else {}
        guard = given.pop("guard", None)
        try:
            from sftdiag.live.guard import Guard

            Guard.parse(guard)
            DiagnosticsCallback(**given)
        except (ConfigError, TypeError) as error:
            raise ValueError(f"sftdiag: {error}") from None
        return value


class Plugin(BasePlugin):  # type: ignore[misc]
    """Attaches the callback to axolotl's trainer."""

    def get_input_args(self) -> str:
        """Return the class of the section ``sftdiag``."""
        return f"{__name__}.{Options.__name__}"

    def add_callbacks_post_trainer(self, cfg: Any, trainer: Any) -> list[Any]:
        """Attach to the trainer, which has the callback then; nothing is left to add."""
        options = cfg.get("sftdiag")
        named = PLUGIN in (cfg.get("plugins") or ())
        if options is False or not (named or options):
            return []
        chosen = {} if options in (None, True) else dict(options)
        callback = attach(trainer, **chosen)
        callback.known = context(cfg).filled_from(callback.known)
        return []


def context(cfg: Any) -> RunContext:
    """Return what axolotl's settings say of the run under names of their own."""
    packing = cfg.get("sample_packing")
    return RunContext(
        framework=NAME,
        max_length=as_positive(cfg.get("sequence_len")),
        packing=packing if isinstance(packing, bool) else None,
    )
