"""A module of this project in its own process, which exchanges JSON lines and ends when its stdin closes.

So it ends also when the process that started it is gone, whatever the reason.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_ROOT = Path(__file__).parents[2]
_WAIT_SECONDS = 2.0


class WorkerProcess:
    """`python -m module`, with `log` for its stderr."""

    def __init__(self, module: str, environ: Mapping[str, str], log: IO[bytes]) -> None:
        warnings = [f"-W{option}" for option in sys.warnoptions]
        self._process = subprocess.Popen(  # noqa: S603  this very Python and a module of this project
            [sys.executable, *warnings, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "PYTHONPATH": str(_ROOT), **environ},
            start_new_session=True,  # Ctrl-C is for the parent, which then ends this one
        )

    def send(self, document: object) -> None:
        """Send one line; a process that has exited does not receive it."""
        with suppress(OSError):
            _stream(self._process.stdin).write(json.dumps(document) + "\n")
            _stream(self._process.stdin).flush()

    def receive(self) -> Any:  # noqa: ANN401  whatever JSON the child sends
        """Wait for the next line; None says that the child is gone."""
        line = _stream(self._process.stdout).readline()
        return json.loads(line) if line.endswith("\n") else None

    def kill(self) -> int:
        """End it by SIGKILL, and return what the system says about its end."""
        self._process.kill()
        return self._process.wait()

    def close_stdin(self) -> None:
        """Tell it to end."""
        with suppress(OSError):
            _stream(self._process.stdin).close()

    def stop(self) -> None:
        """Tell it to end, see to it that it does, and let go of its output, which nobody may be waiting for."""
        self.close_stdin()
        try:
            self._process.wait(_WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        _stream(self._process.stdout).close()


def _stream(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise TypeError
    return stream
