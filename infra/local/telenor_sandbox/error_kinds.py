"""The errors that the sandbox can send, independent of their format."""

from __future__ import annotations

from enum import StrEnum


class ErrorKind(StrEnum):
    """The kind of an error, independent of its format."""

    GRANT_TYPE = "grant-type"
    GRANT_NOT_ALLOWED = "grant-not-allowed"
    CLIENT_HEADER = "client-header"
    """The token request has no usable Authorization header."""
    CLIENT_ID = "client-id"
    CREDENTIALS = "credentials"
    CLIENT_DATA = "client-data"
    NOT_APPROVED = "not-approved"
    BASIC_NOT_ALLOWED = "basic-not-allowed"
    SCOPE = "scope"
    BEARER_HEADER = "bearer-header"
    """A request that needs an access token carries none."""
    TOKEN_INVALID = "token-invalid"  # noqa: S105  likewise
    """Unknown, or revoked."""
    TOKEN_EXPIRED = "token-expired"  # noqa: S105  likewise
    PRODUCT = "product"
    """No API product covers this API: it says nothing about the token."""
    RESOURCE = "resource"
    """The gateway does not know the resource."""
    NOT_FOUND = "not-found"
    QUOTA = "quota"
    SPIKE_ARREST = "spike-arrest"
    INTERNAL = "internal"
