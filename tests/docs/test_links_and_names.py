"""Links and anchors of the documents lead somewhere, and the files, tests, targets and modules in them exist."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pytest

from infra import docs

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATH = re.compile(r"[\w.@-]+(?:/[\w.@-]+)*/?")
_FILE = re.compile(r".*\.(?:ini|js|json|md|mjs|py|sh|svg|toml|txt|ya?ml)")


@functools.cache
def makefile() -> set[str]:
    """Return the targets, and the variables with an equals sign."""
    text = (docs.ROOT / "Makefile").read_text("utf-8")
    targets = re.findall(r"^([a-z][a-z0-9-]*)(?: [a-z0-9-]+)*:(?!=)", text, re.MULTILINE)
    return {*targets, *(f"{name}=" for name in re.findall(r"\$\(([A-Z][A-Z0-9_]*)\)", text))}


@functools.cache
def names_of_tests() -> set[str]:
    """Return the names of all test functions and test files."""
    paths = [path for path in docs.files() if path.suffix == ".py" and path.is_relative_to(docs.ROOT / "tests")]
    found = {name for path in paths for name in re.findall(r"\bdef (test_\w+)", path.read_text("utf-8"))}
    return found | {path.stem for path in paths}


def broken(document: docs.Document) -> Iterator[str]:
    """Yield each link that leads nowhere, and each name of something that does not exist."""
    yield from (target for target in document.links() if not leads_somewhere(document, target))
    codes = [child.content for _, child in document.inlines() if child.type == "code_inline"]
    yield from (code for code in codes if not exists(document, code))
    for text in [*codes, *(command.text for command in document.commands())]:
        yield from unknown_in_command(text)


def leads_somewhere(document: docs.Document, target: str) -> bool:
    parts = urlsplit(target)
    if parts.scheme:
        return parts.scheme == "https"
    path = (document.path.parent / unquote(parts.path)).resolve() if parts.path else document.path
    if parts.path and not (path.is_relative_to(docs.ROOT) and path.exists()):
        return False
    there = document if path == document.path else docs.read(path) if parts.fragment and path.suffix == ".md" else None
    return not parts.fragment or (there is not None and parts.fragment in there.anchors())


def exists(document: docs.Document, code: str) -> bool:
    if re.fullmatch(r"test_[a-z0-9_]+", code):
        return code in names_of_tests()
    first, slash, _ = code.partition("/")
    is_path = _FILE.fullmatch(code) or (slash and (docs.ROOT / first).is_dir())
    if not _PATH.fullmatch(code) or not is_path:
        return True
    ignored = (docs.ROOT / ".gitignore").read_text("utf-8").split()
    if {first, f"/{first}/", f"{first}/"} & set(ignored):
        return True
    is_there = (document.path.parent / code).exists() or (docs.ROOT / code).exists()
    return is_there or (not slash and code in {path.name for path in docs.files()})


def unknown_in_command(text: str) -> Iterator[str]:
    words = text.partition("#")[0].split()
    if words[:1] == ["make"]:
        yield from (word for word in words[1:] if re.sub(r"=.*", "=", word) not in makefile())
    if words[:2] == ["python", "-m"] and (docs.ROOT / words[2].split(".")[0]).is_dir():
        module = docs.ROOT.joinpath(*words[2].split("."))
        if not module.with_suffix(".py").exists() and not (module / "__main__.py").exists():
            yield words[2]


@pytest.mark.parametrize("name", [document.name for document in docs.documents()])
def test_every_link_and_every_name_leads_somewhere(name: str) -> None:
    assert list(broken(docs.read(docs.ROOT / name))) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[x](nowhere.md)", "nowhere.md"),
        ("![x](nowhere.svg)", "nowhere.svg"),
        ("[x](../../outside.md)", "../../outside.md"),
        ("[x](guarantees.md#nothing)", "guarantees.md#nothing"),
        ("# A heading\n\n[x](#a-headin)", "#a-headin"),
        ("[x](http://example.com)", "http://example.com"),
        ("see `handler/nothing.py`", "handler/nothing.py"),
        ("see `tests/nothing/`", "tests/nothing/"),
        ("see `test_nothing_at_all`", "test_nothing_at_all"),
        ("run `make demo PY=1 NOTHING=1`", "NOTHING=1"),
        ("run `python -m infra.nothing`", "infra.nothing"),
        ("```console\n$ make nothing  # in a block\n```", "nothing"),
    ],
)
def test_what_leads_nowhere_is_found(text: str, found: str) -> None:
    assert list(broken(docs.Document.parse(docs.ROOT / "docs" / "made-up.md", text))) == [found]


def test_what_leads_somewhere_is_left_alone() -> None:
    text = "# What's *new*, `X_Y`?\n\n# Twice\n\n# Twice\n\n[x](#whats-new-x_y) [y](#twice-1) [z](../README.md#deploy) "
    text += "`template.yaml` `/oauth/v2/token` `build/demo.svg` `make demo SECONDS=30` `python -m pytest`"
    assert list(broken(docs.Document.parse(docs.ROOT / "docs" / "made-up.md", text))) == []
