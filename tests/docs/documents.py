"""The repository's documents: their code, commands and tables."""

from __future__ import annotations

import functools
import re
import subprocess
from itertools import dropwhile, takewhile
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
_MARKDOWN = MarkdownIt().enable("table")


@functools.cache
def files() -> list[Path]:
    """Return the repository's files, without those that git ignores."""
    listed = ("/usr/bin/env", "git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard")
    done = subprocess.run(listed, capture_output=True, text=True, check=True)  # noqa: S603  our own words
    return [path for name in done.stdout.splitlines() if (path := ROOT / name).is_file()]


def inline_code(text: str) -> list[str]:
    """Return the inline code of a text."""
    children = [child for token in _MARKDOWN.parse(text) for child in token.children or ()]
    return [child.content for child in children if child.type == "code_inline"]


def commands(text: str) -> list[str]:
    """Return each line that begins with `$ ` in a console block, with its continuation lines."""
    blocks = [token.content for token in _MARKDOWN.parse(text) if token.type == "fence" and token.info == "console"]
    found = re.findall(r"^\$ ((?:.*\\\n)*.*)", "".join(blocks), re.MULTILINE)
    return [command.replace("\\\n> ", "\\\n") for command in found]


def rows(page: str, after: str) -> list[list[str]]:
    """Return the cells of the first table after a text, without its header."""
    lines = (ROOT / "docs" / page).read_text("utf-8").partition(after)[2].splitlines()
    table = takewhile(lambda line: line[:1] == "|", dropwhile(lambda line: line[:1] != "|", lines))
    return [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in table][2:]
