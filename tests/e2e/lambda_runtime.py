"""Lambda's runtime interface for AWS's own runtime client, awslambdaric: a function's process as Lambda runs it."""

from __future__ import annotations

import json
import queue
import re
import subprocess
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from werkzeug.wrappers import Request, Response

from infra.local.server import LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from wsgiref.types import StartResponse, WSGIEnvironment

HANDLER = "handler.app.lambda_handler"

# Lambda gives an init 10 s. This machine may be busy.
INIT_SECONDS = 30.0

_POSTED = re.compile(r"/2018-06-01/runtime/(?:invocation/[^/]+/(?P<ending>response|error)|init/error)")


class Invocation(NamedTuple):
    """What a process is given to run."""

    event: object
    timeout_seconds: float
    request_id: str


class Report(NamedTuple):
    """What a process reports."""

    what: str
    """taken, response, error, init-error or gone."""
    body: str = ""


class RuntimeApi:
    """AWS, "Using the Lambda runtime API", on a loopback port and for one process."""

    def __init__(self) -> None:
        self.server = LoopbackServer(self._answer)
        self.invocations: queue.SimpleQueue[Invocation] = queue.SimpleQueue()
        self.reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self.posted: list[str] = []
        """Headers and body of each request that reported an end."""
        self.client = ""
        """The runtime client's User-Agent."""

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        if request.path == "/2018-06-01/runtime/invocation/next":
            self.client = request.headers.get("User-Agent", "")
            return self._next()(environ, start_response)
        posted = _POSTED.fullmatch(request.path)
        if posted is None:
            return Response(status=HTTPStatus.NOT_FOUND)(environ, start_response)
        body = request.get_data(as_text=True)
        self.posted.append(f"{request.headers}{body}")
        self.reports.put(Report(posted["ending"] or "init-error", body))
        answer = Response('{"status": "OK"}', HTTPStatus.ACCEPTED, content_type="application/json")
        return answer(environ, start_response)

    def _next(self) -> Response:
        invocation = self.invocations.get()
        deadline = time.time() + invocation.timeout_seconds
        self.reports.put(Report("taken"))
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(int(deadline * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-north-1:000000000000:function:telenor-token",
            "Lambda-Runtime-Trace-Id": "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1",
        }
        return Response(json.dumps(invocation.event), headers=headers, content_type="application/json")


@dataclass(frozen=True)
class Ending:
    """How an invocation ended: with an answer, or with an error of the function or of Lambda."""

    answer: Mapping[str, Any] = field(default_factory=dict)
    error_type: str = ""
    message: str = ""


class Function:
    """An artifact and the process that runs it, which the first invocation starts, and the one after its end anew."""

    def __init__(self, artifact: Path, python: Path, settings: Mapping[str, str]) -> None:
        self._artifact = artifact
        self._python = python
        self._settings = settings
        self._running: _Process | None = None
        self.output: list[str] = []
        """Lines of all its processes. Those of one that has not ended may still be on their way."""
        self.posted: list[str] = []
        """What its ended processes have sent, headers included."""

    @property
    def pid(self) -> int | None:
        """The process, if there is one."""
        return self._running.process.pid if self._running else None

    @property
    def client(self) -> str:
        """The runtime client's User-Agent, if there is a process."""
        return self._running.api.client if self._running else ""

    def invoke(self, event: object, timeout_seconds: float, request_id: str) -> Ending:
        """Run once, and wait for the end. As in Lambda, who takes too long is killed, and an init does not count.

        A process outlives an exception of the handler; after any other failure the next invocation gets a new one.
        """
        if self._running is None:
            self._running = _Process(self._artifact, self._python, self._settings, self.output)
        last = self._running.run(Invocation(event, timeout_seconds, request_id))
        if last is None or last.what in {"gone", "init-error"}:
            self.end()
        if last is None:
            return Ending(error_type="Sandbox.Timedout")
        if last.what == "gone":
            return Ending(error_type="Runtime.ExitError")
        body = json.loads(last.body)
        if last.what == "response":
            return Ending(body)
        return Ending(error_type=body["errorType"], message=body["errorMessage"])

    def end(self) -> None:
        """End the process, if there is one."""
        if self._running is not None:
            self._running.end()
            self.posted += self._running.api.posted
        self._running = None


class _Process:
    """A process that takes one invocation after the other, and the API that gives them."""

    def __init__(self, artifact: Path, python: Path, settings: Mapping[str, str], output: list[str]) -> None:
        # Of its own, so that no process can take what is meant for the next one.
        self.api = RuntimeApi()
        with ExitStack() as started:
            started.enter_context(self.api.server)
            self.process = subprocess.Popen(
                [python, "-m", "awslambdaric", HANDLER],
                cwd=artifact,
                env=environment(artifact, settings)
                | {"AWS_LAMBDA_RUNTIME_API": self.api.server.url.removeprefix("http://")},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,  # Ctrl-C is for the parent, which then ends this one
            )
            self._started = started.pop_all()
        self._listener = threading.Thread(target=self._listen, args=(self.process.stdout, output), daemon=True)
        self._listener.start()

    def run(self, invocation: Invocation) -> Report | None:
        """Return how an invocation ended, or None when its time was up."""
        self.api.invocations.put(invocation)
        try:
            report = self.api.reports.get(timeout=INIT_SECONDS)
            return self.api.reports.get(timeout=invocation.timeout_seconds) if report.what == "taken" else report
        except queue.Empty:
            return None

    def end(self) -> None:
        """Kill the process, as Lambda does, and take the rest of its output."""
        self.process.kill()
        self.process.wait()
        self._listener.join()
        self._started.close()

    def _listen(self, stream: IO[str], output: list[str]) -> None:
        with stream:
            output.extend(stream)
        self.api.reports.put(Report("gone"))


def environment(artifact: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables that Lambda sets, and the function's own. None of whoever runs this."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "HOME": "/nonexistent",  # no file of whoever runs this may lead the SDK or requests elsewhere
        "PYTHONDONTWRITEBYTECODE": "1",  # in Lambda the code is read-only
        "LAMBDA_TASK_ROOT": str(artifact),
        "_HANDLER": HANDLER,
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_NAME": "telenor-token",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/telenor-token",
        "AWS_LAMBDA_LOG_STREAM_NAME": "$LATEST",
        **settings,
    }
