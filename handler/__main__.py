"""The job from a terminal: `python -m handler [command]`."""

from __future__ import annotations

import sys

from handler.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
