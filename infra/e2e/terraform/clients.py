"""What each client has of its own, and what one does not feel of another."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

from infra.e2e import access, cli, operation, runs
from infra.e2e.story import refused, until, user
from infra.e2e.terraform.fleet import EXISTING, PLAIN, SCOPE, SCOPED

if TYPE_CHECKING:
    from infra.e2e.story import Story
    from infra.e2e.terraform.fleet import Fleet


def the_module_is_applied(fleet: Fleet) -> None:
    """By the deployment role, with the artifact of `make build`; its plan creates and does nothing else."""
    changes = fleet.module.apply(fleet.module.variables["clients"])
    assert {change.action for change in changes} == {"create"}, changes
    outputs = fleet.look()
    assert outputs["untold_alarms"] is None, outputs
    function = fleet.emulator.client("lambda").get_function_configuration(FunctionName=outputs["function_name"])
    digest = base64.b64encode(hashlib.sha256(fleet.artifact.read_bytes()).digest()).decode()
    assert function["CodeSha256"] == digest, function
    fleet.show(
        "deployment",
        f"terraform apply by the deployment role, {len(changes)} resources for {len(fleet.stories)} clients",
    )
    fleet.show("artifact", f"the bytes that make build packs, by their hash: {digest}")


def each_begins_with_what_it_has(fleet: Fleet) -> None:
    """Without credentials a client's ticks fail and say so; the one whose secret exists has its first token."""
    fleet.at_once(
        {
            PLAIN: runs.the_schedule_finds_the_placeholder,
            SCOPED: runs.the_schedule_finds_the_placeholder,
            EXISTING: _the_schedule_brings_its_first_token,
        }
    )


def _the_schedule_brings_its_first_token(story: Story) -> None:
    took = until("the first token", lambda: bool(story.tracked()))
    assert story.telenor.is_live(story.token())
    assert not runs.failed_runs(story), runs.failed_runs(story)
    story.show("first token", f"by the schedule after {took:.0f} s, with the secret that there was")


def new_credentials_are_tried_at_once(fleet: Fleet) -> None:
    """Each client's rule runs that client; also for a secret that the module has not made."""
    fleet.at_once(
        {
            PLAIN: runs.new_credentials_are_tried_at_once,
            SCOPED: runs.new_credentials_are_tried_at_once,
            EXISTING: _credentials_put_into_its_own_secret_are_tried_at_once,
        }
    )
    scopes = {name: {token["scope"] for token in story.tokens()} for name, story in fleet.stories.items()}
    assert scopes[SCOPED] == {SCOPE}, scopes
    assert not any(SCOPE in told for name, told in scopes.items() if name != SCOPED), scopes
    fleet.show("scope", f"{SCOPE} in each token of {SCOPED}, and in no other client's")


def _credentials_put_into_its_own_secret_are_tried_at_once(story: Story) -> None:
    unchanged = "credentials-unchanged"
    took = runs.put_credentials(story, story.client_secret, reason=unchanged)
    assert runs.ended_for(story, unchanged)[-1]["outcome"] == "not-due", runs.ended_for(story, unchanged)[-1]
    story.show(
        "new credentials",
        f"the same pair, put into a secret that the module has not made: {unchanged} {took:.0f} s later",
    )


def consumers_read_their_own_token_alone(fleet: Fleet) -> None:
    """A client's consumer policy opens its token secret, and no other secret of the module."""
    iam = fleet.emulator.client("iam")
    for name, story in fleet.stories.items():
        who = user(story, f"consumer-of-{name}")
        policy = story.stack.outputs["ConsumerPolicyArn"]
        iam.attach_user_policy(UserName=f"consumer-of-{name}", PolicyArn=policy)
        mine = story.client("secretsmanager", who)
        value = json.loads(mine.get_secret_value(SecretId=story.token_secret)["SecretString"])
        assert story.telenor.is_live(value["access_token"])
        assert refused(mine.put_secret_value, SecretId=story.token_secret, SecretString="x")
        closed = [other.token_secret for other in fleet.others(name).values()]
        closed += [other.stack.outputs["CredentialsSecretArn"] for other in fleet.stories.values()]
        for secret in closed:
            assert refused(mine.get_secret_value, SecretId=secret), f"{name}'s consumer reads {secret}"
        # IAM deletes no policy that somebody holds.
        iam.detach_user_policy(UserName=f"consumer-of-{name}", PolicyArn=policy)
    access.named_readers_read_and_strangers_do_not(fleet.stories[PLAIN])
    count = len(fleet.stories)
    fleet.show(
        "consumers", f"{count} consumers, each reads its client's token and none of the {2 * count - 1} other secrets"
    )


def nobody_else_does(fleet: Fleet) -> None:
    """Administrators, the role itself and operators are held to what they need."""
    access.administrators_do_not_by_accident(fleet.stories[PLAIN])
    access.the_role_can_do_no_more(fleet.stories[PLAIN])
    access.the_role_can_do_no_more(fleet.stories[EXISTING])
    access.operators_can_do_their_work_and_no_more(fleet.stories[PLAIN])


def an_operators_terminal_finds_each_client(fleet: Fleet) -> None:
    """`status` and `rotate` by the function's name and a client's event, with the operators' policy alone."""
    story = fleet.stories[SCOPED]
    keys = user(story, "terminal-operator")
    policy = story.stack.outputs["OperatorPolicyArn"]
    iam = fleet.emulator.client("iam")
    iam.attach_user_policy(UserName="terminal-operator", PolicyArn=policy)
    function = ("--function", story.stack.outputs["FunctionName"])
    named = [("--client", json.dumps(each.stack.event)) for each in fleet.stories.values()]
    seen = cli.typed(story, keys, "status", *function, *(word for each in named for word in each))
    assert seen.status == 0, seen
    previous, untouched = story.token(), {name: each.token() for name, each in fleet.others(SCOPED).items()}
    rotated = cli.typed(story, keys, "rotate", *function, "--client", json.dumps(story.stack.event))
    assert (rotated.status, rotated.json["client"]) == (0, SCOPED), rotated
    assert story.token() != previous
    assert {token["scope"] for token in story.tokens()} == {SCOPE}, "the terminal has lost the client's scope"
    assert {name: each.token() for name, each in fleet.others(SCOPED).items()} == untouched
    iam.detach_user_policy(UserName="terminal-operator", PolicyArn=policy)
    fleet.show(
        "the terminal",
        f"status of {len(named)} clients of one function; rotate of one keeps its scope, and leaves the others' tokens",
    )


def an_emergency_hurts_its_client_alone(fleet: Fleet) -> None:
    """rotate-and-revoke-now for one: every token of the others lives on."""
    others = {name: story.token() for name, story in fleet.others(SCOPED).items()}
    runs.a_leak_is_ended_at_once(fleet.stories[SCOPED])
    for name, token in others.items():
        assert fleet.telenor.is_live(token), f"an emergency of {SCOPED} has ended {name}'s token"
        assert fleet.stories[name].token() == token, f"an emergency of {SCOPED} has rotated {name}"
    fleet.show("emergency for one", f"of {SCOPED}; the tokens of {', '.join(others)} stay as they were, and live")


def one_clients_permissions_taken_away_hurt_it_alone(fleet: Fleet) -> None:
    """Its secrets taken out of the role's policy: its runs fail, the others' go on; given back, all goes well."""
    story = fleet.stories[SCOPED]
    secrets = {story.token_secret, story.stack.outputs["CredentialsSecretArn"]}
    role = access.Role.of(story)
    failed = len(runs.failed_runs(story))
    before = {name: (len(runs.ended(each)), len(runs.failed_runs(each))) for name, each in fleet.stories.items()}
    with role.changed(_without_resources(role.policy, secrets)):
        until(f"a failing tick of {SCOPED}", lambda: len(runs.failed_runs(story)) > failed)
        for name, each in fleet.others(SCOPED).items():
            result = each.stack.invoke({"action": "rotate-now"})
            assert result.get("outcome") == "rotated", f"{name} feels what was taken from {SCOPED}: {result}"
            assert len(runs.ended(each)) > before[name][0], f"{name} does not run"
            assert len(runs.failed_runs(each)) == before[name][1], f"{name} feels what was taken from {SCOPED}"
    said = runs.failed_runs(story)[-1]["message"]
    assert "AccessDenied" in said, said
    until(f"a tick of {SCOPED} that ends well", lambda: runs.ended(story)[-1]["outcome"] != "failed")
    fleet.show(
        "permissions of one taken away",
        f"{SCOPED}: {said[:80]}…; {', '.join(fleet.others(SCOPED))} rotated at the same time without a failing run",
    )


def _without_resources(policy: dict[str, Any], secrets: set[str]) -> dict[str, Any]:
    return policy | {
        "Statement": [
            statement | {"Resource": [each for each in statement["Resource"] if each not in secrets]}
            if isinstance(statement["Resource"], list)
            else statement
            for statement in policy["Statement"]
        ]
    }


def every_permission_is_needed(fleet: Fleet) -> None:
    """As for a stack, asked of one client."""
    access.every_permission_is_needed(fleet.stories[PLAIN])


def each_is_watched_by_its_own_alarms(fleet: Fleet) -> None:
    """Alarms and the one dashboard look at metrics that each client's runs put out."""
    for story in fleet.stories.values():
        operation.alarms_and_dashboard_watch_what_is_put_out(story)
        runs.nothing_leaks_and_every_metric_is_there(story)
    listed = fleet.emulator.client("cloudwatch").get_paginator("list_metrics")
    dimensions = {
        each["Value"]
        for page in listed.paginate(Namespace="TelenorToken", MetricName="SecondsUntilExpiry")
        for metric in page["Metrics"]
        for each in metric["Dimensions"]
        if each["Name"] == "client"
    }
    assert dimensions >= fleet.stories.keys(), dimensions
    fleet.show("metrics", f"a metric of its own for each of {', '.join(sorted(fleet.stories))}")
