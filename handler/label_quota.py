"""Free label slots of the token secret, so that a publication stays below the quota of labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handler import decisions
from handler.errors import ErrorCode
from handler.revocation import RevocationResult, Trigger, remove_labels, revoke_entry

if TYPE_CHECKING:
    from handler.ledger import Entry, Ledger
    from handler.run_context import RunContext


def free_label_slots(context: RunContext, ledger: Ledger) -> Ledger:
    """Remove labels until the next version fits; a publication matters more than the grace of the oldest tokens."""
    if decisions.is_near_label_quota(ledger):
        ledger = remove_labels(context, ledger, decisions.expired(ledger, context.clock.now()))
    for oldest in ledger.superseded:
        if not decisions.is_near_label_quota(ledger) or context.clock.now() >= context.request_by:
            break
        freed = _free_slot(context, ledger, oldest)
        # The label of the current token stays, so go on with the next version.
        if freed == ledger and not context.token_secret.was_read_as_current(oldest.version_id):
            break
        ledger = freed
    return ledger


def _free_slot(context: RunContext, ledger: Ledger, oldest: Entry) -> Ledger:
    """Revoke a token before its grace has passed, or stop tracking it."""
    fields = {"superseded_version_id": oldest.version_id}
    context.log_warning(
        ErrorCode.GRACE_CUT_SHORT,
        "the token secret carries too many labels, so the grace of the oldest superseded token ends early: find out "
        "why revocations fail, who rotates so often, or whose labels these are",
        **fields,
    )
    # The publication waits, so a server that sends no response is asked once.
    can_revoke = context.settings.policy.can_revoke and not context.server.is_unreachable
    result = revoke_entry(context, oldest, Trigger.LABEL_QUOTA) if can_revoke else RevocationResult.FAILED
    if not result.ends_tracking:
        if context.token_secret.was_read_as_current(oldest.version_id):
            return ledger
        # Counted before its label goes, since the response about that may be lost.
        context.report_abandoned("a superseded token is given up although it was not revoked", **fields)
    return remove_labels(context, ledger, [oldest])
