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
    from collections.abc import Sequence


def _variable(output: str) -> str:
    """Return the variable of an output: FunctionName becomes FUNCTION_NAME."""
    return re.sub("(?<!^)(?=[A-Z])", "_", output).upper()


def main(argv: Sequence[str] | None = None) -> int:
    """Print the lines. After a failure they unset the variables: the next commands must not act on another stack."""
    parser = argparse.ArgumentParser(prog="python -m infra.print_stack_outputs", description=__doc__)
    parser.add_argument("--stack", required=True)
    stack = parser.parse_args(argv).stack
    try:
        region = the_region()
        outputs = sorted(existing(stack, region).outputs.items())
    except (RefusalError, OSError, KeyboardInterrupt) as error:
        standard_streams.print_stderr(str(error) or "interrupted")
        standard_streams.write(sys.stdout, f"unset {' '.join(map(_variable, load()['Outputs']))}; false\n")
        return 2
    values = dict.fromkeys(REGION_VARIABLES, region) | {_variable(name): value for name, value in outputs}
    lines = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in values.items())
    if unwritten := standard_streams.write(sys.stdout, lines):
        standard_streams.print_stderr(f"stdout cannot be written: {unwritten}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
