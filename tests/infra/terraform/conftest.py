"""A root module, and an account of moto's to which Terraform really applies it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.infra.terraform.moto_account import KEYS, Account
from tests.infra.terraform.root_module import RootModule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def account() -> Iterator[Account]:
    with Account() as account:
        yield account


@pytest.fixture
def root_module(account: Account, tmp_path: Path) -> RootModule:
    # moto does not store a function's logging_config, so every plan adds it again.
    return RootModule(account.url, tmp_path, KEYS, not_kept=["aws_lambda_function.token"])
