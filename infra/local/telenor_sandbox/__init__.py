"""A stand-in for Telenor's API, reached by real requests over real sockets.

It responds as the API reference says, or in one of three other error formats that Telenor may use. It issues tokens for
client_credentials alone, and fails on command while it runs::

    with TelenorSandbox() as sandbox:
        sandbox.knobs(lifetime_seconds=60, error_format="apigee")
        sandbox.fault(operation="token", status=503, retry_after=2, times=1)
        requests.post(f"{sandbox.url}/oauth/v2/token", ...)

``/_sandbox/faults`` (POST, DELETE) does the same over HTTP, and ``/_sandbox/state`` (GET) shows the tokens.
"""

from infra.local.telenor_sandbox.api_errors import ApiError
from infra.local.telenor_sandbox.authorization_server import (
    DEMO_CLIENT_ID,
    DEMO_CLIENT_SECRET,
    SEEDED_CLIENTS,
    Client,
    short_id,
)
from infra.local.telenor_sandbox.error_kinds import ErrorKind
from infra.local.telenor_sandbox.knobs_and_faults import Fault
from infra.local.telenor_sandbox.response_formats import ERROR_SHAPES
from infra.local.telenor_sandbox.server import OPERATIONS, REVOCATION_PATH, TelenorSandbox

__all__ = ["DEMO_CLIENT_ID", "DEMO_CLIENT_SECRET", "ERROR_SHAPES", "OPERATIONS", "REVOCATION_PATH", "SEEDED_CLIENTS"]
__all__ += ["ApiError", "Client", "ErrorKind", "Fault", "TelenorSandbox", "short_id"]
