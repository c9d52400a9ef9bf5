"""Draws conclusions from the observations: an answer to each open question, and a rating of each guarantee. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from handler import decisions
from handler.cli.doctor.observations import WATCH, VerifyUrl
from handler.cli.job_status import State, headline
from handler.cli.time_format import duration
from handler.error_responses import ErrorFormat

if TYPE_CHECKING:
    from collections.abc import Callable

    from handler.cli.doctor.observations import Observations, TokenResult
    from handler.cli.doctor.response_shape import ResponseShape
    from handler.cli.job_status import Status
    from handler.model import Policy

# A Date header has whole seconds, and a response takes a moment.
_CLOCK_TOLERANCE = timedelta(seconds=5)

_ERROR_FORMATS = {
    ErrorFormat.REFERENCE: "the codes of the API reference",
    ErrorFormat.GATEWAY: "the gateway's own codes, of five digits and more",
    ErrorFormat.APIGEE: "Apigee's default names",
    ErrorFormat.OAUTH: "the codes of RFC 6749 and RFC 6750",
}


class Rating(StrEnum):
    """The rating of a guarantee."""

    HOLDS = "holds"
    HOLDS_IF = "holds-if"
    AT_RISK = "at-risk"


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to one open question."""

    about: str
    words: str


@dataclass(frozen=True, slots=True)
class Guarantee:
    """A guarantee, its rating and the reason."""

    name: str
    rating: Rating
    because: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All answers and all ratings."""

    answers: tuple[Answered, ...]
    guarantees: tuple[Guarantee, ...]

    @property
    def is_at_risk(self) -> bool:
        """Whether any guarantee is at risk."""
        return any(guarantee.rating is Rating.AT_RISK for guarantee in self.guarantees)


def diagnosis(observations: Observations, status: Status) -> Diagnosis:
    """Return the conclusions about each guarantee."""
    return Diagnosis(
        answers=tuple(Answered(about, answer(observations, status.policy)) for about, answer in _ANSWERS.items()),
        guarantees=(
            _overlap(observations, status.policy),
            _nothing_forgotten(observations),
            _never_the_current(observations),
            Guarantee("P4 no leaks", Rating.HOLDS, "does not depend on the server; the tests check it"),
            _self_healing(status),
            _availability(observations),
            _paged_in_time(observations, status.policy),
        ),
    )


def as_json(observations: Observations, found: Diagnosis) -> dict[str, object]:
    """Return the stable fields for scripts; null means unknown."""
    server_format, token_test = observations.server_format, observations.token_test
    lifetime, ahead, lag = token_test.lifetime, server_format.clock_ahead, longest_lag(observations)
    return {
        "dialect": error_format(observations),
        "second_request_gives_new_token": token_test.is_new,
        "same_token_gets_longer_life": token_test.prolongs,
        "old_token_lives_on": old_stays_active(observations),
        "logout_ends_token": logout_ends(observations),
        "revocation_lag_seconds": None if lag is None else round(lag.total_seconds(), 1),
        "accepted_again_after_logout": accepted_again(observations),
        "logout_ends_other_tokens": logout_ends_others(observations),
        "published_token_ended": published_ended(observations),
        "verify_url": observations.verify_url,
        "error": _shape_json(server_format.error_shape),
        "token_answer": _shape_json(token_test.token_shape),
        "life_seconds": lifetime and int(lifetime.total_seconds()),
        "clock_ahead_seconds": None if ahead is None else round(ahead.total_seconds(), 1),
        "tokens_obtained": token_test.obtained,
        "tokens_left": _still_active(observations),
        "cannot": list(observations.survey.permissions.cannot),
        "answers": {answer.about: answer.words for answer in found.answers},
        "promises": [
            {"name": guarantee.name, "verdict": guarantee.rating, "because": guarantee.because}
            for guarantee in found.guarantees
        ],
    }


# Conclusions


def error_format(found: Observations) -> str | None:
    """Return the error format; None if no error was seen."""
    if found.server_format.error_format is not None:
        return str(found.server_format.error_format)
    return None if found.server_format.error_shape is None else "none-known"


def old_stays_active(found: Observations) -> bool | None:
    """Return whether a token stays active after the next one is issued."""
    old, new = found.token_test.old, found.token_test.new
    if not found.token_test.is_new:
        return None
    if old.accepted is not None:
        return old.accepted
    # The second logout reports an inactive token, so the first one revoked an active token.
    if old.logout and old.logout_again is False:
        return True
    # Logout revokes an active token of this client, so its rejection means that this one was inactive.
    if old.logout is False and new.logout:
        return False
    return None


def logout_ends(found: Observations) -> bool | None:
    """Return whether a token is inactive some time after its logout."""
    ended = [token.is_ended_by_logout for token in (found.token_test.old, found.token_test.new)]
    if False in ended:
        return False
    return True if True in ended else None


def longest_lag(found: Observations) -> timedelta | None:
    """Return how long a token was still accepted after its logout; None if none became inactive."""
    watches = (token.watch for token in (found.token_test.old, found.token_test.new))
    return max((watch.lag for watch in watches if watch is not None and watch.lag is not None), default=None)


def accepted_again(found: Observations) -> bool | None:
    """Return whether a token was accepted again after a rejection; None if none was rejected."""
    watches = [token.watch for token in (found.token_test.old, found.token_test.new)]
    seen = [watch.accepted_again for watch in watches if watch is not None and watch.lag is not None]
    return any(seen) if seen else None


def logout_ends_others(found: Observations) -> bool | None:
    """Return whether the logout of one token revokes another one of the same client.

    Logout's own responses take precedence over VERIFY_URL, where a cache may answer instead.
    """
    old, new = found.token_test.old, found.token_test.new
    if not old_stays_active(found) or not old.logout:
        return None
    if old.logout_again is False and new.logout is not None:
        return not new.logout
    if new.accepted_after_other is not None:
        return not new.accepted_after_other
    # If logout accepts anything, a new token that is active later was active after the other one's logout.
    if new.watch is not None and new.watch.lag is None:
        return False
    return None


def published_ended(found: Observations) -> bool | None:
    """Return whether the probe has revoked the published token."""
    token_test = found.token_test
    if found.survey.published is None or _was_published_refused(found):
        return False
    if token_test.published_accepted is False:
        return True
    if not token_test.obtained:
        # A rejected request changed nothing; a request whose response was lost may have.
        return False if token_test.is_refused or not token_test.failure else None
    if token_test.is_new is False and found.cleanup.spared:
        # No token was issued, and none was revoked.
        return False
    lives, others = old_stays_active(found), logout_ends_others(found)
    if lives is False or others:
        return True
    # Without a revocation, only a new token could have ended it.
    others = others if found.survey.can_revoke else False
    # A token that is still accepted proves nothing by itself: a gateway may cache it.
    return False if lives and others is False else None


def _was_published_refused(found: Observations) -> bool:
    """Return whether the published token was inactive before the probe."""
    published = found.survey.published
    return published is not None and published.accepted is False and found.verify_url is VerifyUrl.CONCLUSIVE


def _logout_refuses_all(found: Observations) -> bool:
    """Return whether logout rejects tokens that must be active."""
    return (
        found.token_test.new.logout is False
        and found.token_test.new.accepted is not False
        and not found.token_test.old.logout
    )


def _still_active(found: Observations) -> int | None:
    """Count the obtained tokens that stay active until they expire; None if unknown."""
    token_test, ends = found.token_test, logout_ends(found)
    if ends is False or _logout_refuses_all(found):
        return token_test.obtained - found.cleanup.spared
    if ends is None and (token_test.old.logout_again or token_test.new.logout_again):
        return None
    return found.cleanup.failed


# The answers in words


def _error_format(found: Observations, _policy: Policy) -> str:
    if found.server_format.error_format is not None:
        return f"its errors use {_ERROR_FORMATS[found.server_format.error_format]}"
    if found.server_format.error_shape is None:
        return "no error was seen, not even for a made-up token"
    return "its errors are in an unknown format: check that the URL leads to the server itself"


def _second_request(found: Observations, _policy: Policy) -> str:
    token_test = found.token_test
    if token_test.is_new is None:
        return _why_unknown(found)
    which = ", which is the published one" if token_test.is_published_reissued else ""
    if token_test.is_new:
        return f"returns a new token{'; the first one was the published token' if which else ''}"
    lifetime = {
        True: "with a later expiry",
        False: "with the same expiry",
        None: "and whether its expiry is later is unknown",
    }
    return f"returns the same token{which}, {lifetime[token_test.prolongs]}"


def _old_token(found: Observations, _policy: Policy) -> str:
    if found.token_test.is_new is False:
        return "the server keeps one at a time"
    answers = {True: "stays active beside the new one", False: "is inactive as soon as there is a new one"}
    lives = old_stays_active(found)
    return _why_unknown(found) if lives is None else answers[lives]


def _logout(found: Observations, _policy: Policy) -> str:
    if _logout_refuses_all(found):
        return "rejects tokens that were just issued: check that it accepts tokens of this grant"
    ends = logout_ends(found)
    if ends is None:
        return _why_unknown(found)
    if ends:
        return "revokes the token"
    return f"reports that it revoked the token, but VERIFY_URL still accepts it {duration(WATCH)} later"


def _lag(found: Observations, _policy: Policy) -> str:
    in_use, fresh = (_lag_of(token) for token in (found.token_test.old, found.token_test.new))
    if not found.survey.can_revoke:
        return "nothing is revoked"
    if in_use is None and fresh is None:
        return "unknown: only VERIFY_URL shows how long a token is accepted after its logout"
    parts = [f"a used token is rejected {in_use}"] if in_use else []
    parts += [f"an unused one {fresh}"] if fresh and in_use else []
    parts += [f"a token is rejected {fresh}"] if fresh and not in_use else []
    again = "; A TOKEN WAS ACCEPTED AGAIN AFTER A REJECTION" if accepted_again(found) else ""
    return f"{', '.join(parts)}{again}"


def _lag_of(token: TokenResult) -> str | None:
    if token.watch is None or token.watch.lag is None:
        return None
    return f"{duration(token.watch.lag)} after its logout"


def _others(found: Observations, _policy: Policy) -> str:
    if old_stays_active(found) is False or found.token_test.is_new is False:
        return "there is no other token that it could revoke"
    answers = {True: "logout revokes every token of the client", False: "logout revokes none of them"}
    others = logout_ends_others(found)
    return _why_unknown(found) if others is None else answers[others]


def _error(found: Observations, _policy: Policy) -> str:
    shape = found.server_format.error_shape
    if shape is None:
        return "no error was seen, not even for a made-up token"
    where = {
        None: "it has no code that the job can find",
        "text": "the code is in its text",
        "header": "the code is in WWW-Authenticate",
    }
    at = where.get(shape.code_at, f"the code is in `{shape.code_at}`")
    return f"{_described(shape)}; {at}"


def _token_answer(found: Observations, _policy: Policy) -> str:
    return _described(found.token_test.token_shape) if found.token_test.token_shape else _why_unknown(found)


def _life(found: Observations, policy: Policy) -> str:
    lifetime = found.token_test.lifetime
    if lifetime is None:
        return _why_unknown(found)
    assumed = "" if found.token_test.has_expires_in else " is assumed, since the server sends no expires_in"
    tolerance = decisions.outage_tolerance(lifetime, policy)
    return f"{duration(lifetime)}{assumed}; consumers notice no outage of up to {_minutes(tolerance)}"


def _clock(found: Observations, _policy: Policy) -> str:
    ahead = found.server_format.clock_ahead
    if ahead is None:
        return "unknown: the server sends no Date"
    if abs(ahead) <= _CLOCK_TOLERANCE:
        return "agrees with the server's to within 5 s"
    side = "ahead of" if ahead > timedelta(0) else "behind"
    seconds = round(abs(ahead).total_seconds())
    return f"this machine's is {duration(timedelta(seconds=seconds))} {side} the server's"


def _verify_url(found: Observations, _policy: Policy) -> str:
    return {
        VerifyUrl.NOT_SET: "is not set; the observations rest on the responses of logout alone",
        VerifyUrl.CONCLUSIVE: "tells an active token from an inactive one",
        VerifyUrl.ACCEPTS_ANYTHING: "accepts a made-up token, so it proves nothing: choose one that needs a token",
        VerifyUrl.REFUSES_FRESH: "rejects a token that was just issued: check that the app has access to that API",
        VerifyUrl.SILENT: "gave no clear answer to a made-up token: check that it works",
    }[found.verify_url]


def _published(found: Observations, _policy: Policy) -> str:
    if not found.survey.permissions.reads_both_secrets:
        return "unknown: this identity may not read its value"
    if found.survey.published is None:
        return "there is no active one"
    if _was_published_refused(found):
        return "was rejected by VERIFY_URL before this probe: run `rotate`"
    answers = {
        True: "was revoked by this probe, so the job rotated",
        False: "is unchanged",
        None: "may have been revoked by this probe, so the job rotated",
    }
    return answers[published_ended(found)]


def _tokens(found: Observations, _policy: Policy) -> str:
    active, spared, obtained = _still_active(found), found.cleanup.spared, found.token_test.obtained
    parts = [f"{obtained} obtained"]
    if active is None:
        parts.append("logged out; whether that revoked them is unknown")
    elif rest := obtained - active - spared:
        parts.append(f"{rest} revoked again")
    if spared:
        parts.append(f"{spared} left active, since they are published or tracked")
    if active:
        parts.append(f"{active} left to expire, since logout did not work or their response was unreadable")
    return ", ".join(parts)


def _why_unknown(found: Observations) -> str:
    if not found.survey.permissions.may_obtain:
        return "unknown: no token was requested, since this identity lacks permissions"
    if found.token_test.failure:
        return f"unknown: {found.token_test.failure}"
    if found.cleanup.spared:
        return "unknown: the server issued a published or tracked token, and doctor does not test published tokens"
    why = "logout accepts the same token twice"
    if _logout_refuses_all(found):
        why = "logout rejects every token"
    if found.logout_failure:
        why = found.logout_failure
    is_last_word = found.verify_url is VerifyUrl.CONCLUSIVE or not found.survey.can_revoke
    return f"unknown: {why}{'' if is_last_word else '; VERIFY_URL would show it'}"


_ANSWERS: dict[str, Callable[[Observations, Policy], str]] = {
    "the dialect": _error_format,
    "an error": _error,
    "a second request": _second_request,
    "the old token": _old_token,
    "logout": _logout,
    "after a logout": _lag,
    "other tokens": _others,
    "a token's answer": _token_answer,
    "a token's life": _life,
    "the clock": _clock,
    "VERIFY_URL": _verify_url,
    "published token": _published,
    "tokens": _tokens,
}


# The guarantees


def _overlap(found: Observations, policy: Policy) -> Guarantee:
    token_test, lives, others = found.token_test, old_stays_active(found), logout_ends_others(found)
    can_coexist = _is_open(found) and lives is not False
    risks = {
        f"no usable token: {token_test.failure}": token_test.failure is not None,
        "VERIFY_URL rejects the published token: run `rotate`, and find out who revoked it": (
            _was_published_refused(found)
        ),
        "each renewal revokes the token that consumers cache, and they get 401 until they read again": lives is False,
        "revoking a superseded token revokes the current one too": others is True,
        "the token cannot be renewed before it expires, so near its end a reader has less than the grace period": (
            token_test.is_new is False and token_test.prolongs is False
        ),
        **_life_risks(token_test.lifetime, policy),
    }
    ahead = found.server_format.clock_ahead
    conditions = {
        "a new token leaves the old one active": _is_open(found) and lives is None,
        "logout revokes no other token": others is None and can_coexist and found.survey.can_revoke,
        "the same token gets a later expiry": token_test.is_new is False and token_test.prolongs is None,
        "the clock of the machine that runs the job is better than this one's": (
            ahead is not None and abs(ahead) > _CLOCK_TOLERANCE
        ),
    }
    holds = (
        f"consumers notice no outage of up to {_minutes(decisions.outage_tolerance(token_test.lifetime, policy))}"
        if token_test.lifetime
        else ""
    )
    return _guarantee("P1 overlap", risks, conditions, holds)


def _is_open(found: Observations) -> bool:
    """Return whether a client may have two tokens, by the observations."""
    return found.token_test.is_new is not False


def _renewal_risks(lifetime: timedelta | None, policy: Policy) -> dict[str, bool]:
    if lifetime is None:
        return {}
    return {
        f"a lifetime of {duration(lifetime)} is too short for GRACE_SECONDS and SCHEDULE_MINUTES: near its end a "
        "reader has less than the grace period": (not decisions.is_in_time(lifetime, policy)),
    }


def _life_risks(lifetime: timedelta | None, policy: Policy) -> dict[str, bool]:
    if lifetime is None:
        return {}
    return {
        **_renewal_risks(lifetime, policy),
        f"a lifetime of {duration(lifetime)} makes the job write more often than Secrets Manager can keep": (
            decisions.writes_too_often(lifetime)
        ),
    }


def _nothing_forgotten(found: Observations) -> Guarantee:
    ends, refuses_all, lag = logout_ends(found), _logout_refuses_all(found), longest_lag(found)
    risks = {
        "a revoked token is accepted until it expires": ends is False,
        "a token was accepted again after a rejection: ask whoever runs the server": accepted_again(found) is True,
        "logout rejects every token, so each stays active until it expires": refuses_all,
        f"a superseded token stays active until it expires: {found.logout_failure}": (
            ends is None and not refuses_all and found.logout_failure is not None
        ),
    }
    later = f", {duration(lag)} later at the most" if lag and lag >= timedelta(seconds=1) else ""
    return _guarantee(
        "P2 every token tracked",
        risks,
        {"logout revokes a token": ends is None},
        f"logout revokes superseded tokens{later}",
    )


def _never_the_current(found: Observations) -> Guarantee:
    others = logout_ends_others(found)
    can_coexist = _is_open(found) and old_stays_active(found) is not False
    return _guarantee(
        "P3 never the current",
        {
            "the logout of a superseded token revokes the current one as well: ask whoever runs the server": others
            is True
        },
        {"logout revokes no other token": others is None and can_coexist and found.survey.can_revoke},
        "a logout revokes its own token alone" if found.survey.can_revoke else "nothing is revoked",
    )


def _self_healing(status: Status) -> Guarantee:
    is_stuck = status.state in {State.OVERDUE, State.EXPIRED, State.FAILING, State.NOT_RUNNING}
    return _guarantee(
        "P5 self-healing",
        {f"runs fail or do not happen; {headline(status)}": is_stuck},
        {},
        "the labels can be read, and no renewal is overdue",
    )


def _availability(found: Observations) -> Guarantee:
    lives = old_stays_active(found)
    return _guarantee(
        "P6 availability",
        {
            "VERIFY_URL rejects new tokens, so none is published: correct it, or leave it out": (
                found.verify_url is VerifyUrl.REFUSES_FRESH
            ),
            "a token request whose response is lost has revoked the published token": lives is False,
        },
        {"a new token leaves the old one active": lives is None and _is_open(found)},
        "a failing request leaves the published token active",
    )


def _paged_in_time(found: Observations, policy: Policy) -> Guarantee:
    return _guarantee(
        "P7 paged in time",
        _renewal_risks(found.token_test.lifetime, policy),
        {"the lifetime is long enough for GRACE_SECONDS and SCHEDULE_MINUTES": found.token_test.lifetime is None},
        "renewals are early enough for TokenExpiryAlarm; `make smoke` checks its recipients",
    )


def _guarantee(name: str, risks: dict[str, bool], conditions: dict[str, bool], holds: str) -> Guarantee:
    """Rate a guarantee by the risks and conditions that apply."""
    if at_risk := [words for words, applies in risks.items() if applies]:
        return Guarantee(name, Rating.AT_RISK, "; ".join(at_risk))
    if holds_if := [words for words, applies in conditions.items() if applies]:
        return Guarantee(name, Rating.HOLDS_IF, " and ".join(holds_if))
    return Guarantee(name, Rating.HOLDS, holds)


def _described(shape: ResponseShape) -> str:
    fields = ", ".join(f"{name} ({kind})" for name, kind in shape.fields.items()) or "no JSON fields"
    return f"{shape.status}, {shape.media_type or 'no media type'}, {fields}"


def _shape_json(shape: ResponseShape | None) -> dict[str, object] | None:
    if shape is None:
        return None
    return {
        "status": shape.status,
        "code": shape.code,
        "code_at": shape.code_at,
        "media_type": shape.media_type,
        "fields": dict(shape.fields),
    }


def _minutes(length: timedelta) -> str:
    return f"{round(length.total_seconds() / 60, 1):g} min"
