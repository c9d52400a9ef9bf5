"""Loads a CloudFormation template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse

TEMPLATE = Path(__file__).parent.parent / "template.yaml"


def load(path: Path = TEMPLATE) -> dict[str, Any]:
    """Read a template as plain values, with functions in the long form: `!Ref x` is `{"Ref": "x"}`."""
    template: dict[str, Any] = yaml_parse(path.read_text(encoding="utf-8"))
    return template
