"""Checks host names and addresses."""

from __future__ import annotations

import ipaddress
import re

# RFC 1035, section 2.3.4, with the underscore that some networks use.
_DNS_LABEL = re.compile(r"[A-Za-z0-9_-]{1,63}")


def is_hostname(host: str) -> bool:
    """Return whether a host can be looked up, or is an address, which may stand in brackets."""
    if all(_DNS_LABEL.fullmatch(label) for label in host.split(".")):
        return True
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
