"""Checks the documents: every link and anchor leads somewhere, and what they name exists. Needs no network.

Reads Markdown as GitHub does, with the parser that rich uses too.
"""

from __future__ import annotations

import ast
import functools
import os
import re
import shlex
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markdown_it.token import Token

ROOT = Path(__file__).parent.parent

# What GitHub leaves of a heading in its anchor: letters, digits, underscores and hyphens; blanks become hyphens.
_NOT_IN_AN_ANCHOR = re.compile(r"[^\w\- ]")

_PATH = re.compile(r"[\w.@-]+(?:/[\w.@-]+)*/?")
_FILE = re.compile(r".*\.(?:ini|js|json|md|mjs|py|sh|svg|toml|txt|ya?ml)")
_TARGET = re.compile(r"^([a-z][a-z0-9-]*)(?: [a-z0-9-]+)*:(?!=)", re.MULTILINE)
_VARIABLE = re.compile(r"\$\(([A-Z][A-Z0-9_]*)\)")
_TEST = re.compile(r"test_[a-z0-9_]+")


@dataclass(frozen=True, slots=True)
class Command:
    """What a document tells its reader to type, and where."""

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
        """Parse what stands, or would stand, at a path."""
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
        """Return what its headings can be linked by (GitHub, "Section links")."""
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

    def links(self) -> Iterator[tuple[int, str]]:
        """Yield where its links and pictures lead."""
        for line, child in self.inlines():
            target = child.attrGet("src" if child.type == "image" else "href")
            if child.type in {"link_open", "image"} and target is not None:
                yield line, str(target)

    def commands(self) -> list[Command]:
        """Return each line that begins with `$ ` in a console block, with those that continue it."""
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

    def faults(self) -> Iterator[str]:
        """Yield one sentence for each link that leads nowhere and each name that nothing has."""
        for line, target in self.links():
            if wrong := self._wrong_with_link(target):
                yield f"{self.name}:{line}: {wrong}"
        named = [(line, child.content) for line, child in self.inlines() if child.type == "code_inline"]
        for line, code in named:
            if wrong := self._wrong_with_name(code):
                yield f"{self.name}:{line}: {wrong}"
        for line, command in [*named, *((command.line, command.text) for command in self.commands())]:
            if wrong := _wrong_with_command(command):
                yield f"{self.name}:{line}: {wrong}"

    def _wrong_with_link(self, target: str) -> str | None:
        parts = urlsplit(target)
        if parts.scheme:
            return None if parts.scheme == "https" else f"{target} is not https"
        target_path = (self.path.parent / unquote(parts.path)).resolve() if parts.path else self.path
        if parts.path and not (target_path.is_relative_to(ROOT) and target_path.exists()):
            return f"{target} leads to no file"
        if not parts.fragment:
            return None
        there = self if target_path == self.path else read(target_path) if target_path.suffix == ".md" else None
        return None if there and parts.fragment in there.anchors() else f"{target} leads to no heading"

    def _wrong_with_name(self, code: str) -> str | None:
        if _TEST.fullmatch(code):
            return None if code in _tests() else f"no test is called {code}"
        if not _PATH.fullmatch(code) or not (_FILE.fullmatch(code) or _begins_in_the_repository(code)):
            return None
        first = code.partition("/")[0]
        if {first, f"/{first}/", f"{first}/"} & _ignored():
            # Something that a command makes.
            return None
        beside = [self.path.parent / code, ROOT / code]
        if any(path.exists() for path in beside) or ("/" not in code and code in _file_names()):
            return None
        return f"there is no {code}"


def _line(token: Token) -> int:
    return token.map[0] + 1 if token.map else 0


def _begins_in_the_repository(code: str) -> bool:
    first, slash, _ = code.partition("/")
    return bool(slash) and (ROOT / first).is_dir()


def _wrong_with_command(text: str) -> str | None:
    """Tell what a command names that there is not: a target, a variable, a module."""
    if not text.startswith(("make ", "python -m ")):
        return None
    words = shlex.split(text, comments=True)
    if words[0] == "python":
        module = ROOT.joinpath(*words[2].split("."))
        is_ours = (ROOT / words[2].split(".")[0]).is_dir()
        is_there = module.with_suffix(".py").exists() or (module / "__main__.py").exists()
        return f"there is no module {words[2]}" if is_ours and not is_there else None
    targets, variables = _makefile()
    for word in words[1:]:
        name, equals, _ = word.partition("=")
        if equals and name not in variables:
            return f"the Makefile has no variable {name}"
        if not equals and name not in targets:
            return f"the Makefile has no target {name}"
    return None


@functools.cache
def _makefile() -> tuple[set[str], set[str]]:
    text = (ROOT / "Makefile").read_text("utf-8")
    return set(_TARGET.findall(text)), set(_VARIABLE.findall(text))


@functools.cache
def _ignored() -> set[str]:
    return set((ROOT / ".gitignore").read_text("utf-8").split())


@functools.cache
def _file_names() -> set[str]:
    return {path.name for path in _files()}


@functools.cache
def _tests() -> set[str]:
    """Return the names of all tests, and of the files that they are in."""
    trees = {path: ast.parse(path.read_text("utf-8")) for path in _files() if _is_of_the_tests(path)}
    functions = {node.name for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    return functions | {path.stem for path in trees}


def _is_of_the_tests(path: Path) -> bool:
    return path.suffix == ".py" and path.is_relative_to(ROOT / "tests")


@functools.cache
def _files() -> tuple[Path, ...]:
    """Return the repository's files, without what commands make."""
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith((".venv", ".git", ".aws", ".mypy", ".pytest", ".ruff", "__"))
            and name not in {"build", "node_modules"}
        )
        found += [Path(folder, name) for name in sorted(names)]
    return tuple(found)


@functools.cache
def read(path: Path) -> Document:
    """Parse a document once."""
    return Document.parse(path, path.read_text("utf-8"))


def documents() -> list[Document]:
    """Return every document of the repository."""
    return [read(path) for path in _files() if path.suffix == ".md"]


def main() -> int:
    """Check them all; 1 if something leads nowhere."""
    checked = documents()
    faults = [fault for document in checked for fault in document.faults()]
    for fault in faults:
        print(fault)  # noqa: T201  faults are what stdout is for here
    links = [target for document in checked for _, target in document.links()]
    anchored = sum("#" in target and not target.startswith("https:") for target in links)
    outside = sum(target.startswith("https:") for target in links)
    commands = sum(len(document.commands()) for document in checked)
    print(  # noqa: T201  likewise
        f"{len(checked)} documents, {len(links)} links ({anchored} to a heading; {outside} to the web, not followed), "
        f"{commands} commands: {len(faults)} faults"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
