"""The same job from a terminal: `python -m handler [action]`. The result goes to stdout, the log to stderr."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import uuid
from datetime import timedelta

from handler import app
from handler.errors import RotationError
from handler.model import Action
from handler.rotation import Report

# As long as the deployed function has.
_TIME_LEFT = timedelta(seconds=120)


def main() -> int:
    """Run once; 0 is a run that did its work, 1 one that failed."""
    parser = argparse.ArgumentParser(
        prog="python -m handler",
        description="Renew the shared Telenor token if it is due, and revoke superseded ones. Settings come from the "
        "environment (see README, Settings), credentials and region from where the AWS SDK finds them.",
    )
    parser.add_argument(
        "action",
        nargs="?",
        default=Action.RENEW_IF_DUE,
        choices=list(Action),
        help="what to do (default: %(default)s); the last one is for a leaked token",
    )
    arguments = parser.parse_args()
    log_handler = app.logger.registered_handler
    if isinstance(log_handler, logging.StreamHandler):
        log_handler.setStream(sys.stderr)
    report = Report()
    try:
        app.run({"action": arguments.action}, str(uuid.uuid4()), _TIME_LEFT, report)
    except RotationError:
        # The summary line in the log has said why.
        return 1
    print(json.dumps(app.result(report)))  # noqa: T201  the result is what stdout is for
    return 0


if __name__ == "__main__":
    sys.exit(main())
