"""Secrets Manager on this machine: moto's server on a loopback port, with one correction and the quotas of AWS.

    with LocalSecretsManager() as aws:
        os.environ.update(aws.environment)
        boto3.client("secretsmanager").create_secret(Name="telenor/token")

It counts calls by operation, and can make them fail or lag. Only one per process, since moto keeps its secrets there.
"""

from __future__ import annotations

import io
import json
import math
import threading
import time
import uuid
from collections import Counter, defaultdict, deque
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

import moto.backends
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.core.request import Request as MotoRequest
from moto.secretsmanager.models import FakeSecret, SecretsManagerBackend
from moto.secretsmanager.responses import SecretsManagerResponse
from werkzeug.wrappers import Request, Response

from infra.local.loopback_server import LoopbackServer
from infra.local.secrets_manager_faults import refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Self
    from wsgiref.types import StartResponse, WSGIEnvironment

    from infra.local.secrets_manager_faults import Fault

REGION = "eu-north-1"

LABELS = 20
"""The maximum number of staging labels of a secret, over all versions (AWS, "Secrets Manager quotas")."""

VERSIONS_A_DAY = 144
"""The maximum number of versions in 24 hours. AWS recommends at most one in ten minutes, keeps every version of the
last 24 hours, and does not document at which number it refuses the next: between 100 and this."""

_DAY_SECONDS = 86_400

# AWS, "ListSecretVersionIds": MaxResults.
_PAGE = 100
_WRITES = frozenset({"PutSecretValue", "UpdateSecret", "UpdateSecretVersionStage"})


def _make_current(secret: FakeSecret, version: dict[str, Any], version_id: str) -> None:
    """Set the labels of a PutSecretValue on a version, as AWS does.

    moto 5.2.5 replaces the labels of the version that loses AWSCURRENT by ["AWSPREVIOUS"], and treats the last version
    as the current one. AWS keeps every label that the call does not name, and moves AWSPREVIOUS to the version that had
    AWSCURRENT. The ledger depends on that.
    """
    for other in secret.versions.values():
        stages = other["version_stages"]
        was_current = "AWSCURRENT" in stages
        other["version_stages"] = [
            stage for stage in stages if stage != "AWSPREVIOUS" and stage not in version["version_stages"]
        ] + ["AWSPREVIOUS"] * was_current
    secret.versions[version_id] = version
    secret.set_default_version_id(version_id)


class _Past(NamedTuple):
    """The state of a secret before a write, and the time of the write."""

    until: float
    versions: dict[str, dict[str, Any]]
    default_version_id: str | None


class LocalSecretsManager(LoopbackServer):
    """Secrets Manager at `url`, empty when the `with` block begins.

    `clock` gives epoch seconds, and decides which writes fall into the same day.
    """

    def __init__(self, clock: Callable[[], float] = time.time, port: int = 0) -> None:
        super().__init__(self._answer, port)
        self.clock = clock
        self._lock = threading.Lock()
        self._one_at_a_time = threading.Lock()
        self._calls: deque[tuple[str, str]] = deque()
        self._faults: defaultdict[tuple[str, str | None], deque[Fault | None]] = defaultdict(deque)
        self._past: defaultdict[str, deque[_Past]] = defaultdict(partial(deque, maxlen=_PAST_WRITES))
        self._written: defaultdict[str, deque[float]] = defaultdict(partial(deque, maxlen=VERSIONS_A_DAY))
        self._correction = patch.object(FakeSecret, "reset_default_version", _make_current)

    def __enter__(self) -> Self:
        self._correction.start()
        self.reset()
        return super().__enter__()

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        self._correction.stop()

    @property
    def environment(self) -> dict[str, str]:
        """The environment that directs the SDK here; moto accepts any credentials."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
        }

    def calls(self, app_id: str | None = None) -> Counter[str]:
        """Count the calls by operation, or only those with this AWS_SDK_UA_APP_ID."""
        with self._lock:
            return Counter(operation for operation, agent in self._calls if app_id is None or f"app/{app_id}" in agent)

    def fault(self, fault: Fault, times: int = 1, after: int = 0, *, secret_id: str | None = None) -> None:
        """Add a fault for the next `times` calls of an operation, `after` as many successful ones.

        With a `secret_id`, only for calls with this id.
        """
        with self._lock:
            self._faults[fault.operation, secret_id] += [*[None] * after, *[fault] * times]

    def clear_faults(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._faults.clear()

    def forget_past(self, secret_id: str) -> None:
        """Let no read lag behind the writes until now. For subclasses, between moto's response and their own."""
        if (secret := _secret({"SecretId": secret_id})) is not None:
            self._past[secret.arn].clear()

    def reset(self) -> None:
        """Remove the secrets, the faults and the calls."""
        with self._lock, self._one_at_a_time:
            moto.backends.get_backend("secretsmanager").reset()
            self._faults.clear()
            self._calls.clear()
            self._past.clear()
            self._written.clear()

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # The protocol of Secrets Manager names the operation here: "secretsmanager.GetSecretValue".
        operation = environ.get("HTTP_X_AMZ_TARGET", "").partition(".")[2]
        # Read the body even of a dropped call, and keep it for the next reader.
        environ["wsgi.input"] = io.BytesIO(Request(environ).get_data())
        parameters, agent = _parameters(environ), environ.get("HTTP_USER_AGENT", "")
        with self._lock:
            self._calls.append((operation, agent))
        fault = self._next_fault(operation, parameters, agent)

        def ask(*, writes_ago: int = 0, within_seconds: float = math.inf) -> Response:
            # One at a time: a write is atomic in Secrets Manager, and moto has no locks.
            with self._one_at_a_time, self._as_of(_secret(parameters), writes_ago, within_seconds):
                if operation in _WRITES and (refusal := self._over_quota(operation, parameters)):
                    return refusal
                return self._asked(operation, environ, parameters)

        answer = fault.answer(environ, ask) if fault else ask()
        return answer(environ, start_response)

    def _next_fault(self, operation: str, parameters: Mapping[str, Any], _agent: str, /) -> Fault | None:
        with self._lock:
            queues = (self._faults[operation, parameters.get("SecretId")], self._faults[operation, None])
            return next((queue.popleft() for queue in queues if queue), None)

    def _asked(self, operation: str, environ: WSGIEnvironment, parameters: Mapping[str, Any]) -> Response:
        """Call moto, and keep the state before a write."""
        if operation == "ListSecretVersionIds" and (listed := _secret(parameters)) is not None:
            return self._versions(listed, parameters)
        secret = _secret(parameters) if operation in _WRITES else None
        before = _state(secret) if secret else None
        status, headers, body = SecretsManagerResponse.dispatch(MotoRequest(environ))
        answer = Response(body, status, headers)
        if secret and before and (after := _state(secret)) != before:
            self._past[secret.arn].appendleft(_Past(self.clock(), *before))
            for version_id in after[0].keys() - before[0].keys():
                self._written[secret.arn].append(self.clock())
                secret.versions[version_id]["createdate"] = self.clock()
        return answer

    @staticmethod
    def _versions(secret: FakeSecret, parameters: Mapping[str, Any]) -> Response:
        """List versions. moto dates them by the time of the call, has no pages, and always lists all of them."""
        versions = [
            {"VersionId": version_id, "VersionStages": version["version_stages"], "CreatedDate": version["createdate"]}
            for version_id, version in secret.versions.items()
            if parameters.get("IncludeDeprecated") or version["version_stages"]
        ]
        begin, size = int(parameters.get("NextToken") or 0), int(parameters.get("MaxResults") or _PAGE)
        more = {"NextToken": str(begin + size)} if begin + size < len(versions) else {}
        answer = {"ARN": secret.arn, "Name": secret.name, "Versions": versions[begin : begin + size], **more}
        return Response(json.dumps(answer), content_type="application/x-amz-json-1.1")

    def _over_quota(self, operation: str, parameters: Mapping[str, Any]) -> Response | None:
        """Refuse calls that AWS refuses and moto does not."""
        secret = _secret(parameters)
        if secret is None:
            return None
        labels = {label for version in secret.versions.values() for label in version["version_stages"]}
        added = set[str]()
        if operation == "UpdateSecretVersionStage":
            added |= {parameters["VersionStage"]} if parameters.get("MoveToVersionId") else set()
        elif _VALUES & parameters.keys() and parameters.get("ClientRequestToken") not in secret.versions:
            written = self._written[secret.arn]
            if len(written) == VERSIONS_A_DAY and written[0] > self.clock() - _DAY_SECONDS:
                return refusal("LimitExceededException", "the secret has too many versions")
            added |= set(parameters.get("VersionStages") or ["AWSCURRENT"])
            added |= {"AWSPREVIOUS"} if {"AWSCURRENT"} <= added & labels else set()
        if len(labels | added) > LABELS:
            return refusal("LimitExceededException", f"a secret carries no more than {LABELS} staging labels")
        return None

    @contextmanager
    def _as_of(self, secret: FakeSecret | None, writes_ago: int, within_seconds: float) -> Iterator[None]:
        """Restore a secret to its state before the last writes; the caller holds the lock."""
        past = None
        if secret is not None:
            recent = [past for past in self._past[secret.arn] if past.until > self.clock() - within_seconds]
            past = recent[:writes_ago][-1] if recent[:writes_ago] else None
        if secret is None or past is None:
            yield
            return
        now = secret.versions, secret.default_version_id
        secret.versions, secret.default_version_id = past.versions, past.default_version_id
        try:
            yield
        finally:
            secret.versions, secret.default_version_id = now


_VALUES = frozenset({"SecretString", "SecretBinary"})
_PAST_WRITES = 50


def _parameters(environ: WSGIEnvironment) -> dict[str, Any]:
    body: io.BytesIO = environ["wsgi.input"]
    parameters = json.loads(body.getvalue() or b"{}")
    return parameters if isinstance(parameters, dict) else {}


def _backend() -> SecretsManagerBackend:
    return moto.backends.get_backend("secretsmanager")[DEFAULT_ACCOUNT_ID][REGION]


def _secret(parameters: Mapping[str, Any]) -> FakeSecret | None:
    """Return moto's secret, if the call names an existing one."""
    secret = _backend().secrets.get(parameters.get("SecretId", ""))
    return secret if isinstance(secret, FakeSecret) else None


def create_secret(name: str, value: str | None = None) -> None:
    """Create a secret with or without a value, without a call."""
    _backend().create_secret(name, value, None, None, None, None, None, [], force_overwrite=False)


def labels_and_tags() -> str:
    """Return all labels and tags of all secrets, without a call."""
    secrets = _backend().secrets.values()
    return repr([(stages_of(secret.name), secret.tags) for secret in secrets if isinstance(secret, FakeSecret)])


def stages_of(secret_id: str) -> dict[str, frozenset[str]]:
    """Return the present labels of each version, without a call."""
    secret = _secret({"SecretId": secret_id})
    versions = secret.versions if secret else {}
    return {version_id: frozenset(version["version_stages"]) for version_id, version in versions.items()}


def value_of(secret_id: str, version_id: str | None = None) -> str:
    """Return the value of a version, by default the current one, without a call."""
    versions = _backend().secrets[secret_id].versions
    current = (version_id for version_id, version in versions.items() if "AWSCURRENT" in version["version_stages"])
    return str(versions[version_id or next(current)]["secret_string"])


def add_versions(secret_id: str, count: int, created_at: float) -> None:
    """Add versions without a label, without a call."""
    versions = _backend().secrets[secret_id].versions
    for _ in range(count):
        version_id = str(uuid.uuid4())
        versions[version_id] = {"version_id": version_id, "createdate": created_at, "version_stages": []}


def _state(secret: FakeSecret) -> tuple[dict[str, dict[str, Any]], str | None]:
    versions = {
        version_id: version | {"version_stages": list(version["version_stages"])}
        for version_id, version in secret.versions.items()
    }
    return versions, secret.default_version_id
