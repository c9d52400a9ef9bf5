"""The codes of errors and warnings."""

from __future__ import annotations

import re
from pathlib import Path

from handler.errors import ErrorCode

HANDLER = Path(__file__).parents[2] / "handler"


def test_the_handler_uses_each_error_code() -> None:
    source = "".join(path.read_text("utf-8") for path in HANDLER.glob("*.py"))
    assert [code for code in ErrorCode if not re.search(rf"\bErrorCode\.{code.name}\b", source)] == []


def test_each_error_codes_name_matches_its_value() -> None:
    assert [code for code in ErrorCode if code.name.lower().replace("_", "-") != code] == []
