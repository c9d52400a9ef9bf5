"""The kinds of errors, and the codes of the API reference."""

from __future__ import annotations

from enum import Enum, StrEnum


class ApiError(Enum):
    """Every refusal of the API reference: status, error code and the reference's own wording."""

    GRANT_TYPE = (400, 2, "Missing or invalid grant_type")
    CLIENT_ID = (401, 1, "Invalid client id")
    ACCESS_TOKEN = (401, 2, "Invalid access token")
    AUTHORIZATION_CODE = (401, 4, "Invalid authorization code")
    NOT_APPROVED = (401, 5, "Not authorized to create access token")
    HEADER = (401, 6, "Missing or bad Authorization header")
    REFRESH_TOKEN = (401, 7, "Invalid refresh_token")
    CLIENT_DATA = (401, 9, "Invalid Client data")
    GRANT_NOT_ALLOWED = (401, 21, "Unsufficient permissions to use requested grant_type")
    CREDENTIALS = (401, 22, "Basic Authentication failed, bad username or password.")
    SCOPE = (403, 8, "Illegal or non authorized scope")
    REDIRECT_URI = (403, 12, "Invalid RedirectURI")
    RESPONSE_TYPE = (403, 15, "Illegal Response Type")
    INTERNAL = (500, 2, "Internal Server Error")
    APP_ATTRIBUTES = (500, 16, "Invalid App Attributes.Please contact Telenor Admin")

    def __init__(self, status: int, code: int, message: str) -> None:
        self.status = status
        self.code = code
        self.message = message


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
