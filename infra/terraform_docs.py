"""Writes the tables of inputs and outputs in the Terraform module's README: `python -m infra.terraform_docs`."""

from __future__ import annotations

import ast
import json
import re
import textwrap
from typing import TYPE_CHECKING, Any

import hcl2

from infra.terraform_cli import MODULE

if TYPE_CHECKING:
    from collections.abc import Iterator

README = MODULE / "README.md"


def generated(readme: str) -> str:
    """Return a README with the tables of variables.tf and outputs.tf in it. Raises ValueError if it has no place."""
    inputs = ["| name | what it is | type | default |", "|---|---|---|---|"]
    for name, body in _blocks("variables.tf", "variable"):
        default = f"`{_plain(body['default'])}`" if "default" in body else "none: it has to be named"
        kind = re.sub(r"^(map\(object).*", r"\1)", str(body["type"]).removeprefix("${").removesuffix("}"))
        inputs.append(f"| `{name}` | {_described(body)} | `{kind}` | {default} |")
    outputs = ["| name | what it is |", "|---|---|"]
    outputs += [f"| `{name}` | {_described(body)} |" for name, body in _blocks("outputs.tf", "output")]
    for name, lines in (("inputs", inputs), ("outputs", outputs)):
        before, begin, rest = readme.partition(f"<!-- {name}: infra/terraform_docs.py writes what follows -->\n")
        _, end, after = rest.partition(f"\n<!-- end of {name} -->")
        if not end:
            raise ValueError(f"{README} has no place for its {name}")
        readme = before + begin + "\n".join(lines) + end + after
    return readme


def _blocks(file: str, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for block in hcl2.loads((MODULE / file).read_text(encoding="utf-8"))[kind]:
        for name, body in block.items():
            if not name.startswith("__"):
                yield name.strip('"'), body


def _described(body: dict[str, Any]) -> str:
    text = ast.literal_eval(json.dumps(body["description"])).strip('"')
    heredoc = re.fullmatch(r"<<-EOT\n(.*)\n\s*EOT", text, flags=re.DOTALL)
    lines = textwrap.dedent(heredoc[1]).splitlines() if heredoc else [text]
    return "<br>".join(re.sub(r"^\* ", "• ", line) for line in lines)


def _plain(value: Any) -> str:  # noqa: ANN401  whatever HCL has
    if isinstance(value, str):
        return value
    return json.dumps(value).replace('"', "").replace(": ", " = ")


if __name__ == "__main__":
    README.write_text(generated(README.read_text(encoding="utf-8")), encoding="utf-8")
