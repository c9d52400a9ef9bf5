"""What docs/consumers.md shows is what the examples say."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "consumers.md").read_text(encoding="utf-8")

# Either the page names a file, or it shows a piece of the file that it has named last.
NAMED_OR_SHOWN = re.compile(
    r"\]\(\.\./(?P<file>(?:examples|infra)/[^)]+)\)|^```(?:python|js|bash)\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL
)
EXAMPLES = {
    str(path.relative_to(ROOT))
    for kind in ("python/*.py", "node/*.mjs", "shell/*.sh")
    for path in (ROOT / "examples").glob(kind)
}


def test_each_piece_of_code_is_in_the_file_that_is_named_before_it() -> None:
    file = ""
    shown = 0
    for match in NAMED_OR_SHOWN.finditer(PAGE):
        if match["file"]:
            file = match["file"]
        else:
            assert match["code"] in (ROOT / file).read_text(encoding="utf-8"), file
            shown += 1
    assert shown


def test_each_example_is_named_and_exists() -> None:
    named = {match["file"] for match in NAMED_OR_SHOWN.finditer(PAGE) if match["file"]}
    assert named >= EXAMPLES
    assert all((ROOT / file).exists() for file in named)
