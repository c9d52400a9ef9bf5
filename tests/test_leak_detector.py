"""The leak detector finds secrets."""

from __future__ import annotations

import base64

import pytest

from tests.captured_output import CapturedOutput
from tests.leak_detector import CLIENT_ID, CLIENT_SECRET, canaries_in


@pytest.mark.parametrize(
    "text",
    [
        *(f"client_secret={CLIENT_SECRET}", "Bearer CANARY-token-1"),
        "Basic " + base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode(),
    ],
)
def test_a_leaked_secret_is_detected(text: str) -> None:
    assert canaries_in(text)


def test_a_secret_in_a_chained_error_is_detected(capfd: pytest.CaptureFixture[str]) -> None:
    seen = CapturedOutput(capfd)
    error = RuntimeError("nothing to see")
    error.__context__ = ValueError("CANARY")
    seen.errors.append(error)
    assert canaries_in(seen.all_output())
