"""The run's curves as inline SVG: panels one below the other over the same steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from math import floor, log10

from sftdiag.report.axis import axis_of
from sftdiag.report.reduced import Points, parts

WIDTH, LEFT, RIGHT = 900, 80, 12
"""Units of a panel, and of the labels beside it."""

TOP, BOTTOM = 10, 22

TICKS = 5

COLOURS = 6
"""Colours of series in the style sheet, and below."""

SERIES = ("#1f77c9", "#bf5f00", "#2a8a43", "#8b5cf0", "#c23a72", "#00818a")
INK, LINE = "#6e7781", "#8c959f"
MARKS = {"onset": "#c93c37", "fired": "#9a6700", "best": "#2a8a43", "resumed": "#8b5cf0"}
"""Colours where no style sheet is, as in a notebook: seen on light ground and on dark."""

ROW = 16
"""Units of a row of the marks' names."""

DASHES = {"onset": "8 5", "fired": "6 3", "epoch": "2 4", "resumed": "2 4"}
"""A run often turns at its best evaluation: the onset's line leaves room for what is below it."""

MOST_DOTS = 100
"""Evaluations that are drawn as dots: more of them are a line."""


class Panel:
    """A panel: some series on one axis.

    Args:
        name: what the axis is called.
        series: name to points.
        height: units, labels included.
        linear: never on a logarithmic axis.
        ratios: values are compared by their ratio, as gradient norms are.
        noisy: the values whose noise the axis regards; those of the first series where empty.
        bands: name of a series to the factor by which a band around it reaches up and down.
        gaps: name of a series to the steps of points behind which no line leads on.
    """

    def __init__(
        self,
        name: str,
        series: Mapping[str, Points],
        height: int,
        *,
        linear: bool = False,
        ratios: bool = False,
        noisy: Sequence[float] = (),
        bands: Mapping[str, float] | None = None,
        gaps: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        self.name = name
        self.gaps = gaps or {}
        self.bands = bands or {}
        self.series = {key: points for key, points in series.items() if points}
        self.height = height
        self.linear = linear
        axis = axis_of(self.series.values(), noisy=noisy, linear=linear, ratios=ratios)
        self.low, self.high, self.logarithmic = axis.low, axis.high, axis.logarithmic
        self.least = axis.least

    def up(self, value: float) -> float:
        """Return where a value stands, in units from the top."""
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = log10(low), log10(high), log10(value)
        share = (value - low) / (high - low)
        return TOP + (1 - share) * (self.height - TOP - BOTTOM)

    def inside(self, value: float) -> float:
        """Return the value, or the end of the axis that it lies beyond."""
        return min(max(value, self.low), self.high)

    def ticks(self) -> list[float]:
        """Return round values along the axis."""
        if self.logarithmic:
            first, last = floor(log10(self.low)) + 1, floor(log10(self.high))
            step = max(1, (last - first + TICKS) // TICKS)
            powers = [10.0**power for power in range(first, last + 1, step)]
            return powers or [self.low, self.high]
        return list(_round_steps(self.low, self.high))


class Mark:
    """A step that is marked over all panels.

    Args:
        step: the step.
        kind: a class of the style sheet.
        label: what it is, in a sentence.
        name: the same in a word or two, to stand beside the line; empty for none.
    """

    def __init__(self, step: int, kind: str, label: str, name: str = "") -> None:
        self.step = step
        self.kind = kind
        self.label = label
        self.name = name


def draw(
    panels: Sequence[Panel],
    marks: Sequence[Mark],
    span: tuple[int, int],
    title: str,
) -> str:
    """Return the panels as one element; ``span`` are the first and last step."""
    names, top = _names(marks, span)
    height = top + sum(panel.height for panel in panels)
    label = escape(title)
    box = f'viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}"'
    drawn = [f'<svg class="curves" {box}>', *names]
    for number, panel in enumerate(panels):
        last = number == len(panels) - 1
        drawn.append(f'<g class="panel" data-panel="{number}" transform="translate(0 {top})">')
        drawn += _panel(panel, marks, span, labelled=last)
        drawn.append("</g>")
        top += panel.height
    drawn.append("</svg>")
    return "\n".join(drawn)


def across(step: float, span: tuple[int, int]) -> float:
    """Return where a step stands, in units from the left."""
    first, last = span
    return LEFT + (step - first) / max(1, last - first) * (WIDTH - LEFT - RIGHT)


def element(name: str, content: str | None = None, /, **attributes: object) -> str:
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


def path_of(places: Iterable[tuple[float, float]]) -> str:
    """Return the path through places, in units.

    Examples:
        >>> path_of([(0, 1), (2.25, 3)])
        'M0.0 1.0L2.2 3.0'
    """
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)


def _panel(
    panel: Panel, marks: Sequence[Mark], span: tuple[int, int], *, labelled: bool
) -> Iterator[str]:
    bottom, right = panel.height - BOTTOM, WIDTH - RIGHT
    for value in panel.ticks():
        y = panel.up(value)
        yield element("line", kind="grid", x1=LEFT, x2=right, y1=y, y2=y, stroke=LINE, **_FAINT)
        yield _text(f"{value:.3g}", "tick", x=LEFT - 6, y=y + 4, text_anchor="end")
    turned = f"translate(14 {bottom / 2 + TOP:.0f}) rotate(-90)"
    yield _text(panel.name, "axis", transform=turned, text_anchor="middle")
    for step in _steps(span) if labelled else ():
        yield _text(f"{step:,}", "tick", x=across(step, span), y=bottom + 16, text_anchor="middle")
    for mark in marks:
        x, title = across(mark.step, span), element("title", escape(mark.label))
        colour = MARKS.get(mark.kind)
        ends: dict[str, object] = {"x1": x, "x2": x, "y1": TOP, "y2": bottom}
        ends |= {"stroke": colour} if colour else {"stroke": LINE}
        if mark.kind in DASHES:
            ends["stroke_dasharray"] = DASHES[mark.kind]
        yield element("line", title, kind=f"mark {mark.kind}", **ends)
    wide, tall = right - LEFT, bottom - TOP
    edge: dict[str, object] = {"fill": "none", "stroke": LINE}
    yield element("rect", kind="frame", x=LEFT, y=TOP, width=wide, height=tall, **edge)
    for number, (key, points) in enumerate(panel.series.items()):
        colour = SERIES[number % COLOURS]
        if key in panel.bands:
            yield _band(panel, key, span, number)
        place = [(across(step, span), panel.up(value)) for step, value in points]
        title = element("title", escape(key))
        line = {
            "d": _joined(panel, key, span),
            "fill": "none",
            "stroke": colour,
            "stroke_width": 1.6,
        }
        line["stroke_linecap"] = "round"
        yield element("path", title, kind=f"series s{number % COLOURS}", data_series=key, **line)
        if (key.startswith("eval") or len(place) == 1) and len(place) <= MOST_DOTS:
            dot = {"kind": f"dot s{number % COLOURS}", "r": 3, "fill": colour}
            yield from (element("circle", cx=x, cy=y, **dot) for x, y in place)


def _names(marks: Sequence[Mark], span: tuple[int, int]) -> tuple[list[str], int]:
    """Return what the marks are, each above its line, and the units that they take.

    Those that would stand over each other are in rows of their own.
    """
    taken: list[list[tuple[float, float]]] = []
    shown = []
    for number, mark in enumerate(marks):
        if not mark.name:
            continue
        x, wide = across(mark.step, span), 9 * sum(1 + (c > "\u2e80") for c in mark.name)
        late = x + wide > WIDTH - RIGHT
        ends = (x - wide, x) if late else (x, x + wide)
        row = next((r for r, others in enumerate(taken) if _is_free(ends, others)), len(taken))
        if row == len(taken):
            taken.append([])
        taken[row].append(ends)
        place: dict[str, object] = {"x": x, "y": ROW * (row + 1) - 2, "font_size": 12}
        place |= {"text_anchor": "end" if late else "start", "fill": MARKS.get(mark.kind, INK)}
        name = escape(mark.name)
        shown.append(element("text", name, kind=f"name {mark.kind}", data_mark=number, **place))
    return shown, ROW * len(taken)


def _is_free(ends: tuple[float, float], others: Iterable[tuple[float, float]]) -> bool:
    return all(ends[1] < start or end < ends[0] for start, end in others)


_FAINT: dict[str, object] = {"stroke_opacity": 0.4}


def _joined(panel: Panel, key: str, span: tuple[int, int]) -> str:
    """Return the path of a series, over no gap; a point between two of them is a dot."""
    joined = parts(panel.series[key], panel.gaps.get(key, ()))
    places = ([(across(step, span), panel.up(value)) for step, value in part] for part in joined)
    return "".join(path_of(part if len(part) > 1 else part * 2) for part in places)


def _band(panel: Panel, key: str, span: tuple[int, int], number: int) -> str:
    """Return the area around a series that its factor spans, as far as the axis goes."""
    factor, points = panel.bands[key], panel.series[key]
    edges = [[(s, panel.inside(v * by)) for s, v in points] for by in (factor, 1 / factor)]
    round_it = [*edges[0], *reversed(edges[1])]
    path = path_of((across(step, span), panel.up(value)) for step, value in round_it)
    kind = f"band s{number % COLOURS}"
    area = {"d": f"{path}Z", "fill": SERIES[number % COLOURS], "fill_opacity": 0.15}
    return element("path", kind=kind, data_series=key, **area)


def _text(shown: str, kind: str, **attributes: object) -> str:
    return element("text", escape(shown), kind=kind, fill=INK, font_size=12, **attributes)


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
