"""sftdiag recommend as a user calls it."""

from __future__ import annotations

import json

import pytest
from test_cli import call


def test_the_script_is_the_output() -> None:
    done = call("recommend", "--samples", "12000", "--model-size", "7B", "--gpu-memory", "24")
    assert done.returncode == 0
    assert done.stdout.startswith("# 12,000 samples, a model of 7B parameters, LoRA, 1 x GPU")
    compile(done.stdout, "train.py", "exec")


def test_json_and_quantiles() -> None:
    done = call(
        *("recommend", "--samples", "800", "--model-size", "500M", "--method", "qlora"),
        *("--quantiles", "0.5=100,0.95=900", "--format", "json"),
    )
    data = json.loads(done.stdout)
    assert data["method"] == "qlora"
    assert data["sft_config"]["max_length"] == 1024


def test_chinese() -> None:
    done = call("recommend", "--samples", "800", "--model-size", "7B", "--lang", "zh")
    assert "过拟合" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--model-size", "7B"),
        ("--samples", "800"),
        ("--samples", "0", "--model-size", "7B"),
        ("--samples", "800", "--model-size", "big"),
        ("--samples", "800", "--model-size", "7B", "--quantiles", "900"),
        ("--samples", "800", "--model-size", "7B", "--method", "dora"),
    ],
)
def test_bad_usage(arguments: tuple[str, ...]) -> None:
    done = call("recommend", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "sftdiag" in done.stderr
