"""Escaping foreign text in Markdown, so that it does not become markup, a link or HTML."""

from __future__ import annotations

import re

# An underscore within a word is not markup. A bare URL or e-mail address would become a link.
MARKS = re.compile(r"[\\`*\[\]<>|~@]|\b_|_\b|(?<=\w):(?=//)|(?<=www)\.")


def plain(text: str) -> str:
    """Return the text on one line, so that Markdown shows it as it is. HTML and links in it stay text."""
    escaped = MARKS.sub(lambda mark: f"&#{ord(mark[0])};", text.replace("&", "&amp;"))
    return " ".join(escaped.split())


def fenced(text: str, language: str = "") -> str:
    """Return a code block, with a fence longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def code(text: str) -> str:
    """Return the text as code within a line or a cell of a table."""
    return f"<code>{plain(text)}</code>" if re.search(r"[`|&<>\n]", text) else f"`{text}`"
