"""A plan refuses invalid values, and names the client or variable and the fault."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from infra.terraform_cli import MODULE, copied, terraform_test

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.terraform

SECRET = "arn:aws:secretsmanager:eu-north-1:123456789012:secret:mine-a1b2c3"
KEY = "arn:aws:kms:eu-north-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
READER = "arn:aws:iam::999999999999:root"

# Each refused client by its name, with a word of its message.
REFUSED: dict[str, tuple[Any, str]] = {
    "In-Capitals": ({}, "lower-case"),
    "a23456789012345678901234567890123": ({}, "1 to 32"),
    "none": (None, "object"),
    "mistyped": ({"grace_second": 900}, "grace_second "),
    "a-list-as-scope": ({"scope": ["a"]}, "strings"),
    "a-long-scope": ({"scope": "a" * 513}, "512"),
    "long-parameters": ({"token_parameters": f"audience={'a' * 504}"}, "512"),
    "its-own-token": (
        {"credentials_secret_arn": SECRET.replace("mine", "telenor-token/its-own-token/token")},
        "is a token secret",
    ),
    "another-clients-own": (
        {"credentials_secret_arn": SECRET.replace("mine", "telenor-token/nothing/credentials-2026")},
        "made for nothing",
    ),
    "an-arn-cut-short": ({"credentials_secret_arn": SECRET.removesuffix("-a1b2c3")}, "last six"),
    "a-wildcard": ({"credentials_secret_arn": SECRET.replace("mine", "*")}, "last six"),
    "the-same": ({"credentials_secret_arn": SECRET}, "the-same-again"),
    "the-same-again": ({"credentials_secret_arn": SECRET}, "the-same"),
    "elsewhere": ({"credentials_secret_arn": SECRET.replace("eu-north-1", "eu-west-1")}, "eu-west-1"),
    "another-account": ({"credentials_secret_arn": SECRET.replace("123456789012", "999999999999")}, "another account"),
    "an-alias": ({"credentials_secret_arn": SECRET + "2", "credentials_kms_key_arn": "alias/mine"}, "alias"),
    "a-key-elsewhere": (
        {
            "credentials_secret_arn": SECRET.replace("mine", "other"),
            "credentials_kms_key_arn": KEY.replace("eu-north-1", "eu-west-1"),
        },
        "eu-west-1",
    ),
    "a-key-alone": ({"credentials_kms_key_arn": KEY}, "Name that secret too"),
    "two-spaces": ({"scope": "one  two"}, "one space"),
    "not-a-field": ({"token_parameters": "audience"}, "form-encoded"),
    "not-encoded": ({"token_parameters": "audience=a b"}, "form-encoded"),
    "another-spelling": ({"token_parameters": "%67rant_type=password"}, "form-encoded"),
    "a-field-of-the-job": ({"token_parameters": "audience=a&scope=b"}, "the job sets"),
    "telenor-with-parameters": ({"token_parameters": "audience=a"}, "needs token_url"),
    "a-long-grace": ({"grace_seconds": 1201}, "1200"),
    "a-negative-grace": ({"grace_seconds": -1}, "1200"),
    "half-a-second": ({"grace_seconds": 0.5}, "whole"),
    "a-grace-in-words": ({"grace_seconds": "ten minutes"}, "whole"),
    "half-protected": ({"deletion_protection": "perhaps"}, "true or false"),
    "everybody-reads": ({"reader_principals": ["*"]}, "whole ARNs"),
    "one-reader-not-listed": ({"reader_principals": READER}, "whole ARNs"),
    "readers-elsewhere": ({"reader_principals": [READER.replace("aws", "aws-cn")]}, "partition aws"),
    "readers-without-a-key": ({"reader_principals": [READER]}, "need kms_key_arn"),
    "ireland": ({"replica_regions": [{"region": "Ireland"}]}, "eu-west-1"),
    "a-region-alone": ({"replica_regions": "eu-west-1"}, "eu-west-1"),
    "a-region-as-a-list": ({"replica_regions": [{"region": ["eu-west-1"]}]}, "eu-west-1"),
    "a-replicas-key-as-list": (
        {"replica_regions": [{"region": "eu-west-1", "kms_key_arn": ["x"]}]},
        "replica's region",
    ),
    "regions-as-words": ({"replica_regions": ["eu-west-1"]}, "eu-west-1"),
    "twice": ({"replica_regions": [{"region": "eu-west-1"}, {"region": "eu-west-1"}]}, "twice"),
    "where-it-is": ({"replica_regions": [{"region": "eu-north-1"}]}, "eu-north-1"),
    "a-replica-mistyped": ({"replica_regions": [{"region": "eu-west-1", "key": KEY}]}, "other than"),
    "a-replicas-key": ({"replica_regions": [{"region": "eu-west-1", "kms_key_arn": KEY}]}, "replica's region"),
}


def test_every_refusal_names_its_client_and_the_fault(tmp_path: Path) -> None:
    good = {
        "nothing": {},
        "nulls": {"scope": None, "replica_regions": None, "reader_principals": None},
        "another-accounts-with-its-key": {
            "credentials_secret_arn": SECRET.replace("123456789012", "888888888888"),
            "credentials_kms_key_arn": KEY,
        },
        "everything": {"scope": "one two", "grace_seconds": 0, "replica_regions": []},
    }
    clients = good | {name: value for name, (value, _) in REFUSED.items()}
    messages: dict[str, str] = {}
    for line in refused(tmp_path, {"clients": clients}).splitlines():
        _, _, sentence = line.partition("clients: ")
        name, _, what = sentence.partition(": ")
        if what:
            messages[name] = messages.get(name, "") + what
    for name, (_, word) in REFUSED.items():
        assert word in messages[name]
    assert messages.keys() == REFUSED.keys()


def test_an_arn_of_another_region_is_refused_and_both_regions_named(tmp_path: Path) -> None:
    elsewhere = KEY.replace("eu-north-1", "eu-west-1")
    topic = "arn:aws:sns:eu-west-1:123456789012:mine"
    variables = {
        "kms_key_arn": elsewhere,
        "previous_kms_key_arns": [KEY, elsewhere],
        "alarm_topic_arn": topic,
        "pager_topic_arn": topic,
        "permissions_boundary_arn": "arn:aws:iam::999999999999:policy/theirs",
        "deployment_role_arn": "arn:aws:iam::999999999999:role/theirs",
    }
    message = refused(tmp_path, variables)
    for name in ("kms_key_arn", "previous_kms_key_arns[1]", "alarm_topic_arn", "pager_topic_arn"):
        assert f"{name} is in eu-west-1, and this module's region is eu-north-1." in message
    assert "previous_kms_key_arns[0]" not in message
    assert "permissions_boundary_arn is not a policy of account 123456789012 in the partition aws" in message
    assert "deployment_role_arn is not a role of account 123456789012 in the partition aws" in message


def refused(directory: Path, variables: dict[str, Any]) -> str:
    """Plan with these variables, and return all error messages."""
    copy = copied(MODULE, directory / "module")
    given = "".join(
        f"    {name} = {json.dumps(value)}\n" for name, value in {"artifact_path": "versions.tf", **variables}.items()
    )
    (copy / "tests" / "refused.tftest.hcl").write_text(
        'mock_provider "aws" {\n  source = "./tests/mocks"\n}\n\nrun "refused" {\n  command = plan\n'
        f"  variables {{\n{given}  }}\n}}\n"
    )
    with pytest.raises(ValueError, match="precondition failed") as error:
        terraform_test(copy, "refused")
    return str(error.value)
