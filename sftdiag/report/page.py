"""The frame of every page: one file, readable without scripts, that fetches nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import cache
from html import escape
from pathlib import Path

from sftdiag import texts
from sftdiag.report.printable import printable
from sftdiag.version import __version__


def words_of_pages(language: str) -> texts.Texts:
    """Return the words that stand on every page, and on that of a run."""
    return texts.load(__file__, "html", language)


def page(title: str, body: str, language: str, *, wide: bool = False) -> str:
    """Return a page; its footer and its choice of light or dark are added to the body.

    Args:
        title: plain text.
        body: markup, without ``<main>``.
        language: of the texts.
        wide: the body is a table of many columns.
    """
    words = words_of_pages(language)
    footer = escape(words["made_by"].format(version=__version__))
    theme = f'<button type="button" id="theme">{escape(words["theme"])}</button>'
    style = f"{asset('curves.css')}{asset('page.css')}"
    body_of = '<body class="wide">' if wide else "<body>"
    return printable(
        f'<!doctype html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n"
        f'{body_of}\n<div class="bar top">{theme}</div>\n'
        f"<main>\n{body}\n</main>\n<footer>{footer}</footer>\n"
        f"<script>\n{asset('page.js')}</script>\n</body>\n</html>\n"
    )


@cache
def asset(name: str) -> str:
    """Return a file beside this one."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    numbers: Collection[int] = (),
    name: int | None = None,
) -> str:
    """Return a table that scrolls where it is too wide.

    Args:
        heads: plain text, a column each.
        rows: the cells of each row, as markup.
        numbers: columns of numbers, which stand at the right.
        name: the column that names a row, if any.
    """
    return grouped(heads, [("", rows)], numbers, name)


def grouped(
    heads: Sequence[str],
    groups: Iterable[tuple[str, Iterable[Sequence[str]]]],
    numbers: Collection[int] = (),
    name: int | None = None,
) -> str:
    """Return a table of groups of rows, each below its title (markup), where it has one."""

    def kind(column: int) -> str:
        return ' class="number"' if column in numbers else ""

    def cell(column: int, content: str) -> str:
        tag, scope = ("th", ' scope="row"') if column == name else ("td", "")
        return f"<{tag}{scope}{kind(column)}>{content}</{tag}>"

    bodies = []
    for title, rows in groups:
        lines = ["".join(cell(column, one) for column, one in enumerate(row)) for row in rows]
        if title:
            lines.insert(0, f'<th scope="rowgroup" colspan="{len(heads)}">{title}</th>')
        bodies.append("<tbody>\n" + "\n".join(f"<tr>{line}</tr>" for line in lines) + "\n</tbody>")
    head = "".join(f'<th scope="col"{kind(c)}>{escape(h)}</th>' for c, h in enumerate(heads))
    label, body = escape(", ".join(heads)), "\n".join(bodies)
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{label}">\n'
        f"<table>\n<thead><tr>{head}</tr></thead>\n{body}\n</table>\n</div>"
    )


def folded(title: str, content: Sequence[str]) -> str:
    """Return what is shown when it is opened; nothing where there is no content."""
    if not content:
        return ""
    return "\n".join([f"<details>\n<summary>{escape(title)}</summary>", *content, "</details>"])
