"""Reads the documents as GitHub does: their links, anchors, code and commands."""

from __future__ import annotations

import functools
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markdown_it.token import Token

ROOT = Path(__file__).parent.parent

# What GitHub leaves of a heading in its anchor: letters, digits, underscores and hyphens; blanks become hyphens.
_NOT_IN_AN_ANCHOR = re.compile(r"[^\w\- ]")
_MADE_BY_COMMANDS = re.compile(
    r"\.(venv|git$|aws|mypy|pytest|ruff|terraform|hypothesis)|__pyc|(build|mutants|node_modules)$"
)


@dataclass(frozen=True, slots=True)
class Command:
    """A command that a document shows, and its place."""

    document: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """A document's tokens, as the Markdown parser returns them."""

    path: Path
    tokens: list[Token]

    @classmethod
    def parse(cls, path: Path, text: str) -> Document:
        """Parse a text as the document at a path."""
        return cls(path, MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text))

    @property
    def name(self) -> str:
        """Its path in the repository."""
        return self.path.relative_to(ROOT).as_posix()

    def inlines(self) -> Iterator[tuple[int, Token]]:
        """Yield each piece of text, link and code with the line on which its paragraph begins."""
        for token in self.tokens:
            for child in token.children or ():
                yield _line(token), child

    def anchors(self) -> set[str]:
        """Return the anchors of its headings (GitHub, "Section links")."""
        seen: Counter[str] = Counter()
        anchors = set()
        for before, token in zip(self.tokens, self.tokens[1:], strict=False):
            if before.type != "heading_open":
                continue
            text = "".join(child.content for child in token.children or () if child.type in {"text", "code_inline"})
            slug = _NOT_IN_AN_ANCHOR.sub("", text.lower()).replace(" ", "-")
            anchors.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
        return anchors

    def links(self) -> list[str]:
        """Return the targets of its links and pictures."""
        targets = [child.attrGet("src" if child.type == "image" else "href") for _, child in self.inlines()]
        return [str(target) for target in targets if target is not None]

    def commands(self) -> list[Command]:
        """Return each line that begins with `$ ` in a console block, with its continuation lines."""
        found = []
        for token in self.tokens:
            if token.type != "fence" or token.info.strip() != "console":
                continue
            lines = iter(enumerate(token.content.splitlines(), _line(token) + 1))
            for number, text in lines:
                if not text.startswith("$ "):
                    continue
                command = text.removeprefix("$ ")
                while command.endswith("\\"):
                    command += "\n" + next(lines)[1].removeprefix("> ")
                found.append(Command(self.name, number, command))
        return found


def _line(token: Token) -> int:
    return token.map[0] + 1 if token.map else 0


@functools.cache
def files() -> tuple[Path, ...]:
    """Return the repository's files, without what commands make."""
    found = []
    for entry in sorted(ROOT.iterdir()):
        if not _MADE_BY_COMMANDS.match(entry.name):
            found += [entry] if entry.is_file() else [path for path in entry.rglob("*") if _is_ours(path)]
    return tuple(found)


def _is_ours(path: Path) -> bool:
    return path.is_file() and not any(_MADE_BY_COMMANDS.match(part) for part in path.relative_to(ROOT).parts[:-1])


@functools.cache
def read(path: Path) -> Document:
    """Parse a document once."""
    return Document.parse(path, path.read_text("utf-8"))


def documents() -> list[Document]:
    """Return every document of the repository."""
    return [read(path) for path in files() if path.suffix == ".md"]
