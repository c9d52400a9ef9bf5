"""Deploys stacks: `make deploy`, `make redeploy`.

Errors are reported before the build, with the parameter's name. It only writes `.aws-sam/`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from handler.cli import standard_streams
from infra.deployed_stack import (
    REGION_VARIABLES,
    RefusalError,
    account_of,
    describe,
    existing,
    refuse_foreign,
    the_region,
)
from infra.load_template import TEMPLATE, load
from infra.stack_parameters import Parameter, check, fault_of, given_values, parameters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = TEMPLATE.parent
_STACK = "telenor-token"


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


def everything_given(template: Mapping[str, Any], arguments: argparse.Namespace) -> dict[str, str]:
    """Return the parameters of CLIENT and SET, and the commit. Raises RefusalError."""
    client = f"ClientName={shlex.quote(arguments.client)} " if arguments.client else ""
    given = given_values(template, client + arguments.set)
    if arguments.client and given["ClientName"] != arguments.client:
        raise RefusalError(f"CLIENT is {arguments.client}, and SET has ClientName={given['ClientName']}: name one")
    if "Version" in given:
        raise RefusalError("SET has Version, which is the commit that is checked out: leave it out")
    return given | {"Version": checked_out()}


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
    environment = os.environ | dict.fromkeys(REGION_VARIABLES, region)
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
    given = everything_given(template, arguments)
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
    standard_streams.write(sys.stdout, f'The next commands need its outputs: eval "$(make -s outputs STACK={stack})"\n')


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Exit status 2: refused, failed or interrupted."""
    parser = argparse.ArgumentParser(prog="python -m infra.deploy", description=__doc__)
    parser.add_argument("command", choices=("deploy", "redeploy"))
    parser.add_argument("--client", help="the client's name, also the end of the stack's name")
    parser.add_argument("--stack", help=f"{_STACK}, or {_STACK}-CLIENT")
    parser.add_argument("--yes", action="store_true", help="do not ask: use given, deployed or default values")
    parser.add_argument("--set", default="", metavar="NAME=VALUE …", help="set parameters without asking")
    parser.add_argument("--sam", default="sam", help="the SAM CLI")
    arguments = parser.parse_args(argv)
    try:
        region = the_region()
        stack = arguments.stack or (f"{_STACK}-{arguments.client}" if arguments.client else _STACK)
        deploy(arguments, stack, region)
        return 0  # noqa: TRY300  each error below has a reason
    except RefusalError as error:
        reason = str(error)
    except EOFError:
        reason = "\nnothing was deployed: stdin ended before the last question (YES=1 does not ask)"
    except KeyboardInterrupt:
        reason = "\nnothing was deployed"
    except OSError as error:
        # Discard what could not be written, or the interpreter fails again at its exit.
        standard_streams.write(sys.stdout, "")
        reason = f"nothing was deployed: {error}"
    print(reason, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
