"""The proof can fail: each broken variant of the job breaks a promise, and `model_checker.py` finds a history.

`make prove` prints the table. A history is how a run of a scenario meets its calls, or the order in which two runs make
theirs ("a" and "b", and "A" or "B" where one is killed).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from handler import decisions, publication, revocation, rotation, secrets_manager
from handler.authorization_server import AuthorizationServer
from handler.decisions import RenewalTimes
from handler.errors import ServerError, ServerRefusedError, ServerUnavailableError, WriteRefusedError
from handler.ledger import Entry, Ledger
from handler.model import Action, Policy, Reason, SecretVersion, Token
from handler.operations import OAuthOperations
from handler.publication import DuplicateDelivery, Publication, Published, WriteRefused, WriteUnknown
from handler.revocation import Logout
from handler.secrets_manager import SecretsManager
from handler.token_secret import TokenSecret
from tests.simulation.model_checker import crashes_and_faults, forget_what_was_prepared, orders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime, timedelta

    from handler.context import Context
    from handler.model import Credentials
    from handler.transport import Request
    from tests.simulation.model_checker import Explored

TWIN = None
"""The other run is the same event, delivered twice."""


# The search


@dataclass(frozen=True)
class Variant:
    """One broken variant: how it changes the job, which promise it breaks, and where to look for that.

    In each scenario first all goes well, and then up to so many calls of its run go wrong. Of each pair, both are at
    work at once.
    """

    name: str
    change: Callable[[pytest.MonkeyPatch], None]
    promise: str
    scenarios: tuple[str, ...]
    faults: int
    begin_at: str | None
    pairs: tuple[tuple[str, Action | None], ...]

    def histories(self, *, until_broken: bool) -> Iterator[Explored]:
        """Look at these, in each scenario those with fewer faults first."""
        for scenario in self.scenarios:
            yield crashes_and_faults(scenario, faults=self.faults, begin_at=self.begin_at, until_broken=until_broken)
        for scenario, other in self.pairs:
            yield orders(scenario, other, with_crash=False, until_broken=until_broken)


@functools.cache
def caught(name: str) -> str | None:
    """Return the first history that shows the harm of a variant, and how it does."""
    variant = VARIANTS[name]
    forget_what_was_prepared()
    try:
        with pytest.MonkeyPatch.context() as patch:
            variant.change(patch)
            broken = (explored.violations for explored in variant.histories(until_broken=True))
            return next((violations[0] for violations in broken if violations), None)
    finally:
        forget_what_was_prepared()


def row(name: str) -> tuple[str, str, str]:
    """Return a broken variant, the promise that it breaks, and the history that shows it."""
    found = caught(name)
    if found is None:
        return name, "-", "-"
    history, _, broken = found.partition(f": {VARIANTS[name].promise}: ")
    return name, VARIANTS[name].promise if broken else "-", history


# The broken variants

VARIANTS: dict[str, Variant] = {}


def breaks(
    promise: str,
    *scenarios: str,
    faults: int = 0,
    begin_at: str | None = None,
    pairs: tuple[tuple[str, Action | None], ...] = (),
) -> Callable[[Callable[[pytest.MonkeyPatch], None]], None]:
    """Enter a variant in the table, under its name as a sentence."""

    def enter(change: Callable[[pytest.MonkeyPatch], None]) -> None:
        name = change.__name__.replace("_", " ")
        VARIANTS[name] = Variant(name, change, promise, scenarios, faults, begin_at, pairs)

    return enter


def instead(patch: pytest.MonkeyPatch, owner: object, name: str, wrongly: Callable[..., Any]) -> None:
    """Put a wrong function in the place of a real one, which it gets as its first argument."""
    real = getattr(owner, name)

    def replacement(*args: Any, **kwargs: Any) -> Any:
        return wrongly(real, *args, **kwargs)

    patch.setattr(owner, name, replacement)


def nobody_looks_again(patch: pytest.MonkeyPatch) -> None:
    instead(
        patch, rotation, "restore_lost_labels", lambda _real, context, expected: context.token_secret.expect(expected)
    )


# Publication


@breaks("P3", "renewal")
def the_old_token_is_revoked_before_the_new_one_is_published(patch: pytest.MonkeyPatch) -> None:
    def publish(real: Callable[..., Publication], context: Context, ledger: Ledger, token: Token) -> Publication:
        if (current := context.token_secret.read_current()) and current.access_token:
            context.server.revoke(current.access_token, context.end_by)
        return real(context, ledger, token)

    instead(patch, rotation, "publish", publish)


@breaks("P2", "first_run")
def the_label_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    instead(patch, SecretsManager, "publish", _without_label)
    nobody_enters_or_counts_what_lost_its_label(patch)
    nobody_looks_again(patch)


@breaks("P2", pairs=(("first_run", Action.RENEW_IF_DUE),))
def the_label_is_added_after_the_write(patch: pytest.MonkeyPatch) -> None:
    def publish(real: object, self: SecretsManager, token: Token, entry: Entry) -> set[str]:
        _without_label(real, self, token, entry)
        return set(entry.labels)

    instead(patch, SecretsManager, "publish", publish)


def _without_label(_real: object, self: SecretsManager, token: Token, entry: Entry) -> set[str]:
    client: Any = vars(self)["_client"]
    client.put_secret_value(
        SecretId="telenor/token", ClientRequestToken=entry.version_id, SecretString=token.document()
    )
    return set()


@breaks("P2", pairs=(("first_run", Action.RENEW_IF_DUE),))
def the_label_is_not_unique_to_its_version(patch: pytest.MonkeyPatch) -> None:
    def new_entry(real: Callable[..., Entry], version_id: str, *times: datetime) -> Entry:
        return replace(real("the-same", *times), version_id=version_id)

    instead(patch, publication, "new_entry", new_entry)


@breaks("P2", "label_lost_at_supersession")
def a_label_is_lost_on_supersession_and_nobody_looks(patch: pytest.MonkeyPatch) -> None:
    nobody_looks_again(patch)


@breaks("P2", "verification_refused")
def a_token_that_was_not_published_is_left_alone(patch: pytest.MonkeyPatch) -> None:
    instead(patch, rotation, "revoke_unpublished", lambda *_: None)


@breaks("P2", pairs=(("first_run", TWIN),))
def a_version_that_exists_counts_as_the_own_publication(patch: pytest.MonkeyPatch) -> None:
    def publish(real: Callable[..., Publication], context: Context, *args: Any) -> Publication:
        result = real(context, *args)
        return Published(Entry(context.version_id)) if isinstance(result, DuplicateDelivery) else result

    instead(patch, rotation, "publish", publish)


@breaks("P3", "first_run", faults=2, begin_at="PutSecretValue")
def a_refusal_is_certain_whatever_came_before_it(patch: pytest.MonkeyPatch) -> None:
    instead(patch, secrets_manager._Attempts, "exclude_an_effect", lambda *_: True)  # noqa: SLF001  what it asks


@breaks("P3", "an_sdk_that_emits_nothing", faults=2, begin_at="PutSecretValue")
def a_lost_attempt_that_nobody_saw_counts_as_answered(patch: pytest.MonkeyPatch) -> None:
    attempts = secrets_manager._Attempts  # noqa: SLF001  what was seen of a write
    instead(patch, attempts, "exclude_an_effect", lambda _real, seen, _error: seen.were_all_answered)


@breaks("P3", "first_run", faults=3, begin_at="PutSecretValue")
def an_unknown_outcome_counts_as_refused(patch: pytest.MonkeyPatch) -> None:
    def publish(real: Callable[..., Publication], *args: Any) -> Publication:
        result = real(*args)
        return WriteRefused(WriteRefusedError(str(result.error))) if isinstance(result, WriteUnknown) else result

    instead(patch, rotation, "publish", publish)


@breaks("P3", "reissued_with_a_longer_life", faults=2, begin_at="PutSecretValue")
def the_new_token_is_logged_out_without_a_comparison_when_its_write_is_refused(patch: pytest.MonkeyPatch) -> None:
    instead(
        patch,
        rotation,
        "revoke_unpublished",
        lambda _real, context, _ledger, token: context.server.revoke(token, context.end_by),
    )


# Renewal


@breaks("P1", "renewal")
def a_token_is_renewed_only_when_it_expires(patch: pytest.MonkeyPatch) -> None:
    def renewal_times(_real: object, _published_at: datetime, expires_at: datetime, _policy: Policy) -> RenewalTimes:
        return RenewalTimes(expires_at, expires_at, expires_at, Reason.TOO_LITTLE_LIFE_LEFT)

    instead(patch, decisions, "renewal_times", renewal_times)


@breaks("P6", "short_lives")
def no_floor_under_renewals(patch: pytest.MonkeyPatch) -> None:
    def renewal_times(
        real: Callable[..., RenewalTimes], published_at: datetime, expires_at: datetime, policy: Policy
    ) -> RenewalTimes:
        times = real(published_at, expires_at, policy)
        wanted_at = min(times.safe_until, published_at + policy.renew_at_fraction * (expires_at - published_at))
        return replace(times, not_before=published_at, due_at=wanted_at)

    instead(patch, decisions, "renewal_times", renewal_times)


@breaks("P6", "rotations_in_a_burst")
def forced_rotations_are_not_counted(patch: pytest.MonkeyPatch) -> None:
    instead(patch, decisions, "can_be_forced_at", lambda _real, _written, now: now)


@breaks("P6", "rotations_in_a_burst")
def forced_rotations_are_counted_without_the_renewals_to_come(patch: pytest.MonkeyPatch) -> None:
    def can_be_forced_at(_real: object, written: list[datetime], now: datetime) -> datetime:
        return now if len(written) < 128 else min(written) + decisions.DAY

    instead(patch, decisions, "can_be_forced_at", can_be_forced_at)


@breaks("P1", "slow_answers")
def the_expiry_is_counted_from_the_answer(patch: pytest.MonkeyPatch) -> None:
    def request_token(real: Callable[..., Token], self: AuthorizationServer, *args: Any) -> Token:
        token = real(self, *args)
        late = vars(self)["_clock"].now().replace(microsecond=0) - token.issued_at
        return replace(token, issued_at=token.issued_at + late, expires_at=token.expires_at + late)

    instead(patch, AuthorizationServer, "request_token", request_token)


@breaks("P5", "killed_token")
def a_published_token_is_never_tried(patch: pytest.MonkeyPatch) -> None:
    instead(patch, AuthorizationServer, "is_rejected", lambda *_: False)


@breaks("P6", "mistyped_credentials")
def new_credentials_that_do_not_work_end_the_run(patch: pytest.MonkeyPatch) -> None:
    def obtain(_real: object, context: Context, credentials: object, on_unusable: object) -> Any:
        return context.server.request_token(credentials, None, context.publish_by, on_unusable)  # type: ignore[arg-type]

    instead(patch, rotation, "_obtain", obtain)


@breaks("P6", "mistyped_credentials_that_a_200_refuses")
def a_200_of_the_token_endpoint_is_never_a_refusal(patch: pytest.MonkeyPatch) -> None:
    def request_token(real: Callable[..., Token], *args: Any) -> Token:
        try:
            return real(*args)
        except ServerRefusedError as error:
            raise ServerUnavailableError(str(error)) if error.status == 200 else error from None

    instead(patch, AuthorizationServer, "request_token", request_token)


# The ledger


@breaks("P5", "label_lost")
def a_current_token_without_a_label_is_left_as_it_is(patch: pytest.MonkeyPatch) -> None:
    def renewal(real: Callable[..., tuple[bool, Reason]], *args: Any) -> tuple[bool, Reason]:
        is_due, reason = real(*args)
        return (is_due, reason) if reason is not Reason.NOT_IN_LEDGER else (False, Reason.FRESH)

    instead(patch, rotation, "_track_by_document", lambda _real, _context, ledger, _current: ledger)
    instead(patch, decisions, "is_renewal_due", renewal)


@breaks("P2", "label_lost")
def a_current_token_that_lost_its_label_is_superseded_and_not_counted(patch: pytest.MonkeyPatch) -> None:
    nobody_enters_or_counts_what_lost_its_label(patch)


def nobody_enters_or_counts_what_lost_its_label(patch: pytest.MonkeyPatch) -> None:
    instead(patch, rotation, "_track_by_document", lambda _real, _context, ledger, _current: ledger)
    instead(patch, rotation, "_leaves_untracked", lambda *_: False)


@breaks("P5", "rolled_back_while_fresh")
def a_roll_back_is_not_entered_in_the_ledger(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "is_in_order", property(lambda _: True))


@breaks("P2", "grace_over", faults=1)
def a_token_leaves_the_ledger_before_its_logout(patch: pytest.MonkeyPatch) -> None:
    def log_out(real: Callable[..., Logout], context: Context, entry: Entry, *args: Any) -> Logout:
        context.secrets.remove_labels(entry)
        return real(context, entry, *args)

    instead(patch, revocation, "_log_out", log_out)


@breaks("P2", "grace_over", faults=1)
def a_token_leaves_the_ledger_although_its_logout_failed(patch: pytest.MonkeyPatch) -> None:
    def log_out(real: Callable[..., Logout], *args: Any) -> Logout:
        real(*args)
        return Logout.REVOKED

    instead(patch, revocation, "_log_out", log_out)


# Revocation


@breaks("P1", "renewal")
def a_superseded_token_has_no_grace(patch: pytest.MonkeyPatch) -> None:
    instead(patch, decisions, "revocable", lambda _real, ledger, *_: ledger.superseded)


@breaks("P1", "renewal")
def the_grace_is_counted_from_the_publication_of_the_superseded_token(patch: pytest.MonkeyPatch) -> None:
    def superseded_at(_real: object, _ledger: Ledger, entry: Entry) -> datetime | None:
        return entry.published_at

    instead(patch, decisions, "superseded_at", superseded_at)


@breaks("P5", "renewals_closer_than_the_grace")
def the_grace_is_counted_from_the_last_publication(patch: pytest.MonkeyPatch) -> None:
    def superseded_at(_real: object, ledger: Ledger, _entry: Entry) -> datetime | None:
        return ledger.current.published_at if ledger.current else None

    instead(patch, decisions, "superseded_at", superseded_at)


@breaks("P1", "rolled_back_while_fresh")
def a_version_newer_than_the_current_one_is_revoked_after_a_rollback(patch: pytest.MonkeyPatch) -> None:
    def revocable(_real: object, ledger: Ledger, now: datetime, grace: timedelta) -> tuple[Entry, ...]:
        published_at = ledger.current and ledger.current.first_published_at
        return ledger.superseded if published_at and now >= published_at + grace else ()

    instead(patch, decisions, "revocable", revocable)


@breaks("P1", "same_token_and_then_another")
def a_token_is_logged_out_although_another_version_in_grace_holds_it(patch: pytest.MonkeyPatch) -> None:
    instead(patch, TokenSecret, "is_held", lambda *_: False)


@breaks("P1", pairs=(("same_token_in_two_versions", Action.ROTATE_NOW),))
def what_was_decided_is_done_although_another_run_has_published(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TokenSecret, "is_unchanged", property(lambda _: True))


@breaks("P3", "same_token_in_two_versions")
def nothing_is_compared_with_the_current_token(patch: pytest.MonkeyPatch) -> None:
    def log_out(_real: object, context: Context, _version: SecretVersion, access_token: str, *_: Any) -> Logout:
        context.server.revoke(access_token, context.end_by)
        return Logout.REVOKED

    instead(patch, revocation, "_log_out_unless_in_use", log_out)


@breaks("P3", "grace_over", faults=1)
def the_comparison_is_made_once_and_not_right_before_each_logout(patch: pytest.MonkeyPatch) -> None:
    def revoke_superseded(real: Callable[..., Ledger], context: Context, ledger: Ledger, **kwargs: bool) -> Ledger:
        for entry in ledger.superseded:
            context.token_secret.read_version(entry.version_id)
        current = context.token_secret.read_current()
        with pytest.MonkeyPatch.context() as within:
            within.setattr(TokenSecret, "read_current", lambda _self: current)
            return real(context, ledger, **kwargs)

    instead(patch, rotation, "revoke_superseded", revoke_superseded)


@breaks("P3", "grace_over", faults=1)
def the_current_version_is_judged_from_the_description(patch: pytest.MonkeyPatch) -> None:
    def log_out(_real: object, context: Context, version: SecretVersion, access_token: str, *_: Any) -> Logout:
        if context.report.version_id in {None, version.version_id}:
            return Logout.POSTPONED
        context.server.revoke(access_token, context.end_by)
        return Logout.REVOKED

    instead(patch, revocation, "_log_out_unless_in_use", log_out)


@breaks("P3", "older_token_again", faults=1)
def the_own_publication_is_not_known_to_a_read_that_lags(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TokenSecret, "published_token", property(lambda _: None, lambda *_: None), raising=False)


@breaks("P2", "grace_over", faults=1)
def any_401_of_logout_means_dead(patch: pytest.MonkeyPatch) -> None:
    def logout(real: Callable[..., bool], *args: Any, **kwargs: Any) -> bool:
        try:
            return real(*args, **kwargs)
        except ServerError as error:
            if error.status != 401:
                raise
            return False

    instead(patch, AuthorizationServer, "revoke", logout)


@breaks("P2", "grace_over", faults=1)
def any_200_of_logout_means_revoked(patch: pytest.MonkeyPatch) -> None:
    def logout(real: Callable[..., bool], *args: Any, **kwargs: Any) -> bool:
        try:
            return real(*args, **kwargs)
        except ServerError as error:
            if error.status != 200:
                raise
            return True

    instead(patch, AuthorizationServer, "revoke", logout)


# Another authorization server


@breaks("P2", "client_replaced")
def a_token_is_revoked_with_whichever_pair_is_current(patch: pytest.MonkeyPatch) -> None:
    def revocations(
        real: Callable[..., Iterator[Request]], self: OAuthOperations, token: str, _client_id: object, _accepted: object
    ) -> Iterator[Request]:
        current = self._read_pairs()[0]
        return real(self, token, current.client_id, ())

    instead(patch, OAuthOperations, "revocations", revocations)


@breaks("P2", "client_replaced_twice")
def any_200_of_a_revocation_endpoint_is_trusted_although_the_pair_is_another(patch: pytest.MonkeyPatch) -> None:
    def revocations(
        real: Callable[..., Iterator[Request]], self: OAuthOperations, token: str, client_id: object, *args: Any
    ) -> Iterator[Request]:
        pairs = self._read_pairs()
        is_known = client_id in {pair.client_id for pair in pairs}
        return real(self, token, client_id if is_known else pairs[-1].client_id, *args)

    instead(patch, OAuthOperations, "revocations", revocations)


@breaks("P6", "credentials_unusable")
def an_unusable_credentials_secret_fails_a_run_that_only_had_to_revoke(patch: pytest.MonkeyPatch) -> None:
    def read_pairs(_real: object, self: OAuthOperations) -> list[Credentials]:
        return [read() for read in self._read_credentials]

    instead(patch, OAuthOperations, "_read_pairs", read_pairs)


# Secrets, and what comes first


@breaks("P4", "first_run")
def the_log_tells_which_token_was_obtained(patch: pytest.MonkeyPatch) -> None:
    def publish(real: Callable[..., Publication], context: Context, ledger: Ledger, token: Token) -> Publication:
        context.log.info(f"obtained {token.access_token}")
        return real(context, ledger, token)

    instead(patch, rotation, "publish", publish)


@breaks("P6", "renewal_with_revocations", faults=1)
def a_failed_logout_fails_the_run_before_it_publishes(patch: pytest.MonkeyPatch) -> None:
    def free_label_slots(real: Callable[..., Ledger], context: Context, ledger: Ledger) -> Ledger:
        ledger = revocation.revoke_superseded(context, ledger, is_emergency=False)
        if context.report.revocations_failed:
            raise WriteRefusedError("a superseded token could not be revoked")
        return real(context, ledger)

    instead(patch, rotation, "free_label_slots", free_label_slots)


@breaks("P6", "ledger_full")
def a_full_ledger_refuses_another_token(patch: pytest.MonkeyPatch) -> None:
    def free_label_slots(_real: object, _context: Context, ledger: Ledger) -> Ledger:
        if decisions.is_near_label_quota(ledger):
            raise WriteRefusedError("the ledger is full")
        return ledger

    instead(patch, rotation, "free_label_slots", free_label_slots)


@breaks("P6", "renewal", faults=1)
def a_failed_token_request_takes_the_current_token_out_of_the_ledger(patch: pytest.MonkeyPatch) -> None:
    def obtain(real: Callable[..., Token], context: Context, *args: Any) -> Token:
        try:
            return real(context, *args)
        except ServerError:
            if current := context.token_secret.describe().current:
                context.secrets.remove_labels(current)
            raise

    instead(patch, rotation, "_obtain", obtain)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_broken_variant_is_caught(name: str) -> None:
    found = caught(name)
    assert found is not None
    assert f": {VARIANTS[name].promise}: " in found


# Elsewhere the real job is looked at with one fault, and in its pairs here and there; with three faults in make prove.
@pytest.mark.parametrize("name", [name for name, each in VARIANTS.items() if each.faults == 2 or each.pairs])
def test_the_real_job_breaks_no_promise_in_the_same_histories(name: str) -> None:
    assert [violation for each in VARIANTS[name].histories(until_broken=False) for violation in each.violations] == []
