"""The situations that a run can meet: each prepares a world and says what the run is asked to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handler.model import Action
from tests.simulation.secrets_manager import FAULTS, READ_FAULTS, RETRIED
from tests.simulation.telenor import FAULTS as TELENOR_FAULTS
from tests.simulation.telenor import Issue
from tests.simulation.world import TOKEN, UNDECIDED, World

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_TELENOR = dict.fromkeys(("token", "logout", "verify"), TELENOR_FAULTS)
_READS, _WRITES = ("DescribeSecret", "GetSecretValue"), ("PutSecretValue", "UpdateSecretVersionStage")

FAULTS_BY_CALL: Mapping[str, tuple[str, ...]] = (
    _TELENOR | dict.fromkeys(_READS, READ_FAULTS) | dict.fromkeys(_WRITES, FAULTS)
)

# Any sequence of attempts, each with a fate of its own, and other runs at work between them.
FAULTS_BY_ATTEMPT: Mapping[str, tuple[str, ...]] = _TELENOR | {
    call: (*FAULTS_BY_CALL[call], *(f"{fault}/{UNDECIDED}" for fault in RETRIED)) for call in (*_READS, *_WRITES)
}


def roll_back(world: World) -> None:
    """Make the version under AWSPREVIOUS current, as a hand would."""
    labels = world.secret.labels
    world.secretsmanager.update_secret_version_stage(
        SecretId=TOKEN,
        VersionStage="AWSCURRENT",
        MoveToVersionId=labels["AWSPREVIOUS"],
        RemoveFromVersionId=labels["AWSCURRENT"],
    )


def first_run(_world: World) -> Action:
    return Action.RENEW_IF_DUE


def not_due(world: World) -> Action:
    world.run()
    world.clock.advance(minutes=5)
    return Action.RENEW_IF_DUE


def renewal(world: World) -> Action:
    world.run()
    world.clock.advance(minutes=30)
    return Action.RENEW_IF_DUE


def renewal_with_revocations(world: World) -> Action:
    world.run()
    for _ in range(2):
        world.clock.advance(seconds=1)
        world.run(Action.ROTATE_NOW)
    world.clock.advance(minutes=30)
    return Action.RENEW_IF_DUE


def forced(world: World) -> Action:
    world.run()
    world.clock.advance(minutes=5)
    return Action.ROTATE_NOW


def leaked(world: World) -> Action:
    world.run()
    world.clock.advance(seconds=1)
    world.run(Action.ROTATE_NOW)
    world.clock.advance(minutes=5)
    return Action.ROTATE_AND_REVOKE_NOW


def reissued(world: World) -> Action:
    world.telenor.issue = Issue.SAME
    world.run()
    world.clock.advance(minutes=30)
    return Action.RENEW_IF_DUE


def reissued_with_a_longer_life(world: World) -> Action:
    world.run()
    world.telenor.issue = Issue.SAME_EXTENDED
    world.clock.advance(minutes=30)
    world.run()
    world.clock.advance(minutes=5)
    return Action.ROTATE_NOW


def new_token_kills_the_old(world: World) -> Action:
    world.telenor.issue = Issue.NEW_KILLS_OLD
    world.run()
    world.clock.advance(minutes=30)
    return Action.RENEW_IF_DUE


def rolled_back(world: World) -> Action:
    world.run()
    world.clock.advance(minutes=1)
    world.run(Action.ROTATE_NOW)
    roll_back(world)
    world.clock.advance(minutes=29)
    return Action.RENEW_IF_DUE


def label_lost(world: World) -> Action:
    world.run()
    world.touched_by_hand = {str(world.current)}
    (label,) = [label for label in world.secret.labels if label.startswith("LIVE_")]
    world.secretsmanager.update_secret_version_stage(
        SecretId=TOKEN, VersionStage=label, RemoveFromVersionId=str(world.secret.current)
    )
    return Action.RENEW_IF_DUE


def ledger_full(world: World) -> Action:
    for _ in range(16):
        world.run(Action.ROTATE_NOW)
        world.clock.advance(seconds=1)
    world.may_abandon = True
    return Action.ROTATE_NOW


def verification_refused(world: World) -> Action:
    world.run()
    world.verify_url = "https://telenor.example/verify"
    world.telenor.refuses_verification = True
    world.clock.advance(minutes=30)
    return Action.RENEW_IF_DUE


SCENARIOS: Mapping[str, Callable[[World], Action]] = {
    scenario.__name__: scenario
    for scenario in (
        first_run,
        not_due,
        renewal,
        renewal_with_revocations,
        forced,
        leaked,
        reissued,
        reissued_with_a_longer_life,
        new_token_kills_the_old,
        rolled_back,
        label_lost,
        ledger_full,
        verification_refused,
    )
}


# What wrong designs stumble over


def grace_over(world: World) -> Action:
    world.run()
    for _ in range(2):
        world.clock.advance(minutes=1)
        world.run(Action.ROTATE_NOW)
    world.clock.advance(minutes=11)
    return Action.RENEW_IF_DUE


def rolled_back_a_moment_ago(world: World) -> Action:
    world.run()
    world.clock.advance(minutes=25)
    world.run(Action.ROTATE_NOW)
    world.clock.advance(minutes=1)
    roll_back(world)
    world.clock.advance(minutes=1)
    return Action.RENEW_IF_DUE


def older_token_again(world: World) -> Action:
    world.run()
    world.clock.advance(minutes=1)
    world.run(Action.ROTATE_NOW)
    world.telenor.tokens[str(world.current)].ended_at = world.clock.now()
    world.telenor.issue = Issue.SAME
    world.clock.advance(minutes=30)
    return Action.RENEW_IF_DUE


def same_token_and_then_another(world: World) -> Action:
    same_token_in_two_versions(world)
    return Action.ROTATE_NOW


def same_token_in_two_versions(world: World) -> Action:
    world.run()
    world.telenor.issue = Issue.SAME_EXTENDED
    world.clock.advance(minutes=30)
    world.run()
    world.telenor.issue = Issue.NEW
    world.clock.advance(minutes=11)
    return Action.RENEW_IF_DUE


MORE_SCENARIOS: Mapping[str, Callable[[World], Action]] = {
    scenario.__name__: scenario
    for scenario in (
        grace_over,
        rolled_back_a_moment_ago,
        older_token_again,
        same_token_in_two_versions,
        same_token_and_then_another,
    )
}
