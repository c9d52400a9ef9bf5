"""The main README's module block for Terraform can be planned unchanged."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from infra.terraform_cli import MODULE, copied
from tests.infra.terraform import module

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.terraform

# The rest of a configuration.
PROVIDER = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  region = "eu-north-1"
}
"""
PLAN = """
mock_provider "aws" {
  source = "./telenor-token/infra/terraform/tests/mocks"
}

run "the_readme" {
  command = plan

  assert {
    condition     = length(module.telenor_token.clients) == 2
    error_message = "it deploys other clients"
  }
}
"""


def test_the_readmes_module_block_can_be_planned_unchanged(tmp_path: Path) -> None:
    readme = (MODULE.parents[1] / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```hcl\n(.*?)```", readme, re.DOTALL)
    checkout = tmp_path / "telenor-token"
    copied(MODULE, checkout / "infra" / "terraform")
    for directory in (checkout / "build", tmp_path / "tests"):
        directory.mkdir()
    (checkout / "build" / "telenor-token.zip").write_bytes(b"")
    (tmp_path / "main.tf").write_text(PROVIDER + block, encoding="utf-8")
    (tmp_path / "tests" / "readme.tftest.hcl").write_text(PLAN, encoding="utf-8")
    (summary,) = (each["test_summary"] for each in module.tested(tmp_path, "readme") if each["type"] == "test_summary")
    assert (summary["passed"], summary["failed"]) == (1, 0)
