"""Services that use the token: each reads the secret through a cache, and calls Telenor's API without pause.

Half of them read through Powertools' `parameters`, the other half through AWS's `aws-secretsmanager-caching`. All of
them are threads of one process.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

import boto3
import requests
from aws_lambda_powertools.utilities.parameters import SecretsProvider
from aws_secretsmanager_caching import SecretCache, SecretCacheConfig  # type: ignore[import-untyped]  # has no types

from infra.demo.settings import CACHE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from multiprocessing.sharedctypes import SynchronizedArray
    from multiprocessing.synchronize import Event
    from pathlib import Path
    from typing import Self

_TIMEOUT_SECONDS = 10
_spawned = multiprocessing.get_context("spawn")


@dataclass
class Count:
    """The results of one consumer's calls."""

    cache: str
    served: int = 0
    refused: int = 0
    failed: int = 0
    """Calls that ended in anything else."""


def _powertools(seconds: int) -> Callable[[str], str]:
    provider = SecretsProvider(boto3_client=boto3.client("secretsmanager"))
    return lambda secret_id: str(provider.get(secret_id, max_age=seconds))


def _secret_cache(seconds: int) -> Callable[[str], str]:
    cache = SecretCache(SecretCacheConfig(secret_refresh_interval=seconds), boto3.client("secretsmanager"))
    return lambda secret_id: str(cache.get_secret_string(secret_id))


CACHES: Mapping[str, Callable[[int], Callable[[str], str]]] = {
    "Powertools parameters": _powertools,
    "aws-secretsmanager-caching": _secret_cache,
}
_CONSUMERS = [(cache, seconds) for cache in CACHES for seconds in CACHE_SECONDS]
_SERVED, _REFUSED, _FAILED = range(3)


class Consumers:
    """The process of all consumers. They send their first requests when `begin` is set."""

    def __init__(self, environ: Mapping[str, str], log: Path) -> None:
        self._figures = [_spawned.Array("L", 3) for _ in _CONSUMERS]
        self.begin, self._end = _spawned.Event(), _spawned.Event()
        arguments = (environ, str(log), self._figures, self.begin, self._end)
        self._process = _spawned.Process(target=_consume_all, args=arguments, daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self.begin.set()
        self._process.join()

    @property
    def counts(self) -> list[Count]:
        """The results of each consumer until now."""
        return [Count(cache, *figures[:]) for (cache, _), figures in zip(_CONSUMERS, self._figures, strict=True)]


def _consume_all(
    environ: Mapping[str, str], log: str, figures: list[SynchronizedArray[int]], begin: Event, end: Event
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends this process
    os.dup2(os.open(log, os.O_CREAT | os.O_WRONLY, 0o600), sys.stderr.fileno())
    os.environ.update(environ)
    reads = [CACHES[cache](seconds) for cache, seconds in _CONSUMERS]
    begin.wait()
    with ThreadPoolExecutor(len(reads)) as consumers:
        list(consumers.map(_consume, reads, figures, itertools.repeat(end)))


def _consume(read: Callable[[str], str], figures: SynchronizedArray[int], end: Event) -> None:
    url = os.environ["TELENOR_BASE_URL"] + "/service-tickets/v2/incidents"
    with requests.Session() as session:
        while not end.is_set():
            try:
                token = json.loads(read(os.environ["TOKEN_SECRET_ID"]))["access_token"]
                headers = {"Authorization": f"Bearer {token}"}
                status = session.get(url, headers=headers, timeout=_TIMEOUT_SECONDS).status_code
            except Exception:  # noqa: BLE001  a consumer continues, and counts the failure
                status = 0
            is_refused = status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
            figures[_SERVED if status == HTTPStatus.OK else _REFUSED if is_refused else _FAILED] += 1
