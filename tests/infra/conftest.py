"""Tests that plan or apply the Terraform module need Terraform and its provider."""

from __future__ import annotations

import pytest

from infra.terraform_cli import MissingError, find


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a marked test, with the reason, if Terraform is not installed."""
    if item.get_closest_marker("terraform"):
        try:
            find()
        except MissingError as missing:
            pytest.skip(str(missing))
