"""The proof can fail: each broken variant of the job breaks a promise, and `model_checker.py` finds a history for it.

`make prove` prints the table. A history is a list of a run's calls with their faults, or the order of the calls of two
runs ("a" and "b", with "A" or "B" where a run is killed).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from handler import decisions, errors, publication, revocation, revocation_guard, rotation, secrets_manager
from handler.authorization_server import AuthorizationServer
from handler.credentials import KnownCredentials
from handler.decisions import RenewalTimes
from handler.ledger import Entry, Ledger
from handler.model import Action, Policy, Reason, SecretVersion, Token
from handler.publication import DuplicateDelivery, Published
from handler.revocation import RevocationResult
from handler.secrets_manager import SecretsManager
from handler.server_protocols import OAuthProtocol
from handler.token_secret_reads import TokenSecretReads
from tests.simulation.model_checker import crashes_and_faults, orders, prepared

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from handler.run_context import RunContext
    from tests.simulation.model_checker import Explored

DUPLICATE = None
"""The other run is the same event, delivered twice."""

Real = Callable[..., Any]


@dataclass(frozen=True)
class Variant:
    """One broken variant: the promise that it breaks, and the histories in which to look for that.

    In each scenario, up to `faults` calls of the run fail. Both runs of each pair run at once. `change` gets a
    MonkeyPatch; if it `replaces` a function, it gets the original and its arguments.
    """

    change: Callable[..., Any]
    promise: str
    scenarios: tuple[str, ...]
    replaces: tuple[object, str] | None = None
    faults: int = 0
    begin_at: str | None = None
    pairs: tuple[tuple[str, Action | None], ...] = ()

    def histories(self, *, until_broken: bool) -> Iterator[Explored]:
        """Explore the histories, those with fewer faults first in each scenario."""
        for scenario in self.scenarios:
            yield crashes_and_faults(scenario, faults=self.faults, begin_at=self.begin_at, until_broken=until_broken)
        for scenario, other in self.pairs:
            yield orders(scenario, other, with_crash=False, until_broken=until_broken)


VARIANTS: dict[str, Variant] = {}


def breaks(promise: str, *scenarios: str, **options: Any) -> Callable[[Real], Real]:
    """Add a variant to the table, with its name as a sentence. `options` has the variant's other fields."""

    def enter(change: Real) -> Real:
        VARIANTS[change.__name__.replace("_", " ")] = Variant(change, promise, scenarios, **options)
        return change

    return enter


def replace_function(patch: pytest.MonkeyPatch, owner: object, name: str, wrongly: Callable[..., Any]) -> None:
    """Replace a real function by a wrong one, which gets the real one as its first argument."""
    real = getattr(owner, name)
    patch.setattr(owner, name, lambda *args, **kwargs: wrongly(real, *args, **kwargs))


def first_violation(name: str) -> str:
    """Return the first history in which a variant breaks a promise, with the violation; empty if there is none."""
    variant = VARIANTS[name]
    # The cached worlds were prepared by the real job; the variant must prepare its own.
    prepared.cache_clear()
    try:
        with pytest.MonkeyPatch.context() as patch:
            if variant.replaces:
                replace_function(patch, *variant.replaces, variant.change)
            else:
                variant.change(patch)
            broken = (explored.violations for explored in variant.histories(until_broken=True))
            return next((violations[0] for violations in broken if violations), "")
    finally:
        prepared.cache_clear()


@breaks("P2", "label_lost_at_supersession")
def a_label_lost_on_supersession_is_not_noticed(patch: pytest.MonkeyPatch) -> None:
    replace_function(patch, rotation, "restore_lost_labels", lambda _, run, new: run.token_secret.expect_current(new))


# Publication


@breaks("P3", "renewal", replaces=(rotation, "publish"))
def the_old_token_is_revoked_before_the_new_one_is_published(real: Real, context: RunContext, *rest: Any) -> Any:
    if (current := context.token_secret.read_current()) and current.access_token:
        context.server.revoke(current.access_token, context.end_by)
    return real(context, *rest)


@breaks("P2", "first_run")
def no_label_is_set(patch: pytest.MonkeyPatch) -> None:
    replace_function(patch, SecretsManager, "write", _without_label)
    a_current_token_that_lost_its_label_is_superseded_and_not_counted(patch)
    a_label_lost_on_supersession_is_not_noticed(patch)


@breaks("P2", pairs=(("first_run", Action.RENEW_IF_DUE),), replaces=(SecretsManager, "write"))
def the_label_is_added_after_the_write(real: Real, self: SecretsManager, token: Token, entry: Entry) -> Any:
    _without_label(real, self, token, entry)
    return set(entry.labels)


def _without_label(_real: Real, self: SecretsManager, token: Token, entry: Entry) -> set[str]:
    client: Any = vars(self)["_client"]
    named = {"SecretId": "telenor/token", "ClientRequestToken": entry.version_id}
    client.put_secret_value(**named, SecretString=token.document())
    return set()


@breaks("P2", pairs=(("first_run", Action.RENEW_IF_DUE),), replaces=(publication, "new_entry"))
def the_label_is_not_unique_to_its_version(real: Real, version_id: str, *times: datetime) -> Any:
    return real("the-same", *times)._replace(version_id=version_id)


@breaks("P2", "verification_refused")
def an_unpublished_token_is_not_revoked(patch: pytest.MonkeyPatch) -> None:
    replace_function(patch, rotation, "revoke_unpublished", lambda *_: None)


@breaks("P2", pairs=(("first_run", DUPLICATE),), replaces=(rotation, "publish"))
def an_existing_version_counts_as_our_own_publication(real: Real, context: RunContext, *args: Any) -> Any:
    result = real(context, *args)
    return Published(Entry(context.version_id)) if isinstance(result, DuplicateDelivery) else result


@breaks("P3", "first_run", faults=2, begin_at="PutSecretValue")
def a_refusal_counts_although_earlier_attempts_were_lost(patch: pytest.MonkeyPatch) -> None:
    replace_function(patch, secrets_manager._Attempts, "are_all_refusals", lambda *_: True)  # noqa: SLF001  what decides it


@breaks("P3", "an_sdk_that_emits_nothing", faults=2, begin_at="PutSecretValue")
def an_unseen_lost_attempt_counts_as_answered(patch: pytest.MonkeyPatch) -> None:
    attempts = secrets_manager._Attempts  # noqa: SLF001  what was seen of a write
    replace_function(patch, attempts, "are_all_refusals", lambda _real, seen, _error: None not in seen.statuses)


@breaks("P3", "first_run", faults=3, begin_at="PutSecretValue", replaces=(rotation, "publish"))
def an_unknown_outcome_counts_as_refused(real: Real, *args: Any) -> Any:
    result = real(*args)
    return errors.WriteRefusedError(str(result)) if isinstance(result, errors.WriteUnknownError) else result


@breaks(
    "P3", "reissued_with_longer_life", replaces=(rotation, "revoke_unpublished"), faults=2, begin_at="PutSecretValue"
)
def the_new_token_is_logged_out_without_a_comparison_when_its_write_is_refused(_real: Real, *args: Any) -> None:
    context, _ledger, token = args
    context.server.revoke(token, context.end_by)


# Renewal


@breaks("P1", "renewal", replaces=(decisions, "renewal_times"))
def a_token_is_renewed_only_when_it_expires(_real: Real, _at: Any, expires_at: datetime, _: Policy) -> RenewalTimes:
    return RenewalTimes(expires_at, expires_at, expires_at, Reason.TOO_LITTLE_LIFE_LEFT)


@breaks("P6", "short_lifetimes", replaces=(decisions, "renewal_times"))
def renewals_have_no_minimum_interval(real: Real, published_at: datetime, expires_at: datetime, policy: Policy) -> Any:
    times = real(published_at, expires_at, policy)
    wanted_at = min(times.safe_until, published_at + policy.renew_at_fraction * (expires_at - published_at))
    return times._replace(not_before=published_at, due_at=wanted_at)


@breaks("P6", "rotations_in_a_burst")
def forced_rotations_are_not_counted(patch: pytest.MonkeyPatch) -> None:
    replace_function(patch, decisions, "earliest_forced_rotation", lambda _real, _written, now, _interval: now)


@breaks("P6", "rotations_in_a_burst", replaces=(decisions, "earliest_forced_rotation"))
def forced_rotations_are_counted_without_the_renewals_to_come(
    _real: Real, written: Any, now: datetime, _interval: Any
) -> Any:
    return now if len(written) < 128 else min(written) + timedelta(days=1)


@breaks("P1", "slow_responses", replaces=(AuthorizationServer, "request_token"))
def the_expiry_counts_from_the_response(real: Real, self: AuthorizationServer, *args: Any) -> Any:
    token = real(self, *args)
    late = vars(self)["_clock"].now().replace(microsecond=0) - token.issued_at
    return replace(token, issued_at=token.issued_at + late, expires_at=token.expires_at + late)


@breaks("P5", "externally_revoked_token")
def a_published_token_is_never_verified(patch: pytest.MonkeyPatch) -> None:
    replace_function(patch, AuthorizationServer, "is_rejected", lambda *_: False)


@breaks("P6", "mistyped_credentials", replaces=(rotation, "_request_token"))
def rejected_new_credentials_fail_the_run(_real: Real, context: RunContext, pair: Any, on_unusable: Any) -> Token:
    return context.server.request_token(pair, None, context.request_by, on_unusable)


@breaks("P6", "mistyped_credentials_refused_with_200", replaces=(AuthorizationServer, "request_token"))
def a_200_of_the_token_endpoint_never_counts_as_a_refusal(real: Real, *args: Any) -> Any:
    try:
        return real(*args)
    except errors.ServerRefusedError as error:
        raise errors.ServerUnavailableError(str(error)) if error.status == 200 else error from None


# The ledger


@breaks("P5", "label_lost")
def a_current_token_without_a_label_is_not_tracked_again(patch: pytest.MonkeyPatch) -> None:
    def renewal(real: Callable[..., tuple[bool, Reason]], *args: Any) -> tuple[bool, Reason]:
        is_due, reason = real(*args)
        return (is_due, reason) if reason is not Reason.NOT_IN_LEDGER else (False, Reason.FRESH)

    replace_function(patch, rotation, "_track_by_document", lambda _real, _context, ledger, _current: ledger)
    replace_function(patch, decisions, "is_renewal_due", renewal)


@breaks("P2", "label_lost")
def a_current_token_that_lost_its_label_is_superseded_and_not_counted(patch: pytest.MonkeyPatch) -> None:
    replace_function(patch, rotation, "_track_by_document", lambda _real, _context, ledger, _current: ledger)
    replace_function(patch, rotation, "_replaced_without_label", lambda *_: None)


@breaks("P5", "rolled_back_while_fresh")
def a_roll_back_is_not_recorded_in_the_ledger(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "is_current_latest", property(lambda _: True))


@breaks("P2", "grace_over", faults=1, replaces=(revocation, "revoke_entry"))
def a_token_leaves_the_ledger_before_its_logout(real: Real, context: RunContext, entry: Entry, *args: Any) -> Any:
    context.secrets.remove_labels(entry)
    return real(context, entry, *args)


@breaks("P2", "grace_over", faults=1, replaces=(revocation, "revoke_entry"))
def a_token_leaves_the_ledger_although_its_logout_failed(real: Real, *args: Any) -> Any:
    real(*args)
    return RevocationResult.REVOKED


# Revocation


@breaks("P1", "renewal")
def a_superseded_token_has_no_grace(patch: pytest.MonkeyPatch) -> None:
    replace_function(patch, decisions, "revocable", lambda _real, ledger, *_: ledger.superseded)


@breaks("P1", "renewal", replaces=(decisions, "superseded_at"))
def the_grace_is_counted_from_the_publication_of_the_superseded_token(_real: Real, _: Ledger, entry: Entry) -> Any:
    return entry.published_at


@breaks("P5", "renewals_closer_than_the_grace", replaces=(decisions, "superseded_at"))
def the_grace_is_counted_from_the_last_publication(_real: Real, ledger: Ledger, _entry: Entry) -> datetime | None:
    return ledger.current.published_at if ledger.current else None


@breaks("P1", "rolled_back_while_fresh", replaces=(decisions, "revocable"))
def a_version_newer_than_the_current_one_is_revoked_after_a_rollback(_: Real, ledger: Ledger, *times: Any) -> Any:
    now, grace = times
    published_at = ledger.current and ledger.current.first_published_at
    return ledger.superseded if published_at and now >= published_at + grace else ()


@breaks("P1", "same_token_and_then_another")
def a_token_is_logged_out_although_another_version_in_grace_holds_it(patch: pytest.MonkeyPatch) -> None:
    replace_function(patch, revocation_guard, "is_held", lambda *_: False)


@breaks("P1", pairs=(("same_token_in_two_versions", Action.ROTATE_NOW),))
def decisions_are_not_revised_after_another_publication(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TokenSecretReads, "is_unchanged", property(lambda _: True))


@breaks("P3", "same_token_in_two_versions", replaces=(revocation, "_revoke_unless_in_use"))
def no_token_is_compared_with_the_current_one(
    _real: Real, context: RunContext, _: SecretVersion, *rest: Any
) -> RevocationResult:
    context.server.revoke(rest[0], context.end_by)
    return RevocationResult.REVOKED


@breaks("P3", "grace_over", faults=1, replaces=(rotation, "revoke_superseded"))
def the_comparison_is_made_once_and_not_right_before_each_logout(real: Real, *args: Any, **kwargs: Any) -> Any:
    context, ledger = args
    for entry in ledger.superseded:
        context.token_secret.read_version(entry.version_id)
    current = context.token_secret.read_current()
    with pytest.MonkeyPatch.context() as within:
        within.setattr(TokenSecretReads, "read_current", lambda _self: current)
        return real(*args, **kwargs)


@breaks("P3", "grace_over", faults=1, replaces=(revocation, "_revoke_unless_in_use"))
def the_current_version_is_taken_from_the_description(_real: Real, context: RunContext, *rest: Any) -> RevocationResult:
    version, access_token, *_ = rest
    if not context.token_secret._expected_current - {version.version_id}:  # noqa: SLF001  as the description showed it
        return RevocationResult.POSTPONED
    context.server.revoke(access_token, context.end_by)
    return RevocationResult.REVOKED


@breaks("P3", "older_token_again", faults=1)
def a_stale_read_does_not_know_our_own_publication(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TokenSecretReads, "written_token", property(lambda _: None, lambda *_: None), raising=False)


@breaks("P2", "grace_over", faults=1, replaces=(AuthorizationServer, "revoke"))
def any_401_of_logout_counts_as_revoked(real: Real, *args: Any, **kwargs: Any) -> Any:
    try:
        return real(*args, **kwargs)
    except errors.ServerError as error:
        if error.status != 401:
            raise
        return False


@breaks("P2", "grace_over", faults=1, replaces=(AuthorizationServer, "revoke"))
def any_200_of_logout_counts_as_revoked(real: Real, *args: Any, **kwargs: Any) -> Any:
    try:
        return real(*args, **kwargs)
    except errors.ServerError as error:
        if error.status != 200:
            raise
        return True


# Another authorization server


@breaks("P2", "client_replaced", replaces=(OAuthProtocol, "revocation_requests"))
def a_token_is_revoked_with_the_current_credentials(real: Real, *args: Any) -> Any:
    self, token, _, read_known = args
    return real(self, token, read_known().pairs[0].client_id, read_known)


@breaks("P2", "client_replaced_twice", replaces=(OAuthProtocol, "revocation_requests"))
def a_200_for_another_clients_token_counts_as_revoked(real: Real, *args: Any) -> Any:
    self, token, client_id, read_known = args
    pairs = read_known().pairs
    is_known = client_id in {pair.client_id for pair in pairs}
    return real(self, token, client_id if is_known else pairs[-1].client_id, read_known)


@breaks("P6", "credentials_unusable", replaces=(SecretsManager, "read_known_credentials"))
def an_unusable_credentials_secret_fails_a_run_that_only_revokes(_real: Real, self: SecretsManager) -> Any:
    return KnownCredentials([self.read_credentials(), self.read_previous_credentials()], None)


# Secrets, and availability


@breaks("P4", "first_run", replaces=(rotation, "publish"))
def the_log_contains_the_obtained_token(real: Real, context: RunContext, ledger: Ledger, token: Token) -> Any:
    context.log.info(f"obtained {token.access_token}")
    return real(context, ledger, token)


@breaks("P6", "renewal_with_revocations", faults=1, replaces=(rotation, "free_label_slots"))
def a_failed_logout_fails_the_run_before_it_publishes(real: Real, context: RunContext, ledger: Ledger) -> Any:
    ledger = revocation.revoke_superseded(context, ledger, skips_grace=False)
    if context.report.revocations_failed:
        raise errors.WriteRefusedError("a superseded token could not be revoked")
    return real(context, ledger)


@breaks("P6", "ledger_full", replaces=(rotation, "free_label_slots"))
def a_full_ledger_refuses_another_token(_real: Real, _context: RunContext, ledger: Ledger) -> Ledger:
    if decisions.is_near_label_quota(ledger):
        raise errors.WriteRefusedError("the ledger is full")
    return ledger


@breaks("P6", "renewal", faults=1, replaces=(rotation, "_request_token"))
def a_failed_token_request_takes_the_current_token_from_the_ledger(real: Real, context: RunContext, *args: Any) -> Any:
    try:
        return real(context, *args)
    except errors.ServerError:
        if current := context.token_secret.describe().current:
            context.secrets.remove_labels(current)
        raise


@pytest.mark.parametrize("name", VARIANTS)
def test_a_broken_variant_is_caught(name: str) -> None:
    assert f": {VARIANTS[name].promise}: " in first_violation(name)


# The other tests of `make test` explore the real job with one fault, and in few pairs.
@pytest.mark.long
@pytest.mark.parametrize("name", [name for name, each in VARIANTS.items() if each.faults > 1 or each.pairs])
def test_the_real_job_breaks_no_promise_in_the_same_histories(name: str) -> None:
    assert [violation for each in VARIANTS[name].histories(until_broken=False) for violation in each.violations] == []
