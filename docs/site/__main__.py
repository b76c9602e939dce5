"""Write the site's pages, and build them.

python -m docs.site              # the pages and their configuration, below build/
python -m docs.site --build      # and the site of them: pip install '.[docs]'
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from docs.site import links  # noqa: E402
from docs.site.pages import Site, site  # noqa: E402


def configuration(nav: Mapping[str, tuple[str, ...]]) -> str:
    """Return zensical's configuration with the navigation; titles are those of the pages."""
    parts = ", ".join(
        f"{{{json.dumps(title)} = {json.dumps(list(shown))}}}" for title, shown in nav.items()
    )
    template = (Path(__file__).parent / "zensical.toml").read_text(encoding="utf-8")
    return template.replace("nav = []", f"nav = [{parts}]")


def write(made: Site, folder: Path) -> None:
    """Write the pages anew."""
    pages = folder / "pages"
    if pages.exists():
        shutil.rmtree(pages)
    for place, text in made.pages.items():
        _write(pages / place, text.encode())
    for place, content in made.files.items():
        _write(pages / place, content)
    _write(folder / "zensical.toml", configuration(made.nav).encode())


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def main() -> int:
    """Write, check and build."""
    parser = argparse.ArgumentParser(prog="python -m docs.site", description="Writes the site.")
    parser.add_argument("--out", default=ROOT / "build", type=Path, help="default: build/")
    parser.add_argument("--build", action="store_true", help="build the site with zensical")
    options = parser.parse_args()
    made = site()
    write(made, options.out)
    problems = list(links.broken(made.pages, made.files))
    for problem in problems:
        print(problem)
    print(f"{options.out}: {len(made.pages)} pages, {len(made.files)} other files")
    if problems or not options.build:
        return int(bool(problems))
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    return subprocess.run([*command, "-f", options.out / "zensical.toml"], check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
