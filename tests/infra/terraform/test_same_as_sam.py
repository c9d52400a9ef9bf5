"""For one client the Terraform module deploys the same as template.yaml, except for the listed differences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.infra.terraform import module_as_stack
from tests.infra.terraform.comparison import CASES, INTENDED, differences

if TYPE_CHECKING:
    from collections.abc import Mapping

    States = Mapping[str, module_as_stack.State]

pytestmark = pytest.mark.terraform


@pytest.fixture(scope="module")
def states() -> States:
    return module_as_stack.applied({name: case["variables"] for name, case in CASES.items()})


def test_both_deploy_the_same_for_one_client(states: States) -> None:
    found = differences(states)
    assert [difference for difference in found if difference.intended is None] == []
    assert {difference.intended for difference in found} == set(INTENDED), "a difference that is intended is gone"
