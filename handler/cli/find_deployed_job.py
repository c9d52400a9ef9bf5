"""Finds deployed jobs by stack, function and client."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from handler.cli import aws, aws_errors
from handler.cli.deployed_job import DeployedJob, Function
from handler.cli.errors import NotAllowedError, UsageError, prefixed
from handler.cli.job import REQUIRED_VARIABLES
from handler.config import settings_from
from handler.errors import InvalidInputError, RotationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from handler.cli.log_printer import LogPrinter

# An output of template.yaml.
_FUNCTION_OUTPUT = "FunctionName"


def find_stack(name: str, region: str | None) -> Function:
    """Return the function of a stack. Raises UsageError or AccessError."""
    cloudformation = aws.client("cloudformation", aws.region_of(name) or region)
    region = cloudformation.meta.region_name
    with aws_errors.explained(f"stack {name}", region):
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    if _FUNCTION_OUTPUT not in outputs:
        raise UsageError(
            f"stack {name} in {region} is not this job's, or is not deployed yet: it has no output {_FUNCTION_OUTPUT}"
        )
    return find_function(outputs[_FUNCTION_OUTPUT], region)


def find_function(name: str, region: str | None) -> Function:
    """Return a function by its name or ARN. Raises UsageError or AccessError."""
    client = aws.client("lambda", aws.region_of(name) or region)
    region = client.meta.region_name
    with aws_errors.explained(f"function {name}", region):
        configuration = client.get_function_configuration(FunctionName=name)
        own_name = configuration["FunctionName"]
        environment = configuration.get("Environment", {})
        if "Error" in environment:
            raise NotAllowedError(
                f"the settings of function {name} cannot be decrypted: use an identity that may use its KMS key"
            )
        variables = environment.get("Variables", {})
        if missing := [name for name in REQUIRED_VARIABLES if not variables.get(name)]:
            raise UsageError(
                f"function {name} is not this job, or was deployed otherwise: it has no {' and no '.join(missing)}"
            )
        return Function(
            name=own_name,
            arn=configuration["FunctionArn"],
            region=region,
            variables=variables,
            timeout=timedelta(seconds=configuration["Timeout"]),
            log_group=configuration.get("LoggingConfig", {}).get("LogGroup", f"/aws/lambda/{own_name}"),
        )


def find_jobs(
    name: str, function: Function, log: LogPrinter, clients: Sequence[str | Mapping[str, object]] = ()
) -> tuple[list[DeployedJob], list[RotationError]]:
    """Return the jobs of a function, for the given clients or for all, and why the jobs of others cannot be found.

    A client is a name, or the event of its schedule. A client that the function does not serve is left out. Raises
    RotationError if that is about the function itself.
    """
    if not function.serves_clients:
        try:
            settings = settings_from(function.variables, {})
        except InvalidInputError as error:
            raise prefixed(error, f"function {function.name}") from None
        is_meant = not clients or settings.client in map(client_name, clients)
        return [DeployedJob(name, function, settings, log)] if is_meant else [], []
    events, errors = ([], []) if clients else function.schedules.events()
    jobs = []
    for client in clients or events:
        try:
            event = function.schedules.event_of(client) if isinstance(client, str) else client
            if event is not None:
                settings = settings_from(function.variables, event)
                jobs.append(DeployedJob(settings.client, function, settings, log, event))
        except RotationError as error:
            errors.append(prefixed(error, f"client {client_name(client)}"))
    return jobs, errors


def client_name(client: str | Mapping[str, object]) -> str:
    """Return the name of a client, given as a name or an event."""
    return client if isinstance(client, str) else str(client["client"])
