"""The knobs and faults of the running sandbox, checked by pydantic."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

USUAL: Final = "usual"
"""As in the current error format."""

Seconds = Annotated[FiniteFloat, Field(ge=0)]


class Setting(BaseModel):
    """Takes its own fields only, and each in its own type: JSON's true is not a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Knobs(Setting):
    """The behaviour that the reference leaves open."""

    error_format: Literal["reference", "gateway", "apigee", "rfc6749"] = "reference"
    """The error format of its responses."""
    error_shape: Literal["code", "errorCode", "error_code", "error", "fault", "text", "none"] = "code"
    """How an error with a number looks: the reference's and the gateway's JSON is not documented."""
    variations: bool = True
    """Whether the order of fields, the spacing and unknown fields vary, which no client should rely on."""

    lifetime_seconds: Annotated[FiniteFloat, Field(gt=0)] = 3599
    expires_in_as: Literal["usual", "number", "string", "missing", "raw"] = USUAL
    expires_in_raw: Any = None
    token_type: Any = USUAL
    """None: leave it out."""
    refresh_token: bool = False
    """Whether a token comes with a refresh token, which opens nothing."""
    issue: Literal["new", "same", "same-extended", "new-revokes-old"] = "new"
    """Whether a client's active token stays, is reissued (with a later expiry), or is revoked."""

    logout_ends: Literal["token", "client", "nothing"] = "token"
    """Whether logout revokes that token, every token of its client, or nothing although it returns 200."""
    revocation_lags_seconds: Seconds = 0
    """For how long the protected resource still accepts a revoked token: Apigee's gateways cache the validity of a
    token for about three minutes."""
    new_token_lags_seconds: Seconds = 0
    """For how long the protected resource rejects a new token."""
    approved_again_after_seconds: Seconds | None = None
    """How long after its logout an unexpired token is active again; None: never."""

    clock_ahead_seconds: FiniteFloat = 0
    """By how much the Date header of each answer is ahead of the sandbox's clock."""


class Fault(Setting):
    """A fault of the next requests of one operation.

    If the response is dropped or replaced, the operation has no effect, unless ``when`` is "after": then it
    took effect, and only its response is lost. A delay, a cut response or an extra header do not change the
    operation itself.
    """

    operation: Literal["token", "logout", "incidents"]
    times: Annotated[int, Field(ge=1)] | None = None
    """How many requests it hits; None: all until it is cleared."""
    when: Literal["before", "after"] = "before"
    delay_seconds: Seconds = 0
    drop: bool = False
    """Close the connection without an answer."""
    status: Annotated[int, Field(ge=200, le=599)] | None = None
    body: str | None = None
    content_type: str | None = None
    headers: dict[str, str] | None = None
    retry_after: Annotated[int, Field(ge=0)] | str | None = None
    truncate_bytes: Annotated[int, Field(ge=0)] | None = None
    """Keep only so many bytes of the answer, with a Content-Length that fits."""
    html: bool = False
    """A page in place of the answer."""

    def left_over(self) -> list[Fault]:
        """Return the faults that remain after one request."""
        if self.times is None:
            return [self]
        return [self.model_copy(update={"times": self.times - 1})] if self.times > 1 else []

    @property
    def replaces(self) -> bool:
        """Whether the fault replaces the response."""
        return self.html or self.status is not None or self.body is not None

    @property
    def hides(self) -> bool:
        """Whether the client sees no part of the real response."""
        return self.drop or self.replaces

    @property
    def acts(self) -> bool:
        """Whether the operation takes effect despite this fault."""
        return self.when == "after" or not self.hides
