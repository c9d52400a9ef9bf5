"""The error codes of the API reference."""

from __future__ import annotations

from enum import Enum


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
