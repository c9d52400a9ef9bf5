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
DASHBOARDS = [
    "template.yaml",
    *(str(path.relative_to(ROOT)) for path in (ROOT / "infra/terraform").rglob("dashboard*")),
]

# An alarm on one of this job's metrics, with the two properties in either order.
_ALARMS = re.compile(
    r"Namespace: TelenorToken\n\s+MetricName: (\w+)|MetricName: (\w+)\n\s+Namespace: TelenorToken", re.MULTILINE
)
# On a dashboard: the namespace, and the names until the next namespace.
_DASHBOARD = re.compile(r'\["TelenorToken", .*?\]\s*\]', re.DOTALL)
_LISTED = re.compile(r'\["(?:TelenorToken|\.)", "(\w+)"')


@pytest.mark.parametrize("file", ["docs/configuration.md", *DASHBOARDS])
def test_each_file_names_every_metric(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    named = DEFINED - SHOWN_FROM_THE_LOG if file in DASHBOARDS else DEFINED
    missing = {name for name in named if not re.search(rf"\b{name}\b", text)}
    assert not missing, f"{file} does not know {sorted(missing)} of handler/report.py"


def test_the_deployment_watches_only_metrics_that_runs_emit() -> None:
    text = (ROOT / "template.yaml").read_text(encoding="utf-8")
    watched = {name for pair in _ALARMS.findall(text) for name in pair if name}
    shown = {name for widget in _DASHBOARD.findall(text) for name in _LISTED.findall(widget)}
    assert watched
    assert shown
    assert watched | shown <= DEFINED, f"template.yaml knows {sorted((watched | shown) - DEFINED)}, which no run sends"
