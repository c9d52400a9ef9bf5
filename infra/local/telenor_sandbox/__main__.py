"""The sandbox alone, from a terminal: `python -m infra.local.telenor_sandbox`."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from infra.local.telenor_sandbox.clients import DEMO_CLIENT_ID, DEMO_CLIENT_SECRET
from infra.local.telenor_sandbox.server import TelenorSandbox

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_PORT = 8081

BANNER = """\
Telenor sandbox on {url}

  client_id      {client_id}
  client_secret  {client_secret} (for this sandbox only)

  Get a token       curl -u {client_id}:{client_secret} -d grant_type=client_credentials {url}/oauth/v2/token
  Turn a knob       curl -X PATCH -d '{{"lifetime_seconds": 60}}' {url}/_sandbox/knobs
  Apigee's errors   curl -X PATCH -d '{{"error_format": "apigee"}}' {url}/_sandbox/knobs
  Start an outage   curl -d '{{"operation": "token", "drop": true}}' {url}/_sandbox/faults
  End it            curl -X DELETE {url}/_sandbox/faults
  See what happens  curl {url}/_sandbox/state

Ctrl-C ends it."""


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m infra.local.telenor_sandbox",
        description="Stand in for Telenor's API on this machine, until Ctrl-C or SIGTERM.",
        epilog="While it runs, POST /_sandbox/faults breaks something, PATCH /_sandbox/knobs changes how it "
        "behaves (GET lists the knobs), GET /_sandbox/state shows every token, and POST /_sandbox/reset "
        "starts afresh. Nothing is kept when it ends.",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=DEFAULT_PORT,
        help="port to listen on, at 127.0.0.1 only; 0 takes a free one (default: %(default)s)",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sandbox in the foreground."""
    arguments = _arguments(argv)
    for number in (signal.SIGINT, signal.SIGTERM):  # both: a shell starts its background jobs deaf to Ctrl-C
        signal.signal(number, signal.default_int_handler)
    with suppress(KeyboardInterrupt), TelenorSandbox(port=arguments.port) as sandbox:
        banner = BANNER.format(url=sandbox.url, client_id=DEMO_CLIENT_ID, client_secret=DEMO_CLIENT_SECRET)
        print(banner, flush=True)  # noqa: T201 - this is what a terminal is for
        threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
