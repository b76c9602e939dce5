"""How two ranks of a script are started, gloo on the CPU."""

from __future__ import annotations

import sys
from pathlib import Path

HELPERS = Path(__file__).parent
LAUNCH = (
    *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2"),
    *("--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no", "--main_process_port=0"),
)
