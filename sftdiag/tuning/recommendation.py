"""Recommendation: the settings of a run, each with its reason and source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sftdiag.values import Value

SCHEMA_VERSION = 1

SFT_CONFIG = "SFTConfig"
LORA_CONFIG = "LoraConfig"
QUANTIZATION_CONFIG = "BitsAndBytesConfig"
MODEL = "from_pretrained"


class Setting(Value):
    """One argument of one class, and why it has its value.

    Attributes:
        config: ``"SFTConfig"``, ``"LoraConfig"``, ``"BitsAndBytesConfig"`` or
            ``"from_pretrained"``.
        name: the argument's name in the installed version.
        reason: one sentence.
        source: where the value comes from.
        beside: other ranges with their sources, the guide's first when it is not the source.
    """

    config: str
    name: str
    value: Any
    reason: str
    source: str
    beside: tuple[str, ...] = ()


class SearchStep(Value):
    """A step of the guide's search: what to vary, over which values, and what to keep."""

    name: str
    values: tuple[float, ...]
    advice: str


class PresetRow(Value):
    """A preset of the guide as settings; ``chosen`` marks the one that fits the run."""

    name: str
    about: str
    chosen: bool
    lora_config: Mapping[str, Any]
    sft_config: Mapping[str, Any]


class Recommendation(Value):
    """What to train with.

    Attributes:
        about: the run it is for, in one line.
        method: ``"full"``, ``"lora"`` or ``"qlora"``.
        settings: in the order of the guide's template.
        plan: optimizer steps, warm-up and the learning rate along the way.
        presets: the guide's three.
        search: the guide's search order.
        smoke_test: what to run before the real run.
        notes: what to know besides, such as memory.
        model: the model's name or path for the code, or None.
        data: the data's path for the code, or None.
        columns: names of the data's columns, where they are known.
        converted: the column that is rewritten before TRL trains on the rows, or None.
        schema_version: of the JSON form.

    Examples:
        >>> import sftdiag
        >>> found = sftdiag.recommend(samples=12_000, parameters=7e9, method="lora")
        >>> found.lora_config["r"], found.sft_config["num_train_epochs"]
        (32, 2)
    """

    about: str
    method: str
    settings: tuple[Setting, ...]
    plan: Mapping[str, Any]
    presets: tuple[PresetRow, ...]
    search: tuple[SearchStep, ...]
    smoke_test: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    model: str | None = None
    data: str | None = None
    columns: tuple[str, ...] = ()
    converted: str | None = None
    schema_version: int = SCHEMA_VERSION

    def arguments(self, config: str) -> dict[str, Any]:
        """Return the arguments of one class."""
        return {item.name: item.value for item in self.settings if item.config == config}

    @property
    def sft_config(self) -> dict[str, Any]:
        """Arguments for ``trl.SFTConfig``."""
        return self.arguments(SFT_CONFIG)

    @property
    def lora_config(self) -> dict[str, Any] | None:
        """Arguments for ``peft.LoraConfig``; None for full fine-tuning."""
        return self.arguments(LORA_CONFIG) or None

    @property
    def quantization_config(self) -> dict[str, Any] | None:
        """Arguments for ``transformers.BitsAndBytesConfig``; None unless the method is QLoRA."""
        return self.arguments(QUANTIZATION_CONFIG) or None

    @property
    def model_arguments(self) -> dict[str, Any]:
        """Arguments for ``from_pretrained``."""
        return self.arguments(MODEL)

    def setting(self, name: str) -> Setting:
        """Return the setting of this name.

        Raises:
            KeyError: the recommendation has none.
        """
        for item in self.settings:
            if item.name == name:
                return item
        raise KeyError(name)

    def to_dict(self) -> dict[str, Any]:
        """Return strict JSON: the arguments of each class, then the reasons."""
        return {
            "schema_version": self.schema_version,
            "about": self.about,
            "method": self.method,
            "model_arguments": self.model_arguments,
            "quantization_config": self.quantization_config,
            "sft_config": self.sft_config,
            "lora_config": self.lora_config,
            **{k: v for k, v in super().to_dict().items() if k not in ("schema_version", "about")},
        }
