"""What can be turned and broken while the sandbox runs, checked by pydantic."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from infra.local.telenor_sandbox.errors import ErrorKind  # noqa: TC001  pydantic reads the annotations

USUAL: Final = "usual"
"""As the error format of the moment has it."""

LONGEST_REVOCATION_LAG_SECONDS = 180
"""Apigee's gateways cache that a token is valid for about three minutes."""


class BadSettingError(ValueError):
    """A knob or a fault that makes no sense. The message is one sentence for its sender."""


def _one_line(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        raise ValueError("must be one line of ASCII text")
    return text


Line = Annotated[str, AfterValidator(_one_line)]
Seconds = Annotated[FiniteFloat, Field(ge=0)]


class Setting(BaseModel):
    """Takes its own fields only, and each in its own type: JSON's true is not a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Knobs(Setting):
    """How the sandbox behaves where the reference leaves it open."""

    error_format: Literal["reference", "gateway", "apigee", "rfc6749"] = "reference"
    """The error format of its responses."""
    error_shape: Literal["code", "errorCode", "error_code", "error", "fault", "text", "none"] = "code"
    """How an error with a number looks: the reference's and the gateway's JSON is not documented."""
    apigee_shape: Literal["fault", "ErrorCode"] = "fault"
    """How Apigee refuses a token request: as a fault, or as a policy that generates its own response."""
    variations: bool = True
    """Whether the order of fields, the spacing and unknown fields vary, which no client should rely on."""

    lifetime_seconds: Annotated[FiniteFloat, Field(gt=0)] = 3599
    expires_in_as: Literal["usual", "number", "string", "missing", "raw"] = USUAL
    expires_in_raw: Any = None
    token_type: Any = USUAL
    """None: leave it out."""
    refresh_token: bool = False
    """Whether a token comes with a refresh token, which opens nothing."""
    scope_in_answer: bool = False
    issue: Literal["new", "same", "same-extended", "new-kills-old"] = "new"
    """Whether a client's living token is left alone, handed out again (with a longer life), or killed."""

    logout_ends: Literal["token", "client", "nothing"] = "token"
    """Whether logout ends that token, every token of its client, or nothing although it answers 200."""
    revocation_lags_seconds: Annotated[FiniteFloat, Field(ge=0, le=LONGEST_REVOCATION_LAG_SECONDS)] = 0
    """For how long the protected resource still accepts a token that was revoked or killed."""
    new_token_lags_seconds: Seconds = 0
    """For how long the protected resource refuses a token that has just been issued."""
    approved_again_after_seconds: Seconds | None = None
    """How long after its logout a token that has not expired is approved again; None: never."""

    clock_ahead_seconds: FiniteFloat = 0
    """By how much the Date header of each answer is ahead of the sandbox's clock."""


class Fault(Setting):
    """Something that goes wrong with the next requests of one operation.

    A dropped or replaced answer means that the operation had no effect, unless ``when`` is "after": then it
    took effect and only its answer was lost. A delay alone, a cut answer or an extra header leave the
    operation itself as it is.
    """

    operation: Literal["token", "logout", "incidents"]
    times: Annotated[int, Field(ge=1)] | None = None
    """How many requests it hits; None: all until it is cleared."""
    when: Literal["before", "after"] = "before"
    delay_seconds: Seconds | None = None
    drop: bool = False
    """Close the connection without an answer."""
    kind: Annotated[ErrorKind, Field(strict=False)] | None = None
    """An error of this kind, in the error format of the moment."""
    status: Annotated[int, Field(ge=200, le=599)] | None = None
    body: str | None = None
    content_type: Line | None = None
    headers: dict[Line, Line] | None = None
    retry_after: Annotated[int, Field(ge=0)] | Line | None = None
    truncate_bytes: Annotated[int, Field(ge=0)] | None = None
    """Keep only so many bytes of the answer, with a Content-Length that fits."""
    html: bool = False
    """An HTML page in place of the answer, with 200 unless there is a status."""

    @model_validator(mode="after")
    def _effects_go_together(self) -> Self:
        effects = self.effects
        if not effects:
            raise ValueError(f"needs at least one of {', '.join(_EFFECTS)}")
        for effect in sorted(effects & _EXCLUDED.keys()):
            if clash := sorted(effects & _EXCLUDED[effect]):
                raise ValueError(f"cannot have {effect} together with {', '.join(clash)}")
        return self

    @property
    def effects(self) -> set[str]:
        """The names of the effects that this fault has."""
        # By identity: 0 seconds, 0 bytes and an empty body are values too.
        values = {name: getattr(self, name) for name in _EFFECTS}
        return {name for name, value in values.items() if value is not None and value is not False}

    def left_over(self) -> list[Fault]:
        """Return what remains of it after one request: itself, once less of it, or nothing."""
        if self.times is None:
            return [self]
        return [self.model_copy(update={"times": self.times - 1})] if self.times > 1 else []

    @property
    def replaces(self) -> bool:
        """Whether an answer of its own takes the place of the real one."""
        return self.html or self.status is not None or self.body is not None

    @property
    def hides(self) -> bool:
        """Whether the client sees no part of the real response."""
        return self.drop or self.replaces or self.kind is not None

    @property
    def acts(self) -> bool:
        """Whether the operation takes effect in spite of this fault."""
        return self.when == "after" or not self.hides


_EFFECTS = tuple(name for name in Fault.model_fields if name not in {"operation", "times", "when"})
_EXCLUDED = {
    "drop": frozenset(_EFFECTS) - {"drop", "delay_seconds"},
    "html": frozenset({"body", "content_type", "kind"}),
    "kind": frozenset({"body", "status"}),
}

SettingT = TypeVar("SettingT", bound=Setting)


def checked(kind: type[SettingT], given: dict[str, Any]) -> SettingT:
    """Return the setting, or say in one sentence what is wrong with it."""
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise BadSettingError(_sentence(kind, error)) from None


def _sentence(kind: type[Setting], error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        return f"{kind.__name__} has no field {where!r}; it has {', '.join(kind.model_fields)}."
    what = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    return f"{kind.__name__} {where and where + ': '}{what[0].lower() + what[1:]}."
