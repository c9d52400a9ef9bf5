"""Call Telenor's API with the shared token, read through Powertools for AWS Lambda.

Reads paths from stdin, one per line, and prints the status of each response.
Needs aws-lambda-powertools, boto3 and requests.
"""

import os
import sys
from http import HTTPStatus
from urllib.parse import urlsplit

import requests
from aws_lambda_powertools.utilities.parameters import get_secret

BASE_URL = os.environ.get("TELENOR_BASE_URL", "https://api.telenor.no").rstrip("/")

# At least a minute less than the GRACE_SECONDS of the token job.
CACHE_SECONDS = int(os.environ.get("CACHE_SECONDS", "300"))


def access_token(*, fresh: bool = False) -> str:
    """Return the shared token: from the cache, or read again if that is too old or `fresh` is set."""
    document = get_secret(os.environ["TOKEN_SECRET_ID"], transform="json", max_age=CACHE_SECONDS, force_fetch=fresh)
    return str(document["access_token"])


def call(path: str, token: str) -> requests.Response:
    """Send one request, only to BASE_URL, and follow no redirect."""
    url = BASE_URL + path
    if not path.startswith("/") or urlsplit(url)[:2] != urlsplit(BASE_URL)[:2]:
        raise ValueError("a path must begin with / and stay at TELENOR_BASE_URL")
    # The exception about an invalid header would show the token.
    if not (token.isascii() and token.isprintable()):
        raise ValueError("the token has characters that a header cannot carry")
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(url, headers=headers, timeout=10, allow_redirects=False)


def get(path: str) -> requests.Response:
    """GET a path. On a 401 read the secret again, and repeat once if it has another token."""
    token = access_token()
    response = call(path, token)
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        current = access_token(fresh=True)
        if current != token:
            response = call(path, current)
    return response


if __name__ == "__main__":
    for line in sys.stdin:
        print(get(line.strip()).status_code, flush=True)
