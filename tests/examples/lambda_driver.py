"""Lambda's part for an example that is a Lambda function: loads the file, and invokes it for each path on stdin.

`python lambda_driver.py FILE` prints the status that each invocation answers.
"""

from __future__ import annotations

import runpy
import sys

if __name__ == "__main__":
    lambda_handler = runpy.run_path(sys.argv[1])["lambda_handler"]
    for line in sys.stdin:
        sys.stdout.write(f"{lambda_handler({'path': line.strip()}, None)['status']}\n")
        sys.stdout.flush()
