"""Runs cells of the matrix, keeps what became of them, and writes docs/compat.md."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.compat import page
from benchmarks.compat.cells import CELLS, LOWEST
from benchmarks.compat.run import FAILED, NOT_JUDGED, run
from benchmarks.compat.venvs import Base


def main() -> int:
    """Run the cells asked for, one after another; return 1 where a test fails."""
    parser = argparse.ArgumentParser(description="Run the core tests with other versions.")
    parser.add_argument("cells", nargs="*", help=f"all, or some of: {'; '.join(CELLS)}")
    parser.add_argument(
        "--lowest",
        action="store_true",
        help="the lowest versions alone, beside the torch and the tools of this environment",
    )
    parser.add_argument("--missing", action="store_true", help="those that have no result yet")
    parser.add_argument("--folder", type=Path, help="keep torch and the tools there")
    parser.add_argument("--write", action="store_true", help="keep the results; write the page")
    chosen = parser.parse_args()
    kept = page.results()
    names = [LOWEST.name] if chosen.lowest else chosen.cells
    if chosen.missing:
        names = [name for name in CELLS if name not in kept]
    elif names == ["all"]:
        names = list(CELLS)
    failed = False
    with tempfile.TemporaryDirectory(prefix="compat-") as home:
        base = _base(chosen, Path(home)) if names else None
        for name in names:
            assert base is not None
            found = run(CELLS[name], base, Path(home) / "cell")
            print(f"{name}: {page.summary(found)}; {found['seconds']} s", flush=True)
            broken = found["state"] == FAILED
            # What CI runs must be judged.
            failed |= broken or (chosen.lowest and found["state"] == NOT_JUDGED)
            if chosen.write:
                # Another one may have kept something meanwhile.
                kept = {**page.results(), name: found}
                page.keep(kept)
    if chosen.write:
        page.write(page.results())
    return int(failed)


def _base(chosen: argparse.Namespace, home: Path) -> Base:
    return Base.here() if chosen.lowest else Base.of((chosen.folder or home).resolve())


if __name__ == "__main__":
    raise SystemExit(main())
