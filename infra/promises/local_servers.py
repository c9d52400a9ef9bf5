"""Both instrumented servers, and an environment that leads to them and to no others."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import boto3
from botocore.config import Config

from infra.local.fast_clock import FastClock
from infra.promises.instrumented_servers import Histories, InstrumentedSecretsManager, InstrumentedTelenor, Runs

if TYPE_CHECKING:
    from typing import Self

# Variables that send the SDKs and the handler to other servers.
_REDIRECTING_VARIABLES = (
    *("AWS_", "POWERTOOLS_", "TELENOR_", "TOKEN_", "REVOCATION_", "CLIENT_", "VERIFY_", "SERVES_", "ROUTINE_"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"),
)
_MAX_CONNECTIONS = 50


class LocalServers:
    """Both servers and a folder for logs; the environment leads to these servers and to no others."""

    def __init__(self, clock: FastClock | None = None, port: int = 0) -> None:
        self.clock = clock or FastClock()
        self.runs: Runs = {}
        self.histories: Histories = {}
        self.aws = InstrumentedSecretsManager(self.runs, self.histories, self.clock, port and port + 1)
        self.telenor = InstrumentedTelenor(self.runs, self.clock, port)
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        self._opened.enter_context(patch.dict(os.environ))
        for name in [name for name in os.environ if name.upper().startswith(_REDIRECTING_VARIABLES)]:
            del os.environ[name]
        self.logs = Path(self._opened.enter_context(tempfile.TemporaryDirectory(prefix="telenor-")))
        self._opened.enter_context(self.telenor)
        self._opened.enter_context(self.aws)
        # No profile of the user's either.
        os.environ.update(self.aws.environment, AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull)
        self.client = boto3.client("secretsmanager", config=Config(max_pool_connections=_MAX_CONNECTIONS))
        return self

    def __exit__(self, *_: object) -> None:
        """Stop them, and delete the logs."""
        self._opened.close()

    def log(self, job: str = "") -> str:
        """Return the log of a job's workers, or of all processes."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.logs.glob(f"{job}*.log")))
