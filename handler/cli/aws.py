"""Clients of the SDK for the operator's own calls to AWS, and the region in an ARN."""

from __future__ import annotations

import logging
import os
import re
from typing import Any

import boto3
from botocore.config import Config
from botocore.loaders import create_loader
from botocore.session import get_session

from handler.cli.aws_errors import explained, setup_error

_CONNECT_TIMEOUT_SECONDS = 5
_READ_TIMEOUT_SECONDS = 15
_ATTEMPTS = 3

# Shared by all sessions: each would read the descriptions of AWS's services anew, which takes a tenth of a second.
_LOADER = create_loader()

# AWS, "ARN format": arn:partition:service:region:account:resource
_ARN = re.compile(r"arn:[a-z-]+:[a-z0-9-]+:([a-z0-9-]+):[0-9]{12}:.+")


def region_of(name: str) -> str | None:
    """Return the region in an ARN, or None if the name is not an ARN."""
    match = _ARN.fullmatch(name)
    return match[1] if match else None


def client(service: str, region: str | None, *, attempts: int = _ATTEMPTS, read_seconds: float | None = None) -> Any:  # noqa: ANN401  one type for each service
    """Return a client of the SDK in a region, by default the environment's. Raises UsageError."""
    # At DEBUG it logs every request and response, which may contain secrets.
    logging.getLogger("botocore").setLevel(logging.INFO)
    config = Config(
        connect_timeout=_CONNECT_TIMEOUT_SECONDS,
        read_timeout=read_seconds or _READ_TIMEOUT_SECONDS,
        retries={"mode": "standard", "total_max_attempts": attempts},
        tcp_keepalive=True,
    )
    with explained(f"the client of {service}"):
        # Lambda sets AWS_REGION; the SDK reads only AWS_DEFAULT_REGION.
        region_name = region or os.environ.get("AWS_REGION") or None
        try:
            # A new session: the default one keeps expired credentials.
            session = get_session()
            session.register_component("data_loader", _LOADER)
            return boto3.Session(botocore_session=session).client(service, region_name=region_name, config=config)  # type: ignore[call-overload]
        except ValueError as error:
            raise setup_error(error) from error
