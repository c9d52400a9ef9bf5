"""The page of error codes has one row for each code."""

from __future__ import annotations

import re

from handler.errors import ErrorCode
from tests.docs.documents import ROOT


def test_each_error_code_has_exactly_one_row() -> None:
    text = (ROOT / "docs" / "error-codes.md").read_text("utf-8")
    # A code, its meaning, and the remedy. AWS's own codes are not in kebab-case.
    rows = re.findall(r"^\| `([a-z]+(?:-[a-z]+)*)` \| [^|]+ \| [^|]+ \|$", text, re.MULTILINE)
    assert sorted(rows) == sorted(ErrorCode)
