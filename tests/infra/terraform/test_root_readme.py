"""The main README's module block for Terraform can be planned unchanged."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from infra.terraform_cli import MODULE, copied, terraform_test

pytestmark = pytest.mark.terraform

# The rest of a configuration, and its test.
BESIDE = Path(__file__).with_name("readme")


def test_the_readmes_module_block_can_be_planned_unchanged(tmp_path: Path) -> None:
    readme = (MODULE.parents[1] / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```hcl\n(.*?)```", readme, re.DOTALL)
    checkout = tmp_path / "telenor-token"
    copied(MODULE, checkout / "infra" / "terraform")
    for directory in (checkout / "build", tmp_path / "tests"):
        directory.mkdir()
    shutil.copy(BESIDE / "provider.tf", tmp_path)
    shutil.copy(BESIDE / "readme.tftest.hcl", tmp_path / "tests")
    (checkout / "build" / "telenor-token.zip").write_bytes(b"")
    (tmp_path / "main.tf").write_text(block, encoding="utf-8")
    (summary,) = (each["test_summary"] for each in terraform_test(tmp_path, "readme") if each["type"] == "test_summary")
    assert (summary["passed"], summary["failed"]) == (1, 0)
