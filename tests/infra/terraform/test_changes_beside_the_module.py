"""A change beside the module replaces none of its resources, nor does a log group that somebody deletes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.infra.terraform.moto_account import Account
    from tests.infra.terraform.root_module import RootModule

pytestmark = pytest.mark.terraform


def test_nothing_is_replaced_by_a_change_beside_the_module_or_a_deleted_log_group(
    account: Account, root_module: RootModule
) -> None:
    def beside(delay_seconds: int) -> dict[str, Any]:
        return {"aws_sns_topic": {"theirs": {"name": "theirs", "display_name": f"number {delay_seconds}"}}}

    root_module.apply({}, resources=beside(0))
    changed = root_module.apply({}, resources=beside(1))
    assert [str(change) for change in changed] == ["update aws_sns_topic.theirs"]
    assert root_module.plan({}, resources=beside(1)) == []
    account.client("logs").delete_log_group(logGroupName=root_module.outputs["log_group_name"])
    changed = root_module.apply({}, resources=beside(1))
    made = [str(change) for change in changed if change.action != "update"]
    assert made == ["create aws_cloudwatch_log_group.function"]
    assert root_module.plan({}, resources=beside(1)) == []
