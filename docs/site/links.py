"""Links of the site: from files to its pages, from codes to theirs; and their check."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Collection, Iterator, Mapping

LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s]+)(\))")
FENCE = re.compile(r"^(```.*?^```\s*$)", re.DOTALL | re.MULTILINE)

KEPT = re.compile(
    r"(`[^`\n]*`|!?\[[^\]]*\]\([^)]*\)|<[^>]*>|^#.*$|^ {4,}(?![-*]).*$)", re.MULTILINE
)
"""What is no plain text: code, links, markup, headings."""

CODE = re.compile(r"(?<![\w/.@-])(SFT[1-5]\d\d)(?![\w@-])")


def rewritten(page: str, move: Callable[[str], str]) -> str:
    """Return a page whose links to files go where ``move`` says; code is left as it is."""

    def moved(found: re.Match[str]) -> str:
        target = found[2]
        if re.match(r"[a-z]+:", target) or target.startswith("#"):
            return found[0]
        path, hash_, anchor = target.partition("#")
        return f"{found[1]}{move(path)}{hash_}{anchor}{found[3]}"

    parts = FENCE.split(page)
    return "".join(p if i % 2 else LINK.sub(moved, p) for i, p in enumerate(parts))


def with_codes(page: str, place: str, codes: Mapping[str, str]) -> str:
    """Return a page in which each code of plain text is a link to its page.

    Args:
        page: Markdown.
        place: the page's path in the site.
        codes: code to its page's path in the site.
    """

    def linked(found: re.Match[str]) -> str:
        target = codes.get(found[1])
        if target is None or target == place:
            return found[0]
        return f"[{found[1]}]({relative(target, place)})"

    parts = FENCE.split(page)
    for number in range(0, len(parts), 2):
        plain = KEPT.split(parts[number])
        plain[::2] = [CODE.sub(linked, text) for text in plain[::2]]
        parts[number] = "".join(plain)
    return "".join(parts)


def relative(target: str, place: str) -> str:
    """Return the path from a page to another place of the site.

    Examples:
        >>> relative("codes/SFT201.md", "gallery/index.md")
        '../codes/SFT201.md'
    """
    return posixpath.relpath(target, posixpath.dirname(place) or ".")


def broken(pages: Mapping[str, str], files: Collection[str]) -> Iterator[str]:
    """Yield every link of the pages to a page, file or heading of the site that is not there.

    Args:
        pages: path to Markdown.
        files: paths of what else is in the site.
    """
    for place, page in pages.items():
        text = "".join(FENCE.split(page)[::2])
        for match in LINK.finditer(re.sub(r"`[^`\n]*`", "", text)):
            target = match[2]
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            inside = posixpath.normpath(posixpath.join(posixpath.dirname(place), path))
            if not path:
                inside = place
            if inside not in pages and inside not in files:
                yield f"{place}: {target}: no such page"
            elif anchor and inside in pages and anchor not in anchors(pages[inside]):
                yield f"{place}: {target}: no such heading"


def anchors(page: str) -> set[str]:
    """Return the anchors of a page's headings, and those given by hand."""
    found: dict[str, int] = {}
    text = "".join(FENCE.split(page)[::2])
    for heading in re.findall(r"^#+ +(.*)$", text, re.MULTILINE):
        if given := re.search(r"\{ *#([\w-]+) *\}", heading):
            found[given[1]] = 1
            continue
        slug = re.sub(r"[^\w\s-]", "", heading).strip().lower()
        slug = re.sub(r"[-\s]+", "-", slug)
        found[f"{slug}_{found[slug]}" if slug in found else slug] = 1
    return {*found, *re.findall(r'id="([^"]+)"', text)}
