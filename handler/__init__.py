"""Keep one Telenor access token fresh for everybody who needs it."""

from __future__ import annotations

import os

# Powertools raises an error for a value that it cannot read, also while it is imported. Such a value counts as unset.
_FLAGS = ("DEBUG", "DEV", "LOG_DEDUPLICATION_DISABLED", "METRICS_DISABLED")
_FLAG_VALUES = {"1", "y", "yes", "t", "true", "on", "0", "n", "no", "f", "false", "off"}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


for _name in _FLAGS:
    if os.environ.get(f"POWERTOOLS_{_name}", "0").lower() not in _FLAG_VALUES:
        del os.environ[f"POWERTOOLS_{_name}"]
if not _is_number(os.environ.get("POWERTOOLS_LOGGER_SAMPLE_RATE", "0")):
    del os.environ["POWERTOOLS_LOGGER_SAMPLE_RATE"]
