"""Numbers as people write them."""

from __future__ import annotations

from sftdiag.ranges import Range


def number(value: float) -> str:
    """Return a number as in ``2e-5``, ``0.1`` or ``32``.

    Examples:
        >>> [number(value) for value in (2e-5, 1e-3, 0.03, 32.0)]
        ['2e-5', '1e-3', '0.03', '32']
    """
    if 0 < abs(value) <= 1e-3:
        mantissa, _, exponent = f"{value:e}".partition("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:g}"


def show(span: Range) -> str:
    """Return a range with its source."""
    low, high = number(span.low), number(span.high)
    return f"{low if low == high else f'{low} to {high}'} [{span.source}]"


def size(parameters: float) -> str:
    """Return a number of parameters as in ``7B`` or ``500M``."""
    for unit, factor in (("B", 1e9), ("M", 1e6), ("K", 1e3)):
        if parameters >= factor:
            return f"{parameters / factor:.3g}{unit}"
    return f"{parameters:g}"
