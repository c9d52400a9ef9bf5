"""URLs and numbers: the job accepts what a plan or a stack accepts, and both refuse what the job refuses."""

from __future__ import annotations

import re

import hcl2
import pytest

from handler.config import settings_from
from handler.errors import InvalidInputError
from infra.load_template import TEMPLATE, load
from infra.stack_parameters import parameters
from infra.terraform_cli import MODULE

# The names of each setting in the module, the template and the job.
URLS = {
    "telenor_base_url": ("TelenorBaseUrl", "TELENOR_BASE_URL"),
    "verify_url": ("VerifyUrl", "VERIFY_URL"),
    "token_url": ("TokenUrl", "TOKEN_URL"),
    "revocation_url": ("RevocationUrl", "REVOCATION_URL"),
}
WITHOUT_QUERY = {"telenor_base_url"}
OTHER_SERVER = {"TOKEN_URL": "https://as.example/token", "REVOCATION_URL": "none", "TOKEN_PARAMETERS": "audience=a"}

TAKEN = [
    *("https://api.telenor.no", "https://api.telenor.no/", "https://api.telenor.no:8443/gateway/v1"),
    *("https://api.telenor.no:65535", "https://api.telenor.no/a@b", "https://my_gateway/x;y=1,2"),
    *(f"https://{'a' * 63}.no", "http://127.0.0.1:8080", "http://localhost"),
]
REFUSED = [
    *("https://api.telenor.no.", "https://api..telenor.no", f"https://{'a' * 64}.no", "https://api.telenor.no:99999"),
    *("https://api.telenor.no:65536", "https://api.telenor.no:0", "https://[::1", "https://telenør.no"),
    *("https://api.telenor.no\\x", "https://api.telenor.no/a b", "https://api.telenor.no/a\nb"),
    *("https://user@api.telenor.no", "https://user:secret@api.telenor.no/x", "https://api.telenor.no/#x", "https://"),
    *("https:///x", "http://api.telenor.no", "ftp://api.telenor.no", "api.telenor.no"),
]
FORMS = ["audience=https://api.example.com&resource=a%20b&resource=c", "scope_of_use=client_id"]
NOT_FORMS = [
    *("audience", "audience=a&", "audience=%FF", "audience=\u00f8", "audience=a\nb", "grant_type=password"),
    *("%67rant_type=password", "audience=a&client_secret=b", "audience=a&client_id=b", "scope=read"),
]
WITH_QUERY = ["https://api.telenor.no/hello?x=1", "https://api.telenor.no?x=a@b"]


VALIDATIONS = {
    name.strip('"'): str(body["validation"][0]["condition"])
    for block in hcl2.loads((MODULE / "variables.tf").read_text(encoding="utf-8"))["variable"]
    for name, body in block.items()
    if "validation" in body
}

# The patterns use only syntax that means the same in Python.
PATTERNS = {name: re.findall(r'regex\("(.*)", var', VALIDATIONS[name])[0].replace("\\\\", "\\") for name in URLS}
PARAMETERS = parameters(load())

# The longest text that the module takes, of each of its variables that has such a limit.
LENGTHS = {
    name: int(longest[1])
    for name, condition in VALIDATIONS.items()
    if (longest := re.search(r"length\(var\.\w+\) <= ([0-9]+)", condition))
}


def accepted_by(variable: str, url: str) -> dict[str, bool]:
    """Return which of module, template and job accept a URL."""
    parameter, setting = URLS[variable]
    return {
        "module": re.fullmatch(PATTERNS[variable], url, re.ASCII) is not None,
        "template": PARAMETERS[parameter].accepts(url),
        "job": is_accepted_by_the_job(setting, url),
    }


def is_accepted_by_the_job(setting: str, value: str) -> bool:
    settings = {"CREDENTIALS_SECRET_ID": "credentials", "TOKEN_SECRET_ID": "token"}
    if setting in OTHER_SERVER:
        settings |= OTHER_SERVER
    try:
        settings_from(settings | {setting: value}, {})
    except InvalidInputError:
        return False
    return True


@pytest.mark.parametrize("variable", URLS)
@pytest.mark.parametrize("url", [*TAKEN, *REFUSED, *WITH_QUERY])
def test_module_template_and_job_accept_the_same_urls(variable: str, url: str) -> None:
    is_accepted = url in TAKEN or (url in WITH_QUERY and variable not in WITHOUT_QUERY)
    assert set(accepted_by(variable, url).values()) == {is_accepted}


def test_both_take_texts_of_the_same_length() -> None:
    names = {variable: parameter for variable, (parameter, _) in URLS.items()} | {"runbook_url": "RunbookUrl"}
    limits = {variable: PARAMETERS[parameter].definition["MaxLength"] for variable, parameter in names.items()}
    assert limits == LENGTHS


def test_the_consumers_template_accepts_the_same_base_urls() -> None:
    consumer = parameters(load(TEMPLATE.parent / "infra" / "consumer" / "template.yaml"))["TelenorBaseUrl"]
    for property_of_it in ("AllowedPattern", "MaxLength"):
        assert consumer.definition[property_of_it] == PARAMETERS["TelenorBaseUrl"].definition[property_of_it]


def test_the_revocation_url_is_optional() -> None:
    assert set(accepted_by("revocation_url", "none").values()) == {True}
    assert set(accepted_by("token_url", "none").values()) == {False}


@pytest.mark.parametrize(
    ("parameter", "setting", "value", "is_accepted"),
    [
        *[("TokenParameters", "TOKEN_PARAMETERS", value, True) for value in FORMS],
        *[("TokenParameters", "TOKEN_PARAMETERS", value, False) for value in NOT_FORMS],
        *[("GraceSeconds", "GRACE_SECONDS", value, True) for value in ("0", "600", "1000", "1199", "1200")],
        *[("GraceSeconds", "GRACE_SECONDS", value, False) for value in ("600.5", "-1", "1e2000")],
        *[("RenewAtFraction", "RENEW_AT_FRACTION", value, True) for value in ("0.33", ".5", "0.000001", "0.999999")],
        *[("RenewAtFraction", "RENEW_AT_FRACTION", value, False) for value in ("0.0", "1.0", f"0.{'9' * 20}")],
        ("RenewAtFraction", "RENEW_AT_FRACTION", f".{'0' * 400}1", False),
    ],
)
def test_template_and_job_accept_the_same_values(parameter: str, setting: str, value: str, is_accepted: bool) -> None:
    assert PARAMETERS[parameter].accepts(value) is is_accepted
    assert is_accepted_by_the_job(setting, value) is is_accepted
