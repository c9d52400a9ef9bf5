"""A function's process as in Lambda: AWS's own runtime client, awslambdaric, and the runtime API that it calls."""

from __future__ import annotations

import json
import queue
import subprocess
import time
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, NamedTuple

from flask import Flask, Response, request

from infra.local.loopback_server import LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# Lambda gives an init 10 s. This machine may be busy.
INIT_SECONDS = 30.0


class InvocationResult(NamedTuple):
    """The result of an invocation: a response, or an error of the function or of Lambda."""

    response: Mapping[str, Any] = {}
    error_type: str = ""
    message: str = ""


class Process:
    """A process that handles one invocation after the other, as in Lambda."""

    def __init__(self, artifact: Path, python: Path, settings: Mapping[str, str]) -> None:
        self.user_agent = ""
        """The runtime client's User-Agent."""
        self.output: list[str] = []
        """The lines of its output, after it has ended."""
        self.posted: list[str] = []
        """The requests that it has sent, including headers."""
        self._invocations: queue.SimpleQueue[tuple[object, float, str]] = queue.SimpleQueue()
        self._reports: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        self._output = TemporaryFile()  # noqa: SIM115  open until the process has ended
        self._server = LoopbackServer(self._interface()).__enter__()
        self._process = subprocess.Popen(
            [python, "-m", "awslambdaric", "handler.app.lambda_handler"],
            cwd=artifact,
            env=environment(artifact, settings) | {"AWS_LAMBDA_RUNTIME_API": self._server.url.removeprefix("http://")},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C goes to the parent, which then ends this process
        )

    def _interface(self) -> Flask:
        """AWS, "Using the Lambda runtime API"."""
        api = Flask("lambda-runtime", static_folder=None)

        @api.get("/2018-06-01/runtime/invocation/next")
        def take() -> Response:
            self.user_agent = request.headers["User-Agent"]
            event, timeout_seconds, request_id = self._invocations.get()
            deadline = time.time() + timeout_seconds
            self._reports.put(("taken", ""))
            headers = {
                "Lambda-Runtime-Aws-Request-Id": request_id,
                "Lambda-Runtime-Deadline-Ms": str(int(deadline * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-north-1:000000000000:function:telenor-token",
                "Lambda-Runtime-Trace-Id": "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1",
            }
            return Response(json.dumps(event), headers=headers, content_type="application/json")

        @api.post("/2018-06-01/runtime/init/<ending>")
        @api.post("/2018-06-01/runtime/invocation/<_request_id>/<ending>")
        def end(ending: str, _request_id: str = "") -> tuple[dict[str, str], int]:
            body = request.get_data(as_text=True)
            self.posted.append(f"{request.headers}{body}")
            self._reports.put((ending, body))
            return {"status": "OK"}, 202

        return api

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def invoke(self, event: object, timeout_seconds: float, request_id: str) -> InvocationResult:
        """Run once. As in Lambda, a process survives an error and is killed at its timeout, which excludes the init."""
        self._invocations.put((event, timeout_seconds, request_id))
        try:
            ending, body = self._reports.get(timeout=INIT_SECONDS)
            if ending == "taken":
                ending, body = self._reports.get(timeout=timeout_seconds)
        except queue.Empty:
            self.end()
            return InvocationResult(error_type="timeout")
        if ending == "response":
            return InvocationResult(json.loads(body))
        error = json.loads(body)
        return InvocationResult(error_type=error["errorType"], message=error["errorMessage"])

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._server.__exit__()
        if not self._output.closed:
            self._output.seek(0)
            self.output = self._output.read().decode(errors="replace").splitlines()
            self._output.close()


def environment(artifact: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables of Lambda and of the function, and none of this process."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "HOME": "/nonexistent",  # no local file may configure the SDK or requests
        "PYTHONDONTWRITEBYTECODE": "1",  # in Lambda the code is read-only
        "LAMBDA_TASK_ROOT": str(artifact),
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_NAME": "telenor-token",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        **settings,
    }
