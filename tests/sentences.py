"""Every sentence that the handler can log as a warning or an error, or raise: read from its source, not from a list.

What is only known when the job runs, such as a status, stands as "…". What the source does know is filled in:
constants, the texts that a variable may have, and the arguments of each call of a helper.
"""

from __future__ import annotations

import ast
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HANDLER = Path(__file__).parent.parent / "handler"
UNKNOWN = "…"
TABLES = {"telenor": "_TOKEN_ERRORS", "secrets_manager": "_HINTS"}
"""Advice by error code, which belongs to the code and not to one sentence."""

_LEVELS = {"warning", "error", "exception", "critical"}


@dataclass
class Module:
    """One module's source, and what its names may stand for."""

    tree: ast.Module
    functions: list[ast.FunctionDef] = field(init=False)
    constants: dict[str, ast.expr] = field(init=False)

    def __post_init__(self) -> None:
        self.functions = [node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef)]
        self.constants = {
            target.id: node.value
            for node in self.tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }

    @classmethod
    def parse(cls, source: str) -> Module:
        """Parse a module's source."""
        return cls(ast.parse(source))

    @classmethod
    def read(cls, name: str) -> Module:
        """Parse a module of the handler."""
        return cls.parse((HANDLER / f"{name}.py").read_text("utf-8"))

    def sentences(self) -> set[str]:
        """Return each sentence, in each form that the calls of its function give it."""
        found = set()
        for outer in self._outermost():
            for arguments in self._calls_of(outer):
                names = self._names(outer, arguments)
                for told in _told(outer):
                    found |= self._texts(told, names)
        return found - {UNKNOWN}

    def table(self, name: str) -> dict[tuple[str, ...], str]:
        """Return a table of advice: each key, and the one text that it has."""
        value = self.constants[name]
        assert isinstance(value, ast.Dict)
        rows = {}
        for key, text in zip(value.keys, value.values, strict=True):
            assert key is not None
            (advice,) = self._texts(text, {})
            code = ast.literal_eval(key)
            rows[tuple(map(str, code)) if isinstance(code, tuple) else (str(code),)] = advice
        return rows

    def _outermost(self) -> Iterator[ast.FunctionDef]:
        """Yield the functions and methods; one within another belongs to the outer one."""
        inner = {id(node) for outer in self.functions for node in ast.walk(outer) if node is not outer}
        return (function for function in self.functions if id(function) not in inner)

    def _calls_of(self, function: ast.FunctionDef) -> Iterator[Mapping[str, ast.expr]]:
        """Yield the arguments of each call of a function in its own module; none where it is called from elsewhere."""
        parameters = [argument.arg for argument in function.args.args if argument.arg not in {"self", "cls"}]
        calls = [
            node
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == function.name
        ]
        for call in calls:
            yield dict(zip(parameters, call.args, strict=False)) | {
                keyword.arg: keyword.value for keyword in call.keywords if keyword.arg
            }
        if not calls:
            yield {}

    def _names(self, function: ast.FunctionDef, arguments: Mapping[str, ast.expr]) -> dict[str, list[ast.expr]]:
        """Return what each name of a function may stand for."""
        names = {name: [value] for name, value in arguments.items()}
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and len(node.targets) == 1:
                pairs = _pairs(node.targets[0], node.value)
            elif isinstance(node, ast.For) and isinstance(node.iter, ast.Tuple):
                pairs = [(node.target, each) for each in node.iter.elts]
            else:
                continue
            for target, value in pairs:
                if isinstance(target, ast.Name):
                    names.setdefault(target.id, []).append(value)
        return names

    def _texts(self, node: ast.expr, names: Mapping[str, list[ast.expr]]) -> set[str]:  # noqa: PLR0911  a kind each
        """Return what an expression may read as."""
        match node:
            case ast.Constant(value):
                return {str(value)}
            case ast.JoinedStr(parts):
                return {"".join(texts) for texts in itertools.product(*(self._texts(part, names) for part in parts))}
            case ast.FormattedValue(value):
                return self._texts(value, names)
            case ast.IfExp(_, body, otherwise):
                return self._texts(body, names) | self._texts(otherwise, names)
            case ast.Name(name) if name in names:
                # Without its own name, so that one which is made from itself ends.
                others = {other: values for other, values in names.items() if other != name}
                return set().union(*(self._texts(value, others) for value in names[name]))
            case ast.Name(name) if name in self.constants:
                return self._texts(self.constants[name], {})
            case _:
                return {UNKNOWN}


def _pairs(target: ast.expr, value: ast.expr) -> list[tuple[ast.expr, ast.expr]]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        return list(zip(target.elts, value.elts, strict=True))
    return [(target, value)]


def _told(function: ast.FunctionDef) -> Iterator[ast.expr]:
    """Yield what a function logs as a warning or an error, and the message of each error that it makes."""
    for node in ast.walk(function):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        match node.func:
            case ast.Attribute(attr=level) if level in _LEVELS:
                yield node.args[0]
            case ast.Name(name) if name.endswith("Error"):
                yield node.args[0]


def all_sentences() -> set[str]:
    """Return every sentence of every module."""
    return set().union(*(Module.read(path.stem).sentences() for path in HANDLER.glob("*.py")))


def all_advice() -> set[str]:
    """Return what is said by error code: `answered 401 code 22: …` of Telenor, `AccessDeniedException: …` of AWS."""
    said = set()
    for module, table in TABLES.items():
        for code, advice in Module.read(module).table(table).items():
            said.add(
                f"the token request answered {' code '.join(code)}: {advice}"
                if len(code) > 1
                else f"{code[0]}: {advice}"
            )
    return said
