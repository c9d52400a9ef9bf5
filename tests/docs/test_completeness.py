"""The documents explain every alarm, permission, parameter and error code."""

from __future__ import annotations

import re

import pytest

from handler.errors import ErrorCode
from infra.load_template import TEMPLATE, load
from infra.stack_parameters import parameters
from tests.docs.documents import ROOT, inline_code

TEXT = TEMPLATE.read_text("utf-8")


def code_of(*pages: str) -> set[str]:
    """Return the inline code of pages in docs/."""
    return {code for page in pages for code in inline_code((ROOT / "docs" / page).read_text("utf-8"))}


@pytest.mark.parametrize("pattern", [r"(?m)^  (\w+Alarm):", r'\$\{Runbook\},\s+"(\w+)"'])
def test_each_alarm_has_its_section(pattern: str) -> None:
    named = {name.lower() for name in re.findall(pattern, TEXT)}
    assert len(named) == 9
    sections = re.findall(r"(?m)^### (\w+)$", (ROOT / "docs" / "runbook.md").read_text("utf-8"))
    assert named <= {section.lower() for section in sections}


def test_each_permission_of_the_template_is_explained() -> None:
    actions = set(re.findall(r"(?m)^ +(?:- |Action: )([a-z0-9]+:[A-Z]\w+)$", TEXT))
    assert len(actions) >= 15
    assert actions - code_of("security.md") == set()


def test_each_parameter_of_the_template_is_explained() -> None:
    assert set(parameters(load())) - code_of("deploy.md", "configuration.md") == set()


def test_each_error_code_has_exactly_one_row() -> None:
    text = (ROOT / "docs" / "error-codes.md").read_text("utf-8")
    # A code, its meaning, and the remedy. AWS's own codes are not in kebab-case.
    found = re.findall(r"^\| `([a-z]+(?:-[a-z]+)*)` \| [^|]+ \| [^|]+ \|$", text, re.MULTILINE)
    assert sorted(found) == sorted(ErrorCode)
