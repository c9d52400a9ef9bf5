"""The built artifact under AWS's own runtime client, as Lambda runs it: `python -m infra.e2e.runtime ARTIFACT PYTHON`.

PYTHON has awslambdaric and boto3, as Lambda's runtime has. Prints what holds; the exit status is 1 at the first claim
that does not.
"""

from __future__ import annotations

import argparse
import base64
import json
import queue
import re
import secrets as random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
from werkzeug.wrappers import Request, Response

from infra.local.secrets_manager import CallFault, LocalSecretsManager, Meanwhile
from infra.local.server import LoopbackServer
from infra.local.telenor_sandbox import DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, TelenorSandbox

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import IO, Self
    from wsgiref.types import StartResponse, WSGIEnvironment

    from mypy_boto3_secretsmanager.client import SecretsManagerClient

HANDLER = "handler.app.lambda_handler"

# Lambda gives an init 10 s. This machine may be busy.
_INIT_SECONDS = 30.0
_TIMEOUT_SECONDS = 30.0
# The job keeps half of it back, and asks for no token with less than two seconds left.
_SHORT_TIMEOUT_SECONDS = 5.0

_POSTED = re.compile(r"/2018-06-01/runtime/(?:invocation/[^/]+/(?P<ending>response|error)|init/error)")

_CREDENTIALS_SECRET = "telenor/credentials"  # noqa: S105  a name, not a secret
_TOKEN_SECRET = "telenor/token"  # noqa: S105  likewise
_APP_ID = "telenor-token"

# What EventBridge sends; the job looks at none of it.
_TICK = {"version": "0", "detail-type": "Scheduled Event", "source": "aws.events", "detail": {}}
_ROTATE_NOW = {"action": "rotate-now"}

# The modules that the runtime brings. awslambdaric needs simplejson, and requests takes it where it is.
_OF_THE_RUNTIME = {"boto3", "botocore", "dateutil", "s3transfer", "simplejson", "six"}

# Tells where each module is from that the job loads, its client of Secrets Manager included.
_PROBE = """
import json, sys
before = set(sys.modules)
import handler.app, handler.secrets_manager
handler.secrets_manager.create_client()
print(json.dumps({name: sys.modules[name].__file__ for name in set(sys.modules) - before
                  if getattr(sys.modules[name], "__file__", None)}))
"""


# --- Lambda ---------------------------------------------------------------------------------------------


class Invocation(NamedTuple):
    """What a process is given to run."""

    event: object
    timeout_seconds: float
    request_id: str


class Report(NamedTuple):
    """What a process reports: that it has taken its invocation, how that or its init ended, or that it is gone."""

    what: str
    """taken, response, error, init-error or gone."""
    body: str = ""


class RuntimeApi:
    """AWS, "Using the Lambda runtime API", on a loopback port and for one process."""

    def __init__(self) -> None:
        self._server = LoopbackServer(self._answer)
        self.invocations: queue.SimpleQueue[Invocation] = queue.SimpleQueue()
        self.reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self.posted: list[str] = []
        """Headers and body of each request that reported an end."""
        self.client = ""
        """What the runtime client calls itself: its version, and that of its Python."""

    def __enter__(self) -> Self:
        """Serve Lambda's runtime interface until the block ends."""
        self._server.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the port."""
        self._server.__exit__(*exception)

    @property
    def address(self) -> str:
        """Host and port, as AWS_LAMBDA_RUNTIME_API has them."""
        return self._server.url.removeprefix("http://")

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


class Failure(NamedTuple):
    """Why there is no answer, in the words of the function or of Lambda. Empty where there is one."""

    type: str = ""
    message: str = ""


@dataclass(frozen=True)
class Ending:
    """How an invocation ended: with an answer or with a failure."""

    seconds: float
    answer: Mapping[str, Any] = field(default_factory=dict)
    failure: Failure = field(default_factory=Failure)

    @property
    def is_timeout(self) -> bool:
        """Whether Lambda had to end it."""
        return self.failure.type == "Sandbox.Timedout"


class Function:
    """One execution environment of the artifact, begun by the first invocation, and anew by the one after its end."""

    def __init__(self, artifact: Path, python: Path, settings: Mapping[str, str]) -> None:
        self._artifact = artifact
        self._python = python
        self._settings = settings
        self._environment: _Environment | None = None
        self.output: list[str] = []
        """Lines of all its processes. Those of one that has not ended may still be on their way."""
        self.posted: list[str] = []
        """What its processes have sent, headers included."""

    def __enter__(self) -> Self:
        """Wait for the first invocation."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._end()

    @property
    def pid(self) -> int | None:
        """The process, if there is one."""
        return self._environment.process.pid if self._environment else None

    @property
    def client(self) -> str:
        """What its runtime client calls itself, if there is one."""
        return self._environment.api.client if self._environment else ""

    def invoke(self, event: object, timeout_seconds: float, request_id: str) -> Ending:
        """Run once, and wait for the end. As in Lambda, whoever takes too long is killed, and an init does not count.

        A process outlives an exception of the handler; after any other failure the next invocation gets a new one.
        """
        began_at = time.monotonic()
        if self._environment is None:
            self._environment = _Environment(self._artifact, self._python, self._settings, self.output)
        last = self._environment.run(Invocation(event, timeout_seconds, request_id))
        seconds = time.monotonic() - began_at
        if last is None:
            self._end()
            message = f"RequestId: {request_id} Error: Task timed out after {timeout_seconds:.2f} seconds"
            return Ending(seconds, failure=Failure("Sandbox.Timedout", message))
        if last.what == "response":
            return Ending(seconds, json.loads(last.body))
        if last.what == "gone":
            self._end()
            message = f"RequestId: {request_id} Error: Runtime exited without providing a reason"
            return Ending(seconds, failure=Failure("Runtime.ExitError", message))
        if last.what == "init-error":
            self._end()
        error = json.loads(last.body)
        return Ending(seconds, failure=Failure(error["errorType"], error["errorMessage"]))

    def _end(self) -> None:
        if self._environment is not None:
            self._environment.end()
            self.posted += self._environment.api.posted
        self._environment = None


class _Environment:
    """A process that takes one invocation after the other, and the API that gives them."""

    def __init__(self, artifact: Path, python: Path, settings: Mapping[str, str], output: list[str]) -> None:
        with ExitStack() as started:
            # Of its own, so that no process can take what is meant for the next one.
            self.api = started.enter_context(RuntimeApi())
            self.process = subprocess.Popen(  # noqa: S603  our own words
                [python, "-m", "awslambdaric", HANDLER],
                cwd=artifact,
                env=environment(artifact, settings) | {"AWS_LAMBDA_RUNTIME_API": self.api.address},
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
            report = self.api.reports.get(timeout=_INIT_SECONDS)
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
    """Return the environment variables that Lambda gives, and the function's own."""
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


# --- What is claimed ------------------------------------------------------------------------------------


@dataclass
class _Trial:
    artifact: Path
    python: Path
    settings: Mapping[str, str]
    aws: LocalSecretsManager
    sandbox: TelenorSandbox
    secrets: SecretsManagerClient
    function: Function
    tokens: Sequence[str]
    """Every token that the sandbox has handed out."""

    def tick(self) -> Ending:
        """Run as the schedule does."""
        return self.function.invoke(_TICK, _TIMEOUT_SECONDS, str(uuid.uuid4()))

    def calls(self) -> Counter[str]:
        """Count the function's own calls to AWS."""
        return self.aws.calls(_APP_ID)

    def versions(self) -> dict[str, list[str]]:
        """Return every version of the token secret, with its labels."""
        listed = self.secrets.list_secret_version_ids(SecretId=_TOKEN_SECRET, IncludeDeprecated=True)
        return {version["VersionId"]: version.get("VersionStages", []) for version in listed["Versions"]}

    def token(self, version_id: str) -> str:
        """Return a published token."""
        value = self.secrets.get_secret_value(SecretId=_TOKEN_SECRET, VersionId=version_id)
        token: str = json.loads(value["SecretString"])["access_token"]
        return token

    def require_published(self, ending: Ending, request_id: str) -> None:
        """Fail unless a run has published a token that Telenor accepts, under its own request id."""
        _require(ending.answer.get("outcome") == "rotated", f"the run did not rotate: {ending}")
        _require(ending.answer["version_id"] == request_id, "the version id is not the request id")
        labels = self.versions().get(request_id, [])
        _require("AWSCURRENT" in labels, f"the new version is not the current one: {labels}")
        _require(any(label.startswith("LIVE_") for label in labels), f"the new version is not in the ledger: {labels}")
        _require(self.sandbox.is_live(self.token(request_id)), "Telenor does not accept the published token")


def _require(holds: bool, otherwise: str) -> None:  # noqa: FBT001  the claim itself
    if not holds:
        raise AssertionError(otherwise)


def check_artifact(artifact: Path, python: Path) -> list[tuple[str, str]]:
    """Return what holds, each with its evidence. Raises AssertionError at the first claim that does not.

    Uses LocalSecretsManager, so one at a time in a process.
    """
    artifact = artifact.resolve()
    tokens: list[str] = []

    def new_token() -> str:
        tokens.append(random.token_urlsafe(32))
        return tokens[-1]

    with LocalSecretsManager() as aws, TelenorSandbox(new_token=new_token) as sandbox:
        settings = aws.environment | {
            "AWS_SECRET_ACCESS_KEY": random.token_hex(20),
            "AWS_SESSION_TOKEN": random.token_hex(20),
            "AWS_SDK_UA_APP_ID": _APP_ID,
            "CREDENTIALS_SECRET_ID": _CREDENTIALS_SECRET,
            "TOKEN_SECRET_ID": _TOKEN_SECRET,
            "TELENOR_BASE_URL": sandbox.url,
            "POWERTOOLS_SERVICE_NAME": "telenor-token",
        }
        secrets = boto3.client(
            "secretsmanager",
            endpoint_url=aws.url,
            region_name=aws.environment["AWS_REGION"],
            aws_access_key_id=aws.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=aws.environment["AWS_SECRET_ACCESS_KEY"],
        )
        credentials = {"client_id": DEMO_CLIENT_ID, "client_secret": DEMO_CLIENT_SECRET}
        secrets.create_secret(Name=_CREDENTIALS_SECRET, SecretString=json.dumps(credentials))
        secrets.create_secret(Name=_TOKEN_SECRET)
        function = Function(artifact, python, settings)
        trial = _Trial(artifact, python, settings, aws, sandbox, secrets, function, tokens)
        try:
            with function:
                shown = [(_claim(step), step(trial)) for step in _WHILE_IT_RUNS]
            return shown + [(_claim(step), step(trial)) for step in _AFTERWARDS]
        except AssertionError as failed:
            failed.add_note("".join(function.output[-20:]))
            raise


def _claim(step: Callable[[_Trial], str]) -> str:
    return "runtime client: " + step.__name__.replace("_", " ")


def modules_by_origin(files: Mapping[str, str], artifact: Path) -> dict[str, set[str]]:
    """Return the top-level names of modules by where they were loaded from: artifact, runtime or language."""
    names = defaultdict(set)
    for module, file in files.items():
        path = Path(file)
        of_python = "runtime" if "site-packages" in path.parts else "language"
        names["artifact" if path.is_relative_to(artifact) else of_python].add(module.partition(".")[0])
    return names


def the_modules_come_from_the_artifact(trial: _Trial) -> str:
    """Nothing that the artifact holds comes from elsewhere, and of the runtime only the AWS SDK's own."""
    done = subprocess.run(  # noqa: S603  our own words
        [trial.python, "-c", _PROBE],
        cwd=trial.artifact,  # the first place where the runtime client looks too
        env=environment(trial.artifact, trial.settings),
        capture_output=True,
        text=True,
        timeout=_INIT_SECONDS,
        check=False,
    )
    _require(done.returncode == 0, f"the handler could not be imported: {done.stderr[-2000:]}")
    names = modules_by_origin(json.loads(done.stdout), trial.artifact)
    beside = {"__pycache__", ".dist-info"}
    held = {path.stem for path in trial.artifact.iterdir() if not {path.name, path.suffix} & beside}
    _require(names["artifact"] == held, f"of the artifact {held - names['artifact']} were not loaded from it")
    stray = names["runtime"] - _OF_THE_RUNTIME
    _require(not stray, f"{stray} came from the runtime: the artifact is not complete, or not the first to be asked")
    _require("botocore" in names["runtime"], "the AWS SDK did not come from the runtime")
    return f"{', '.join(sorted(held))}; of the runtime only {', '.join(sorted(names['runtime']))}"


def a_cold_start_publishes_a_token(trial: _Trial) -> str:
    """The first invocation publishes under its own request id."""
    request_id = str(uuid.uuid4())
    ending = trial.function.invoke(_TICK, _TIMEOUT_SECONDS, request_id)
    trial.require_published(ending, request_id)
    name, _, versions = trial.function.client.partition("/")
    _require(name == "aws-lambda-python", f"that is not AWS's runtime client: {trial.function.client}")
    python, _, client = versions.partition("-")
    return (
        f"Python {python}, awslambdaric {client}: answered {ending.seconds:.2f} s after the process was begun; "
        "version id = request id, live at Telenor"
    )


def the_warm_process_makes_one_call(trial: _Trial) -> str:
    """The second invocation is not due, and costs one DescribeSecret."""
    pid, calls = trial.function.pid, trial.calls()
    ending = trial.tick()
    _require(ending.answer.get("outcome") == "not-due", f"the second run should have found nothing to do: {ending}")
    _require(trial.function.pid == pid, "the second run was in a process of its own")
    made = trial.calls() - calls
    _require(made == {"DescribeSecret": 1}, f"a run with nothing to do made other calls than one: {dict(made)}")
    return f"not-due in {ending.seconds * 1000:.0f} ms, same process, 1 DescribeSecret and nothing else"


def an_error_is_posted_and_the_process_lives_on(trial: _Trial) -> str:
    """A bad event fails by name, and the next run is as if nothing had been."""
    pid, calls = trial.function.pid, trial.calls()
    ending = trial.function.invoke({"action": "nonsense"}, _TIMEOUT_SECONDS, str(uuid.uuid4()))
    _require(ending.failure.type == "InvalidInputError", f"a bad event did not end with its error: {ending}")
    sentence = ending.failure.message
    _require("action is not one that this job knows" in sentence, f"the error does not say what is wrong: {sentence}")
    _require(trial.calls() == calls, "a bad event led to a call to AWS")
    ending = trial.tick()
    _require(ending.answer.get("outcome") == "not-due", f"the run after the error: {ending}")
    _require(trial.function.pid == pid, "the error ended the process")
    return f"InvalidInputError: {sentence}"


def a_slow_telenor_is_given_up_before_the_deadline(trial: _Trial) -> str:
    """The job keeps the deadline that the runtime client gives it, and logs what was wrong."""
    pid, versions = trial.function.pid, trial.versions()
    trial.sandbox.fault(operation="token", delay_seconds=2 * _SHORT_TIMEOUT_SECONDS, drop=True)
    ending = trial.function.invoke(_ROTATE_NOW, _SHORT_TIMEOUT_SECONDS, str(uuid.uuid4()))
    trial.sandbox.clear_faults()
    _require(ending.failure.type == "TelenorUnavailableError", f"a slow Telenor was not given up: {ending}")
    _require(trial.function.pid == pid, "the process did not live through it")
    _require(trial.versions() == versions, "a failed token request has touched what is published")
    return f"TelenorUnavailableError after {ending.seconds:.1f} of {_SHORT_TIMEOUT_SECONDS:.0f} s, same process"


def a_timeout_kills_it_and_the_retry_puts_it_right(trial: _Trial) -> str:
    """Killed at the worst moment, with a token in hand: nothing published has changed, and Lambda's retry rotates."""
    pid, versions, issued = trial.function.pid, trial.versions(), len(trial.tokens)
    current = next(version_id for version_id, labels in versions.items() if "AWSCURRENT" in labels)
    request_id = str(uuid.uuid4())
    held_up = threading.Event()
    # The write is held up until the process is gone, and then does not happen.
    lost = CallFault(operation="PutSecretValue")
    trial.aws.fault(Meanwhile(operation="PutSecretValue", happens=held_up.wait, fate=lost))
    try:
        ending = trial.function.invoke(_ROTATE_NOW, _SHORT_TIMEOUT_SECONDS, request_id)
    finally:
        held_up.set()
    _require(ending.is_timeout, f"a run that is held up was not ended at its deadline: {ending}")
    _require(trial.function.pid is None, "the process outlived its deadline")
    _require(len(trial.tokens) == issued + 1, "the run was not killed between obtaining and publishing")
    _require(trial.versions() == versions, "a killed run has touched what is published")
    _require(trial.sandbox.is_live(trial.token(current)), "a killed run has revoked the current token")

    retried = trial.function.invoke(_ROTATE_NOW, _TIMEOUT_SECONDS, request_id)  # Lambda keeps the id
    trial.require_published(retried, request_id)
    _require(trial.function.pid != pid, "the retry was not in a fresh process")
    _require(retried.answer["pending_revocations"] == 1, f"the superseded token is not tracked: {retried}")
    _require(trial.sandbox.is_live(trial.token(current)), "the superseded token had no grace")
    return (
        f"killed after {ending.seconds:.1f} s with a token in hand, the published one untouched; the retry in a fresh "
        "process rotated"
    )


def metric_values(output: Iterable[str], name: str) -> list[int]:
    """Return a metric's values in CloudWatch's embedded metric format, in the order of the lines."""
    values = []
    for line in output:
        try:
            document = json.loads(line)
        except ValueError:
            continue
        if isinstance(document, dict) and "_aws" in document:
            # A counter is sent only in a run in which it is not zero.
            values += [int(value) for value in document.get(name, [0])]
    return values


def every_run_that_ended_told_its_metrics(trial: _Trial) -> str:
    """One line a run, in which the failed ones are counted; one that was killed says nothing."""
    failed = metric_values(trial.function.output, "RotationFailed")
    _require(failed == [0, 0, 1, 0, 1, 0], f"RotationFailed of the runs, in their order, was {failed}")
    return f"RotationFailed of the runs in their order: {', '.join(map(str, failed))}"


def nothing_secret_is_told(trial: _Trial) -> str:
    """Neither printed nor posted."""
    pair = base64.b64encode(f"{DEMO_CLIENT_ID}:{DEMO_CLIENT_SECRET}".encode()).decode()
    keys = [trial.settings["AWS_SECRET_ACCESS_KEY"], trial.settings["AWS_SESSION_TOKEN"]]
    hidden = [DEMO_CLIENT_SECRET, pair, *keys, *trial.tokens]
    told = "".join([*trial.function.output, *trial.function.posted])
    _require(not any(secret in told for secret in hidden), "a secret was printed or posted")
    return (
        f"{len(hidden)} secrets sought in {len(trial.function.output)} lines and {len(trial.function.posted)} posts, "
        "none found"
    )


_WHILE_IT_RUNS = (
    the_modules_come_from_the_artifact,
    a_cold_start_publishes_a_token,
    the_warm_process_makes_one_call,
    an_error_is_posted_and_the_process_lives_on,
    a_slow_telenor_is_given_up_before_the_deadline,
    a_timeout_kills_it_and_the_retry_puts_it_right,
)
_AFTERWARDS = (every_run_that_ended_told_its_metrics, nothing_secret_is_told)


def main() -> int:
    """Check an artifact; 1 if a claim does not hold."""
    parser = argparse.ArgumentParser(prog="python -m infra.e2e.runtime", description=__doc__)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("python", type=Path, help="a Python with awslambdaric and boto3")
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # both: a shell starts its background jobs deaf to Ctrl-C
        signal.signal(number, signal.default_int_handler)
    try:
        for claim, evidence in check_artifact(arguments.artifact, arguments.python.absolute()):
            print(f"{claim}: {evidence}")  # noqa: T201  what it is for
    except AssertionError as failed:
        print(f"FAILED: {failed}", *getattr(failed, "__notes__", []), sep="\n", file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    sys.exit(main())
