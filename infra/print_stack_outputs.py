"""Prints a stack's outputs as lines for a shell's eval: `make outputs`."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from typing import TYPE_CHECKING

from handler.cli import standard_streams
from infra.deployed_stack import REGION_VARIABLES, RefusalError, existing, the_region
from infra.load_template import load

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


def exports(outputs: Mapping[str, str], region: str) -> Iterator[str]:
    """Yield a line for the shell for each output: FunctionName becomes FUNCTION_NAME."""
    for variable in REGION_VARIABLES:
        yield f"export {variable}={shlex.quote(region)}"
    for name, value in sorted(outputs.items()):
        yield f"export {_variable(name)}={shlex.quote(value)}"


def _variable(output: str) -> str:
    return re.sub("(?<!^)(?=[A-Z])", "_", output).upper()


def main(argv: Sequence[str] | None = None) -> int:
    """Print the lines. After a failure they unset the variables: the next commands must not act on another stack."""
    parser = argparse.ArgumentParser(prog="python -m infra.print_stack_outputs", description=__doc__)
    parser.add_argument("--stack", required=True)
    stack = parser.parse_args(argv).stack
    try:
        region = the_region()
        lines = "\n".join(exports(existing(stack, region).outputs, region))
    except (RefusalError, OSError, KeyboardInterrupt) as error:
        standard_streams.print_stderr(str(error) or "interrupted")
        standard_streams.write(sys.stdout, f"unset {' '.join(map(_variable, load()['Outputs']))}; false\n")
        return 2
    if unwritten := standard_streams.write(sys.stdout, f"{lines}\n"):
        standard_streams.print_stderr(f"stdout cannot be written: {unwritten}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
