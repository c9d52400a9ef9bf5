"""The situations that a run can meet: each function prepares a world.

It may return the run's action; otherwise the run is a scheduled one.
"""

from __future__ import annotations

import json
from datetime import timedelta
from functools import partial
from inspect import isfunction
from typing import TYPE_CHECKING

from handler.model import Action
from handler.server_protocols import OAuthProtocol
from tests.simulation.authorization_server import FAULTS as TELENOR_FAULTS
from tests.simulation.authorization_server import Issue
from tests.simulation.secrets_manager import FAULTS, READ_FAULTS, RETRIED
from tests.simulation.stepped_run import CREDENTIALS, TOKEN, UNDECIDED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.simulation.checked_world import World

    Scenario = Callable[[World], Action | None]

_TELENOR = dict.fromkeys(("token", "logout", "verify"), TELENOR_FAULTS)
_READS = ("DescribeSecret", "GetSecretValue", "ListSecretVersionIds")
_WRITES = ("PutSecretValue", "UpdateSecretVersionStage")

FAULTS_BY_CALL: Mapping[str, tuple[str, ...]] = (
    _TELENOR | dict.fromkeys(_READS, READ_FAULTS) | dict.fromkeys(_WRITES, FAULTS)
)

# Faults for single attempts, so that each attempt can have its own and other runs can come between them.
FAULTS_BY_ATTEMPT: Mapping[str, tuple[str, ...]] = _TELENOR | {
    call: (*FAULTS_BY_CALL[call], *(f"{fault}/{UNDECIDED}" for fault in RETRIED)) for call in (*_READS, *_WRITES)
}

_VERIFY_URL = "https://localhost/verify"


def _functions_so_far() -> Mapping[str, Scenario]:
    """Return the scenarios defined so far by their names: the functions of this file without an underscore."""
    functions = {name: each for name, each in globals().items() if isfunction(each) and each.__module__ == __name__}
    return {name: each for name, each in functions.items() if not name.startswith("_")}


def first_run(_world: World) -> None:
    """Nothing has ever been published."""


def not_due(world: World) -> None:
    world.run_and_wait(minutes=5)


def renewal(world: World) -> None:
    world.run_and_wait(minutes=30)


def renewal_with_revocations(world: World) -> None:
    world.run_and_wait(seconds=1)
    world.run_and_wait(Action.ROTATE_NOW, seconds=1)
    world.run_and_wait(Action.ROTATE_NOW, minutes=30)


def forced(world: World) -> Action:
    world.run_and_wait(minutes=5)
    return Action.ROTATE_NOW


def leaked(world: World) -> Action:
    world.run_and_wait(seconds=1)
    world.run_and_wait(Action.ROTATE_NOW, minutes=5)
    return Action.ROTATE_AND_REVOKE_NOW


def reissued(world: World) -> None:
    world.telenor.issue = Issue.SAME
    renewal(world)


def reissued_with_longer_life(world: World) -> Action:
    world.run()
    world.telenor.issue = Issue.SAME_EXTENDED
    world.clock.advance(minutes=30)
    return forced(world)


def new_token_revokes_the_old(world: World) -> None:
    world.telenor.issue = Issue.NEW_REVOKES_OLD
    renewal(world)


def rolled_back(world: World) -> None:
    world.run_and_wait(minutes=1)
    world.run(Action.ROTATE_NOW)
    world.roll_back()
    world.clock.advance(minutes=29)


def label_lost(world: World) -> None:
    world.run()
    world.unlabelled_by_operator = {str(world.current)}
    (label,) = [label for label in world.secret.labels if label.startswith("LIVE_")]
    world.move_label(label, source=str(world.secret.current))


def ledger_full(world: World) -> Action:
    for _ in range(16):
        world.run_and_wait(Action.ROTATE_NOW, seconds=1)
    world.may_abandon = True
    return Action.ROTATE_NOW


def verification_refused(world: World) -> None:
    world.run()
    world.verify_url = _VERIFY_URL
    world.telenor.refuses_verification = True
    world.clock.advance(minutes=30)


SCENARIOS = _functions_so_far()
"""The scenarios that are also explored with several simultaneous runs."""


def label_lost_at_supersession(world: World) -> None:
    world.secretsmanager.drops_labels = True
    world.run_and_wait(minutes=30)
    # A run that is killed or cannot read right after its publication cannot detect this.
    world.at_risk = {str(world.current)}


def externally_revoked_token(world: World) -> None:
    world.verify_url = _VERIFY_URL
    # With an earlier renewal, the revoked token would be due in the next run anyway.
    world.policy = world.policy._replace(renew_at_fraction=0.7)
    world.run_and_wait(minutes=15)
    world.revoke_current()


def revoked_right_after_its_publication(world: World) -> None:
    world.verify_url = _VERIFY_URL
    world.run_and_wait(minutes=5)
    world.revoke_current()
    world.recovers_after = timedelta(minutes=5)


def edited_into_raw_text(world: World) -> None:
    world.run_and_wait(minutes=5)
    world.put(TOKEN, str(world.current))


def edited_into_another_shape(world: World) -> Action:
    world.run_and_wait(minutes=5)
    world.put(TOKEN, json.dumps({"token": {"value": world.current}}))
    return Action.ROTATE_AND_REVOKE_NOW


def edited_into_bytes(world: World) -> Action:
    world.run_and_wait(minutes=5)
    world.put(TOKEN, f"\0{world.current}\n".encode())
    return Action.ROTATE_AND_REVOKE_NOW


def three_foreign_labels(world: World) -> Action:
    world.may_abandon = True
    world.run()
    world.add_foreign_labels(3)
    for _ in range(14):
        world.clock.advance(seconds=1)
        world.run(Action.ROTATE_NOW)
    return Action.ROTATE_NOW


def sixteen_foreign_labels(world: World) -> None:
    world.run()
    world.add_foreign_labels(16)
    world.clock.advance(minutes=30)
    world.may_abandon = True


def rolled_back_and_then_renewed(world: World) -> None:
    rolled_back(world)
    world.clock.advance(minutes=-25)
    world.tick()
    world.clock.advance(minutes=15)


def rolled_back_while_fresh(world: World) -> None:
    world.policy = world.policy._replace(renew_at_fraction=0.7)
    world.telenor.lifetime = timedelta(hours=2)
    world.run_and_wait(minutes=12)
    world.run_and_wait(Action.ROTATE_NOW, minutes=1)
    world.roll_back()
    world.clock.advance(minutes=1)


def renewals_closer_than_the_grace(world: World) -> Action:
    world.run_and_wait(minutes=4)
    for _ in range(8):
        world.run(Action.ROTATE_NOW)
        world.check_revocations()
        world.clock.advance(minutes=4)
    return Action.ROTATE_NOW


def mistyped_credentials(world: World) -> None:
    world.run()
    world.put_credentials("client", "CANARY-mistyped")
    world.clock.advance(minutes=30)


def mistyped_credentials_refused_with_200(world: World) -> None:
    world.telenor.refuses_with = 200
    mistyped_credentials(world)


def an_sdk_that_emits_nothing(world: World) -> None:
    world.sdk_emits_each_attempt = False


def short_lifetimes(world: World) -> None:
    # The worst accepted settings: without a floor, half a day of them would exceed the version quota.
    world.policy = world.policy._replace(grace=timedelta(seconds=1200))
    world.telenor.lifetime = timedelta(seconds=900)
    world.run()
    world.tick(150)


def rotations_in_a_burst(world: World) -> None:
    # An operator's burst of rotations, and six hours of renewals. Without a limit on the burst they exceed the quota.
    world.may_abandon = True
    for _ in range(144):
        world.run_and_wait(Action.ROTATE_NOW, seconds=1)
    world.tick(6 * 12)


def new_credentials(world: World) -> Action:
    world.run()
    world.put_credentials("another")
    return Action.CREDENTIALS_CHANGED


# Another authorization server (RFC 6749 and RFC 7009)


def another_server_without_revocation(world: World) -> None:
    _name_server(world, revocation_url=None)
    grace_over(world)


def client_replaced(world: World) -> None:
    _name_server(world)
    world.run()
    _rotate_as(world, "another")


def client_replaced_twice(world: World) -> None:
    _name_server(world)
    world.run()
    world.irrevocable.add(str(world.current))
    world.put_credentials("second")
    _rotate_as(world, "third")


def credentials_unusable(world: World) -> None:
    _name_server(world)
    world.can_renew = False
    world.run_and_wait(minutes=1)
    world.run(Action.ROTATE_NOW)
    world.put(CREDENTIALS, "{}")
    world.clock.advance(minutes=12)


def _name_server(world: World, revocation_url: str | None = "https://id.example/revoke") -> None:
    world.protocol = OAuthProtocol("https://id.example/token", revocation_url, "client_secret_basic")
    world.policy = world.policy._replace(can_revoke=revocation_url is not None)


def _at_another_server(scenario: Scenario, world: World) -> Action | None:
    _name_server(world)
    return scenario(world)


def _rotate_as(world: World, client_id: str) -> None:
    world.put_credentials(client_id)
    world.clock.advance(minutes=1)
    world.run_and_wait(Action.ROTATE_NOW, minutes=12)


# Scenarios that the broken variants fail in


def slow_responses(world: World) -> None:
    world.telenor.responds_after = timedelta(seconds=8)


def grace_over(world: World) -> None:
    world.run_and_wait(minutes=1)
    world.run_and_wait(Action.ROTATE_NOW, minutes=1)
    world.run_and_wait(Action.ROTATE_NOW, minutes=11)


def rolled_back_a_moment_ago(world: World) -> None:
    world.run_and_wait(minutes=25)
    world.run_and_wait(Action.ROTATE_NOW, minutes=1)
    world.roll_back()
    world.clock.advance(minutes=1)


def older_token_again(world: World) -> None:
    world.run_and_wait(minutes=1)
    world.run(Action.ROTATE_NOW)
    world.revoke_current()
    world.telenor.issue = Issue.SAME
    world.clock.advance(minutes=30)


def same_token_and_then_another(world: World) -> Action:
    same_token_in_two_versions(world)
    return Action.ROTATE_NOW


def same_token_in_two_versions(world: World) -> None:
    world.run()
    world.telenor.issue = Issue.SAME_EXTENDED
    world.clock.advance(minutes=30)
    world.run()
    world.telenor.issue = Issue.NEW
    world.clock.advance(minutes=11)


ALL_SCENARIOS: Mapping[str, Scenario] = {
    **_functions_so_far(),
    **{
        f"{each.__name__}_at_another_server": partial(_at_another_server, each)
        for each in (renewal_with_revocations, leaked, reissued, new_token_revokes_the_old)
    },
}
