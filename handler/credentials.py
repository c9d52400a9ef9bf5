"""The client credentials: their class, and the parser of their secret, which explains common mistakes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from handler.errors import ErrorCode, InvalidInputError
from handler.safe_json import json_object

if TYPE_CHECKING:
    from handler.errors import RotationError

_DEFAULT_SOURCE = "the credentials secret (CREDENTIALS_SECRET_ID)"

# Unicode counts these as printable, but a font shows nothing or a blank: fillers, joiners, selectors. U+FFFD stands for
# bytes that are not UTF-8.
_INVISIBLE = {
    "\ufffd",
    *map(chr, (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0)),
    *map(chr, (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))),
}

_SHAPE = '{"client_id": "...", "client_secret": "..."}'


@dataclass(frozen=True, slots=True)
class Credentials:
    """The app's own `client_id` and `client_secret` (RFC 6749, section 2.3.1)."""

    client_id: str
    client_secret: str = field(repr=False)


class KnownCredentials(NamedTuple):
    """The pairs that may have obtained a token. `error` is set if there may be another one, which could not be read."""

    pairs: list[Credentials]
    error: RotationError | None


def credentials_from(content: str, where: str = _DEFAULT_SOURCE) -> Credentials:
    """Read the client credentials from what the secret, or another place, holds. Raises InvalidInputError."""
    document = json_object(content)
    if document is None:
        raise _unusable(f"{where} does not hold a JSON object: put {_SHAPE} there")
    if {"username", "password"} & document.keys() and {"client_id", "client_secret"} - document.keys():
        raise _unusable(
            f"{where} holds a username or a password: Connect ID and Min Bedrift logins do not work here; put the "
            f"app's own {_SHAPE} there, from the developer dashboard"
        )
    for name in ("client_id", "client_secret"):
        value = document.get(name)
        if not isinstance(value, str) or not value:
            raise _unusable(f"{where} has no usable {name}: it must be text that is not empty")
        for index, character in enumerate(value):
            if not character.isprintable() or character in _INVISIBLE:
                raise _unusable(
                    f"{where} has an invisible or unreadable character in {name}, U+{ord(character):04X} at index "
                    f"{index} (the first character has index 0): put the value there without it"
                )
        if value != value.strip():
            raise _unusable(f"{where} has leading or trailing white space in {name}: put the value there without it")
    client_id, client_secret = str(document["client_id"]), str(document["client_secret"])
    return Credentials(client_id, client_secret)


def _unusable(sentence: str) -> InvalidInputError:
    return InvalidInputError(sentence, error_code=ErrorCode.CREDENTIALS_UNUSABLE)
