"""Call Telenor's API through httpx, with every rule in one `Auth` class, for threads and for asyncio.

Reads paths from stdin, one per line, and prints the status of each response.
Needs httpx and boto3.
"""

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import AsyncGenerator, Generator
from http import HTTPStatus

import boto3
import httpx

BASE_URL = os.environ.get("TELENOR_BASE_URL", "https://api.telenor.no").rstrip("/")

# At least a minute less than the GRACE_SECONDS of the token job.
CACHE_SECONDS = int(os.environ.get("CACHE_SECONDS", "300"))


class SharedToken(httpx.Auth):
    """The shared token, for requests to one origin. On a 401 it reads the secret again."""

    def __init__(self, secret_id: str, base_url: str) -> None:
        self._secret_id = secret_id
        self._origin = origin(httpx.URL(base_url))
        self._secrets = boto3.client("secretsmanager")
        self._lock = threading.Lock()
        self._token = ""
        self._read_at = 0.0

    def token(self, refused: str = "") -> str:
        """Return the shared token: from the cache, or read again if that is too old or was rejected."""
        # One read for all threads that get a 401 at once: the first reads, and the others find the new token.
        with self._lock:
            if self._token in {"", refused} or time.monotonic() - self._read_at >= CACHE_SECONDS:
                read_at = time.monotonic()
                value = self._secrets.get_secret_value(SecretId=self._secret_id)["SecretString"]
                # Set only after the read: a failed read must not extend the cache.
                self._token, self._read_at = str(json.loads(value)["access_token"]), read_at
            return self._token

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send one request with the token. On a 401, repeat once if the secret has another token."""
        token = self.token()
        response = yield self._signed(request, token)
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            current = self.token(refused=token)
            if current != token:
                yield self._signed(request, current)

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Do the same, but read the secret in a thread, so that the event loop continues."""
        token = await asyncio.to_thread(self.token)
        response = yield self._signed(request, token)
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            current = await asyncio.to_thread(self.token, refused=token)
            if current != token:
                yield self._signed(request, current)

    def _signed(self, request: httpx.Request, token: str) -> httpx.Request:
        if origin(request.url) != self._origin:
            raise ValueError("the token is for TELENOR_BASE_URL alone, and this request goes elsewhere")
        # The exception about an invalid header would show the token.
        if not (token.isascii() and token.isprintable()):
            raise ValueError("the token has characters that a header cannot carry")
        request.headers["Authorization"] = f"Bearer {token}"
        return request


def origin(url: httpx.URL) -> tuple[str, str, int | None]:
    """Return the scheme, host and port of a URL."""
    return url.scheme, url.host, url.port


# Follow no redirect, which is also the default of httpx.
client = httpx.Client(timeout=10, follow_redirects=False, auth=SharedToken(os.environ["TOKEN_SECRET_ID"], BASE_URL))


def get(path: str) -> httpx.Response:
    """GET a path."""
    if not path.startswith("/"):
        raise ValueError("a path must begin with /")
    return client.get(BASE_URL + path)


if __name__ == "__main__":
    for line in sys.stdin:
        print(get(line.strip()).status_code, flush=True)
