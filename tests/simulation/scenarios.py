"""The situations that a run can meet: each prepares a world and says what the run is asked to do."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from handler.model import Action, ClientAuthentication, OAuthServer
from tests.simulation.secrets_manager import FAULTS, READ_FAULTS, RETRIED
from tests.simulation.telenor import FAULTS as TELENOR_FAULTS
from tests.simulation.telenor import Issue
from tests.simulation.world import CREDENTIALS, TOKEN, UNDECIDED, World

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_TELENOR = dict.fromkeys(("token", "logout", "verify"), TELENOR_FAULTS)
_READS = ("DescribeSecret", "GetSecretValue", "ListSecretVersionIds")
_WRITES = ("PutSecretValue", "UpdateSecretVersionStage")

FAULTS_BY_CALL: Mapping[str, tuple[str, ...]] = (
    _TELENOR | dict.fromkeys(_READS, READ_FAULTS) | dict.fromkeys(_WRITES, FAULTS)
)

# Any sequence of attempts, each with a fault of its own, and other runs at work between them.
FAULTS_BY_ATTEMPT: Mapping[str, tuple[str, ...]] = _TELENOR | {
    call: (*FAULTS_BY_CALL[call], *(f"{fault}/{UNDECIDED}" for fault in RETRIED)) for call in (*_READS, *_WRITES)
}

VERIFY_URL = "https://localhost/verify"


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
    world.roll_back()
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
    world.verify_url = VERIFY_URL
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


# What is looked at in one run alone


def label_lost_at_supersession(world: World) -> Action:
    world.secretsmanager.drops_labels = True
    world.run()
    world.clock.advance(minutes=30)
    # A run that is killed, or that cannot look, right after its publication has no way to know.
    world.at_risk = {str(world.current)}
    return Action.RENEW_IF_DUE


def killed_token(world: World) -> Action:
    world.verify_url = VERIFY_URL
    # Otherwise a killed token would be due at the next run in any case.
    world.policy = replace(world.policy, renew_at_fraction=0.7)
    world.run()
    world.clock.advance(minutes=15)
    world.kill_current()
    return Action.RENEW_IF_DUE


def killed_right_after_its_publication(world: World) -> Action:
    world.verify_url = VERIFY_URL
    world.run()
    world.clock.advance(minutes=5)
    world.kill_current()
    world.recovers_after = timedelta(minutes=5)
    return Action.RENEW_IF_DUE


def edited_into_raw_text(world: World) -> Action:
    world.run()
    world.clock.advance(minutes=5)
    world.put_by_hand(str(world.current))
    return Action.RENEW_IF_DUE


def edited_into_another_shape(world: World) -> Action:
    world.run()
    world.clock.advance(minutes=5)
    world.put_by_hand(json.dumps({"token": {"value": world.current}}))
    return Action.ROTATE_AND_REVOKE_NOW


def edited_into_bytes(world: World) -> Action:
    world.run()
    world.clock.advance(minutes=5)
    world.put_by_hand(f"\0{world.current}\n".encode())
    return Action.ROTATE_AND_REVOKE_NOW


def three_foreign_labels(world: World) -> Action:
    world.may_abandon = True
    world.run()
    world.add_foreign_labels(3)
    for _ in range(14):
        world.clock.advance(seconds=1)
        world.run(Action.ROTATE_NOW)
    return Action.ROTATE_NOW


def sixteen_foreign_labels(world: World) -> Action:
    world.run()
    world.add_foreign_labels(16)
    world.clock.advance(minutes=30)
    world.may_abandon = True
    return Action.RENEW_IF_DUE


def rolled_back_and_then_renewed(world: World) -> Action:
    rolled_back(world)
    world.clock.advance(minutes=-25)
    world.tick()
    world.clock.advance(minutes=15)
    return Action.RENEW_IF_DUE


def rolled_back_while_fresh(world: World) -> Action:
    world.policy = replace(world.policy, renew_at_fraction=0.7)
    world.telenor.life = timedelta(hours=2)
    world.run()
    world.clock.advance(minutes=12)
    world.run(Action.ROTATE_NOW)
    world.clock.advance(minutes=1)
    world.roll_back()
    world.clock.advance(minutes=1)
    return Action.RENEW_IF_DUE


def renewals_closer_than_the_grace(world: World) -> Action:
    world.run()
    for _ in range(8):
        world.clock.advance(minutes=4)
        world.run(Action.ROTATE_NOW)
        world.check_revocations()
    world.clock.advance(minutes=4)
    return Action.ROTATE_NOW


def mistyped_credentials(world: World) -> Action:
    world.run()
    mistyped = json.dumps({"client_id": "client", "client_secret": "CANARY-mistyped"})
    world.secretsmanager.put_secret_value(SecretId=CREDENTIALS, SecretString=mistyped)
    world.clock.advance(minutes=30)
    return Action.RENEW_IF_DUE


def mistyped_credentials_that_a_200_refuses(world: World) -> Action:
    world.telenor.refuses_with = 200
    return mistyped_credentials(world)


def an_sdk_that_emits_nothing(world: World) -> Action:
    world.sdk_emits_each_attempt = False
    return Action.RENEW_IF_DUE


def short_lives(world: World) -> Action:
    # The worst that is accepted: half a day of it would be more versions than Secrets Manager keeps.
    world.policy = replace(world.policy, grace=timedelta(seconds=1200))
    world.telenor.life = timedelta(seconds=900)
    world.run()
    world.tick(150)
    return Action.RENEW_IF_DUE


def rotations_in_a_burst(world: World) -> Action:
    # An hour after the day's writes would be spent: a burst of an operator's, and the renewals of four hours.
    world.may_abandon = True
    for _ in range(144):
        world.run(Action.ROTATE_NOW)
        world.clock.advance(seconds=1)
    world.tick(6 * 12)
    return Action.RENEW_IF_DUE


def new_credentials(world: World) -> Action:
    world.run()
    pair = json.dumps({"client_id": "another", "client_secret": "CANARY-secret"})
    world.secretsmanager.put_secret_value(SecretId=CREDENTIALS, SecretString=pair)
    return Action.CREDENTIALS_CHANGED


# Another authorization server (RFC 6749 and RFC 7009)


def another_server(world: World) -> Action:
    _name_server(world)
    return renewal_with_revocations(world)


def another_server_in_an_emergency(world: World) -> Action:
    _name_server(world)
    return leaked(world)


def another_server_that_reissues(world: World) -> Action:
    _name_server(world)
    return reissued(world)


def another_server_with_one_token_at_a_time(world: World) -> Action:
    _name_server(world)
    world.telenor.issue = Issue.NEW_KILLS_OLD
    return renewal(world)


def another_server_without_revocation(world: World) -> Action:
    _name_server(world, revocation_url=None)
    return grace_over(world)


def client_replaced(world: World) -> Action:
    _name_server(world)
    world.run()
    _put_client(world, "another")
    world.clock.advance(minutes=1)
    world.run(Action.ROTATE_NOW)
    world.clock.advance(minutes=12)
    return Action.RENEW_IF_DUE


def client_replaced_twice(world: World) -> Action:
    _name_server(world)
    world.run()
    world.irrevocable.add(str(world.current))
    for client_id in ("second", "third"):
        _put_client(world, client_id)
    world.clock.advance(minutes=1)
    world.run(Action.ROTATE_NOW)
    world.clock.advance(minutes=12)
    return Action.RENEW_IF_DUE


def credentials_unusable(world: World) -> Action:
    _name_server(world)
    world.can_renew = False
    world.run()
    world.clock.advance(minutes=1)
    world.run(Action.ROTATE_NOW)
    world.secretsmanager.put_secret_value(SecretId=CREDENTIALS, SecretString="{}")
    world.clock.advance(minutes=12)
    return Action.RENEW_IF_DUE


def _name_server(world: World, revocation_url: str | None = "https://id.example/revoke") -> None:
    world.server = OAuthServer("https://id.example/token", revocation_url, ClientAuthentication.BASIC)


def _put_client(world: World, client_id: str) -> None:
    pair = json.dumps({"client_id": client_id, "client_secret": "CANARY-secret"})
    world.secretsmanager.put_secret_value(SecretId=CREDENTIALS, SecretString=pair)


# Scenarios that the broken variants fail in


def slow_answers(world: World) -> Action:
    world.telenor.answers_after = timedelta(seconds=8)
    return Action.RENEW_IF_DUE


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
    world.roll_back()
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
        label_lost_at_supersession,
        killed_token,
        killed_right_after_its_publication,
        edited_into_raw_text,
        edited_into_another_shape,
        edited_into_bytes,
        three_foreign_labels,
        sixteen_foreign_labels,
        rolled_back_and_then_renewed,
        rolled_back_while_fresh,
        renewals_closer_than_the_grace,
        mistyped_credentials,
        mistyped_credentials_that_a_200_refuses,
        an_sdk_that_emits_nothing,
        rotations_in_a_burst,
        new_credentials,
        another_server,
        another_server_in_an_emergency,
        another_server_that_reissues,
        another_server_with_one_token_at_a_time,
        another_server_without_revocation,
        client_replaced,
        client_replaced_twice,
        credentials_unusable,
        short_lives,
        slow_answers,
        grace_over,
        rolled_back_a_moment_ago,
        older_token_again,
        same_token_in_two_versions,
        same_token_and_then_another,
    )
}
