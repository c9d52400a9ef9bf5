"""Call Telenor's API through requests-oauthlib, with the token document of the secret as `token=`.

Reads paths from stdin, one per line, and prints the status of each response.
Needs requests-oauthlib, aws-lambda-powertools (which reads the secret and caches it) and boto3.
"""

import logging
import os
import sys
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from aws_lambda_powertools.utilities.parameters import get_secret
from oauthlib.oauth2 import TokenExpiredError
from requests_oauthlib import OAuth2Session

BASE_URL = os.environ.get("TELENOR_BASE_URL", "https://api.telenor.no").rstrip("/")

# At least a minute less than the GRACE_SECONDS of the token job.
CACHE_SECONDS = int(os.environ.get("CACHE_SECONDS", "300"))

# At DEBUG the library logs the token itself.
logging.getLogger("requests_oauthlib").setLevel(logging.INFO)


def token_document(*, fresh: bool = False) -> dict[str, Any]:
    """Return the token document: from the cache, or read again if that is too old or `fresh` is set."""
    document = get_secret(os.environ["TOKEN_SECRET_ID"], transform="json", max_age=CACHE_SECONDS, force_fetch=fresh)
    token = document["access_token"]
    # The exception about an invalid header would show the token.
    if not (token.isascii() and token.isprintable()):
        raise ValueError("the token has characters that a header cannot carry")
    return document


session = OAuth2Session(token=token_document())


def call(path: str) -> int:
    """Send one request, only to BASE_URL, and follow no redirect."""
    url = BASE_URL + path
    if not path.startswith("/") or urlsplit(url)[:2] != urlsplit(BASE_URL)[:2]:
        raise ValueError("a path must begin with / and stay at TELENOR_BASE_URL")
    try:
        return int(session.get(url, timeout=10, allow_redirects=False).status_code)
    except TokenExpiredError:
        # The library sends no request after the document's expires_at.
        return HTTPStatus.UNAUTHORIZED


def get(path: str) -> int:
    """GET a path. On a 401 read the secret again, and repeat once if it has another token."""
    session.token = document = token_document()
    status = call(path)
    if status == HTTPStatus.UNAUTHORIZED:
        session.token = current = token_document(fresh=True)
        if current != document:
            status = call(path)
    return status


if __name__ == "__main__":
    for line in sys.stdin:
        print(get(line.strip()), flush=True)
