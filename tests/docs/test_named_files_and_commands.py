"""The tests, files, modules and make targets that the documents name exist; `make docs` checks the links with rumdl."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

import pytest

from tests.docs import documents
from tests.docs.documents import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FILE = re.compile(r"[\w./@-]+\.(?:ini|js|json|md|mjs|py|sh|svg|toml|txt|ya?ml)")


@functools.cache
def makefile() -> set[str]:
    """Return the targets, and the variables with an equals sign."""
    text = (ROOT / "Makefile").read_text("utf-8")
    targets = re.findall(r"^([a-z][a-z0-9-]*)(?: [a-z0-9-]+)*:(?!=)", text, re.MULTILINE)
    return {*targets, *(f"{name}=" for name in re.findall(r"\$\(([A-Z][A-Z0-9_]*)\)", text))}


@functools.cache
def names_of_tests() -> set[str]:
    """Return the names of all test functions and test files."""
    paths = [*(ROOT / "tests").rglob("*.py")]
    found = {name for path in paths for name in re.findall(r"\bdef (test_\w+)", path.read_text("utf-8"))}
    return found | {path.stem for path in paths}


def unknown(document: Path, text: str) -> Iterator[str]:
    """Yield each name that does not exist."""
    names = documents.inline_code(text)
    yield from (name for name in names if not exists(document, name))
    for command in [*names, *documents.commands(text)]:
        yield from unknown_in_command(command)


def exists(document: Path, name: str) -> bool:
    if re.fullmatch(r"test_[a-z0-9_]+", name):
        return name in names_of_tests()
    first, slash, _ = name.partition("/")
    is_path = first and slash and (ROOT / first).is_dir() and re.fullmatch(r"[\w./@-]+", name)
    if not is_path and not _FILE.fullmatch(name):
        return True
    ignored = {pattern.strip("/") for pattern in (ROOT / ".gitignore").read_text("utf-8").split()}
    if first in ignored or (not slash and name in {path.name for path in documents.files()}):
        return True
    return (document.parent / name).exists() or (ROOT / name).exists()


def unknown_in_command(text: str) -> Iterator[str]:
    words = text.partition("#")[0].split()
    if words[:1] == ["make"]:
        yield from (word for word in words[1:] if re.sub(r"=.*", "=", word) not in makefile())
    if words[:2] == ["python", "-m"] and (ROOT / words[2].split(".")[0]).is_dir():
        module = ROOT.joinpath(*words[2].split("."))
        if not module.with_suffix(".py").exists() and not (module / "__main__.py").exists():
            yield words[2]


@pytest.mark.parametrize(
    "document", [path for path in documents.files() if path.suffix == ".md"], ids=lambda path: path.name
)
def test_every_name_in_a_document_exists(document: Path) -> None:
    assert list(unknown(document, document.read_text("utf-8"))) == []
