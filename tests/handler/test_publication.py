"""What became of a write, and whether a publication has cost a superseded version its label."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import pytest
from werkzeug.wrappers import Response

from handler.app import logger
from handler.context import Context
from handler.errors import (
    RotationError,
    SecretsManagerError,
    SecretsManagerUnavailableError,
    VersionExistsError,
    WriteRefusedError,
    WriteUnknownError,
)
from handler.ledger import Entry, Ledger, new_entry
from handler.model import Policy, SecretVersion, Token
from handler.publication import (
    DuplicateDelivery,
    Publication,
    Published,
    WriteRefused,
    WriteUnknown,
    publish,
    restore_lost_labels,
)
from handler.report import Report
from handler.secrets_manager import SecretsManager
from handler.token_secret import TokenSecret
from infra.local.secrets_manager import CallFault, Fault, Lag, Meanwhile
from tests.conftest import CANARY, FakeClock, Seen, World

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import WSGIEnvironment

    from infra.local.secrets_manager import Ask

T = TypeVar("T")

OWN = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
DENIED = "AccessDeniedException"


# What became of a write


@dataclass
class FakeSecrets:
    """A token secret whose answers the test chooses. It raises an answer that is an error."""

    missing: set[str] | RotationError = field(default_factory=set)
    version: SecretVersion | RotationError | None = None
    attachment: RotationError | None = None
    description: Ledger | RotationError = field(default_factory=lambda: Ledger(None))
    published: list[Entry] = field(default_factory=list)
    attached: dict[str, list[str]] = field(default_factory=dict)

    def publish(self, _token: Token, entry: Entry) -> set[str]:
        self.published.append(entry)
        return answer(self.missing)

    def read_version(self, _version_id: str) -> SecretVersion | None:
        return answer(self.version)

    def add_labels(self, version_id: str, labels: Iterable[str]) -> None:
        answer(self.attachment)
        self.attached[version_id] = list(labels)

    def describe(self, _now: datetime) -> Ledger:
        return answer(self.description)


def answer(told: T | RotationError) -> T:
    if isinstance(told, RotationError):
        raise told
    return told


def context_of(secrets: FakeSecrets, clock: FakeClock) -> Context:
    settings = cast("Any", type("Settings", (), {"policy": Policy(timedelta(minutes=10), 0.33, timedelta(minutes=5))}))
    adapter = cast("SecretsManager", secrets)
    return Context(
        settings=settings,
        secrets=adapter,
        token_secret=TokenSecret(adapter, clock, OWN),
        server=cast("Any", None),
        clock=clock,
        log=logger,
        report=Report("default"),
        version_id=OWN,
        publish_by=clock.now() + timedelta(minutes=1),
        end_by=clock.now() + timedelta(minutes=2),
    )


def token_of(clock: FakeClock, access_token: str = f"{CANARY}-own") -> Token:
    return Token(access_token, "Bearer", clock.now(), clock.now() + timedelta(seconds=3599))


def version(access_token: str, *, is_tracked: bool = True) -> SecretVersion:
    content = json.dumps({"access_token": access_token})
    return SecretVersion(OWN, is_current=True, is_tracked=is_tracked, content=content)


MINE, THEIRS = version(f"{CANARY}-own"), version(f"{CANARY}-twin")
REFUSED = WriteRefusedError("refused")
UNKNOWN = WriteUnknownError("unknown")
EXISTS = VersionExistsError("exists")
NO_ANSWER = SecretsManagerUnavailableError("no answer")


@pytest.mark.parametrize(
    ("secrets", "outcome", "codes"),
    [
        pytest.param(FakeSecrets(), Published, [], id="written"),
        pytest.param(FakeSecrets(REFUSED, MINE), WriteRefused, [], id="refused for certain, so that nobody looks"),
        pytest.param(FakeSecrets(UNKNOWN, MINE), Published, [], id="no answer, and found"),
        pytest.param(FakeSecrets(UNKNOWN, THEIRS), DuplicateDelivery, [], id="no answer, and a twin's is found"),
        pytest.param(FakeSecrets(UNKNOWN, None), WriteUnknown, [], id="no answer, and not found, which proves nothing"),
        pytest.param(FakeSecrets(UNKNOWN, NO_ANSWER), WriteUnknown, [], id="no answer, and nobody can look"),
        pytest.param(FakeSecrets(EXISTS, THEIRS), DuplicateDelivery, [], id="a twin's is there"),
        pytest.param(
            FakeSecrets(EXISTS, None),
            DuplicateDelivery,
            [],
            id="a twin's is there, and a read that lags does not find it",
        ),
        pytest.param(
            FakeSecrets(EXISTS, NO_ANSWER), DuplicateDelivery, [], id="a twin's is there, and nobody can look"
        ),
        pytest.param(FakeSecrets(EXISTS, MINE), Published, [], id="a twin has published the same token"),
    ],
)
def test_what_became_of_a_write_is_one_value(
    secrets: FakeSecrets, outcome: type[Publication], codes: list[str], clock: FakeClock, seen: Seen
) -> None:
    secrets = replace(secrets, published=[], attached={})
    publication = publish(context_of(secrets, clock), Ledger(None), token_of(clock))
    entry = new_entry(OWN, clock.now(), clock.now() + timedelta(seconds=3599))
    assert secrets.published == [entry]
    assert type(publication) is outcome
    match publication:
        case Published(stored):
            assert stored == entry
        case DuplicateDelivery(value):
            assert value is (secrets.version if isinstance(secrets.version, SecretVersion) else None)
        case WriteRefused(error) | WriteUnknown(error):
            assert error is secrets.missing
    assert secrets.attached == {}
    assert seen.codes() == codes


@pytest.mark.parametrize(
    "secrets",
    [
        pytest.param(FakeSecrets({"the label"}), id="the answer lacks it"),
        pytest.param(FakeSecrets(UNKNOWN, replace(MINE, is_tracked=False)), id="it is found without"),
    ],
)
@pytest.mark.parametrize(("attachment", "code"), [(None, "label-attached"), (NO_ANSWER, "label-missing")])
def test_a_publication_without_its_label_gets_it_and_says_so(
    secrets: FakeSecrets, attachment: RotationError | None, code: str, clock: FakeClock, seen: Seen
) -> None:
    secrets = replace(secrets, attachment=attachment, published=[], attached={})
    publication = publish(context_of(secrets, clock), Ledger(None), token_of(clock))
    assert isinstance(publication, Published)
    lacking = ["the label"] if secrets.missing == {"the label"} else list(publication.entry.labels)
    assert secrets.attached == ({} if attachment else {OWN: lacking})
    assert seen.codes() == [code]


def test_a_publication_is_dated_after_every_other_whatever_the_clock_says(clock: FakeClock) -> None:
    secrets = FakeSecrets()
    context = context_of(secrets, clock)
    newest = new_entry("newest", clock.now() + timedelta(seconds=50), clock.now() + timedelta(hours=1))
    publish(context, Ledger(None, (newest,)), token_of(clock))
    assert secrets.published[0].published_at == clock.now() + timedelta(seconds=51)


# What a publication has superseded


def entries(clock: FakeClock) -> tuple[Entry, Entry]:
    old = new_entry("old", clock.now() - timedelta(minutes=30), clock.now() + timedelta(minutes=30))
    return old, new_entry(OWN, clock.now(), clock.now() + timedelta(hours=1))


def test_a_label_that_is_lost_at_supersession_is_put_back(clock: FakeClock, seen: Seen) -> None:
    old, new = entries(clock)
    secrets = FakeSecrets(description=Ledger(new))
    context = context_of(secrets, clock)
    ledger = restore_lost_labels(context, Ledger(new, (old,)))
    assert secrets.attached == {"old": list(old.labels)}
    assert ledger == Ledger(new, (old,))
    assert seen.codes() == ["label-lost"]


def test_a_lost_label_that_cannot_be_put_back_is_counted(clock: FakeClock, seen: Seen) -> None:
    old, new = entries(clock)
    context = context_of(FakeSecrets(description=Ledger(new), attachment=NO_ANSWER), clock)
    ledger = restore_lost_labels(context, Ledger(new, (old,)))
    assert ledger == Ledger(new)
    assert seen.codes() == ["label-lost", "revocation-abandoned"]
    assert context.report.revocations_abandoned == 1


def test_a_label_that_cannot_be_put_back_does_not_cost_the_next_version_its_own(clock: FakeClock, seen: Seen) -> None:
    old, new = entries(clock)
    older = replace(old, version_id="older")
    context = context_of(FakeSecrets(description=Ledger(new), attachment=NO_ANSWER), clock)
    restore_lost_labels(context, Ledger(new, (older, old)))
    assert seen.codes() == ["label-lost", "revocation-abandoned"] * 2
    assert context.report.revocations_abandoned == 2


def test_of_two_labels_one_that_cannot_be_put_back_costs_nothing(clock: FakeClock, seen: Seen) -> None:
    """The version is still tracked by its other label."""
    old, new = entries(clock)
    twice = replace(old, labels=(*old.labels, "LIVE_other"))
    context = context_of(FakeSecrets(description=Ledger(new, (old,)), attachment=NO_ANSWER), clock)
    ledger = restore_lost_labels(context, Ledger(new, (twice,)))
    assert [entry.version_id for entry in ledger.superseded] == ["old"]
    assert seen.codes() == ["label-lost"]
    assert context.report.revocations_abandoned == 0


def test_the_own_version_that_lacks_its_label_is_given_it_once_more(clock: FakeClock, seen: Seen) -> None:
    _, new = entries(clock)
    secrets = FakeSecrets(description=Ledger(Entry(OWN)))
    context = context_of(secrets, clock)
    ledger = restore_lost_labels(context, Ledger(new))
    assert secrets.attached == {OWN: list(new.labels)}
    assert ledger.current == new
    assert seen.codes() == ["label-lost"]


def test_the_own_version_that_cannot_be_given_its_label_is_current_and_not_abandoned(clock: FakeClock) -> None:
    _, new = entries(clock)
    context = context_of(FakeSecrets(description=Ledger(Entry(OWN)), attachment=NO_ANSWER), clock)
    ledger = restore_lost_labels(context, Ledger(new))
    assert ledger == Ledger(new)
    assert context.report.revocations_abandoned == 0


def test_the_label_of_a_token_that_has_died_since_is_not_missed(clock: FakeClock, seen: Seen) -> None:
    old, new = entries(clock)
    context = context_of(FakeSecrets(description=Ledger(new)), clock)
    restore_lost_labels(context, Ledger(new, (replace(old, expires_at=clock.now()),)))
    assert seen.codes() == []


def test_a_description_that_lags_takes_nobodys_label_for_lost(clock: FakeClock, seen: Seen) -> None:
    old, new = entries(clock)
    secrets = FakeSecrets(description=Ledger(Entry("something", labels=())))
    context = context_of(secrets, clock)
    ledger = restore_lost_labels(context, Ledger(new, (old,)))
    assert ledger == Ledger(new, (old,))
    assert (secrets.attached, seen.codes()) == ({}, [])


def test_a_look_that_fails_is_said_and_changes_nothing(clock: FakeClock, seen: Seen) -> None:
    old, new = entries(clock)
    context = context_of(FakeSecrets(description=NO_ANSWER), clock)
    ledger = restore_lost_labels(context, Ledger(new, (old,)))
    assert ledger == Ledger(new, (old,))
    assert seen.codes() == ["description-failed"]


# Over Secrets Manager


def test_a_refused_write_logs_the_new_token_out(world: World) -> None:
    first = world.run()
    world.aws.fault(CallFault(operation="PutSecretValue", code="LimitExceededException"), times=3)
    with pytest.raises(WriteRefusedError):
        world.run("rotate-now")
    assert world.seen.codes() == ["write-refused"]
    assert (world.live(), world.issued()) == (1, 2)
    assert world.labels().keys() == {first["version_id"]}
    assert world.is_current_live()


def test_a_refused_write_of_the_current_token_logs_nothing_out(world: World) -> None:
    world.run()
    world.telenor.knobs(issue="same-extended")
    world.clock.advance(minutes=30)
    world.aws.fault(CallFault(operation="PutSecretValue", code=DENIED))
    with pytest.raises(WriteRefusedError):
        world.run()
    assert world.is_current_live()


def test_a_refused_write_of_a_token_in_its_grace_logs_nothing_out(world: World) -> None:
    """Telenor may hand out again a token that consumers still hold from the version before."""
    first = world.run()["version_id"]
    document = world.document()
    world.run("rotate-now")
    world.aws.fault(CallFault(operation="PutSecretValue", code=DENIED))
    world.telenor.fault(
        operation="token", body=json.dumps({"access_token": document["access_token"], "expires_in": 3599})
    )
    with pytest.raises(WriteRefusedError):
        world.run("rotate-now")
    assert world.is_live(first)


@pytest.mark.parametrize(("code", "status"), [(None, 0), ("InternalServiceError", 500)])
def test_a_write_whose_answer_was_lost_is_looked_up_and_has_succeeded(
    world: World, code: str | None, status: int
) -> None:
    first = world.run()["version_id"]
    world.aws.fault(CallFault(operation="PutSecretValue", when="after", code=code, status=status), times=3)
    result = world.run("rotate-now")
    assert (result["outcome"], result["pending_revocations"]) == ("rotated", 1)
    assert world.aws.calls()["UpdateSecretVersionStage"] == 0
    assert world.tracked() == {first, result["version_id"]}
    assert world.seen.metrics()["TokenRotated"] == 1
    assert world.is_current_live()


def test_a_write_that_was_throttled_after_a_lost_answer_has_succeeded(world: World) -> None:
    first = world.run()["version_id"]
    world.aws.fault(CallFault(operation="PutSecretValue", when="after"))
    world.aws.fault(CallFault(operation="PutSecretValue", code="ThrottlingException"), times=2)
    result = world.run("rotate-now")
    assert world.tracked() == {first, result["version_id"]}
    assert world.is_current_live()


def test_a_lost_answer_is_told_from_a_refusal_although_another_run_has_published_since(world: World) -> None:
    world.run()
    request_id = str(uuid.uuid4())
    world.aws.fault(CallFault(operation="PutSecretValue", when="after"))
    world.aws.fault(Meanwhile(operation="PutSecretValue", happens=lambda: world.run("rotate-now")))
    world.aws.fault(CallFault(operation="PutSecretValue", code="ThrottlingException"), after=1)
    assert world.run("rotate-now", request_id=request_id)["outcome"] == "rotated"
    assert request_id in world.tracked()
    assert world.is_live(request_id)


def test_a_lost_write_that_cannot_be_looked_up_leaves_what_may_be_published(world: World) -> None:
    world.run()
    world.aws.fault(CallFault(operation="PutSecretValue", when="after"))
    world.aws.fault(CallFault(operation="PutSecretValue", code="ThrottlingException"), times=2)
    world.aws.fault(CallFault(operation="GetSecretValue", code=DENIED), after=2)
    with pytest.raises(WriteUnknownError):
        world.run("rotate-now")
    assert world.is_current_live()
    assert world.seen.metrics()["RevocationAbandoned"] == 1


def test_a_write_that_never_arrived_fails_as_unknown_and_revokes_nothing(world: World) -> None:
    first, second = world.supersede()
    world.clock.advance(minutes=30)
    world.aws.fault(CallFault(operation="PutSecretValue"), times=3)
    before = world.aws.calls()
    with pytest.raises(WriteUnknownError):
        world.run()
    assert world.seen.codes() == ["revocation-abandoned", "write-unknown"]
    assert (world.aws.calls() - before)["DescribeSecret"] == 1
    assert world.is_live(first)
    assert world.tracked() == {first, second}
    assert [request.operation for request in world.telenor.requests] == ["token"] * 3


def test_after_an_unknown_write_the_next_run_goes_on(world: World) -> None:
    world.run()
    world.clock.advance(minutes=30)
    world.aws.fault(CallFault(operation="PutSecretValue", when="after"), times=3)
    world.aws.fault(CallFault(operation="GetSecretValue", code=DENIED), after=2)
    with pytest.raises(WriteUnknownError):
        world.run()
    assert world.is_current_live()
    assert world.run()["outcome"] == "not-due"
    assert world.live() == len(world.tracked()) == 2


def test_a_twin_that_published_first_wins_and_the_other_token_is_logged_out(world: World) -> None:
    """Both deliveries of one event see that nothing is there; the first one's write lands between."""
    request_id = str(uuid.uuid4())
    world.aws.fault(Meanwhile(operation="PutSecretValue", happens=lambda: world.run(request_id=request_id)))
    result = world.run(request_id=request_id)
    assert (result["outcome"], result["version_id"]) == ("rotated", request_id)
    assert (world.issued(), world.live()) == (2, 1)
    assert world.tracked() == {request_id}
    assert world.seen.metrics()["TokenRotated"] == 0
    assert world.is_current_live()


def test_a_twin_that_published_before_a_lost_write_is_told_from_the_own_token(world: World) -> None:
    request_id = str(uuid.uuid4())

    def publish_first() -> None:
        world.run(request_id=request_id)
        world.aws.fault(CallFault(operation="PutSecretValue", code="InternalServiceError", status=500), times=3)

    world.aws.fault(Meanwhile(operation="GetSecretValue", happens=publish_first), after=1)
    result = world.run(request_id=request_id)
    assert (result["outcome"], result["version_id"]) == ("rotated", request_id)
    assert (world.issued(), world.live()) == (2, 1)
    assert world.seen.metrics()["TokenRotated"] == 0
    assert world.is_current_live()


@pytest.mark.parametrize("code", [DENIED, "ResourceNotFoundException"])
def test_beside_a_twin_that_cannot_be_read_the_own_token_is_left_alone_and_counted(world: World, code: str) -> None:
    """The twin's publication counts all the same, and the next run continues from it."""
    request_id = str(uuid.uuid4())

    def publish_first() -> None:
        world.run(request_id=request_id)
        world.aws.fault(CallFault(operation="GetSecretValue", code=code))

    world.aws.fault(Meanwhile(operation="PutSecretValue", happens=publish_first))
    result = world.run(request_id=request_id)
    assert (result["outcome"], result["version_id"]) == ("rotated", request_id)
    assert world.seen.codes() == ["revocation-abandoned"]
    assert world.seen.metrics()["RevocationAbandoned"] == 1
    assert world.live() == 2
    assert world.is_current_live()
    assert world.run()["outcome"] == "not-due"


def test_twins_that_got_the_same_token_both_leave_it_alone(world: World) -> None:
    request_id = str(uuid.uuid4())
    world.telenor.knobs(issue="same")
    world.aws.fault(Meanwhile(operation="PutSecretValue", happens=lambda: world.run(request_id=request_id)))
    world.run(request_id=request_id)
    assert (world.issued(), world.live()) == (1, 1)
    assert world.is_current_live()


def test_a_defect_in_a_write_leaves_a_token_that_may_be_published_and_counts_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise KeyError

    monkeypatch.setattr(SecretsManager, "publish", fail)
    with pytest.raises(RotationError):
        world.run()
    assert world.live() == 1
    assert set(world.seen.codes()) == {"unexpected", "revocation-abandoned"}
    assert world.seen.metrics()["RevocationAbandoned"] == 1


@dataclass(frozen=True)
class DropLabels:
    """A Put that sets AWSCURRENT alone, as MiniStack 1.5.33 does."""

    world: World
    operation: str = "PutSecretValue"

    def answer(self, _environ: WSGIEnvironment, ask: Ask) -> Response:
        told = json.loads(ask().get_data())
        self.world.unlabel(told["VersionId"])
        return Response(json.dumps(told | {"VersionStages": ["AWSCURRENT"]}))


def test_a_label_that_was_not_set_is_attached(world: World) -> None:
    world.aws.fault(DropLabels(world))
    result = world.run()
    assert world.tracked() == {result["version_id"]}
    assert world.run()["outcome"] == "not-due"


def test_a_label_that_cannot_be_attached_is_said_and_costs_no_token(world: World) -> None:
    first = world.run()["version_id"]
    world.aws.fault(DropLabels(world))
    # The first is the test's own; then the adapter's attempt, and that of the look afterwards.
    world.aws.fault(CallFault(operation="UpdateSecretVersionStage", code=DENIED), after=1, times=2)
    result = world.run("rotate-now")
    assert (result["outcome"], result["revoked"]) == ("rotated", [])
    assert result["expires_at"] == world.document()["expires_at"]
    assert world.seen.codes() == ["label-missing", "label-lost"]
    assert world.tracked() == {first}
    assert world.is_current_live()
    assert world.is_live(first)
    world.run()
    assert world.tracked() == {first, result["version_id"]}


def test_a_first_look_that_fails_is_the_runs_own_failure(world: World) -> None:
    world.aws.fault(CallFault(operation="DescribeSecret"), times=3)
    with pytest.raises(SecretsManagerError):
        world.run()
    assert world.seen.codes() == ["secrets-manager-unavailable"]


# A write that landed although its answer was lost


REFUSALS = [
    CallFault(operation="PutSecretValue", code="ThrottlingException"),
    CallFault(operation="PutSecretValue", code=DENIED),
    CallFault(operation="PutSecretValue", code="InternalServiceError", status=500),
]


def lost(when: Literal["before", "after"]) -> CallFault:
    """Drop the answer to a write that has not taken effect, or that has."""
    return CallFault(operation="PutSecretValue", when=when)


def then_reads_lag(world: World, fault: Fault) -> Meanwhile:
    """Let a write have its fault, and the reads after it answer as if it had not been."""

    def lag() -> None:
        world.aws.fault(Lag(operation="GetSecretValue"), times=20, secret_id="telenor/token")
        world.aws.fault(Lag(operation="DescribeSecret"), times=20)

    return Meanwhile(operation="PutSecretValue", fault=fault, happens=lag, when="after")


def attempts(world: World, *faults: Fault) -> None:
    """Let the SDK's attempts of the next write have these faults, the last one again and again."""
    for fault in [*faults, faults[-1], faults[-1]]:
        world.aws.fault(fault)


@pytest.mark.parametrize("last", REFUSALS, ids=lambda fault: fault.code)
def test_a_token_whose_write_landed_unheard_lives_whatever_the_last_attempt_said_and_however_reads_lag(
    world: World, last: CallFault
) -> None:
    world.run()
    attempts(world, then_reads_lag(world, lost("after")), last)
    with pytest.raises(RotationError):
        world.run("rotate-now")
    world.aws.clear_faults()
    assert world.is_current_live()
    assert (world.seen.metrics()["RotationFailed"], world.seen.metrics()["RevocationAbandoned"]) == (1, 1)
    assert "write-unknown" in world.seen.codes()


@pytest.mark.parametrize("last", REFUSALS[:2], ids=lambda fault: fault.code)
def test_the_first_token_of_all_lives_too_if_its_write_landed_unheard_and_reads_lag(
    world: World, last: CallFault
) -> None:
    attempts(world, then_reads_lag(world, lost("after")), last)
    with pytest.raises(RotationError):
        world.run()
    world.aws.clear_faults()
    assert world.is_current_live()


def test_the_run_after_a_write_that_landed_unheard_finds_a_live_token_that_is_tracked(world: World) -> None:
    request_id = str(uuid.uuid4())
    world.run()
    attempts(world, then_reads_lag(world, lost("after")), REFUSALS[1])
    with pytest.raises(RotationError):
        world.run("rotate-now", request_id=request_id)
    world.aws.clear_faults()
    world.clock.advance(minutes=5)
    result = world.run()
    assert (result["outcome"], result["version_id"], result["pending_revocations"]) == ("not-due", request_id, 1)
    assert request_id in world.tracked()
    assert world.is_current_live()


def test_an_unusable_answer_with_the_same_token_does_not_cost_one_whose_write_landed_unheard(world: World) -> None:
    """Telenor hands out one token twice, first with a life that makes no sense, so that one is to be logged out."""
    world.run()
    document = json.dumps({"access_token": f"{CANARY}-same", "expires_in": 0})
    world.telenor.fault(operation="token", body=document, times=1)
    world.telenor.fault(operation="token", body=document.replace(" 0", " 3599"), times=1)
    attempts(world, then_reads_lag(world, lost("after")), REFUSALS[1])
    with pytest.raises(RotationError):
        world.run("rotate-now")
    assert "logout" not in [request.operation for request in world.telenor.requests]


def test_a_refused_token_that_cannot_be_compared_with_the_current_one_is_left_alive_and_counted(world: World) -> None:
    world.run()

    def deny_reads() -> None:
        unreadable = CallFault(operation="GetSecretValue", code="AccessDeniedException")
        world.aws.fault(unreadable, times=20, secret_id="telenor/token")

    attempts(world, Meanwhile(operation="PutSecretValue", fault=REFUSALS[1], happens=deny_reads, when="after"))
    with pytest.raises(RotationError):
        world.run("rotate-now")
    assert world.live() == 2
    assert world.seen.metrics()["RevocationAbandoned"] == 1
