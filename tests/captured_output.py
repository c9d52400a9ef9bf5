"""All output of a test: its log, metrics, errors and results."""

from __future__ import annotations

import json
import traceback
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest


@dataclass
class CapturedOutput:
    """All output of a test: streams, errors and results."""

    capture: pytest.CaptureFixture[str]
    streams: list[str] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    results: list[object] = field(default_factory=list)
    root_log: list[str] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)

    def lines(self) -> list[dict[str, Any]]:
        """Return the JSON lines on stdout: those of the log and those of the metrics."""
        captured = self.capture.readouterr()
        self.streams += [captured.out, captured.err]
        return [json.loads(line) for line in "".join(self.streams).splitlines()]

    def log(self) -> list[dict[str, Any]]:
        return [line for line in self.lines() if "_aws" not in line]

    def messages(self) -> str:
        return "\n".join(line["message"] for line in self.log())

    def metrics(self) -> Counter[str]:
        """Return the metrics of the last run."""
        last = self._last_metrics()
        (directive,) = last["_aws"]["CloudWatchMetrics"]
        (dimensions,) = directive["Dimensions"]
        assert (directive["Namespace"], sorted(dimensions)) == ("TelenorToken", ["client", "service"])
        # As alarms and dashboards read them: a missing counter is zero.
        return Counter({metric["Name"]: last[metric["Name"]][0] for metric in directive["Metrics"]})

    def client(self) -> str:
        """Return the client in the metrics of the last run."""
        return str(self._last_metrics()["client"])

    def _last_metrics(self) -> dict[str, Any]:
        return [line for line in self.lines() if "_aws" in line][-1]

    def codes(self) -> list[str | None]:
        """Return the code of each warning and error."""
        return [line.get("error_code") for line in self.warnings]

    def all_output(self) -> str:
        """Return all of it as text, with the whole chain of each error."""
        texts = [*self.streams, *self.root_log, *self.capture.readouterr(), *map(repr, self.results)]
        for error in self.errors:
            link: BaseException | None = error
            while link is not None:
                texts += [*traceback.format_exception_only(link), repr(link), str(vars(link))]
                link = link.__cause__ or link.__context__
        return "\n".join(texts)
