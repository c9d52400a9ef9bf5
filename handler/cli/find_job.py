"""Finds the job, or each job, that the arguments of a command name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from handler.cli import local_job
from handler.cli.errors import UsageError
from handler.cli.find_deployed_job import client_name, find_function, find_jobs, find_stack
from handler.errors import RotationError

if TYPE_CHECKING:
    import argparse

    from handler.cli.job import Job
    from handler.cli.log_printer import LogPrinter


def find(arguments: argparse.Namespace, log: LogPrinter) -> Job:
    """Return the one job that the arguments name. Raises RotationError."""
    # Count before any lookup.
    if len(arguments.stacks) + len(arguments.functions) > 1 or len(arguments.clients) > 1:
        raise UsageError(f"{arguments.command} accepts only one --stack or --function, and one --client")
    jobs, errors = find_each(arguments, log)
    if errors:
        raise errors[0]
    (job,) = jobs
    return job


def find_each(arguments: argparse.Namespace, log: LogPrinter) -> tuple[list[Job], list[RotationError]]:
    """Return the jobs that the arguments name, and the errors of those that were not found.

    Raises UsageError if the arguments name none.
    """
    stacks, functions, clients = arguments.stacks, arguments.functions, arguments.clients
    if arguments.local:
        if stacks or functions or clients:
            raise UsageError("--local cannot be combined with --stack, --function or --client")
        return [local_job.find(os.environ, arguments.region, log, is_status_only=arguments.command == "status")], []
    if not stacks and not functions:
        raise UsageError(
            "name the job: --stack NAME or --function NAME for a deployed job, or --local to run it here with the "
            "environment's settings"
        )
    jobs, errors = _find_deployed(arguments, log)
    served = {job.settings.client for job in jobs}
    missing = sorted({client_name(client) for client in clients} - served)
    # A job that was not found may serve it.
    if missing and not errors:
        errors += [UsageError(f"no job given here serves client {name}") for name in missing]
    if not jobs and not errors:
        errors.append(UsageError("no schedule starts this function with the event of a client"))
    return jobs, errors


def _find_deployed(arguments: argparse.Namespace, log: LogPrinter) -> tuple[list[Job], list[RotationError]]:
    found: dict[tuple[str, str], Job] = {}
    errors: list[RotationError] = []
    lookups = [(name, find_stack) for name in arguments.stacks]
    lookups += [(name, find_function) for name in arguments.functions]
    for name, look_up in lookups:
        try:
            function = look_up(name, arguments.region)
            if function.serves_clients and not arguments.clients and arguments.command != "status":
                raise UsageError(
                    f"function {function.name} serves several clients: name one with --client; `status` lists them"
                )
            its_jobs, its_errors = find_jobs(name, function, log, arguments.clients)
        except RotationError as error:
            errors.append(error)
            continue
        errors += its_errors
        for job in its_jobs:
            # A job that is named twice counts once.
            found.setdefault((function.arn, job.settings.client), job)
    return list(found.values()), errors
