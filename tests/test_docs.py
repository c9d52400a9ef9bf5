"""The documents lead somewhere, and the runbook explains every sentence that the job can say."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

import pytest
from markdown_it.token import Token

from infra import docs
from tests.sentences import UNKNOWN, Module, all_advice, all_sentences

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import World

RUNBOOK = docs.ROOT / "docs" / "runbook.md"
SAID = "What the job says"


def document(text: str, name: str = "docs/made-up.md") -> docs.Document:
    return docs.Document.parse(docs.ROOT / name, text)


# Links, anchors and names


@pytest.mark.parametrize("name", [document.name for document in docs.documents()])
def test_a_document_leads_somewhere(name: str) -> None:
    assert list(docs.read(docs.ROOT / name).faults()) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[x](nowhere.md)", "nowhere.md leads to no file"),
        ("![x](nowhere.svg)", "nowhere.svg leads to no file"),
        ("[x](../../outside.md)", "../../outside.md leads to no file"),
        ("[x](promises.md#what-is-not-there)", "promises.md#what-is-not-there leads to no heading"),
        ("# A heading\n\n[x](#a-headin)", "#a-headin leads to no heading"),
        ("[x](http://example.com)", "http://example.com is not https"),
        ("see `handler/nothing.py`", "there is no handler/nothing.py"),
        ("see `nothing.py`", "there is no nothing.py"),
        ("see `tests/nothing/`", "there is no tests/nothing/"),
        ("see `test_nothing_at_all`", "no test is called test_nothing_at_all"),
        ("run `make nothing`", "the Makefile has no target nothing"),
        ("run `make demo NOTHING=1`", "the Makefile has no variable NOTHING"),
        ("run `python -m infra.nothing`", "there is no module infra.nothing"),
        ("```console\n$ make nothing  # in a block\n```", "the Makefile has no target nothing"),
        ("| a |\n|---|\n| [x](nowhere.md) |", "nowhere.md leads to no file"),
    ],
)
def test_what_leads_nowhere_is_told(text: str, fault: str) -> None:
    (told,) = document(text).faults()
    assert told.startswith("docs/made-up.md:")
    assert told.endswith(f": {fault}")


@pytest.mark.parametrize(
    "text",
    [
        "[x](promises.md) [y](../README.md#deploy) [z](https://example.com) ![p](demo.svg)",
        "# The `GRACE_SECONDS` of it\n\n[x](#the-grace_seconds-of-it)",
        "# What's *new*, here?\n\n[x](#whats-new-here)",
        "# Twice\n\n# Twice\n\n[x](#twice-1)",
        "`handler/rotation.py` `decisions.py` `infra/local/` `template.yaml` `/oauth/v2/token` `application/json`",
        "`credentials.json` and `build/demo.svg` are made by commands; `.venv-sam` too",
        "`make demo SECONDS=30` `python -m handler status` `python -m pytest`",
        "```console\n$ make demo  # with a remark\nmake nothing is what it printed\n```",
        "```text\n[x](nowhere.md)\n```",
    ],
)
def test_what_leads_somewhere_is_left_alone(text: str) -> None:
    assert list(document(text).faults()) == []


def test_a_command_ends_where_its_line_does_not_go_on() -> None:
    text = "```console\n$ one \\\n>   two\nits output\n$ three\n```\n\n```text\n$ four\n```\n"
    commands = document(text).commands()
    assert [(command.line, command.text) for command in commands] == [(2, "one \\\n  two"), (5, "three")]


# The job's sentences


def beginning(sentence: str) -> str:
    """Return what a sentence says before it says what to do or what the cause was."""
    return sentence.partition(": ")[0]


@functools.cache
def beginnings() -> frozenset[str]:
    """Return how each sentence begins; that of an advice with the code that it is for."""
    return frozenset(beginning(sentence) for sentence in all_sentences() | all_advice())


def explained(runbook: docs.Document) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the rows of the tables under the heading: what stands in code in the first cell, and the other cells."""
    heading, row = "", list[Token]()
    for before, token in zip(runbook.tokens, runbook.tokens[1:], strict=False):
        if before.type == "heading_open" and before.tag == "h2":
            heading = token.content
        elif before.type == "tr_open":
            row = []
        elif before.type == "td_open":
            row.append(token)
        elif before.type == "tr_close" and row and heading == SAID:
            quoted = [child.content for child in row[0].children or () if child.type == "code_inline"]
            yield quoted, [cell.content for cell in row[1:]]
            row = []


def missing(runbook: docs.Document) -> frozenset[str]:
    """Return the sentences that no row begins with."""
    return beginnings() - {quote for quotes, _ in explained(runbook) for quote in quotes}


def test_every_sentence_of_the_job_is_explained_in_the_runbook() -> None:
    assert missing(docs.read(RUNBOOK)) == set()


def test_the_runbook_explains_nothing_that_the_job_does_not_say() -> None:
    quotes = {quote for quotes, _ in explained(docs.read(RUNBOOK)) for quote in quotes}
    assert quotes - beginnings() == set()


def test_each_row_says_what_it_means_and_what_to_do() -> None:
    rows = list(explained(docs.read(RUNBOOK)))
    assert all(quotes and len(cells) == 2 and all(cells) for quotes, cells in rows)


def test_a_sentence_is_missed_when_only_its_row_is_gone() -> None:
    """The rest of the runbook, however often it mentions the words, does not stand in for the row."""
    explanations = "## " + SAID + RUNBOOK.read_text("utf-8").partition(f"\n## {SAID}")[2].partition("\n## ")[0]
    assert missing(document(explanations)) == set()
    for sentence in beginnings():
        without, times = re.subn(rf"(?m)^(\|[^|]*)`{re.escape(sentence)}`", rf"\1{sentence}", explanations)
        assert times == 1, sentence
        assert missing(document(f"{without}\n\n`{sentence}`\n\n## Later\n\n|a|\n|-|\n|`{sentence}`|\n")) == {sentence}


def test_a_new_sentence_is_found_in_whatever_way_it_is_said() -> None:
    source = """
LIMIT = 3
def helper(what, log):
    def inner():
        log.warning(f"{what} was {value()} of {LIMIT}: wait")
    return inner
def run(flag, log):
    where, _ = "here" if flag else "there", 1
    helper("the one", log)
    helper("the other", log)
    msg = f"nothing {where}"
    for name in ("a", "b"):
        log.info("not a warning")
        raise SomeError(f"no {name}") from None
    raise SomeError(msg)
"""
    assert Module.parse(source).sentences() == {
        f"the one was {UNKNOWN} of 3: wait",
        f"the other was {UNKNOWN} of 3: wait",
        "nothing here",
        "nothing there",
        "no a",
        "no b",
    }


@pytest.mark.parametrize(
    ("path", "pattern"),
    [("template.yaml", r"(?m)^  (\w+Alarm):"), ("template.yaml", r'docs/runbook\.md, "(\w+)"|runbook\.md,\s+"(\w+)"')],
)
def test_each_alarm_has_its_section(path: str, pattern: str) -> None:
    named = {
        name for match in re.finditer(pattern, (docs.ROOT / path).read_text("utf-8")) for name in match.groups() if name
    }
    assert len(named) == 9
    assert {name.lower() for name in named} <= docs.read(RUNBOOK).anchors()


def test_each_permission_of_the_template_has_its_reason() -> None:
    template = (docs.ROOT / "template.yaml").read_text("utf-8")
    actions = set(re.findall(r"(?m)^ +(?:- |Action: )([a-z0-9]+:[A-Z]\w+)$", template))
    assert len(actions) >= 15
    security = docs.read(docs.ROOT / "docs" / "security.md")
    assert actions - {child.content for _, child in security.inlines() if child.type == "code_inline"} == set()


# The figures


def costs() -> list[list[str]]:
    """Return the rows of the runbook's first table of costs."""
    text = RUNBOOK.read_text("utf-8").partition("## What it costs a month")[2].partition("\n\nThe calls are counted")[0]
    return [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"][
        2:
    ]


def test_the_costs_add_up() -> None:
    *rows, total = costs()
    assert round(sum(float(cost) for *_, cost in rows), 2) == float(total[-1])


def test_the_calls_are_those_of_the_runbook(world: World) -> None:
    for _ in range(12):
        world.run()
        world.clock.advance(minutes=5)
    before, requests = world.aws.calls(), len(world.telenor.requests)
    for _ in range(24):
        world.run()
        world.clock.advance(minutes=5)
    calls = world.aws.calls() - before
    assert calls == {"DescribeSecret": 24, "GetSecretValue": 16, "PutSecretValue": 4, "UpdateSecretVersionStage": 4}
    assert sorted(request.operation for request in world.telenor.requests[requests:]) == ["logout"] * 4 + ["token"] * 4
    two_hours_a_month = 30 * 12
    assert f"= {calls.total() * two_hours_a_month:,} calls" in costs()[1][1]
    assert f"{4 * two_hours_a_month:,} rotations" in costs()[1][1]
