"""What the main README tells those to write who deploy by Terraform, written as it stands there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from infra.terraform_cli import MODULE, MissingError, copied, find

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.terraform

ROOT = MODULE.parents[1]
# What a configuration for AWS has already.
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


def test_the_readme_s_module_block_can_be_planned_as_it_stands(tmp_path: Path) -> None:
    try:
        terraform = find()
    except MissingError as missing:
        pytest.skip(str(missing))
    (block,) = re.findall(r"```hcl\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    checkout = tmp_path / "telenor-token"
    copied(MODULE, checkout / "infra" / "terraform")
    (checkout / "build").mkdir()
    (checkout / "build" / "telenor-token.zip").write_bytes(b"")
    (tmp_path / "main.tf").write_text(PROVIDER + block, encoding="utf-8")
    (tmp_path / "readme.tftest.hcl").write_text(PLAN, encoding="utf-8")
    terraform.init(tmp_path)
    said = terraform.run(tmp_path, "test", "-no-color", check=False)
    assert "1 passed, 0 failed" in said.stdout, said.stdout + said.stderr
