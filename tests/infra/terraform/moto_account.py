"""A local AWS account by moto, to which Terraform really applies the module.

moto enforces no resource policies, so this server refuses the two calls that a token secret's policy denies to all.
"""

from __future__ import annotations

import io
import json
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import boto3
import moto.backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.secretsmanager.models import SecretsManagerBackend
from werkzeug.wrappers import Request, Response

from infra.local.loopback_server import LoopbackServer
from tests.infra.terraform.root_module import REGION

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self
    from wsgiref.types import StartResponse, WSGIEnvironment

ACCOUNT = "123456789012"
KEYS = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}

_BACKENDS = ("cloudwatch", "events", "logs", "iam", "kms", "lambda", "scheduler", "secretsmanager", "sns", "sqs")


class Account(LoopbackServer):
    """AWS, as far as the module uses it. One at a time in a process, since moto's state is global."""

    def __init__(self) -> None:
        for service in _BACKENDS:
            moto.backends.get_backend(service).reset()  # type: ignore[call-overload]
        self._moto = DomainDispatcherApplication(partial(create_backend_app))
        self._corrected = ExitStack()
        super().__init__(self._answer)

    def client(self, service: str, region: str = REGION) -> Any:
        """Return a client of the SDK."""
        return boto3.client(  # type: ignore[call-overload]
            service, region_name=region, endpoint_url=self.url, **KEYS
        )

    def __enter__(self) -> Self:
        """Start serving, and return a secret's key as AWS does."""
        # AWS returns a given alias; moto omits this one.
        self._corrected.enter_context(patch.object(SecretsManagerBackend, "DEFAULT_KMS_KEY_ALIAS", ""))
        return super().__enter__()

    def __exit__(self, *_: object) -> None:
        """Stop serving."""
        super().__exit__()
        self._corrected.close()

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        action = environ.get("HTTP_X_AMZ_TARGET", "")
        body = Request(environ).get_data()
        environ["wsgi.input"] = io.BytesIO(body)
        if action.startswith("secretsmanager.Delete") and _denies(json.loads(body)["SecretId"], action):
            refusal = {"__type": "AccessDeniedException", "message": "an explicit deny in a resource-based policy"}
            response = Response(json.dumps(refusal), 400, content_type="application/x-amz-json-1.1")
            return response(environ, start_response)
        return Response.from_app(self._moto, environ, buffered=True)(environ, start_response)


def statements(document: Any) -> dict[str, dict[str, Any]]:
    """Return the statements of a policy, by Sid."""
    policy = json.loads(document) if isinstance(document, str) else document
    return {statement.get("Sid", ""): statement for statement in policy["Statement"]}


def _denies(secret_id: str, action: str) -> bool:
    secret = moto.backends.get_backend("secretsmanager")[ACCOUNT][REGION].secrets.get(secret_id)
    statements = json.loads(getattr(secret, "policy", None) or "{}").get("Statement", [])
    denied = [each["Action"] for each in statements if each["Effect"] == "Deny" and "Condition" not in each]
    return action.replace(".", ":") in [each for actions in denied for each in actions]
