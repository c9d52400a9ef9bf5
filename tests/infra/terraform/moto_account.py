"""An AWS account on this machine, by moto, to which Terraform applies the module for real.

moto enforces no resource policies; the two calls that a token secret's policy denies to everybody are refused here.
"""

from __future__ import annotations

import io
import json
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import boto3
import moto.backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.secretsmanager.models import SecretsManagerBackend
from werkzeug.wrappers import Request, Response

from infra.local.server import LoopbackServer
from infra.terraform_cli import MODULE, find
from tests.e2e.terraform.module import changes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from typing import Self
    from wsgiref.types import StartResponse, WSGIEnvironment

    from tests.e2e.terraform.module import Change

REGION = "eu-north-1"
ACCOUNT = "123456789012"

_SERVICES = (
    *("cloudwatch", "cloudwatchevents", "cloudwatchlogs", "iam", "kms", "lambda", "scheduler", "secretsmanager"),
    *("sns", "sqs", "sts"),
)
# moto keeps no logging_config of a function, and every plan puts it there again.
_NOT_KEPT = ("aws_lambda_function.token",)

_BACKENDS = ("cloudwatch", "events", "logs", "iam", "kms", "lambda", "scheduler", "secretsmanager", "sns", "sqs")


class RefusedError(Exception):
    """Terraform refused a configuration, or AWS a call of it: every sentence of the errors."""


class Account(LoopbackServer):
    """AWS, as far as the module uses it. One at a time in a process, since moto keeps everything there."""

    def __init__(self) -> None:
        for service in _BACKENDS:
            moto.backends.get_backend(service).reset()  # type: ignore[call-overload]
        self._moto = DomainDispatcherApplication(partial(create_backend_app))
        self._corrected = ExitStack()
        super().__init__(self._answer)

    def client(self, service: str, region: str = REGION) -> Any:
        """Return a client of the SDK."""
        return boto3.client(  # type: ignore[call-overload]
            service,
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )

    def __enter__(self) -> Self:
        """Serve, with a secret's key told as AWS tells it."""
        # AWS names an alias that it was given; moto leaves this one out.
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
            answer = Response(json.dumps(refusal), 400, content_type="application/x-amz-json-1.1")
            return answer(environ, start_response)
        return Response.from_app(self._moto, environ, buffered=True)(environ, start_response)


def _denies(secret_id: str, action: str) -> bool:
    secret = moto.backends.get_backend("secretsmanager")[ACCOUNT][REGION].secrets.get(secret_id)
    statements = json.loads(getattr(secret, "policy", None) or "{}").get("Statement", [])
    denied = [each["Action"] for each in statements if each["Effect"] == "Deny" and "Condition" not in each]
    return action.replace(".", ":") in [each for actions in denied for each in actions]


@dataclass
class Configuration:
    """A configuration with one module block, and its state."""

    account: Account
    directory: Path
    module: Path = MODULE
    _ready: bool = field(default=False, init=False)

    def plan(self, variables: Mapping[str, Any], **beside: Any) -> list[Change]:
        """Return what Terraform would change. Raises RefusedError."""
        return self._planned("plan", variables, beside)

    def apply(self, variables: Mapping[str, Any], **beside: Any) -> list[Change]:
        """Apply the module with these variables; return what Terraform planned to change. Raises RefusedError."""
        return self._planned("apply", variables, beside)

    def destroy(self) -> None:
        """Destroy everything. Raises RefusedError."""
        self._run("destroy", "-json", "-auto-approve", "-input=false")

    def state(self) -> list[str]:
        """Return the addresses in Terraform's state."""
        return self._run("state", "list").split()

    def warnings(self, variables: Mapping[str, Any]) -> list[str]:
        """Return what a plan warns of."""
        self._write(variables, {})
        return [said for level, said in _said(self._run("plan", "-json", "-input=false")) if level == "warn"]

    def _planned(self, command: str, variables: Mapping[str, Any], beside: Mapping[str, Any]) -> list[Change]:
        self._write(variables, beside)
        agreed = ["-auto-approve"] if command == "apply" else []
        planned = changes(self._run(command, "-json", "-input=false", *agreed))
        return [change for change in planned if change.address not in _NOT_KEPT]

    def _write(self, variables: Mapping[str, Any], beside: Mapping[str, Any]) -> None:
        artifact = self.directory / "artifact.zip"
        artifact.write_bytes(b"the artifact")
        provider = {
            "region": REGION,
            "access_key": "local",
            "secret_key": "local",
            "skip_metadata_api_check": True,
            "skip_credentials_validation": True,
            "endpoints": [dict.fromkeys(_SERVICES, self.account.url)],
        }
        resources = beside.get("resources", {})
        module = {"source": str(self.module), "artifact_path": str(artifact), **variables}
        if resources:
            module["depends_on"] = [f"{kind}.{name}" for kind, named in resources.items() for name in named]
        configuration = {
            "terraform": {"required_providers": {"aws": {"source": "hashicorp/aws"}}},
            "provider": {"aws": provider},
            "module": {"token": module},
            "output": {"token": {"value": "${module.token}"}},
        } | {kind: blocks for kind, blocks in beside.items() if kind != "resources"}
        if resources:
            configuration["resource"] = resources
        (self.directory / "main.tf.json").write_text(json.dumps(configuration, indent=2), encoding="utf-8")
        if not self._ready:
            find().init(self.directory)
            self._ready = True

    def _run(self, command: str, *arguments: str) -> str:
        terraform = find()
        mine = {name: value for name, value in terraform.environment.items() if not name.startswith("AWS_")}
        try:
            return replace(terraform, environment=mine).run(self.directory, command, *arguments).stdout
        except subprocess.CalledProcessError as error:
            said = [said for level, said in _said(error.stdout) if level == "error"]
            raise RefusedError("\n".join(said) or f"{error.stdout}{error.stderr}") from error

    @property
    def outputs(self) -> dict[str, Any]:
        """Return the module's outputs."""
        outputs: dict[str, Any] = json.loads(self._run("output", "-json"))["token"]["value"]
        return outputs


def _said(printed: str) -> list[tuple[str, str]]:
    """Return the diagnostics of Terraform's JSON, with their levels."""
    messages = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    return [
        (each["@level"], f"{each['diagnostic']['summary']}: {each['diagnostic']['detail']}")
        for each in messages
        if "diagnostic" in each
    ]
