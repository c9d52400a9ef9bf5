"""A Lambda function that calls Telenor's API with the shared token, read through AWS's own Lambda extension.

Needs the layer "AWS Parameters and Secrets Lambda Extension", the variable TOKEN_SECRET_ID, and otherwise only what
Lambda's Python brings. Invoke it with {"path": "/service-tickets/v2/incidents"}.
"""

from __future__ import annotations

import json
import os
from http import HTTPStatus
from operator import itemgetter
from typing import Any
from urllib.parse import quote, urlsplit

import boto3
import urllib3

BASE_URL = os.environ.get("TELENOR_BASE_URL", "https://api.telenor.no").rstrip("/")
PORT = os.environ.get("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", "2773")
SECRET_ID = os.environ["TOKEN_SECRET_ID"]

http = urllib3.PoolManager()
secrets = boto3.client("secretsmanager")
read_directly: dict[str, Any] = {"issued_at": 0}


def from_extension() -> dict[str, Any]:
    """Return the token document from the extension, at most SECRETS_MANAGER_TTL old."""
    answer = http.request(
        "GET",
        f"http://localhost:{PORT}/secretsmanager/get?secretId={quote(SECRET_ID, safe='')}",
        headers={"X-Aws-Parameters-Secrets-Token": os.environ["AWS_SESSION_TOKEN"]},
        timeout=5,
    )
    if answer.status != HTTPStatus.OK:
        raise RuntimeError(f"the extension answered {answer.status}")
    document: dict[str, Any] = json.loads(json.loads(answer.data)["SecretString"])
    return document


def access_token(*, fresh: bool = False) -> str:
    """Return the shared token: from the extension, or directly from Secrets Manager if `fresh` is set."""
    global read_directly
    if fresh:
        # You cannot tell the extension to read again.
        read_directly = json.loads(secrets.get_secret_value(SecretId=SECRET_ID)["SecretString"])
        return str(read_directly["access_token"])
    # The token that was read directly is newer until the extension reads again.
    return str(max(read_directly, from_extension(), key=itemgetter("issued_at"))["access_token"])


def call(path: str, token: str) -> urllib3.BaseHTTPResponse:
    """Send one request, only to BASE_URL, and follow no redirect."""
    url = BASE_URL + path
    if not path.startswith("/") or urlsplit(url)[:2] != urlsplit(BASE_URL)[:2]:
        raise ValueError("a path must begin with / and stay at TELENOR_BASE_URL")
    # The exception about an invalid header would show the token.
    if not (token.isascii() and token.isprintable()):
        raise ValueError("the token has characters that a header cannot carry")
    headers = {"Authorization": f"Bearer {token}"}
    return http.request("GET", url, headers=headers, timeout=10, redirect=False)


def lambda_handler(event: dict[str, str], _context: object) -> dict[str, int]:
    """GET a path. On a 401 read the secret again, and repeat once if it has another token."""
    token = access_token()
    response = call(event["path"], token)
    if response.status == HTTPStatus.UNAUTHORIZED:
        current = access_token(fresh=True)
        if current != token:
            response = call(event["path"], current)
    return {"status": response.status}
