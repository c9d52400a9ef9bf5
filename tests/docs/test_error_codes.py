"""The page of error codes has one row for each code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from markdown_it.token import Token

from handler.errors import ErrorCode
from infra import docs

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = docs.read(docs.ROOT / "docs" / "error-codes.md")


def rows(page: docs.Document) -> Iterator[tuple[str, list[str]]]:
    """Yield the rows of the tables of codes: the code, and the other cells."""
    is_of_codes, row = False, list[Token]()
    for before, token in zip(page.tokens, page.tokens[1:], strict=False):
        if before.type == "tr_open":
            row = []
        elif before.type == "th_open":
            row.append(token)
            is_of_codes = row[0].content == "error_code"
        elif before.type == "td_open":
            row.append(token)
        elif before.type == "tr_close" and row and is_of_codes and row[0].content != "error_code":
            (code,) = (child.content for child in row[0].children or () if child.type == "code_inline")
            yield code, [cell.content for cell in row[1:]]


def test_each_code_of_the_job_has_one_row_and_there_are_no_others() -> None:
    assert sorted(code for code, _ in rows(PAGE)) == sorted(ErrorCode)


def test_each_row_says_what_it_means_and_what_to_do() -> None:
    assert [code for code, cells in rows(PAGE) if len(cells) != 2 or not all(cells)] == []


def test_a_code_that_stands_anywhere_but_in_its_row_has_none() -> None:
    text = "| error_code | means | do |\n|-|-|-|\n| `one` | `two` | x |\n\n`three`\n\n| other |\n|-|\n| `four` |\n"
    assert list(rows(docs.Document.parse(docs.ROOT / "docs" / "made-up.md", text))) == [("one", ["`two`", "x"])]


def test_codes_are_kebab_case() -> None:
    assert [code for code in ErrorCode if not re.fullmatch(r"[a-z]+(-[a-z]+)*", code)] == []
