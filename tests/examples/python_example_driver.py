"""Calls an example's function for each path on stdin, and prints the status.

`python python_example_driver.py [--survive] FILE`: a Lambda function is invoked as by Lambda. With `--survive`, a call
that raises prints 0 and the program continues.
"""

from __future__ import annotations

import runpy
import sys

if __name__ == "__main__":
    *survive, file = sys.argv[1:]
    example = runpy.run_path(file)
    for line in sys.stdin:
        path = line.strip()
        try:
            if "lambda_handler" in example:
                status = example["lambda_handler"]({"path": path}, None)["status"]
            else:
                response = example["get"](path)
                status = getattr(response, "status_code", response)
        except Exception as error:
            if not survive:
                raise
            sys.stderr.write(f"{type(error).__name__}\n")
            status = 0
        sys.stdout.write(f"{int(status)}\n")
        sys.stdout.flush()
