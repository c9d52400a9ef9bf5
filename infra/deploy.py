"""Deploys stacks: `python -m infra.deploy deploy | redeploy | outputs`. The Makefile's targets run it.

Whatever is wrong is said before anything is built, with the parameter's name. Nothing is written but `.aws-sam/`.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra import artifact
from infra.template import TEMPLATE, Parameter, broken_rules, load, parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ROOT = TEMPLATE.parent
_STACK = "telenor-token"


class RefusalError(Exception):
    """Nothing was deployed, and why."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """A stack that is there."""

    parameters: Mapping[str, str]
    outputs: Mapping[str, str]


def the_region() -> str:
    """Return the region of the environment or the profile. Raises RefusalError."""
    region: str | None = boto3.session.Session().region_name
    if region is None:
        raise RefusalError("no region is set: export AWS_REGION, or choose a profile that has one")
    return region


def describe(stack: str, region: str) -> Deployed | None:
    """Look a stack up, or return None. Raises RefusalError where AWS cannot be asked."""
    try:
        client = boto3.client("cloudformation", region_name=region)
        described: Any = client.describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise RefusalError(f"CloudFormation in {region} refused: {error}") from None
    except BotoCoreError as error:
        raise RefusalError(f"CloudFormation in {region} was not reached: {error} Log in, or name a profile.") from None
    if described["StackStatus"] == "REVIEW_IN_PROGRESS":
        return None
    return Deployed(
        {each["ParameterKey"]: each["ParameterValue"] for each in described.get("Parameters", [])},
        {each["OutputKey"]: each["OutputValue"] for each in described.get("Outputs", [])},
    )


def existing(stack: str, region: str) -> Deployed:
    """Look up a stack that must be there. Raises RefusalError."""
    found = describe(stack, region)
    if found is None:
        raise RefusalError(
            f"there is no stack {stack} in {region}: name it with STACK=, and its region with AWS_REGION"
        )
    return found


def ask(
    questions: Sequence[tuple[str, Parameter]],
    values: dict[str, str],
    read: Callable[[str], str],
    say: Callable[[str], None],
) -> None:
    """Ask for each parameter under its heading until it is accepted; Enter takes the value in brackets."""
    last = ""
    for heading, parameter in questions:
        if heading != last:
            say(f"\n{heading}")
            last = heading
        say(f"  {parameter.description}")
        while True:
            answer = read(f"  {parameter.name} [{values[parameter.name]}]: ").strip() or values[parameter.name]
            # A single hyphen takes a value away, since Enter keeps it.
            answer = "" if answer == "-" and parameter.accepts("") else answer
            if parameter.accepts(answer):
                values[parameter.name] = answer
                break
            say(f"  {parameter.name} is {parameter.accepted}.")


def questions(template: Mapping[str, Any]) -> Iterator[tuple[str, Parameter]]:
    """Yield each parameter of the template with its heading there."""
    found = parameters(template)
    for group in template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]:
        for name in group["Parameters"]:
            yield group["Label"]["default"], found[name]


def check_each(template: Mapping[str, Any], values: Mapping[str, str]) -> None:
    """Refuse values that their parameter does not accept. Raises RefusalError."""
    known = parameters(template)
    faults = [f"there is no parameter {name}" for name in values if name not in known]
    faults += [
        f"{name}={value} is not accepted: it is {known[name].accepted}"
        for name, value in values.items()
        if name in known and not known[name].accepts(value)
    ]
    if faults:
        raise RefusalError("; ".join(faults))


def check(template: Mapping[str, Any], values: Mapping[str, str]) -> None:
    """Refuse what CloudFormation would refuse of all the values together. Raises RefusalError."""
    check_each(template, values)
    if faults := list(broken_rules(template, values)):
        raise RefusalError("; ".join(faults))


def tells_nobody(values: Mapping[str, str]) -> bool:
    """Tell whether no alarm reaches anybody."""
    return not any(value for name, value in values.items() if re.match("(Alarm|Pager).*(Email|Arn)$", name))


def exports(outputs: Mapping[str, str], region: str) -> Iterator[str]:
    """Yield a line for the shell for each output: FunctionName becomes FUNCTION_NAME."""
    yield f"export AWS_REGION={shlex.quote(region)}"
    for name, value in sorted(outputs.items()):
        yield f"export {re.sub('(?<!^)(?=[A-Z])', '_', name).upper()}={shlex.quote(value)}"


def build_and_deploy(sam: str, stack: str, region: str, changed: Mapping[str, str]) -> None:
    """Build the artifact and hand the stack to SAM. Parameters that are not named keep their values."""
    built = ROOT / ".aws-sam" / "build" / "TokenFunction"
    _run([sam, "build"])
    faults = artifact.faults(built)
    if faults:
        raise RefusalError("; ".join(faults))
    print(artifact.describe(built))  # noqa: T201
    # Quoted, since SAM takes the argument apart itself.
    overrides = [f'{name}="{value}"' for name, value in changed.items()]
    _run(
        [
            *(sam, "deploy", "--stack-name", stack, "--region", region, "--no-confirm-changeset"),
            *(["--parameter-overrides", *overrides] if overrides else []),
        ]
    )


def _run(command: Sequence[str]) -> None:
    if subprocess.run(command, cwd=ROOT, check=False).returncode:  # noqa: S603  our own words
        raise RefusalError(f"{' '.join(command[:2])} failed: what it says stands above")


def deploy(arguments: argparse.Namespace, region: str) -> None:
    """Ask for what is not given, and deploy it."""
    template = load()
    stack = arguments.stack or (f"{_STACK}-{arguments.client}" if arguments.client else _STACK)
    given = dict(each.partition("=")[::2] for each in arguments.values)
    if arguments.client:
        given["ClientName"] = arguments.client
    before = describe(stack, region)
    defaults = {name: parameter.default for name, parameter in parameters(template).items()}
    kept = {name: value for name, value in (before.parameters if before else {}).items() if name in defaults}
    values = defaults | kept | given
    print(f"Stack {stack} in {region}: {'an update' if before else 'a new one'}.")  # noqa: T201  what the user reads
    if not arguments.yes:
        check_each(template, given)
        ask([each for each in questions(template) if each[1].name not in given], values, input, print)
    check(template, values)
    if tells_nobody(values):
        print("WARNING: no alarm reaches anybody. Set AlarmEmail or AlarmTopicArn.")  # noqa: T201
    if not arguments.yes and input(f"Deploy {stack} in {region}? [y/N] ").strip().lower() not in {"y", "yes"}:
        raise RefusalError("nothing was deployed")
    changed = {name: value for name, value in values.items() if value != kept.get(name, defaults[name])}
    build_and_deploy(arguments.sam, stack, region, changed)
    print(f'The next commands need its outputs: eval "$(make -s outputs STACK={stack})"')  # noqa: T201


def redeploy(arguments: argparse.Namespace, region: str) -> None:
    """Deploy this checkout with the values that the stack has."""
    template = load()
    defaults = {name: parameter.default for name, parameter in parameters(template).items()}
    before = existing(arguments.stack, region).parameters
    check(template, defaults | {name: value for name, value in before.items() if name in defaults})
    build_and_deploy(arguments.sam, arguments.stack, region, {})


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Exit status 2: refused, and nothing was deployed."""
    parser = argparse.ArgumentParser(prog="python -m infra.deploy", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    new = commands.add_parser("deploy", help="ask for the parameters, build and deploy")
    new.add_argument("--client", help="the client's name, which is also the end of the stack's")
    new.add_argument("--stack", help=f"{_STACK}, or {_STACK}-CLIENT")
    new.add_argument("--yes", action="store_true", help="ask nothing: what is given, was there, or is the default")
    new.add_argument("values", nargs="*", metavar="NAME=VALUE", help="parameters that are not to be asked for")
    again = commands.add_parser("redeploy", help="build, and update a stack with the values that it has")
    for command in (new, again):
        command.add_argument("--sam", default="sam", help="the SAM CLI")
    printed = commands.add_parser("outputs", help="print a stack's outputs as export lines")
    for command in (again, printed):
        command.add_argument("--stack", default=_STACK)
    arguments = parser.parse_args(argv)
    try:
        region = the_region()
        match arguments.command:
            case "deploy":
                deploy(arguments, region)
            case "redeploy":
                redeploy(arguments, region)
            case _:
                print("\n".join(exports(existing(arguments.stack, region).outputs, region)))  # noqa: T201
    except RefusalError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    except (EOFError, KeyboardInterrupt):
        print("\nnothing was deployed", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
