"""docs/benchmarks.md: the numbers of a run, and in a sentence each what they mean for an operator."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.benchmarks import prices
from tests.benchmarks.month import CACHE_SECONDS, REQUEST_EVERY_SECONDS
from tests.benchmarks.ways import GRACE, OVERWRITE_OFTEN, THIS_JOB, THIS_JOB_EARLIER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.benchmarks.fleet import Size
    from tests.benchmarks.month import Month, Outages
    from tests.benchmarks.runs import Kind
    from tests.benchmarks.sizes import Package
    from tests.benchmarks.startup import Start

STARTUP_GOAL = 1.05
NOT_DUE_GOAL = 1.2


@dataclass(frozen=True)
class Origin:
    """Where the numbers come from."""

    date: str
    commit: str
    command: str
    machine: str


@dataclass(frozen=True)
class Weathered:
    """What came of all ways in one climate."""

    title: str
    outages: Outages
    months: Sequence[Month]

    def of(self, way: str) -> Month:
        """Return what came of one way."""
        return next(month for month in self.months if month.way == way)


@dataclass(frozen=True)
class Results:
    """Everything that was measured."""

    origin: Origin
    starts: Mapping[str, Start]
    kinds: Sequence[Kind]
    packages: Sequence[Package]
    zipped_bytes: int
    rotation_peak_kib: float
    within: Weathered
    beyond: Weathered
    sizes: Sequence[Size]


def document(results: Results) -> str:
    """Return the whole document."""
    parts = [
        "# Benchmarks",
        _prose(
            f"Written by `{results.origin.command}` on {results.origin.date}, at commit {results.origin.commit}, on "
            f"{results.origin.machine}. Every ratio is against something measured in the same run, in turn with it; an "
            "absolute time says something about that machine only. Nothing here is a test: what must hold is in "
            "`tests/`."
        ),
        _summary(results),
        "## 1. Start-up",
        *_startup(results),
        "## 2. One run",
        *_runs(results),
        "## 3. The artifact and its memory",
        *_artifact(results),
        "## 4. What consumers feel",
        *_consumers(results),
        "## 5. Many clients",
        *_clients(results),
    ]
    return "\n\n".join(parts) + "\n"


def _summary(results: Results) -> str:
    floor, handler = results.starts["floor"], results.starts["handler"]
    not_due = next(kind for kind in results.kinds if kind.name == "not due")
    mine = results.within.of(THIS_JOB.name)
    start = handler.own_ratio(floor)
    deployed = results.starts["deployed"].own_ratio(results.starts["lambda-floor"])
    rows = [
        ("cold start, CPU time, of the floor", f"{start:.2f}", f"≤ {STARTUP_GOAL}", start <= STARTUP_GOAL),
        (
            "the same of the artifact as it is deployed",
            f"{deployed:.2f}",
            f"≤ {STARTUP_GOAL}",
            deployed <= STARTUP_GOAL,
        ),
        (
            "warm run that is not due, time, of one bare `DescribeSecret`",
            f"{not_due.wall_ratio:.2f}",
            f"≤ {NOT_DUE_GOAL}",
            not_due.wall_ratio <= NOT_DUE_GOAL,
        ),
        (
            "the same, CPU time of the job alone",
            f"{not_due.own_ratio:.2f}",
            f"≤ {NOT_DUE_GOAL}",
            not_due.own_ratio <= NOT_DUE_GOAL,
        ),
        ("calls of a run that is not due", f"{not_due.aws.total()}", "1", not_due.aws.total() == 1),
        (
            "requests refused to consumers, outages within the slack",
            f"{mine.refused} of {sum(felt.requests for felt in mine.felt.values()):,}",
            "0",
            mine.refused == 0,
        ),
    ]
    return _table(
        ["what", "measured", "goal", "met"],
        [(what, measured, goal, "yes" if met else "**no**") for what, measured, goal, met in rows],
    )


def _startup(results: Results) -> Iterable[str]:
    floor = results.starts["floor"]
    yield _table(
        ["what is started, from the first import to the client", "CPU time, of the floor", "time, of the floor"],
        [
            (start.name, f"{start.own_ratio(against):.2f}", f"{start.wall_ratio(against):.2f}")
            for start in results.starts.values()
            for against in (results.starts[start.against],)
        ],
    )
    yield _prose(
        f"Fresh processes in turn, {len(floor.own_seconds)} of each, the median of the ratios within a turn. Python's "
        "own start is not in it. *For an operator:* a cold start takes "
        f"{results.starts['handler'].own_ratio(floor):.2f} of what importing the four libraries would take that the "
        "job stands on; it happens after a deployment, and whenever Lambda has put the function away."
    )
    yield _prose(
        "**Taken:** the client is made with botocore's session, which is how boto3 makes its own. boto3 by itself "
        "also loads transfers to S3, resources and `multiprocessing`."
    )
    yield _prose(
        "**Left:** importing `telenor.py`, and requests and tenacity with it, only when a token is due. Lambda gives "
        "the start a full processor, but a run with 256 MB a seventh of one, so that the first run that is due would "
        "wait several times as long as a start would save; and an incomplete artifact would show only then."
    )
    yield _prose(
        "**Left:** a loader that knows one service, which would need a copy of the SDK's data in the artifact: the "
        "copy ages while the runtime's SDK is kept up to date."
    )
    deployed, stripped = results.starts["deployed"], results.starts["stripped"]
    lambda_floor = results.starts["lambda-floor"]
    yield _prose(
        "**Taken:** bytecode in the artifact. Lambda's code folder cannot be written, so that every cold start would "
        f"compile the sources: {stripped.own_ratio(lambda_floor):.2f} of the floor instead of "
        f"{deployed.own_ratio(lambda_floor):.2f}. It is for the template's Python alone; on any other the sources are "
        "used. The last three rows are compared with each other, on that Python where this machine has it."
    )
    yield _prose(
        "**Not worth a line:** dataclasses without `frozen` and `slots` would save one or two hundredths of the floor, "
        "and what they guard against is worse."
    )


def _runs(results: Results) -> Iterable[str]:
    yield _table(
        ["run", "calls to Secrets Manager", "least", "requests to Telenor", "least", "CPU time", "time"],
        [
            (
                kind.name,
                f"{kind.aws.total()}: {_counts(kind.aws)}",
                f"{kind.least_aws}: {kind.why.split('; ')[0]}",
                f"{kind.http.total()}" + (f": {_counts(kind.http)}" if kind.http else ""),
                f"{kind.least_http}",
                f"{kind.own_ratio:.2f}",
                f"{kind.wall_ratio:.2f}",
            )
            for kind in results.kinds
        ],
    )
    not_due = next(kind for kind in results.kinds if kind.name == "not due")
    yield _prose(
        "CPU time and time are in units of one bare `DescribeSecret` by boto3 in the same process, made right before. "
        "The servers are in another process: the CPU time is the job's own, with nothing of theirs and no waiting in "
        "it; the time has their answers in it, over loopback and without TLS. On AWS an answer takes longer and the "
        "ratio of times goes towards the number of calls."
    )
    yield _prose(
        "*For an operator:* most runs are `not due` and cost one call. Beyond it, such a run tells of itself: the bare "
        "call with one log line and eight metrics of Powertools, and nothing else, takes "
        f"{not_due.told_ratio:.2f} of the bare call's CPU time, and the whole run {not_due.own_ratio:.2f}. What is "
        "left is the settings, the ledger and the run itself."
    )
    yield _prose(
        "What is called beyond the least: one `GetSecretValue` of the current token in each run that renews, so that a "
        "token which Telenor hands out twice is neither published again nor logged out; and one right before each "
        "logout, so that a token which became current a moment ago is never revoked. Credentials could be kept between "
        "runs, and then changed ones would go unnoticed."
    )


def _artifact(results: Results) -> Iterable[str]:
    unzipped = sum(package.unzipped_bytes for package in results.packages)
    yield _table(
        ["package, with its metadata", "zipped, bytes", "unzipped, bytes"],
        [
            *(
                (package.name, f"{package.zipped_bytes:,}", f"{package.unzipped_bytes:,}")
                for package in results.packages
            ),
            ("**all**, zipped with the directory of the file", f"{results.zipped_bytes:,}", f"{unzipped:,}"),
        ],
    )
    floor = results.starts["floor"].peak_kib
    floor_kib = sorted(floor)[len(floor) // 2]
    yield _table(
        ["a fresh process at its peak", "MiB", "of the floor"],
        [
            ("the floor, started", f"{floor_kib / 1024:.1f}", "1.00"),
            (
                "the handler, started and one rotation",
                f"{results.rotation_peak_kib / 1024:.1f}",
                f"{results.rotation_peak_kib / floor_kib:.2f}",
            ),
        ],
    )
    yield _prose(
        "*For an operator:* the artifact is what `make build` makes; Lambda takes 50 MB zipped and 250 MB unzipped. "
        f"Of the 256 MB that the template gives a run, this is {results.rotation_peak_kib / 1024 / 256:.0%}, and "
        "Lambda's own runtime comes on top: the memory buys processor time, not space."
    )


def _consumers(results: Results) -> Iterable[str]:
    count = results.within.months[0].months
    yield _prose(
        f"{count} simulated months for each way, on the models of Secrets Manager and Telenor that `tests/simulation` "
        "holds the promises against. Each month has the same weather for all: outages of the token endpoint and of "
        "logout, lost answers, failing calls, crashes, events that come twice; Lambda's two retries of a failed run. "
        f"Tokens live 3,599 s. {2 * len(CACHE_SECONDS)} consumers send a request every {REQUEST_EVERY_SECONDS} s, two "
        f"each with caches of {', '.join(str(seconds) for seconds in CACHE_SECONDS)} s, and use what they hold until "
        f"its time is over, dead or not. This job runs every 5 minutes with `GRACE_SECONDS={GRACE.total_seconds():.0f}`"
        ", a minute above the longest cache. All ways have the same client for Telenor, with the same retries."
    )
    yield "![Requests refused, by way and by cache lifetime](benchmarks-consumers.svg)"
    for weathered in (results.within, results.beyond):
        yield f"### {weathered.title}"
        yield _prose(_describe(weathered.outages))
        yield _felt(weathered)
    yield "### What it leaves behind and what it costs"
    yield _costs(results)
    yield _prose(
        "*Spare* is a token that is alive and that no consumer needs: replaced, or never published. The numbers are of "
        "the months with outages within the slack. *For an operator:* a spare token is what a leak is made of. "
        "Overwriting leaves one alive at any time, for as long as it has left to live; this job ends each after its "
        "grace; logging out at once leaves none, and pays with every cached copy. Those that last the longest were "
        "never published: their answer was lost or their run was killed, which no way can prevent."
    )
    yield _prose(
        "A consumer that reads the secret anew whenever it is refused would repeat one request for each rotation where "
        "a way logs out at once, about 1,440 a month, and otherwise feel what the column for no cache says. The usual "
        "caches do not do that by themselves."
    )
    yield _prose(
        "AWS's native rotation cannot run more often than every four hours, so its four steps are given the same "
        "schedule as the others here; with tokens of an hour it could not be used as it is."
    )
    yield _money(results)


def _felt(weathered: Weathered) -> str:
    return _table(
        [
            "way",
            *(f"refused, cached {seconds} s" for seconds in CACHE_SECONDS),
            "longest spell of a consumer",
            "longest with a dead one in the secret",
        ],
        [
            (
                _bold(month.way),
                *(_refused(month, seconds) for seconds in CACHE_SECONDS),
                f"{month.longest_refused_seconds:,.0f} s",
                f"{month.no_token_seconds:,.0f} s",
            )
            for month in weathered.months
        ],
    )


def _costs(results: Results) -> str:
    return _table(
        [
            "way",
            "spare at the end",
            "spare for, median",
            "for, longest",
            "spare on average",
            "AWS calls",
            "Telenor requests",
            "calls and runs",
        ],
        [
            (
                _bold(month.way),
                f"{month.spare_at_end / month.months:.1f}",
                f"{month.spare_median_seconds:,.0f} s",
                f"{max(month.spare_seconds):,.0f} s",
                f"{month.spare_mean_count:.2f}",
                f"{prices.aws_calls(month):,.0f}",
                f"{prices.telenor_calls(month):,.0f}",
                f"{prices.running_cost(month):.3f} USD",
            )
            for month in results.within.months
        ],
    )


def _money(results: Results) -> str:
    mine = results.within.of(THIS_JOB.name)
    cheapest = min(results.within.months, key=prices.running_cost)
    often = OVERWRITE_OFTEN.name
    calls, runs = prices.aws_calls(mine), mine.invocations / mine.months
    seconds = mine.busy_seconds / mine.months + runs * prices.OWN_SECONDS_A_RUN
    return "\n\n".join(
        [
            _prose(
                f"**The cost** is a month's calls and runs at list prices: {calls:,.0f} calls × 0.05 USD / 10,000, "
                f"{runs:,.0f} runs × 0.20 USD / million, {seconds:,.0f} s × 0.25 GB × 0.0000133334 USD (arm64; a run "
                f"is taken to need {prices.OWN_SECONDS_A_RUN} s of its own and what it waits). The schedule is within "
                f"the {prices.FREE_SCHEDULER_INVOCATIONS:,} free invocations. The same for all ways: two secrets, "
                f"{2 * prices.SECRET_A_MONTH:.2f} USD."
            ),
            _prose(
                f"**Where another way is cheaper:** `{cheapest.way}` costs {prices.running_cost(cheapest):.3f} USD, "
                f"this job {prices.running_cost(mine):.3f} USD, and whatever only overwrites is less code. If a "
                "replaced token may live until it expires, overwriting often enough is the simpler choice: with short "
                f"outages `{often}` refused {results.within.of(often).refused:,} requests in all these months and this "
                f"job {mine.refused:,}; with long ones {results.beyond.of(often).refused:,} and "
                f"{results.beyond.of(THIS_JOB.name).refused:,}, since a younger token outlasts more. A lower "
                "`RENEW_AT_FRACTION` buys the same here, at the cost of more rotations: "
                f"{results.beyond.of(THIS_JOB_EARLIER.name).refused:,}. Logging out the one before "
                "also ends replaced tokens, with fewer calls; it has no memory of a logout that failed, and where a "
                "run comes again after it has written, it takes a token that consumers still hold. What this job adds "
                "is that a grace is kept and a replaced token dies whatever happened, that a leak can be answered at "
                "once, and that somebody is told when it fails."
            ),
            _prose(
                f"**What watching costs** is more than all of that: {prices.METRICS} metrics × "
                f"{prices.METRIC_A_MONTH:.2f} USD and {prices.ALARMS} alarms × {prices.ALARM_A_MONTH:.2f} USD are "
                f"{prices.watching_cost():.2f} USD a month, unless they are among the account's ten free metrics and "
                f"ten free alarms. And one consumer process that caches for 60 s costs {prices.consumer_cost(60):.2f} "
                f"USD a month in reads, one that caches for 600 s {prices.consumer_cost(600):.2f} USD: with a few "
                "consumers, their caches decide the bill."
            ),
        ]
    )


def _clients(results: Results) -> Iterable[str]:
    first = results.sizes[0]
    yield _table(
        [
            "clients",
            "rotations a second",
            "runs not due a second",
            "bare `DescribeSecret` a second",
            "AWS calls a rotation",
            "HTTP requests a rotation",
            "the servers' share",
            "peak MiB",
            "of one client's",
        ],
        [
            (
                f"{size.clients:,}",
                f"{size.rotations_per_second:.1f}",
                f"{size.looks_per_second:.1f}",
                f"{size.bare_calls_per_second:.1f}",
                f"{size.aws_calls / size.clients:.2f}",
                f"{size.http_calls / size.clients:.2f}",
                f"{size.server_share:.2f}",
                f"{size.peak_mib:.1f}",
                f"{size.peak_mib / first.peak_mib:.2f}",
            )
            for size in results.sizes
        ],
    )
    yield "![Rates and memory by the number of clients](benchmarks-clients.svg)"
    yield _prose(
        "One function, called with `credentials_secret_id` and `token_secret_id` for each client, in as many warm "
        "processes as cores; Secrets Manager and Telenor are the local stand-ins, in one other process. **The stand-in "
        "is the bottleneck:** it answers one call at a time, bare calls by boto3 reach what the fourth column says, "
        "and a rotation makes four calls and a request. The servers' share is their CPU time against the time passed; "
        "they and the workers compete for the same cores. The rates say that nothing grows faster than the clients do, "
        "not how fast AWS would be."
    )
    yield _prose(
        "*For an operator:* calls per rotation do not grow with the number of clients, and memory hardly, so that one "
        "function can serve them all: one schedule a client, with its names in the event."
    )
    yield "### Where AWS ends"
    yield _table(
        ["limit, an account and Region", "default quota", "clients", "sum"],
        [
            (limit.what, limit.quota, f"{limit.clients:,}", limit.sum)
            for limit in prices.limits(results.within.of(THIS_JOB.name))
        ],
    )
    yield _prose(
        "The default schedule of 5 minutes, tokens of an hour. Quotas: *AWS Secrets Manager quotas*, *Quotas for "
        "Amazon EventBridge Scheduler*, *Lambda quotas*; calls per client are those of the months above. A new account "
        "may have far less concurrency. *For an operator:* up to a few thousand clients nothing needs to be asked for. "
        "Beyond, spread the schedules over the five minutes, and mind that a hanging token endpoint makes every run "
        "that is due last until its timeout. Within one secret the limit is another: AWS advises against writing more "
        "often than every 10 minutes, and this job writes every 30."
    )


def _describe(outages: Outages) -> str:
    return (
        f"{outages.count} outages of the token endpoint a month, of {outages.shortest.total_seconds() / 60:.0f} to "
        f"{outages.longest.total_seconds() / 60:.0f} minutes. Requests refused a month, by both consumers of a kind."
    )


def _refused(month: Month, seconds: int) -> str:
    return f"{month.felt[seconds].refused / month.months:,.0f}"


def _bold(way: str) -> str:
    return f"**{way}**" if way == THIS_JOB.name else way


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" if count > 1 else name for name, count in counts.items())


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _prose(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)
