"""The run's curves as inline SVG: panels one below the other over the same steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from math import floor, log10

from sftdiag.report.reduced import Points

WIDTH, LEFT, RIGHT = 900, 80, 12
"""Units of a panel, and of the labels beside it."""

TOP, BOTTOM = 10, 22

EXPLOSION = 50.0
"""Largest over smallest value from which an axis is logarithmic."""

TICKS = 5

COLOURS = 4
"""Colours of series in the style sheet."""

MOST_DOTS = 100
"""Evaluations that are drawn as dots: more of them are a line."""


class Panel:
    """A panel: some series on one axis.

    Args:
        name: what the axis is called.
        series: name to points.
        height: units, labels included.
        linear: never on a logarithmic axis.
    """

    def __init__(
        self, name: str, series: Mapping[str, Points], height: int, *, linear: bool = False
    ) -> None:
        self.name = name
        self.series = {key: points for key, points in series.items() if points}
        self.height = height
        self.linear = linear
        values = [value for points in self.series.values() for _, value in points]
        self.low, self.high = (min(values), max(values)) if values else (0.0, 0.0)
        self.logarithmic = not linear and self.low > 0.0 and self.high > EXPLOSION * self.low
        if self.high == self.low:
            spread = abs(self.high) * 0.1 or 1.0
            self.low, self.high = self.low - spread, self.high + spread

    def up(self, value: float) -> float:
        """Return where a value stands, in units from the top."""
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = log10(low), log10(high), log10(value)
        share = (value - low) / (high - low)
        return TOP + (1 - share) * (self.height - TOP - BOTTOM)

    def ticks(self) -> list[float]:
        """Return round values along the axis."""
        if self.logarithmic:
            first, last = floor(log10(self.low)) + 1, floor(log10(self.high))
            step = max(1, (last - first + TICKS) // TICKS)
            powers = [10.0**power for power in range(first, last + 1, step)]
            return powers or [self.low, self.high]
        return list(_round_steps(self.low, self.high))


class Mark:
    """A step that is marked over all panels: its kind (a class of the style sheet) and label."""

    def __init__(self, step: int, kind: str, label: str) -> None:
        self.step = step
        self.kind = kind
        self.label = label


def draw(
    panels: Sequence[Panel],
    marks: Sequence[Mark],
    span: tuple[int, int],
    title: str,
) -> str:
    """Return the panels as one element; ``span`` are the first and last step."""
    height = sum(panel.height for panel in panels)
    label = escape(title)
    parts = [f'<svg class="curves" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">']
    top = 0
    for number, panel in enumerate(panels):
        last = number == len(panels) - 1
        parts.append(f'<g class="panel" data-panel="{number}" transform="translate(0 {top})">')
        parts += _panel(panel, marks, span, labelled=last)
        parts.append("</g>")
        top += panel.height
    parts.append("</svg>")
    return "\n".join(parts)


def across(step: float, span: tuple[int, int]) -> float:
    """Return where a step stands, in units from the left."""
    first, last = span
    return LEFT + (step - first) / max(1, last - first) * (WIDTH - LEFT - RIGHT)


def element(name: str, content: str | None = None, **attributes: object) -> str:
    """Return an element; ``kind`` is its class, _ in a name stands for -, content is markup.

    Examples:
        >>> element("text", "3", kind="tick", x=1.25, text_anchor="end")
        '<text class="tick" x="1.2" text-anchor="end">3</text>'
    """
    told = []
    for key, value in attributes.items():
        shown = f"{value:.1f}" if isinstance(value, float) else escape(str(value))
        told.append(f' {"class" if key == "kind" else key.replace("_", "-")}="{shown}"')
    end = "/>" if content is None else f">{content}</{name}>"
    return f"<{name}{''.join(told)}{end}"


def _panel(
    panel: Panel, marks: Sequence[Mark], span: tuple[int, int], *, labelled: bool
) -> Iterator[str]:
    bottom, right = panel.height - BOTTOM, WIDTH - RIGHT
    for value in panel.ticks():
        y = panel.up(value)
        yield element("line", kind="grid", x1=LEFT, x2=right, y1=y, y2=y)
        shown = f"{value:.3g}"
        yield element("text", shown, kind="tick", x=LEFT - 6, y=y + 4, text_anchor="end")
    turned = f"translate(14 {bottom / 2 + TOP:.0f}) rotate(-90)"
    name = escape(panel.name)
    yield element("text", name, kind="axis", transform=turned, text_anchor="middle")
    for step in _steps(span) if labelled else ():
        x, shown = across(step, span), f"{step:,}"
        yield element("text", shown, kind="tick", x=x, y=bottom + 16, text_anchor="middle")
    for mark in marks:
        x, title = across(mark.step, span), element("title", escape(mark.label))
        yield element("line", title, kind=f"mark {mark.kind}", x1=x, x2=x, y1=TOP, y2=bottom)
    wide, tall = right - LEFT, bottom - TOP
    yield element("rect", kind="frame", x=LEFT, y=TOP, width=wide, height=tall)
    for number, (key, points) in enumerate(panel.series.items()):
        place = [(across(step, span), panel.up(value)) for step, value in points]
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in place)
        title = element("title", escape(key))
        yield element("path", title, kind=f"series s{number % COLOURS}", data_series=key, d=path)
        if key.startswith("eval") and len(place) <= MOST_DOTS:
            kind = f"dot s{number % COLOURS}"
            yield from (element("circle", kind=kind, cx=x, cy=y, r=3) for x, y in place)


def _steps(span: tuple[int, int]) -> list[int]:
    found = {int(step) for step in _round_steps(*map(float, span))}
    return sorted(found | set(span)) if len(found) < 2 else sorted(found)


def _round_steps(low: float, high: float) -> Iterator[float]:
    size = (high - low) / TICKS
    power = 10.0 ** floor(log10(size)) if size > 0 else 1.0
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= size)
    number = floor(low / step) + (low % step > 0)
    while number * step <= high:
        yield number * step
        number += 1
