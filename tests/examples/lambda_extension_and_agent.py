"""A stand-in for the AWS Parameters and Secrets Lambda Extension, which runs only in Lambda.

It has the extension's HTTP interface as AWS documents it ("Use AWS Secrets Manager secrets in AWS Lambda functions",
Secrets Manager User Guide): the path, the header, the parameter `secretId`, and a cache that lasts for
SECRETS_MANAGER_TTL, 300 s at most. Nothing in the documentation makes it read again before that, so nothing here does.

AWS's Secrets Manager Agent has the same interface, and `refreshNow` besides (README of aws/aws-secretsmanager-agent).
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, abort, request

from infra.local.loopback_server import LoopbackServer

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient

_MOST_SECONDS = 300


class LambdaExtension(LoopbackServer):
    """The extension; `session_token` is the function's AWS_SESSION_TOKEN."""

    _refreshes = False

    def __init__(self, client: SecretsManagerClient, session_token: str, ttl_seconds: float) -> None:
        app = Flask("lambda-extension", static_folder=None)
        app.add_url_rule("/secretsmanager/get", "get", self._get)
        super().__init__(app)
        self._client = client
        self._session_token = session_token
        self._ttl_seconds = min(ttl_seconds, _MOST_SECONDS)
        self._cached: dict[str, Any] = {}
        self._read_at = 0.0

    @property
    def port(self) -> str:
        """The function's PARAMETERS_SECRETS_EXTENSION_HTTP_PORT."""
        return self.url.rpartition(":")[2]

    def _get(self) -> Response:
        if request.headers.get("X-Aws-Parameters-Secrets-Token") != self._session_token:
            abort(401)
        asked = request.args.to_dict()
        is_refreshed = self._refreshes and asked.pop("refreshNow", "false") == "true"
        if asked.keys() != {"secretId"}:
            abort(400)
        if is_refreshed or not self._cached or time.monotonic() - self._read_at >= self._ttl_seconds:
            read_at = time.monotonic()
            self._cached = dict(self._client.get_secret_value(SecretId=asked["secretId"]))
            self._read_at = read_at
        return Response(json.dumps(self._cached, default=str), content_type="application/json")


class SecretsManagerAgent(LambdaExtension):
    """The agent; `session_token` is the content of its token file."""

    _refreshes = True
