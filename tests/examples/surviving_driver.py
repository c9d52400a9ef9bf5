"""A service around an example, which goes on after a call that raises: prints the status of each call, or 0.

`python surviving_driver.py FILE` reads paths from stdin, one a line.
"""

from __future__ import annotations

import runpy
import sys
from typing import Any


def status_of(namespace: dict[str, Any], path: str) -> int:
    """Call the API once through the example's own function."""
    if "lambda_handler" in namespace:
        return int(namespace["lambda_handler"]({"path": path}, None)["status"])
    response = namespace["get"](path)
    return int(getattr(response, "status_code", response))


if __name__ == "__main__":
    example = runpy.run_path(sys.argv[1])
    for line in sys.stdin:
        try:
            status = status_of(example, line.strip())
        except Exception as error:  # noqa: BLE001  each library has its own
            sys.stderr.write(f"{type(error).__name__}\n")
            status = 0
        sys.stdout.write(f"{status}\n")
        sys.stdout.flush()
