"""axolotl's plugin, by the contract of axolotl 0.21.0: what it calls, and with what."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="needs the extra trainer")

import finetune
import stand_ins

import sftdiag

MODULE = "sftdiag.frameworks.axolotl"
LINE = [f"{MODULE}.Plugin"]


class BasePlugin:
    """What a plugin of axolotl is; methods that are not used here do nothing."""


@pytest.fixture
def axolotl(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    stand_ins.put(monkeypatch, "axolotl.integrations.base", BasePlugin=BasePlugin)
    if importlib.util.find_spec("pydantic") is None:
        stand_ins.put(monkeypatch, "pydantic", BaseModel=object)
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    yield importlib.import_module(MODULE)
    sys.modules.pop(MODULE, None)


def attached(axolotl: Any, folder: Path, cfg: dict[str, Any]) -> Any:
    """Return the callback of a trainer that the plugin was shown."""
    trainer = finetune.make_trainer("none", folder, max_steps=2)
    plugin = axolotl.Plugin()
    plugin.register(cfg)
    assert plugin.add_callbacks_post_trainer(cfg, trainer) == []
    present = trainer.callback_handler.callbacks
    found = [each for each in present if isinstance(each, sftdiag.DiagnosticsCallback)]
    assert len(found) < 2
    return found[0] if found else None


@pytest.mark.parametrize(
    "cfg",
    [
        {"plugins": LINE},
        {"plugins": [f"{MODULE}:Plugin"], "sftdiag": None},
        {"sftdiag": True},
        {"sftdiag": {}},
        {"plugins": LINE, "sftdiag": {"stop_on": "error", "guard": True}},
    ],
)
def test_a_run_that_asks_for_it(axolotl: Any, tmp_path: Path, cfg: dict[str, Any]) -> None:
    callback = attached(axolotl, tmp_path, {**cfg, "sequence_len": 512, "sample_packing": False})
    assert callback is not None
    assert (callback.known.framework, callback.known.max_length) == ("axolotl", 512)
    assert callback.known.packing is False
    given = cfg.get("sftdiag")
    asked = given if isinstance(given, dict) else {}
    assert callback.policy.acts == bool(asked.get("stop_on"))
    assert (callback.guard is not None) == bool(asked.get("guard"))


@pytest.mark.parametrize(
    "cfg", [{}, {"plugins": ["axolotl.integrations.liger.LigerPlugin"]}, {"sftdiag": False}]
)
def test_a_run_that_does_not(axolotl: Any, tmp_path: Path, cfg: dict[str, Any]) -> None:
    assert attached(axolotl, tmp_path, cfg) is None


@pytest.mark.parametrize("section", [{"stop_on": "SFT999"}, {"stop": "error"}, {"guard": 3}])
def test_a_wrong_option_is_refused_at_the_start(axolotl: Any, section: dict[str, Any]) -> None:
    with pytest.raises(sftdiag.ConfigError, match="section sftdiag of the YAML"):
        axolotl.Plugin().register({"sftdiag": section})


def test_its_section_is_a_class_by_name(axolotl: Any) -> None:
    path = axolotl.Plugin().get_input_args()
    module, _, name = path.rpartition(".")
    assert getattr(importlib.import_module(module), name) is axolotl.Options


def test_the_package_s_entry_point() -> None:
    points = entry_points(group="axolotl.plugins")
    values = {point.value for point in points if point.name == "sftdiag"}
    if not values:
        pytest.skip("sftdiag is not installed here, or was before it had the entry point")
    assert values == {f"{MODULE}:Plugin"}
