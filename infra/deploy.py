"""Deploys stacks: `python -m infra.deploy deploy | redeploy | outputs`. The Makefile's targets run it.

Errors are reported before the build, with the parameter's name. It only writes `.aws-sam/`.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from handler.cli import aws, console
from handler.cli.errors import CliError
from handler.secrets_manager import NOT_AWS_ERRORS
from infra.cloudformation_template import TEMPLATE, Parameter, broken_rules, load, parameters

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = TEMPLATE.parent
_STACK = "telenor-token"

# Most SDKs and the AWS CLI read the first, boto3 and SAM the second.
_REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")

# SAM silently removes these from parameter values.
_LOST_BY_SAM = "\"'\\"

# Parameters that must name something of the stack's own account; a secret of another one needs its key.
_OF_OWN_ACCOUNT = ("PermissionsBoundaryArn", "DeploymentRoleArn", "CredentialsSecretArn")

# The command that repairs a stack whose status allows no update.
_REMEDIES = {
    "ROLLBACK_COMPLETE": "delete-stack",
    "ROLLBACK_FAILED": "delete-stack",
    "CREATE_FAILED": "delete-stack",
    "DELETE_FAILED": "delete-stack",
    "UPDATE_FAILED": "rollback-stack",
    "UPDATE_ROLLBACK_FAILED": "continue-update-rollback",
}


class RefusalError(Exception):
    """Nothing was deployed; the message says why."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """An existing stack. If CloudFormation would refuse to update it, `obstacle` says why and what to do."""

    parameters: Mapping[str, str]
    outputs: Mapping[str, str]
    obstacle: str | None = None


@contextlib.contextmanager
def readable(what: str) -> Iterator[None]:
    """Refuse a response that is not AWS's. Raises RefusalError."""
    try:
        yield
    except (*NOT_AWS_ERRORS, IndexError) as error:
        raise RefusalError(aws.unreadable(error, what)) from None


def the_region() -> str:
    """Return the region of the environment or the profile. Raises RefusalError."""
    try:
        region: str | None = boto3.session.Session().region_name
    except BotoCoreError as error:
        raise RefusalError(f"your AWS configuration is unusable: {error}") from None
    region = next((value for name in _REGION_VARIABLES if (value := os.environ.get(name))), region)
    if not region:
        raise RefusalError("no region is set: export AWS_REGION, or use a profile with a region")
    return region


@readable("the stack")
def describe(stack: str, region: str) -> Deployed | None:
    """Return a stack, or None if it does not exist. Raises RefusalError if AWS does not answer."""
    try:
        client = boto3.client("cloudformation", region_name=region)
        described: Any = client.describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        advice = ". Log in again" if aws.code_of(error) in aws.STALE_CREDENTIALS else ""
        raise RefusalError(f"CloudFormation in {region} refused: {str(error).rstrip('.')}{advice}") from None
    except (BotoCoreError, ValueError) as error:
        advice = ". Log in, or set AWS_PROFILE" if isinstance(error, aws.NOT_LOGGED_IN) else ""
        reason = str(error).rstrip(".")
        raise RefusalError(f"CloudFormation in {region} cannot be used: {reason}{advice}") from None
    if described["StackStatus"] == "REVIEW_IN_PROGRESS":
        return None
    return Deployed(
        {each["ParameterKey"]: each["ParameterValue"] for each in described.get("Parameters", [])},
        {each["OutputKey"]: each["OutputValue"] for each in described.get("Outputs", [])},
        _obstacle(described["StackStatus"], stack, region),
    )


def _obstacle(status: str, stack: str, region: str) -> str | None:
    if re.fullmatch("(CREATE|(UPDATE|IMPORT)(_ROLLBACK)?)_COMPLETE", status):
        return None
    message = f"stack {stack} in {region} has the status {status}, which allows no update"
    if status.endswith("_IN_PROGRESS"):
        return f"{message}: wait until the running change has ended"
    where = f"--stack-name {stack} --region {region}"
    message += f": `aws cloudformation describe-stack-events {where}` shows why"
    remedy = _REMEDIES.get(status)
    return f"{message}; then run `aws cloudformation {remedy} {where}`, and try again" if remedy else message


def existing(stack: str, region: str) -> Deployed:
    """Return a stack with its outputs. Raises RefusalError if it does not exist."""
    found = describe(stack, region)
    if found is None:
        raise RefusalError(
            f"there is no stack {stack} in {region}: name it with STACK=, and its region with AWS_REGION"
        )
    if found.obstacle and not found.outputs:
        raise RefusalError(found.obstacle)
    return found


def refuse_foreign(found: Deployed, stack: str, region: str) -> None:
    """Refuse a stack that this template did not make. Raises RefusalError."""
    # The example of a consumer has the first two.
    for output in ("FunctionName", "FunctionRoleArn", "TokenSecretArn", "LogGroupName"):
        if output not in found.outputs:
            raise RefusalError(
                f"stack {stack} in {region} is not this job's: it has no output {output}. Name another with STACK="
            )


def ask(parameter: Parameter, before: str) -> str:
    """Ask for a parameter until its value is accepted; Enter keeps the value in brackets."""
    may_be_empty = parameter.accepts("")
    print(f"  {parameter.definition['Description']}")
    print(f"  Accepted: {parameter.accepted}.{' A hyphen empties it.' if before and may_be_empty else ''}")
    while True:
        value = input(f"  {parameter.name} [{before}]: ").strip() or before
        if value == "-" and may_be_empty:
            value = ""
        fault = fault_of(parameter, value, is_new=value != before)
        if fault is None:
            return value
        print(f"  {fault}.")


def fault_of(parameter: Parameter, value: str, *, is_new: bool = False) -> str | None:
    """Return the fault of a value, or None. SAM gets only new values."""
    if not parameter.accepts(value):
        return f"{parameter.name}={value} is not accepted: use {parameter.accepted}"
    if is_new and any(character in value for character in _LOST_BY_SAM):
        return f"{parameter.name}={value} is not accepted: SAM drops quotes and backslashes"
    return None


def given_values(template: Mapping[str, Any], text: str) -> dict[str, str]:
    """Return the values of `NAME=VALUE …`, split as a shell does. Raises RefusalError."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise RefusalError(f"SET cannot be read: {error}") from None
    known = parameters(template)
    values, faults = {}, []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            faults.append(f"SET has {name} without a value: write {name}=VALUE")
        elif name not in known:
            near = difflib.get_close_matches(name, known, 1)
            faults.append(f"there is no parameter {name}{f': did you mean {near[0]}?' if near else ''}")
        else:
            values[name] = value
            faults += filter(None, [fault_of(known[name], value, is_new=True)])
    if faults:
        raise RefusalError("; ".join(faults))
    return values


def everything_given(template: Mapping[str, Any], arguments: argparse.Namespace, stack: str) -> dict[str, str]:
    """Return the parameters of CLIENT and SET, and the commit. Raises RefusalError."""
    client = f"ClientName={shlex.quote(arguments.client)} " if arguments.client else ""
    given = given_values(template, client + arguments.set)
    if arguments.client and given["ClientName"] != arguments.client:
        raise RefusalError(f"CLIENT is {arguments.client}, and SET has ClientName={given['ClientName']}: name one")
    if "Version" in given:
        raise RefusalError("SET has Version, which is the commit that is checked out: leave it out")
    if not re.fullmatch("[A-Za-z][A-Za-z0-9-]{0,127}", stack):
        raise RefusalError(f"STACK={stack} is not 1 to 128 letters, digits and hyphens that begin with a letter")
    return given | {"Version": checked_out()}


@readable("the account")
def account_of(region: str) -> str:
    """Return the id of the account. Raises RefusalError if AWS does not answer."""
    try:
        return str(boto3.client("sts", region_name=region).get_caller_identity()["Account"])
    except (BotoCoreError, ClientError) as error:
        raise RefusalError(f"AWS does not tell which account this is: {error}") from None


def check(template: Mapping[str, Any], values: Mapping[str, str], region: str, account: str) -> None:
    """Check all values together, as CloudFormation and the job do. Raises RefusalError."""
    known = parameters(template)
    faults = [*filter(None, (fault_of(known[name], value) for name, value in values.items()))]
    if faults := faults or [*broken_rules(template, values), *misplaced(values, region, account)]:
        raise RefusalError("; ".join(faults))


def misplaced(values: Mapping[str, str], region: str, own_account: str) -> Iterator[str]:
    """Yield the faults of partitions, regions and accounts in ARNs, which no rule of CloudFormation can check."""
    own_partition = boto3.session.Session().get_partition_for_region(region)
    accounts = {each.strip() for each in values["ReaderAccountIds"].split(",")}
    for name, value in values.items():
        for arn in value.split(",") if value and name.endswith(("Arn", "Arns", "Principals")) else []:
            _, partition, _, of_region, account, *_ = arn.split(":")
            if partition != own_partition:
                yield f"{name} is in the partition {partition}, and the stack is deployed in {own_partition}"
            if of_region not in {"", region}:
                yield f"{name} is in {of_region}, and the stack is deployed in {region}: use one of {region}"
            if name in _OF_OWN_ACCOUNT and account not in {"aws", own_account}:
                elsewhere = f"{name} is in account {account}, and the stack in {own_account}"
                if name != "CredentialsSecretArn":
                    yield f"{elsewhere}: use one of {own_account}"
                elif not values["CredentialsKmsKeyArn"]:
                    yield f"{elsewhere}: set CredentialsKmsKeyArn, since no other account can use aws/secretsmanager"
            if name == "ReaderPrincipals" and account not in accounts:
                yield f"{name} has a role or user of account {account}: add {account} to ReaderAccountIds too"


def exports(outputs: Mapping[str, str], region: str) -> Iterator[str]:
    """Yield a line for the shell for each output: FunctionName becomes FUNCTION_NAME."""
    for variable in _REGION_VARIABLES:
        yield f"export {variable}={shlex.quote(region)}"
    for name, value in sorted(outputs.items()):
        yield f"export {_variable(name)}={shlex.quote(value)}"


def _variable(output: str) -> str:
    return re.sub("(?<!^)(?=[A-Z])", "_", output).upper()


def checked_out() -> str:
    """Return the last version, the commit, and whether files have changed since. Raises RefusalError."""
    words = ("describe", "--tags", "--match", "v*", "--long", "--always", "--abbrev=40", "--dirty")
    done = subprocess.run(  # noqa: S603  our own words
        ["/usr/bin/env", "git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RefusalError(f"git cannot describe the checkout: {done.stderr.strip()}")
    return done.stdout.strip()


def build_and_deploy(sam: str, stack: str, region: str, changed: Mapping[str, str]) -> None:
    """Build the artifact and deploy the stack with SAM. Other parameters keep their values."""
    _run([sam, "build"], region)
    # Quoted, since SAM parses the argument itself.
    overrides = [f'{name}="{value}"' for name, value in changed.items()]
    _run(
        [
            *(sam, "deploy", "--stack-name", stack, "--region", region, "--no-confirm-changeset"),
            *(["--parameter-overrides", *overrides] if overrides else []),
        ],
        region,
    )


def _run(command: Sequence[str], region: str) -> None:
    what = " ".join(command[:2])
    environment = os.environ | dict.fromkeys(_REGION_VARIABLES, region)
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment, check=False)  # noqa: S603  our own words
    except OSError as error:
        raise RefusalError(f"{what} did not start: {error}") from None
    except KeyboardInterrupt:
        ends = "CloudFormation finishes a change that has begun" if "deploy" in command else "nothing was deployed"
        raise RefusalError(f"{what} was interrupted: {ends}") from None
    if done.returncode:
        raise RefusalError(f"{what} failed: see its output above")


def deploy(arguments: argparse.Namespace, stack: str, region: str) -> None:
    """Ask for the parameters, and deploy. A redeployment does not ask, and needs a stack."""
    template = load()
    known = parameters(template)
    is_again = arguments.command == "redeploy"
    given = everything_given(template, arguments, stack)
    before = existing(stack, region) if is_again else describe(stack, region)
    if before and before.obstacle:
        raise RefusalError(before.obstacle)
    if before:
        refuse_foreign(before, stack, region)
    deployed = {name: parameter.default for name, parameter in known.items()}
    deployed |= {name: value for name, value in (before.parameters if before else {}).items() if name in known}
    values = deployed | given
    print(f"Stack {stack} in {region}: {'an update' if before else 'a new stack'}.")
    asks = not (arguments.yes or is_again)
    if asks:
        for group in template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]:
            print(f"\n{group['Label']['default']}")
            values |= {name: ask(known[name], values[name]) for name in group["Parameters"] if name not in given}
    account = account_of(region)
    check(template, values, region, account)
    if not any(values[name] for name in ("AlarmEmail", "AlarmTopicArn", "PagerEmail", "PagerTopicArn")):
        print("WARNING: no alarm has a recipient. Set AlarmEmail or AlarmTopicArn.")
    changed = {name: value for name, value in values.items() if value != deployed[name]}
    print(f"Changes to the {'deployed values' if before else 'defaults'}:{'' if changed else ' none'}")
    for name, value in changed.items():
        print(f"  {name}: {deployed[name] or '(empty)'} -> {value or '(empty)'}")
    if asks and input(f"Deploy {stack} in account {account}, {region}? [y/N] ").strip().lower() not in {"y", "yes"}:
        raise RefusalError("nothing was deployed")
    print(end="", flush=True)
    build_and_deploy(arguments.sam, stack, region, changed)
    with contextlib.suppress(CliError):
        console.print_stdout(f'The next commands need its outputs: eval "$(make -s outputs STACK={stack})"\n')


def discard_stdout() -> None:
    """Discard what could not be written to stdout, or the interpreter fails again at its exit."""
    with contextlib.suppress(CliError):
        console.print_stdout("")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Exit status 2: refused, failed or interrupted."""
    parser = argparse.ArgumentParser(prog="python -m infra.deploy", description=__doc__)
    parser.add_argument("command", choices=("deploy", "redeploy", "outputs"))
    parser.add_argument("--client", help="the client's name, also the end of the stack's name")
    parser.add_argument("--stack", help=f"{_STACK}, or {_STACK}-CLIENT")
    parser.add_argument("--yes", action="store_true", help="do not ask: use given, deployed or default values")
    parser.add_argument("--set", default="", metavar="NAME=VALUE …", help="set parameters without asking")
    parser.add_argument("--sam", default="sam", help="the SAM CLI")
    arguments = parser.parse_args(argv)
    try:
        region = the_region()
        stack = arguments.stack or (f"{_STACK}-{arguments.client}" if arguments.client else _STACK)
        if arguments.command == "outputs":
            print("\n".join(exports(existing(stack, region).outputs, region)), flush=True)
        else:
            deploy(arguments, stack, region)
    except RefusalError as error:
        print(error, file=sys.stderr)
        if arguments.command == "outputs":
            # With another stack's variables the next commands would act on that stack.
            with contextlib.suppress(CliError):
                console.print_stdout(f"unset {' '.join(map(_variable, load()['Outputs']))}; false\n")
        return 2
    except EOFError:
        print("\nnothing was deployed: stdin ended before the last question (YES=1 does not ask)", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nnothing was deployed", file=sys.stderr)
        return 2
    except OSError as error:
        discard_stdout()
        print(f"nothing was deployed: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
