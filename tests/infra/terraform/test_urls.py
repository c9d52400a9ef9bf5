"""The module's URLs: what a plan accepts the job accepts, and what the job refuses a plan refuses."""

from __future__ import annotations

import re

import pytest

from handler.config import settings_from
from handler.errors import InvalidInputError
from tests.infra.terraform.module import url_patterns

VARIABLES = {"telenor_base_url": "TELENOR_BASE_URL", "verify_url": "VERIFY_URL"}

TAKEN = [
    "https://api.telenor.no",
    "https://api.telenor.no/",
    "https://api.telenor.no:8443/gateway/v1",
    "https://api.telenor.no:65535",
    "https://api.telenor.no/a@b",
    "https://my_gateway/x;y=1,2",
    f"https://{'a' * 63}.no",
    "http://127.0.0.1:8080",
    "http://localhost",
]
REFUSED = [
    "https://api.telenor.no.",
    "https://api..telenor.no",
    f"https://{'a' * 64}.no",
    "https://api.telenor.no:99999",
    "https://api.telenor.no:65536",
    "https://api.telenor.no:0",
    "https://[::1",
    "https://telenør.no",
    "https://api.telenor.no\\x",
    "https://api.telenor.no/a b",
    "https://api.telenor.no/a\nb",
    "https://user@api.telenor.no",
    "https://user:secret@api.telenor.no/x",
    "https://api.telenor.no/#x",
    "https://",
    "https:///x",
    "http://api.telenor.no",
    "ftp://api.telenor.no",
    "api.telenor.no",
]
WITH_QUERY = ["https://api.telenor.no/hello?x=1", "https://api.telenor.no?x=a@b"]


def is_taken(variable: str, url: str) -> bool:
    return re.fullmatch(url_patterns()[variable], url, re.ASCII) is not None


def is_taken_by_the_job(variable: str, url: str) -> bool:
    secrets = {"CREDENTIALS_SECRET_ID": "credentials", "TOKEN_SECRET_ID": "token"}
    try:
        settings_from(secrets | {VARIABLES[variable]: url}, {})
    except InvalidInputError:
        return False
    return True


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("url", TAKEN)
def test_a_url_that_both_take(variable: str, url: str) -> None:
    assert (is_taken(variable, url), is_taken_by_the_job(variable, url)) == (True, True)


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("url", REFUSED)
def test_a_url_that_both_refuse(variable: str, url: str) -> None:
    assert (is_taken(variable, url), is_taken_by_the_job(variable, url)) == (False, False)


@pytest.mark.parametrize("url", WITH_QUERY)
def test_only_the_url_that_is_tried_has_a_query(url: str) -> None:
    assert [is_taken(variable, url) for variable in VARIABLES] == [False, True]
    assert [is_taken_by_the_job(variable, url) for variable in VARIABLES] == [False, True]
