"""A consumer of the shared token: reads it, caches it for less than the grace period, and calls Telenor's API.

Copy it, or use the caching client that you have; this one needs only Lambda's runtime.
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from http import HTTPStatus

import boto3

# At least a minute less than the GRACE_SECONDS of the token job.
CACHE_SECONDS = float(os.environ.get("CACHE_SECONDS", "300"))

# The ARN's region may differ from this function's.
_arn = os.environ["TOKEN_SECRET_ID"].split(":")
_secrets = boto3.client("secretsmanager", region_name=_arn[3] if len(_arn) > 1 else None)
_cached: tuple[str, float] | None = None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: urllib would take the token along, to any host."""

    def redirect_request(self, *_: object) -> None:
        """Leave the redirect to the caller, as an error."""


_http = urllib.request.build_opener(_NoRedirect)


def access_token(*, fresh: bool = False) -> str:
    """Return the shared access token; read it again if the cached one is too old or was rejected."""
    global _cached  # noqa: PLW0603  what a warm function keeps from one invocation to the next
    if fresh or _cached is None or time.monotonic() - _cached[1] > CACHE_SECONDS:
        read_at = time.monotonic()
        value = _secrets.get_secret_value(SecretId=os.environ["TOKEN_SECRET_ID"])
        _cached = json.loads(value["SecretString"])["access_token"], read_at
    return _cached[0]


def call(path: str, token: str) -> tuple[int, bytes]:
    """Call Telenor's API with a token, which stays at TELENOR_BASE_URL."""
    url = os.environ["TELENOR_BASE_URL"].rstrip("/") + path
    # The exception about an invalid header would show the token.
    if not (token.isascii() and token.isprintable()):
        raise ValueError("the token has characters that a header cannot carry")
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})  # noqa: S310  https in the template
    try:
        with _http.open(request, timeout=10) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, b""


def lambda_handler(event: dict[str, object], _context: object) -> dict[str, object]:
    """List the incidents, as an example of a call. At the event of a new token, read it again."""
    if event.get("detail-type") == "Secret Label Updated":
        access_token(fresh=True)
        return {"status": None, "incidents": 0}
    path = "/service-tickets/v2/incidents"
    token = access_token()
    status, body = call(path, token)
    if status == HTTPStatus.UNAUTHORIZED:
        # Once more with the current token, if it is another one; not twice, and never with AWSPREVIOUS.
        current = access_token(fresh=True)
        if current != token:
            status, body = call(path, current)
    return {"status": status, "incidents": len(json.loads(body)) if status == HTTPStatus.OK else 0}
