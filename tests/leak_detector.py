"""Finds the secrets of the tests in a text."""

from __future__ import annotations

import base64

# Every secret in every test contains this.
CANARY = "CANARY"
CLIENT_ID = "client-ø"
CLIENT_SECRET = f"{CANARY}-secret-æ"


def canaries_in(text: str) -> list[str]:
    """Return the traces of secrets in a text: plain, or as Basic authentication encodes them."""
    basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
    return [canary for canary in (CANARY, basic, basic[-12:]) if canary in text]
