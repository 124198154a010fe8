"""Links from file to file of the repository, made links from page to page of the site."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping

_LINK = re.compile(r"(\]\()([^)\s#]+)?((?:#[^)\s]*)?\))")
_CODE = re.compile(r"(^ *```.*?^ *```$|`[^`\n]+`)", re.M | re.S)
_PICTURE = re.compile(
    r"<picture>\s*<source[^>]*dark[^>]*srcset=\"([^\"]+)\"[^>]*>\s*<img([^>]*)>\s*</picture>", re.S
)


def rewrite(text: str, document: str, page: str, pages: Mapping[str, str]) -> str:
    """Return a document with links for the site.

    Parameters
    ----------
    text : str
        Markdown.
    document, page : str
        Where the text is in the repository, and on the site.
    pages : mapping
        The page that shows a file or folder of the repository.

    Raises
    ------
    ValueError
        For a link to a file that no page shows.
    """
    pictures = _PICTURE.sub(_both_pictures, text)
    parts = _CODE.split(pictures)  # code stands at odd places
    return "".join(
        part if place % 2 else _LINK.sub(lambda link: _rewritten(link, document, page, pages), part)
        for place, part in enumerate(parts)
    )


def _rewritten(link: re.Match[str], document: str, page: str, pages: Mapping[str, str]) -> str:
    before, target, after = link[1], link[2], link[3]
    if not target or "://" in target or target.startswith("mailto:"):
        return link[0]
    wanted = posixpath.normpath(posixpath.join(posixpath.dirname(document), target))
    if wanted.startswith("examples/") and posixpath.basename(wanted).count("."):
        shown, after = pages[posixpath.dirname(wanted)], f"#{anchor(posixpath.basename(wanted))})"
    elif wanted in pages:
        shown = pages[wanted]
    elif wanted.startswith("docs/"):
        shown = wanted.removeprefix("docs/")
    else:
        raise ValueError(f"{document} links to {target}, which no page of the site shows")
    return before + posixpath.relpath(shown, posixpath.dirname(page)) + after


def anchor(heading: str) -> str:
    """Return where the table of contents puts a heading that is the name of a file."""
    return re.sub(r"[^\w-]", "", heading.lower())


def _both_pictures(picture: re.Match[str]) -> str:
    """Return a picture for light and one for dark pages, which the theme shows as its reader wants them."""
    dark, rest = picture[1], picture[2]
    light = re.search(r'src="([^"]+)"', rest)
    alt = re.search(r'alt="([^"]*)"', rest)
    if light is None or alt is None:
        raise ValueError("a picture needs src and alt")
    return f"![{alt[1]}]({light[1]}#only-light)\n![{alt[1]}]({dark}#only-dark)"
