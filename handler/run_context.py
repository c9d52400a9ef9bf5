"""The frozen context that the steps of one run share: settings, adapters, clock, deadlines and the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from handler.errors import ErrorCode

if TYPE_CHECKING:
    from datetime import datetime

    from aws_lambda_powertools import Logger

    from handler.authorization_server import AuthorizationServer
    from handler.config import Settings
    from handler.model import Clock
    from handler.report import Report
    from handler.secrets_manager import SecretsManager
    from handler.token_secret_reads import TokenSecretReads


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """The parts of one run over one token secret.

    The run publishes under `version_id`. It requests a token until `request_by`, which leaves the time to store it. No
    other call except a write begins after `end_by`.
    """

    settings: Settings
    secrets: SecretsManager
    token_secret: TokenSecretReads
    server: AuthorizationServer
    clock: Clock
    log: Logger
    report: Report
    version_id: str
    request_by: datetime
    end_by: datetime

    def log_warning(self, error_code: ErrorCode, message: str, **fields: object) -> None:
        """Log a transient fault, or one that the next run repairs."""
        self.log.warning(message, extra={"error_code": error_code, **fields})

    def log_error(self, error_code: ErrorCode, message: str, **fields: object) -> None:
        """Log a fault that an operator must look into."""
        self.log.error(message, extra={"error_code": error_code, **fields})

    def report_abandoned(self, reason: str, **fields: object) -> None:
        """Count and log a token that may be active, and that no run will revoke."""
        self.report.revocations_abandoned += 1
        self.log_error(
            ErrorCode.REVOCATION_ABANDONED,
            f"{reason}: no run will revoke that token, which may be active until it expires",
            **fields,
        )
