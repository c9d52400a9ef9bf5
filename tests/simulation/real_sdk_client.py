"""The SDK's own client on a model: its calls, retries, quota, events and errors, without a network.

The model responds to each *attempt* of a call, so that botocore's own retries decide the result of the call. Requests
and responses are not encoded as HTTP, which would take most of the simulation's time; `make demo` and the tests of the
adapter do that.
"""

from __future__ import annotations

import functools
import os
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import boto3
from botocore.endpoint import Endpoint
from botocore.exceptions import HTTPClientError
from botocore.hooks import HierarchicalEmitter
from botocore.retries.standard import RetryHandler

from handler.secrets_manager import create_client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_secretsmanager.client import SecretsManagerClient

    # Operation, parameters and the number of the attempt; returns status and document, or raises HTTPClientError.
    Respond = Callable[[str, dict[str, Any], int], tuple[int, dict[str, Any]]]
    Sleep = Callable[[float], None]

_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "simulated",
    "AWS_SECRET_ACCESS_KEY": "simulated",
    "AWS_REGION": "eu-north-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


class _ModelEndpoint(Endpoint):
    """Sends attempts to a function instead of the network."""

    respond: Respond

    def create_request(self, params: Any, operation_model: object = None) -> Any:
        del operation_model
        return SimpleNamespace(parameters=params["parameters"], reset_stream=lambda: None)

    def _do_get_response(self, request: Any, operation_model: Any, context: dict[str, Any]) -> Any:
        try:
            status, document = self.respond(operation_model.name, request.parameters, context["retries"]["attempt"])
        except HTTPClientError as error:
            return None, error
        response = SimpleNamespace(status_code=status, headers={}, content=b"")
        return (response, document | {"ResponseMetadata": {"HTTPStatusCode": status}}), None


@functools.cache
def _session() -> boto3.Session:
    """Return one session for all clients, since it has loaded the service's description."""
    return boto3.Session()


class _Client:
    """One client as the handler creates it, with an endpoint of its own."""

    def __init__(self) -> None:
        self.sleep: Sleep
        with patch.dict(os.environ, _ENVIRONMENT, clear=True), patch.object(boto3, "DEFAULT_SESSION", _session()):
            self.client = create_client()
        inside: Any = self.client
        real, self.events = inside._endpoint, inside.meta.events  # noqa: SLF001  the outer edge
        self.endpoint = inside._endpoint = _ModelEndpoint(real.host, real._endpoint_prefix, self.events)  # noqa: SLF001
        inside._ruleset_resolver = None  # noqa: SLF001
        inside._convert_to_request_dict = self._request  # noqa: SLF001
        handlers = self.events._emitter._handlers.prefix_search("needs-retry.secrets-manager")  # noqa: SLF001
        owners = [getattr(handler, "__self__", None) for handler in handlers]
        retries: Any = next(owner for owner in owners if isinstance(owner, RetryHandler))
        self._quota = retries._retry_quota._quota  # noqa: SLF001
        self._backoff = retries._retry_policy._retry_backoff  # noqa: SLF001
        retries._retry_policy._retry_backoff = self  # noqa: SLF001

    def renew(self, *, emits_each_attempt: bool) -> None:
        """Reset the client's retry quota, which its last user may have used up."""
        self._quota.release(self._quota.INITIAL_CAPACITY)
        # Without the event, the job listens to an emitter that emits nothing, and the SDK retries as usual.
        self.client.meta.events = self.events if emits_each_attempt else HierarchicalEmitter()

    def delay_amount(self, context: object) -> float:
        """Wait between two attempts, as long as the SDK would, on the simulated clock."""
        self.sleep(self._backoff.delay_amount(context))
        return 0

    @staticmethod
    def _request(api_params: dict[str, Any], context: dict[str, Any], **_: object) -> dict[str, Any]:
        return {"parameters": api_params, "context": context, "headers": {}, "body": b"", "url_path": "/"}


# Creating a client takes as long as a hundred calls, so clients are reused. Each serves one run at a time.
_idle: list[_Client] = []


@contextmanager
def client(respond: Respond, sleep: Sleep, *, emits_each_attempt: bool = True) -> Iterator[SecretsManagerClient]:
    """Lend a client whose attempts go to `respond`, and which waits between them by `sleep`.

    Without `emits_each_attempt` it behaves like a version that emits no event for an attempt.
    """
    lent = _idle.pop() if _idle else _Client()
    lent.endpoint.respond, lent.sleep = respond, sleep
    lent.renew(emits_each_attempt=emits_each_attempt)
    try:
        yield lent.client
    finally:
        _idle.append(lent)
