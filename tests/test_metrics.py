"""Metrics are defined in `handler/report.py`; every other file that lists them is compared with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.handler.test_report import COUNTERS, EXPIRED

ROOT = Path(__file__).parents[1]
DEFINED = {*COUNTERS, *EXPIRED}

# A dashboard counts these from the log.
SHOWN_FROM_THE_LOG = {"TokenRotated", "TokenRevoked"}
DASHBOARDS = ["template.yaml", *(str(path.relative_to(ROOT)) for path in ROOT.glob("infra/terraform/**/dashboard*"))]


@pytest.mark.parametrize("file", ["docs/configuration.md", *DASHBOARDS])
def test_each_file_names_every_metric(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    named = DEFINED - SHOWN_FROM_THE_LOG if file in DASHBOARDS else DEFINED
    missing = {name for name in named if not re.search(rf"\b{name}\b", text)}
    assert not missing, f"{file} does not know {sorted(missing)} of handler/report.py"
