"""Both servers, which record each run's calls and inject its faults.

A worker is known by its name: to Secrets Manager by its AWS_SDK_UA_APP_ID, to Telenor by the path of its base URL.
"""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

from flask import Flask, Response, g

from infra.local.secrets_manager import LocalSecretsManager, stages_of
from infra.local.secrets_manager_faults import Meanwhile
from infra.local.telenor_sandbox import TelenorSandbox
from infra.promises.history import History, Logout, RunRecord, State

if TYPE_CHECKING:
    from collections.abc import Mapping
    from wsgiref.types import WSGIEnvironment

    from werkzeug.wrappers import Response as WerkzeugResponse

    from infra.local.fast_clock import FastClock
    from infra.local.secrets_manager_faults import Fault as SecretsManagerFault
    from infra.local.telenor_sandbox import Fault
    from infra.local.telenor_sandbox.outgoing_response import OutgoingResponse
    from infra.promises.random_faults import RandomFaults

_APP_ID = re.compile(r"\bapp/(\S+)")
_READS = frozenset({"GetSecretValue", "DescribeSecret", "ListSecretVersionIds"})


class ObservedRun(NamedTuple):
    """A running invocation and its faults."""

    history: History
    record: RunRecord
    faults: RandomFaults


Runs = dict[str, ObservedRun]
"""The run of each worker. A killed run is removed, and its later requests have no effect on Telenor."""

Histories = dict[str, History]
"""By the name of the token secret."""


class InstrumentedSecretsManager(LocalSecretsManager):
    """Records the reads and the writes of token secrets."""

    def __init__(self, runs: Runs, histories: Histories, clock: FastClock, port: int = 0) -> None:
        super().__init__(clock.time, port)
        self._runs = runs
        self._histories = histories

    def _next_fault(self, operation: str, parameters: Mapping[str, Any], agent: str, /) -> SecretsManagerFault | None:
        run = self._run_of(agent)
        if run is None:
            return super()._next_fault(operation, parameters, agent)
        with run.history.lock:
            if operation == "PutSecretValue" and run.record.put_at is None:
                run.record.put_at = self.clock()
            fault, (happens, when) = run.faults.secrets_manager(operation), run.faults.event(operation, run.record.kill)
            run.record.faults.update([operation] * (fault is not None))
        return Meanwhile(operation=operation, fault=fault, happens=happens, when=when) if happens else fault

    def _asked(self, operation: str, environ: WSGIEnvironment, parameters: Mapping[str, Any]) -> WerkzeugResponse:
        answer = super()._asked(operation, environ, parameters)
        secret_id = str(parameters.get("SecretId", ""))
        history = self._histories.get(secret_id)
        if history is None:
            return answer
        observed = self._run_of(environ.get("HTTP_USER_AGENT", ""))
        run = observed.record if observed else None
        with history.lock:
            # A read that lags returns an earlier state, so it adds none.
            if operation in _READS:
                if run and operation == "GetSecretValue" and parameters.get("VersionStage") in {None, "AWSCURRENT"}:
                    run.read_current_at = self.clock()
                return answer
            stages = stages_of(secret_id)
            if not stages or (history.states and history.states[-1].stages == stages):
                return answer
            if "SecretString" in parameters and answer.status_code == HTTPStatus.OK:
                version, document = json.loads(answer.get_data())["VersionId"], json.loads(parameters["SecretString"])
                history.values[version] = document["access_token"]
                history.documented_until[version] = document["expires_at"]
            history.states.append(State(self.clock(), run, stages))
            if run is None:
                # No read lags behind a change by an operator: a run that reads the old state could not notice it.
                self.forget_past(secret_id)
        return answer

    def _run_of(self, agent: str) -> ObservedRun | None:
        match = _APP_ID.search(agent)
        return self._runs.get(match.group(1)) if match else None


class InstrumentedTelenor(TelenorSandbox):
    """Records the tokens that runs obtain and revoke."""

    def __init__(self, runs: Runs, clock: FastClock, port: int = 0) -> None:
        self._runs = runs
        super().__init__(port=port, clock=clock.time)

    def revoke_elsewhere(self, history: History, token: str) -> None:
        """Revoke a token as another party would."""
        with self._lock, history.lock:
            if self._issuer.is_live(token):
                self._issuer.tokens[token].end(self._clock(), "revoked")
                history.logouts.append(Logout(self._clock(), token, None, None))

    def _flask(self) -> Flask:
        app = super()._flask()
        self._route(app, "/<worker>", self._serve_run)
        return app

    def _serve_run(self, operation: str, worker: str) -> Response:
        run = self._runs.get(worker)
        if run is None:
            return Response(status=503)
        with run.history.lock:
            g.run, g.fault = run, run.faults.telenor(operation)
            happens, when = run.faults.event(operation, run.record.kill)
        if happens and when == "before":
            happens()
        response = self._serve(operation)
        if happens and when == "after":
            happens()
        return response

    def _arrived(self, operation: str) -> Fault | None:
        planned = super()._arrived(operation)
        run: ObservedRun | None = g.get("run")
        if run is None:
            return planned
        fault: Fault | None = g.fault or planned
        g.fault = fault
        with run.history.lock:
            run.record.faults.update([operation] * (fault is not None))
        return fault

    def _performed(self, operation: str) -> OutgoingResponse:
        response, run = super()._performed(operation), g.get("run")
        if run is None or response.status != HTTPStatus.OK or response.token is None:
            return response
        history, record, token = run.history, run.record, response.token
        with history.lock:
            if operation == "token":
                if g.fault is None or not g.fault.hides:
                    record.tokens.append(token.value)
                history.issued_at[token.value], history.expires_at[token.value] = token.issued_at, token.expires_at
            elif operation == "logout":
                history.logouts.append(Logout(self._clock(), token.value, record, record.read_current_at))
        return response
