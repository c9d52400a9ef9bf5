"""What the check of the artifact reads out of what it has seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from infra.e2e.runtime import environment, metric_values, modules_by_origin

if TYPE_CHECKING:
    import pytest

ARTIFACT = Path("/var/task")


def test_modules_are_told_apart_by_where_they_were_loaded_from() -> None:
    files = {
        "requests.auth": "/var/task/requests/auth.py",
        "boto3": "/venv/lib/python3.13/site-packages/boto3/__init__.py",
        "json": "/usr/lib/python3.13/json/__init__.py",
        "tasks": "/var/tasks/tasks.py",
    }
    names = modules_by_origin(files, ARTIFACT)
    assert names == {"artifact": {"requests"}, "runtime": {"boto3"}, "language": {"json", "tasks"}}


def test_metric_values_come_from_embedded_metrics_only() -> None:
    lines = [
        json.dumps({"_aws": {}, "RotationFailed": [0.0]}),
        json.dumps({"RotationFailed": [9.0]}),
        "RotationFailed",
        "[]",
        json.dumps({"_aws": {}, "RotationFailed": [1.0]}),
        json.dumps({"_aws": {}}),
    ]
    assert metric_values(lines, "RotationFailed") == [0, 1, 0]


def test_the_function_sees_nothing_of_who_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("AWS_PROFILE", "mine")
    names = environment(ARTIFACT, {"TOKEN_SECRET_ID": "telenor/token"})
    assert "PYTHONPATH" not in names
    assert "AWS_PROFILE" not in names
    assert names["TOKEN_SECRET_ID"] == "telenor/token"
