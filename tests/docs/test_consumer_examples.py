"""The code in docs/consumers.md is the code of the examples."""

from __future__ import annotations

import re

from tests.docs.documents import ROOT

# A link to a file, or a code block from the last linked file.
NAMED_OR_SHOWN = re.compile(
    r"\]\(\.\./(?P<file>(?:examples|infra)/[^)]+)\)|^```(?:python|js|bash)\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL
)
MATCHES = [*NAMED_OR_SHOWN.finditer((ROOT / "docs" / "consumers.md").read_text("utf-8"))]


def test_each_code_block_is_in_the_file_named_before_it() -> None:
    file = ""
    for match in MATCHES:
        file = match["file"] or file
        assert (match["code"] or "") in (ROOT / file).read_text("utf-8"), file
    assert any(match["code"] for match in MATCHES)


def test_each_example_is_named() -> None:
    examples = {path for kind in ("python/*.py", "node/*.mjs", "shell/*.sh") for path in ROOT.glob(f"examples/{kind}")}
    assert examples <= {ROOT / match["file"] for match in MATCHES if match["file"]}
