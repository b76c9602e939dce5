"""Take the pictures in docs/screenshots: pages of this project in a headless Chromium.

python docs/screenshots.py        # pip install playwright pillow '.[docs]'; chromium on the PATH
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.gpu.finetunes import results  # noqa: E402
from docs.site.runs import STORED, Shown, shown  # noqa: E402
from sftdiag.comparisons import html as comparison_page  # noqa: E402
from sftdiag.comparisons.outcome import compared  # noqa: E402
from sftdiag.config import Settings  # noqa: E402
from sftdiag.fleets import html as fleet_page  # noqa: E402
from sftdiag.fleets.fleet import Fleet, look  # noqa: E402
from sftdiag.report import html  # noqa: E402

FOLDER = ROOT / "docs" / "screenshots"

MOST_BYTES = 150_000
"""Of a picture: all of them stay below a megabyte."""

COLOURS, COVERING = 256, 1
"""Of the palette, and pillow's way to choose it that keeps colours of few pixels: the curves."""

FLEET = ("overfitting.full.400", "learning-rate-too-high.full.4000x2.b16.sgd", "healthy-plain.lora")
"""Beginnings of the stored runs that make the fleet."""

BASELINE = "gpu:healthy-plain.full.4000x2.b16.adamw-0.0002.log5.s0"
COMPARED = {
    "another seed": BASELINE.replace(".s0", ".s3"),
    "answers of other rows": "gpu:answers-of-others.full",
}


class Shot(NamedTuple):
    """A picture: its name, the page, the colours, and the window."""

    name: str
    page: str
    scheme: str = "light"
    width: int = 1000
    height: int = 820


def pages(folder: Path) -> Iterator[Shot]:
    """Write the pages and yield what is taken of them."""
    run = shown("examples:overfitting")
    for lang in ("en", "zh"):
        _write(folder / f"run.{lang}.html", html.page(run.reports[lang], run.course))
    _write(folder / "fleet.html", fleet_page.page(_fleet(folder / "runs")))
    _write(folder / "compare.html", _comparison())
    yield Shot("run-light", "run.en.html", height=1150)
    yield Shot("run-dark", "run.en.html", "dark", height=1150)
    yield Shot("run-chinese", "run.zh.html", height=1150)
    yield Shot("run-phone", "run.en.html", width=390, height=1560)
    yield Shot("fleet", "fleet.html", width=1250, height=900)
    yield Shot("compare", "compare.html", height=1250)
    command = [sys.executable, "-m", "docs.site", "--build", "--out", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    yield Shot("site-SFT201", "site/codes/SFT201/index.html", width=1300, height=1100)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _fleet(folder: Path) -> Fleet:
    for start in FLEET:
        for path in sorted(STORED["gpu"].glob(f"{start}*.plain{results.ENDING}")):
            data = results.read(path)
            state = {"log_history": data["log"], "max_steps": data["max_steps"]}
            place = folder / path.name.removesuffix(f".plain{results.ENDING}")
            place.mkdir(parents=True)
            _write(place / "trainer_state.json", json.dumps(state))
    found = look([str(folder)], Settings(), jobs=1, cached=False)
    return Fleet.of((r.replace(run=f"runs/{Path(r.run).name}") for r in found.rows), "en")


def _comparison() -> str:
    def named(run: Shown, name: str) -> Shown:
        return run._replace(course=run.course.replace(source=name))

    baseline = named(shown(BASELINE), "healthy").course
    runs = [named(shown(run), name).course for name, run in COMPARED.items()]
    return comparison_page.page(baseline, [(run, compared(baseline, run)) for run in runs])


def main() -> int:
    """Take all pictures; 1 when one is too large."""
    FOLDER.mkdir(exist_ok=True)
    playwright, image = import_module("playwright.sync_api"), import_module("PIL.Image")
    large = 0
    with tempfile.TemporaryDirectory() as name, playwright.sync_playwright() as made:
        folder = Path(name)
        browser = made.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for shot in pages(folder):
            size = {"width": shot.width, "height": shot.height}
            page = browser.new_page(viewport=size, color_scheme=shot.scheme)
            page.goto((folder / shot.page).as_uri())
            page.wait_for_timeout(300)
            path = FOLDER / f"{shot.name}.png"
            page.screenshot(path=str(path))
            page.close()
            # A page has few colours, and a palette a third of the bytes.
            picture = image.open(path).convert("RGB").quantize(COLOURS, COVERING, dither=0)
            picture.save(path, optimize=True)
            bytes_ = path.stat().st_size
            large += bytes_ > MOST_BYTES
            print(f"{path.relative_to(ROOT)}: {bytes_ // 1000} kB")
        browser.close()
    return int(large > 0)


if __name__ == "__main__":
    raise SystemExit(main())
