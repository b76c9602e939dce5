"""TRL's command line with the callback in the trainer that it makes.

python -m sftdiag.frameworks.trl sft --config x.yaml

does what ``trl sft --config x.yaml`` does, on several devices too, and so for its other trainers.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

from sftdiag.context import RunContext
from sftdiag.frameworks._command_line import ends_with
from sftdiag.frameworks._in_process import met
from sftdiag.live.callback import DiagnosticsCallback

NAME = "trl"

SCRIPT = "script"
"""The command with which accelerate starts this module in each process."""


def main(arguments: list[str]) -> int:
    """Run TRL's command line; what it has accelerate start is this module."""
    if arguments[:1] == [SCRIPT]:
        return _train(*arguments[1:])
    DiagnosticsCallback()  # a setting that is wrong is said before anything is started
    from accelerate.commands import launch

    original = launch.launch_command

    def launch_command(args: Any) -> None:
        script = Path(args.training_script)
        if script.parent.name == "scripts":
            args.module, args.training_script = True, "sftdiag.frameworks.trl"
            args.training_script_args = [SCRIPT, script.stem, *args.training_script_args]
        original(args)

    # TRL's modules take the function when they are imported.
    launch.launch_command = launch_command
    from trl.cli import main as trl_main

    sys.argv = ["trl", *arguments]
    trl_main()
    return 0


def _train(script: str, *arguments: str) -> int:
    """Run one of TRL's scripts."""
    sys.argv = [f"{script}.py", *arguments]
    callback = DiagnosticsCallback()
    callback.known = RunContext(framework=NAME)
    with met(callback):
        runpy.run_module(f"trl.scripts.{script}", run_name="__main__")
    return 0


if __name__ == "__main__":
    ends_with(main)
