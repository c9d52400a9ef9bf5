"""The codes that the handler gives its errors and warnings: read from its source, not from a list.

The terminal logs nothing of its own, and passes on the codes of others.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HANDLER = Path(__file__).parent.parent / "handler"

SAYING = {"log_warning", "log_error"}
"""The methods of a context whose first argument is a code."""

LOGGERS = {"log", "_log", "logger"}
LEVELS = {"warning", "error", "exception", "critical"}

TABLES = {"ErrorKind": 0, "Request": 1}
"""Which argument of a value is a code that an error gets later."""

PASSED_ON = {"error_code", "out_code", "code"}
"""Names under which a code that stands elsewhere is passed on."""


class UnreadableCodeError(Exception):
    """A code is written in a way that nothing here reads: write it as text, or teach this module."""


@dataclass(frozen=True)
class Module:
    """One module's source."""

    name: str
    tree: ast.Module

    @classmethod
    def parse(cls, source: str, name: str = "made up") -> Module:
        return cls(name, ast.parse(source))

    def codes(self) -> set[str]:
        """Return every code that the module gives."""
        constants = dict(self._constants())
        return {code for value in self._written() for code in self._read(value, constants)}

    def uncoded(self) -> list[str]:
        """Return where the module logs a warning or an error without a code."""
        return [
            f"{self.name}:{call.lineno}"
            for call in ast.walk(self.tree)
            if isinstance(call, ast.Call)
            and _logs(call.func)
            and not any(keyword.arg == "extra" and _has_code(keyword.value) for keyword in call.keywords)
        ]

    def _written(self) -> Iterator[ast.expr]:
        for node in ast.walk(self.tree):
            match node:
                case ast.AnnAssign(target=ast.Name("default_code"), value=ast.expr() as value):
                    yield value
                case ast.Assign(targets=[ast.Name("default_code")], value=value):
                    yield value
                case ast.Dict(keys=keys, values=values):
                    yield from (value for key, value in zip(keys, values, strict=True) if _is_code(key))
                case ast.Call():
                    yield from _given(node)

    def _constants(self) -> Iterator[tuple[str, str]]:
        for node in self.tree.body:
            match node:
                case ast.Assign(targets=[ast.Name(name)], value=ast.Constant(str() as text)):
                    yield name, text

    def _read(self, value: ast.expr, constants: dict[str, str]) -> set[str]:
        match value:
            case ast.Constant(str() as text):
                return {text}
            case ast.Name(name) if name in constants:
                return {constants[name]}
            case ast.IfExp(body=one, orelse=other):
                return self._read(one, constants) | self._read(other, constants)
            case ast.Name(name) | ast.Attribute(attr=name) if name in PASSED_ON:
                return set()
        raise UnreadableCodeError(f"{self.name}:{value.lineno}: {ast.unparse(value)}")


def _given(call: ast.Call) -> Iterator[ast.expr]:
    yield from (keyword.value for keyword in call.keywords if keyword.arg == "error_code")
    match call.func:
        case ast.Attribute(attr=name) if name in SAYING:
            yield call.args[0]
        case ast.Name(name) if name in TABLES:
            yield call.args[TABLES[name]]


def _logs(function: ast.expr) -> bool:
    match function:
        case ast.Attribute(value=ast.Name(log) | ast.Attribute(attr=log), attr=level):
            return log in LOGGERS and level in LEVELS
    return False


def _is_code(key: ast.expr | None) -> bool:
    return isinstance(key, ast.Constant) and key.value == "error_code"


def _has_code(extra: ast.expr) -> bool:
    return isinstance(extra, ast.Dict) and any(map(_is_code, extra.keys))


def modules(pattern: str = "*.py") -> list[Module]:
    """Return the modules of the handler, the terminal's apart unless the pattern asks for them."""
    return [
        Module.parse(path.read_text("utf-8"), str(path.relative_to(HANDLER))) for path in sorted(HANDLER.glob(pattern))
    ]


def all_codes() -> set[str]:
    """Return every code that a line of the log can have."""
    return {code for module in modules() for code in module.codes()}
