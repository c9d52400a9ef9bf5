"""CloudFormation's DescribeStacks on a loopback port, for stacks in any status."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass
class FakeStack:
    """A stack as DescribeStacks shows it."""

    status: str = "CREATE_COMPLETE"
    parameters: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)


class FakeCloudFormation:
    """Serves `stacks` at `url`, and keeps the regions that requests were signed for."""

    def __init__(self) -> None:
        self.stacks: dict[str, FakeStack] = {}
        self.regions: list[str] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                found = re.search(r"Credential=[^/]+/\d+/([^/]+)/", self.headers["Authorization"])
                fake.regions.append(found[1] if found else "")
                status, body = fake.describe(asked["StackName"][0])
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Keep stderr to the command under test."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def describe(self, name: str) -> tuple[int, bytes]:
        """Return what AWS answers about a stack."""
        if name not in self.stacks:
            said = f"<Code>ValidationError</Code><Message>Stack with id {escape(name)} does not exist</Message>"
            return 400, f"<ErrorResponse><Error>{said}</Error></ErrorResponse>".encode()
        stack = self.stacks[name]
        content = f"<StackName>{name}</StackName><StackStatus>{stack.status}</StackStatus>"
        for kind, values in (("Parameter", stack.parameters), ("Output", stack.outputs)):
            members = "".join(
                f"<member><{kind}Key>{key}</{kind}Key><{kind}Value>{escape(value)}</{kind}Value></member>"
                for key, value in values.items()
            )
            content += f"<{kind}s>{members}</{kind}s>"
        body = f"<DescribeStacksResult><Stacks><member>{content}</member></Stacks></DescribeStacksResult>"
        return 200, f"<DescribeStacksResponse>{body}</DescribeStacksResponse>".encode()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
