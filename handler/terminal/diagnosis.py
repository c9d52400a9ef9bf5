"""What follows from what `doctor` has seen: an answer to each open question, and a verdict for each promise. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from handler import decisions
from handler.terminal.status import State, duration, headline

if TYPE_CHECKING:
    from collections.abc import Callable

    from handler.model import Policy
    from handler.terminal.shape import Shape
    from handler.terminal.status import Status

# A Date header tells whole seconds, and an answer takes a moment.
_CLOCK_TOLERANCE = timedelta(seconds=5)


class VerifyUrl(StrEnum):
    """What VERIFY_URL is good for."""

    NOT_SET = "not-set"
    TELLS = "tells-live-from-dead"
    ACCEPTS_ANYTHING = "accepts-a-made-up-token"
    REFUSES_FRESH = "refuses-a-new-token"
    SILENT = "no-clear-answer"


class Verdict(StrEnum):
    """How a promise stands."""

    HOLDS = "holds"
    HOLDS_IF = "holds-if"
    AT_RISK = "at-risk"


@dataclass(slots=True)
class Findings:
    """What was seen. Of a token, True says that it was alive, False that it was dead, None that nothing told.

    `…_accepted` is what VERIFY_URL said, `…_logout` what logout said: whether it ended a living token. `first` and
    `second` are the tokens that were asked for, one after the other.
    """

    verify_url: VerifyUrl = VerifyUrl.NOT_SET
    error_shape: Shape | None = None
    token_shape: Shape | None = None
    clock_ahead: timedelta | None = None
    token_failure: str | None = None
    is_refused: bool = False
    logout_failure: str | None = None
    made_up_logout: bool | None = None

    has_published: bool = False
    published_before: bool | None = None
    published_after: bool | None = None
    superseded_id: str | None = None
    superseded_accepted: bool | None = None

    life: timedelta | None = None
    is_life_told: bool = True
    is_new: bool | None = None
    """Whether a second request gave another token than the first."""
    prolongs: bool | None = None
    """Whether the same token was handed out with a longer life."""
    is_published_handed_out: bool = False

    first_accepted: bool | None = None
    first_logout: bool | None = None
    first_accepted_after: bool | None = None
    first_logout_again: bool | None = None
    second_accepted: bool | None = None
    second_accepted_after_first: bool | None = None
    second_logout: bool | None = None
    second_accepted_after: bool | None = None
    second_logout_again: bool | None = None

    obtained: int = 0
    spared: int = 0
    """Obtained tokens that are published, and therefore not logged out."""
    failed: int = 0
    """Obtained tokens that could not be logged out."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known about one open question."""

    about: str
    words: str


@dataclass(frozen=True, slots=True)
class Promise:
    """A promise, its verdict and the reason."""

    name: str
    verdict: Verdict
    because: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All answers and all verdicts."""

    answers: tuple[Answer, ...]
    promises: tuple[Promise, ...]

    @property
    def is_at_risk(self) -> bool:
        """Whether any promise is."""
        return any(promise.verdict is Verdict.AT_RISK for promise in self.promises)


def diagnosis(findings: Findings, status: Status) -> Diagnosis:
    """Conclude."""
    return Diagnosis(
        answers=tuple(Answer(about, answer(findings, status.policy)) for about, answer in _ANSWERS.items()),
        promises=(
            _p1(findings, status.policy),
            _p2(findings),
            _p3(findings),
            Promise("P4 no leaks", Verdict.HOLDS, "does not depend on Telenor; the tests watch it"),
            _p5(status),
            _p6(findings),
        ),
    )


def as_json(findings: Findings, found: Diagnosis) -> dict[str, object]:
    """Return the stable fields for scripts; null is what could not be told."""
    life, ahead = findings.life, findings.clock_ahead
    return {
        "second_request_gives_new_token": findings.is_new,
        "same_token_gets_longer_life": findings.prolongs,
        "old_token_lives_on": old_lives_on(findings),
        "logout_ends_token": logout_ends(findings),
        "logout_ends_other_tokens": logout_ends_others(findings),
        "published_token_ended": published_ended(findings),
        "verify_url": findings.verify_url,
        "error": _shape_json(findings.error_shape),
        "token_answer": _shape_json(findings.token_shape),
        "life_seconds": life and int(life.total_seconds()),
        "clock_ahead_seconds": None if ahead is None else round(ahead.total_seconds(), 1),
        "tokens_obtained": findings.obtained,
        "tokens_left": _left(findings),
        "answers": {answer.about: answer.words for answer in found.answers},
        "promises": [
            {"name": promise.name, "verdict": promise.verdict, "because": promise.because} for promise in found.promises
        ],
    }


# What follows from what


def old_lives_on(found: Findings) -> bool | None:
    """Tell whether a token is still alive after another one was requested."""
    if not found.is_new:
        return None
    if found.first_accepted is not None and found.second_accepted:
        return found.first_accepted
    # Logout refuses a dead token, as its second answer shows, so that its first one shows a living token.
    if found.first_logout and found.first_logout_again is False:
        return True
    # Logout does end a living token of this client, so that its refusal shows a dead one.
    if found.first_logout is False and found.second_logout:
        return False
    return None


def logout_ends(found: Findings) -> bool | None:
    """Tell whether a token is dead after its logout."""
    if found.first_accepted and found.first_logout and found.first_accepted_after is not None:
        return not found.first_accepted_after
    if found.second_accepted and found.second_logout and found.second_accepted_after is not None:
        return not found.second_accepted_after
    if found.first_logout and found.first_logout_again is False:
        return True
    if found.second_logout and found.second_logout_again is False:
        return True
    return None


def logout_ends_others(found: Findings) -> bool | None:
    """Tell whether the logout of one token ends another one of the same client."""
    if not old_lives_on(found) or not found.first_logout:
        return None
    if found.second_accepted and found.second_accepted_after_first is not None:
        return not found.second_accepted_after_first
    if found.first_logout_again is False and found.second_logout is not None:
        return not found.second_logout
    return None


def published_ended(found: Findings) -> bool | None:
    """Tell whether the examination has ended the published token."""
    if not found.has_published or found.published_before is False:
        return False
    if found.published_before and found.published_after is not None:
        return not found.published_after
    if not found.obtained:
        # A request that was refused has done nothing; one whose answer was lost may have.
        return False if found.is_refused else None
    if found.is_new is False and found.spared:
        # No token was issued, and none was logged out.
        return False
    lives, others = old_lives_on(found), logout_ends_others(found)
    if lives is False or others:
        return True
    return False if lives and others is False else None


def _is_logout_deaf(found: Findings) -> bool:
    """Tell whether logout refuses tokens that can only be alive."""
    return (
        found.second_logout is False
        and found.second_accepted is not False
        and not (found.first_logout or found.second_accepted_after_first is False)
    )


def _left(found: Findings) -> int | None:
    """Count the obtained tokens that live until they expire, if that can be told."""
    ends = logout_ends(found)
    if ends is False or _is_logout_deaf(found):
        return found.obtained - found.spared
    if ends is None and (found.first_logout_again or found.second_logout_again):
        return None
    return found.failed


# The answers in words


def _second_request(found: Findings, _policy: Policy) -> str:
    if found.is_new is None:
        return _untold(found)
    which = ", which is the published one" if found.is_published_handed_out else ""
    if found.is_new:
        return f"gives a new token{'; the first one was the published token' if which else ''}"
    life = {
        True: "with a longer life",
        False: "with no longer life",
        None: "and whether its life got longer cannot be told",
    }
    return f"gives the same token{which}, {life[found.prolongs]}"


def _old_token(found: Findings, _policy: Policy) -> str:
    if found.is_new is False:
        return "there is only one at a time"
    answers = {True: "lives on beside the new one", False: "is dead as soon as there is a new one"}
    lives = old_lives_on(found)
    return _untold(found) if lives is None else answers[lives]


def _logout(found: Findings, _policy: Policy) -> str:
    if _is_logout_deaf(found):
        return "refuses tokens that were just issued: see that it takes tokens of this grant"
    ends = logout_ends(found)
    if ends is None:
        return _untold(found)
    return "ends the token" if ends else "says that it ended the token, but VERIFY_URL still accepts it"


def _others(found: Findings, _policy: Policy) -> str:
    if old_lives_on(found) is False or found.is_new is False:
        return "there is no other token that it could end"
    answers = {True: "logout ends every token of the client", False: "logout leaves them alone"}
    others = logout_ends_others(found)
    return _untold(found) if others is None else answers[others]


def _error(found: Findings, _policy: Policy) -> str:
    shape = found.error_shape
    if shape is None:
        return "no error was seen, not even for a made-up token"
    where = {None: "it has no code that the job can find", "text": "the code is in its text"}
    at = where.get(shape.code_at, f"the code is in `{shape.code_at}`")
    return f"{_described(shape)}; {at}"


def _token_answer(found: Findings, _policy: Policy) -> str:
    return _described(found.token_shape) if found.token_shape else _untold(found)


def _life(found: Findings, policy: Policy) -> str:
    if found.life is None:
        return _untold(found)
    told = "" if found.is_life_told else " is assumed, as Telenor sends no expires_in"
    slack = decisions.slack(found.life, policy)
    return (
        f"{duration(found.life)}{told}; the slack for an outage is {_minutes(slack)}, and {_minutes(policy.schedule)} "
        "less where the runs do not fall on the time of renewal"
    )


def _clock(found: Findings, _policy: Policy) -> str:
    if found.clock_ahead is None:
        return "cannot be told: Telenor sends no Date"
    if abs(found.clock_ahead) <= _CLOCK_TOLERANCE:
        return "agrees with Telenor's to within 5 s"
    side = "ahead of" if found.clock_ahead > timedelta(0) else "behind"
    seconds = round(abs(found.clock_ahead).total_seconds())
    return f"this machine's is {duration(timedelta(seconds=seconds))} {side} Telenor's"


def _verify_url(found: Findings, _policy: Policy) -> str:
    return {
        VerifyUrl.NOT_SET: "is not set; what follows from logout's answers alone is told",
        VerifyUrl.TELLS: "tells a live token from a dead one",
        VerifyUrl.ACCEPTS_ANYTHING: "accepts a made-up token, so it proves nothing: choose one that needs a token",
        VerifyUrl.REFUSES_FRESH: "refuses a token that was just issued: see that the app has access to that API",
        VerifyUrl.SILENT: "gave no clear answer to a made-up token: see that it works",
    }[found.verify_url]


def _published(found: Findings, _policy: Policy) -> str:
    if not found.has_published:
        return "there is none that is alive"
    if found.published_before is False:
        return "was refused by VERIFY_URL before anything was asked: run `rotate`"
    answers = {
        True: "was ended by this examination: run `rotate` now",
        False: "was left as it was",
        None: "whether it is still alive cannot be told: run `rotate` to be sure",
    }
    return answers[published_ended(found)]


def _tokens(found: Findings, _policy: Policy) -> str:
    left, spared = _left(found), found.spared
    parts = [f"{found.obtained} obtained"]
    if left is None:
        parts.append("logged out, and whether that ended them cannot be told")
    elif rest := found.obtained - left - spared:
        parts.append(f"{rest} ended again")
    if spared:
        parts.append(f"{spared} left alone, being published or tracked")
    if left:
        parts.append(f"{left} left to expire, as logout did not work")
    return ", ".join(parts)


def _untold(found: Findings) -> str:
    if found.token_failure:
        return f"cannot be told: {found.token_failure}"
    if found.spared:
        return "cannot be told: Telenor hands out a published or tracked token, and that one is not for trying"
    why = "logout accepts the same token twice"
    if _is_logout_deaf(found):
        why = "logout refuses every token"
    if found.logout_failure:
        why = found.logout_failure
    return f"cannot be told: {why}{'' if found.verify_url is VerifyUrl.TELLS else '; VERIFY_URL would tell'}"


_ANSWERS: dict[str, Callable[[Findings, Policy], str]] = {
    "a second request": _second_request,
    "the old token": _old_token,
    "logout": _logout,
    "other tokens": _others,
    "an error": _error,
    "a token's answer": _token_answer,
    "a token's life": _life,
    "the clock": _clock,
    "VERIFY_URL": _verify_url,
    "published token": _published,
    "tokens": _tokens,
}


# The promises


def _p1(found: Findings, policy: Policy) -> Promise:
    lives, others = old_lives_on(found), logout_ends_others(found)
    risks = {
        f"no token can be had: {found.token_failure}": found.token_failure is not None,
        "VERIFY_URL refuses the published token: run `rotate`, and find out what ended it": (
            found.published_before is False
        ),
        "each renewal ends the token that consumers hold, and they are refused until they read again": lives is False,
        "revoking a superseded token ends the current one too": others is True,
        "the token cannot be renewed before it expires, so that near its end a reader has less than the grace": (
            found.is_new is False and found.prolongs is False
        ),
        **_life_risks(found.life, policy),
    }
    conditions = {
        "a new token leaves the old one alive": found.is_new is True and lives is None,
        "logout leaves other tokens alone": found.is_new is True and lives is not False and others is None,
        "the same token gets a longer life": found.is_new is False and found.prolongs is None,
        **_life_conditions(found, policy),
        "the clock of the machine that runs the job is better than this one's": (
            found.clock_ahead is not None and abs(found.clock_ahead) > _CLOCK_TOLERANCE
        ),
    }
    slack = decisions.slack(found.life, policy) if found.life is not None else timedelta(0)
    holds = (
        f"an outage of up to {_minutes(slack - policy.schedule)} hurts nobody, nor one of {_minutes(slack)} where runs "
        "fall on the time of renewal"
    )
    return _promise("P1 overlap", risks, conditions, holds)


def _life_risks(life: timedelta | None, policy: Policy) -> dict[str, bool]:
    if life is None:
        return {}
    return {
        f"a life of {duration(life)} is no longer than GRACE_SECONDS and SCHEDULE_MINUTES together": (
            decisions.is_life_too_short(life, policy)
        )
    }


def _life_conditions(found: Findings, policy: Policy) -> dict[str, bool]:
    if found.life is None:
        return {}
    slack = decisions.slack(found.life, policy)
    return {
        f"a token lives for {duration(found.life)} at least": not found.is_life_told,
        f"the token endpoint is never out for longer than {_minutes(slack)}": slack <= policy.schedule,
    }


def _p2(found: Findings) -> Promise:
    ends, is_deaf = logout_ends(found), _is_logout_deaf(found)
    risks = {
        "a token that was logged out is accepted until it expires": ends is False,
        "logout refuses every token, so that each lives until it expires": is_deaf,
        f"a superseded token lives until it expires: {found.logout_failure}": (
            ends is None and not is_deaf and found.logout_failure is not None
        ),
    }
    return _promise(
        "P2 nothing forgotten", risks, {"logout ends a token": ends is None}, "logout ends what is superseded"
    )


def _p3(found: Findings) -> Promise:
    others = logout_ends_others(found)
    can_coexist = found.is_new is not False and old_lives_on(found) is not False
    return _promise(
        "P3 never the current",
        {"the logout of a superseded token ends the current one as well: ask Telenor": others is True},
        {"logout leaves other tokens alone": others is None and can_coexist},
        "a logout ends nothing but its own token",
    )


def _p5(status: Status) -> Promise:
    is_stuck = status.state in {State.OVERDUE, State.EXPIRED}
    return _promise(
        "P5 self-healing",
        {f"runs fail or do not happen; {headline(status)}": is_stuck},
        {},
        "the labels can be read, and no renewal is overdue",
    )


def _p6(found: Findings) -> Promise:
    lives = old_lives_on(found)
    return _promise(
        "P6 availability",
        {
            "VERIFY_URL refuses new tokens, so that none is published: correct it, or leave it out": (
                found.verify_url is VerifyUrl.REFUSES_FRESH
            ),
            "a token request whose answer is lost has ended the published token": lives is False,
        },
        {"a new token leaves the old one alive": lives is None and found.is_new is not False},
        "a failing request leaves what is published alone",
    )


def _promise(name: str, risks: dict[str, bool], conditions: dict[str, bool], holds: str) -> Promise:
    """Judge by which risks and conditions apply; each is said in its words."""
    if at_risk := [words for words, applies in risks.items() if applies]:
        return Promise(name, Verdict.AT_RISK, "; ".join(at_risk))
    if holds_if := [words for words, applies in conditions.items() if applies]:
        return Promise(name, Verdict.HOLDS_IF, " and ".join(holds_if))
    return Promise(name, Verdict.HOLDS, holds)


def _described(shape: Shape) -> str:
    fields = ", ".join(f"{name} ({kind})" for name, kind in shape.fields.items()) or "no fields of JSON"
    return f"{shape.status}, {shape.media_type or 'no media type'}, {fields}"


def _shape_json(shape: Shape | None) -> dict[str, object] | None:
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
