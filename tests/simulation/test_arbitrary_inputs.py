"""Any input from outside causes no unknown exception, no leak, and no logout of the current token."""

from __future__ import annotations

import io
import json
import os
import traceback
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import requests
from hypothesis import example, given, settings
from hypothesis import strategies as st
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse

from handler.config import settings_from
from handler.errors import InvalidInputError
from handler.model import Action
from tests.simulated_clock import BEGIN
from tests.simulation.authorization_server import AuthorizationServerModel, Issued
from tests.simulation.checked_world import World
from tests.simulation.model_checker import Explored
from tests.simulation.random_histories import SAME_EACH_TIME
from tests.simulation.stepped_run import CREDENTIALS, TOKEN, Run

if TYPE_CHECKING:
    from collections.abc import Mapping

IS_FULL = os.environ.get("SIMULATION") == "full"
"""Whether to draw 24 times as much, as `make prove` does."""

explored = Explored()

CANARY = "CANARY"
CURRENT_TOKEN, OTHER_TOKEN = f"{CANARY}-1", f"{CANARY}-2"

fuzz = settings(SAME_EACH_TIME, max_examples=1200 if IS_FULL else 50)

# What an operator or a gateway may turn a value into.
ODD_NUMBERS = [0, -1, 1, 3599, 10**9, 10**20, 10**400, 0.5, float("nan"), float("inf"), True, 253402300800]
NUMBERS = st.integers() | st.floats() | st.sampled_from(ODD_NUMBERS)
SECRETS = st.sampled_from(
    [CURRENT_TOKEN, OTHER_TOKEN, f"{CANARY}-æ", f" {CANARY}", f"{CANARY}\r\nX-Y: 1", f"{CANARY}\x00", CANARY * 100]
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=20) | SECRETS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


def some_of(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Draw an object with any of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


TIMES = NUMBERS | st.integers(1_700_000_000, 1_900_000_000) | JSON
TOKEN_DOCUMENTS = some_of(
    access_token=SECRETS | SECRETS | JSON,
    token_type=st.sampled_from(["Bearer", "bearer", "BEARER ", "mac", ""]) | JSON,
    expires_in=NUMBERS | NUMBERS.map(str) | st.sampled_from(["3599", " 3599 ", "1e3", "٣", "1_0"]) | JSON,
    expires_at=TIMES,
    issued_at=TIMES,
    refresh_token=SECRETS,
    scope=JSON,
    code=st.integers(0, 30) | JSON,
    error=JSON,
)
DOCUMENT_TEXTS = TOKEN_DOCUMENTS.map(json.dumps)
VERY_DEEP, VERY_LONG = "[" * 5000, '{"expires_in": ' + "9" * 5000 + "}"
TEXTS = (
    st.text(max_size=40)
    | SECRETS
    | JSON.map(json.dumps)
    | DOCUMENT_TEXTS
    | DOCUMENT_TEXTS.map(lambda text: text[:-3])
    | st.just(VERY_DEEP)
    | st.just(VERY_LONG)
)

HEADER_TEXTS = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=40)
DATES = st.from_regex(
    r"[A-Z][a-z]{2},? ?[0-9]{1,3} [A-Z][a-z]{2} [0-9]{1,5} [0-9:]{0,9} ?[A-Z+0-9-]{0,6}", fullmatch=True
)
ODD_DATES = st.sampled_from(["²", "Fri, 31 Dec 9999 23:59:59 -2359", "1 Jan 1 0 0"])
HEADERS = {
    "Retry-After": HEADER_TEXTS | DATES | NUMBERS.map(str) | ODD_DATES,
    "Content-Encoding": st.sampled_from(["gzip", "deflate", "br", "zstd", "gzip, gzip", "x"]),
    "Content-Type": HEADER_TEXTS | st.sampled_from(["text/html; charset=utf-16", "x; charset=nonsense"]),
    "Content-Length": HEADER_TEXTS | st.just("99999"),
    "Transfer-Encoding": st.just("chunked"),
    "Location": HEADER_TEXTS | st.sampled_from(["http://[", f"https://evil.example/{CANARY}"]),
    "Set-Cookie": HEADER_TEXTS,
    "WWW-Authenticate": HEADER_TEXTS,
}


@dataclass
class FakeResponse:
    """A response in place of the model's."""

    status: int
    headers: dict[str, str]
    body: bytes

    def response(self, request: requests.PreparedRequest) -> requests.Response:
        raw = HTTPResponse(io.BytesIO(self.body), self.headers, self.status, preload_content=False, reason="Any")
        return HTTPAdapter().build_response(request, raw)


STATUSES = st.sampled_from([201, 204, 302, 400, 401, 403, 429, 500, 503])
RESPONSES = st.builds(
    FakeResponse,
    status=st.just(200) | st.just(200) | STATUSES | st.integers(100, 999),
    headers=some_of(**HEADERS),
    body=st.binary(max_size=60) | TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")),
)


@dataclass(kw_only=True)
class _TelenorWithAnyResponse(AuthorizationServerModel):
    """Telenor with arbitrary responses of some operations; its tokens are accepted even if a response is invalid."""

    responses: Mapping[str, list[FakeResponse]]

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        operation = {"/oauth/v2/token": "token", "/oauth/v2/logout": "logout"}.get(request.path_url, "verify")
        if not self.responses.get(operation):
            return super().send(request)
        self.intercept(operation)
        if operation == "logout":
            self._logout(request)
        return self.responses[operation].pop().response(request)


def _world(responses: Mapping[str, list[FakeResponse]] = MappingProxyType({})) -> World:
    world = World()
    explored.histories += 1
    check_logout = world.telenor.on_logout

    def on_logout(token: str) -> None:
        check_logout(token)
        if world.current is None:
            assert token not in world.secret.content.get(str(world.secret.current), ""), "P3: consumers may read it"

    # The model's tokens are numbered from 1, which the drawn content may contain too.
    tokens = {token: Issued(BEGIN + timedelta(seconds=3599)) for token in (CURRENT_TOKEN, OTHER_TOKEN)}
    world.telenor = _TelenorWithAnyResponse(
        world.clock.now, world.telenor.intercept, tokens=tokens, on_logout=on_logout, responses=responses
    )
    return world


def _runs(world: World, action: Action) -> None:
    """Run a few times. Raises any exception but RotationError, and the violations that the models find."""
    for asked in (action, Action.RENEW_IF_DUE, Action.RENEW_IF_DUE):
        run = Run(world, asked, request_id=f"run-{len(world.runs):04}-of-the-fuzz-test-of-responses")
        run.finish()
        world.clock.advance(minutes=11)
        assert CANARY not in "\n".join(world.log.lines), "P4: in the log"
        assert CANARY not in repr([label for label in world.secret.labels if label.startswith("LIVE_2")]), "P4: a label"
        assert CANARY not in repr(run.report), "P4: in the report"


ACTIONS = st.sampled_from(Action)


@fuzz
@example(Action.ROTATE_NOW, [FakeResponse(200, {}, b"[" * 100_000)], [FakeResponse(200, {}, b"x" * 100_000)])
@given(action=ACTIONS, token=st.lists(RESPONSES, min_size=1, max_size=6), logout=st.lists(RESPONSES, max_size=6))
def test_any_response_is_handled(action: Action, token: list[FakeResponse], logout: list[FakeResponse]) -> None:
    responses: dict[str, list[FakeResponse]] = {}
    world = _world(responses)
    _runs(world, Action.RENEW_IF_DUE)
    responses |= {"token": token, "logout": logout}
    before = world.current
    run = Run(world, action, request_id="7d8f1c9e-the-run-with-the-responses-x")
    run.finish()
    assert CANARY not in "\n".join(world.log.lines)
    if run.report.has_failed:
        assert world.current == before, "P6: a failing request changes nothing published"
    world.clock.advance(minutes=40)
    responses.clear()
    _runs(world, Action.ROTATE_NOW)
    assert world.telenor.is_live(str(world.current)), "P5"


@fuzz
@given(action=ACTIONS, verify=st.lists(RESPONSES, min_size=1, max_size=2))
def test_any_verification_response_is_handled(action: Action, verify: list[FakeResponse]) -> None:
    world = _world({"verify": verify})
    world.verify_url = "https://localhost/verify"
    _runs(world, action)
    assert world.telenor.is_live(str(world.current))


WORDS = SECRETS | JSON | st.sampled_from(["a:b", "ø", "", "a", "\ud800", "\u2028"])
PAIRS = some_of(**dict.fromkeys(["client_id", "client_secret", "username", "password"], WORDS))


@fuzz
@given(action=ACTIONS, content=TEXTS | PAIRS.map(json.dumps))
@example(action=Action.ROTATE_NOW, content=json.dumps({"client_id": "\ud800", "client_secret": CANARY}))
@example(action=Action.ROTATE_NOW, content=json.dumps({"client_id": "a", "client_secret": f"{CANARY}\udfff"}))
def test_any_content_of_the_credentials_secret_is_handled(action: Action, content: str) -> None:
    world = _world()
    credentials = world.secretsmanager.secrets[CREDENTIALS]
    good = credentials.content[str(credentials.current)]
    credentials.content[str(credentials.current)] = content
    _runs(world, action)
    credentials.content[str(credentials.current)] = good
    world.clock.advance(minutes=40)
    _runs(world, Action.RENEW_IF_DUE)
    assert world.telenor.is_live(str(world.current)), "P5"


DIGITS = st.integers(-12_600, 16_200).map(lambda seconds: f"{BEGIN + timedelta(seconds=seconds):%Y%m%dT%H%M%SZ}")
IMPOSSIBLE = st.sampled_from(["20261323T256161Z", "20260230T000000Z", "20261123T213060Z"])
FAR = st.sampled_from(["00010101T000000Z", "99991231T235959Z", "21991231T235959Z"])
INSTANTS = DIGITS | DIGITS | DIGITS | IMPOSSIBLE | FAR
LABELS = (
    st.builds("LIVE_{}_{}_{}".format, INSTANTS, INSTANTS, st.sampled_from(["x", "3fa85f64", "\n", "_", "æ"]))
    | st.builds("LIVE_{}".format, st.text(max_size=20))
    | st.sampled_from(["LIVE_", "LIVE", "AWSPENDING", "live_x", "LIVE_\u0662\u0660261123T213000Z_20261123T222959Z_x"])
    | st.text(min_size=1, max_size=30).filter(lambda label: not label.startswith("AWS"))
)
VERSIONS = st.lists(st.tuples(TEXTS, st.lists(LABELS, max_size=5)), max_size=5)


@fuzz
@given(action=ACTIONS, versions=VERSIONS, current=st.integers(0, 5))
def test_any_content_and_labels_of_the_token_secret_are_handled(
    action: Action, versions: list[tuple[str, list[str]]], current: int
) -> None:
    world = _world()
    for number, (content, labels) in enumerate(versions):
        version_id = f"manual-{number}"
        world.secret.content[version_id] = content
        world.secret.labels |= dict.fromkeys(labels[: (18 - len(world.secret.labels))], version_id)
    if current < len(versions):
        world.secret.make_current(f"manual-{current}")
    _runs(world, action)
    world.clock.advance(minutes=60)
    _runs(world, Action.ROTATE_NOW)
    if not world.runs[-3].report.has_failed:
        assert world.telenor.is_live(str(world.current))


URLS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["https://", "http://", "HTTPS:", "ftp://", "//", ""]),
    st.text(max_size=15)
    | st.sampled_from(
        ["localhost", "127.0.0.1", "[::1]", "[::1", "a..b", "a" * 64 + ".no", f"u:{CANARY}@a.no", "api.no"]
    ),
    st.sampled_from(["", ":0", ":443", ":99999", ":x", ":²"]),
    st.just("") | st.text(max_size=10) | st.sampled_from(["/?q", "/#f", f"/{CANARY}"]),
)
SECRET_IDS = {"CREDENTIALS_SECRET_ID": CREDENTIALS, "TOKEN_SECRET_ID": TOKEN}
TELENOR = ["TELENOR_BASE_URL", "TELENOR_SCOPE", "VERIFY_URL"]
OTHERS = ["GRACE_SECONDS", "RENEW_AT_FRACTION", "SCHEDULE_MINUTES", "CLIENT_NAME", "SERVES_CLIENTS"]
VALUES = st.text(max_size=20) | SECRETS | NUMBERS.map(str) | URLS | st.sampled_from(["0", "1e2", "a b", "true"])
ENVIRONMENTS = some_of(**dict.fromkeys(TELENOR + OTHERS, VALUES)).map(SECRET_IDS.__or__)
BROKEN_ENVIRONMENTS = ENVIRONMENTS | st.dictionaries(
    st.sampled_from([*SECRET_IDS, *TELENOR, *OTHERS]), st.text(max_size=20) | SECRETS | URLS
)
FIELDS = ["action", "client", "credentials_secret_id", "token_secret_id", "scope", "detail"]
EVENTS = JSON | some_of(
    **dict.fromkeys(FIELDS, JSON | SECRETS | st.sampled_from([*Action, "telenor/other", "a b", "a  b", "a\n"]))
)


@fuzz
@given(environment=BROKEN_ENVIRONMENTS, event=EVENTS)
def test_any_environment_and_event_are_either_refused_or_usable(environment: dict[str, str], event: object) -> None:
    try:
        settings = settings_from(environment, event)
    except InvalidInputError as error:
        explored.histories += 1
        sentence, text = str(error), "".join(traceback.format_exception(error)) + repr(vars(error))
        assert sentence
        assert CANARY not in text, "P4"
        return
    assert timedelta(0) <= settings.policy.grace <= timedelta(days=1)
    assert 0 < settings.policy.renew_at_fraction < 1
    assert timedelta(0) < settings.policy.schedule <= timedelta(days=1)
    for url in (settings.protocol.token_url, settings.verify_url or settings.protocol.token_url):
        # Raises if requests could not send to it.
        requests.Request("GET", url).prepare()
    world = _world()
    world.policy = settings.policy
    _runs(world, settings.action)
    assert world.current
