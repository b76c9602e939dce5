"""Which versions are tried together, and with what."""

from __future__ import annotations

from typing import NamedTuple

TRANSFORMERS = ("4.46", "4.51", "4.57", "5.0", "5.23", "5.24")
TRL = ("0.12", "0.19", "0.24", "0.29", "1.0", "1.16")

OLDEST_PEFT = "0.13"
"""With the oldest of the others; elsewhere pip takes the newest that fits."""

RESUME = {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
"""torch 2.6 and newer refuses the random number states that older transformers saved itself."""

RESUMES_BY_ITSELF = (4, 51)
"""The first transformers of those tried that resumes with such a torch."""


class Cell(NamedTuple):
    """Versions that are tried together.

    Attributes:
        name: on the command line and in the page.
        packages: what pip is asked for.
        trl: TRL is among them: sftdiag comes with its extra ``trainer``.
        environment: variables without which the versions themselves fail.
        framework: a framework whose own resolution gives the versions, or None.
    """

    name: str
    packages: tuple[str, ...]
    trl: bool = True
    environment: tuple[tuple[str, str], ...] = ()
    framework: str | None = None


def pair(transformers: str, trl: str) -> Cell:
    """Return the cell of a version of each."""
    oldest = (transformers, trl) == (TRANSFORMERS[0], TRL[0])
    peft = (f"peft=={OLDEST_PEFT}.*",) if oldest else ()
    packages = (f"transformers=={transformers}.*", f"trl=={trl}.*", *peft)
    name = f"transformers {transformers}, TRL {trl}"
    return Cell(name, packages, environment=_environment(transformers))


def alone(transformers: str) -> Cell:
    """Return the cell of transformers without TRL and peft."""
    packages = (f"transformers=={transformers}.*", "accelerate")
    name = f"transformers {transformers} alone"
    return Cell(name, packages, trl=False, environment=_environment(transformers))


def _environment(transformers: str) -> tuple[tuple[str, str], ...]:
    known = tuple(map(int, transformers.split(".")))
    return tuple(RESUME.items()) if known < RESUMES_BY_ITSELF else ()


LOWEST = pair(TRANSFORMERS[0], TRL[0])
NEWEST = pair(TRANSFORMERS[-1], TRL[-1])

FRAMEWORKS = (
    Cell("ms-swift 4.6.0", ("ms-swift==4.6.0",), framework="ms-swift==4.6.0"),
    Cell("LLaMA-Factory 0.9.5", ("llamafactory==0.9.5",), framework="llamafactory==0.9.5"),
)

ALONE = (alone(TRANSFORMERS[0]), alone(TRANSFORMERS[-1]))
PAIRS = tuple(pair(one, other) for one in TRANSFORMERS for other in TRL)

CELLS = {cell.name: cell for cell in (*FRAMEWORKS, *ALONE, *PAIRS)}
