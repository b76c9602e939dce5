"""``python -m sftdiag``."""

from __future__ import annotations

import sys

from sftdiag.cli.main import main

sys.exit(main())
