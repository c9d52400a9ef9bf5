"""The benchmark's own arithmetic, and what the other ways of keeping a token fresh really do."""

from __future__ import annotations

import functools
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from handler import app
from infra import artifact
from tests.benchmarks.artifact_size import package_of
from tests.benchmarks.month import Climate, Month, Outages, Place, Weather, climate, felt_by_consumer, month
from tests.benchmarks.prices import ALARMS, METRICS, OWN_SECONDS_A_RUN, running_cost
from tests.benchmarks.ways import (
    OTHERS,
    OVERWRITE_OFTEN,
    THIS_JOB,
    Way,
    four_steps,
    overwrite,
    overwrite_and_log_out,
    overwrite_and_log_out_the_one_before,
)
from tests.handler.test_report import EVERYTHING
from tests.simulation.world import BEGIN, TOKEN

if TYPE_CHECKING:
    from tests.conftest import Seen

CALM = Climate({}, {}, twice=0)
SECOND = timedelta(seconds=1)


def way(run: object) -> Way:
    return next(one for one in (*OTHERS, OVERWRITE_OFTEN) if one.run is run)


def place(climate: Climate = CALM) -> Place:
    return Place(Weather(climate, 1))


@functools.cache
def calm_month(one: Way) -> Month:
    return month(one, CALM, seed=1, days=2)


# Consumers


def test_a_consumer_is_refused_from_the_death_of_its_token_until_it_reads_again() -> None:
    published = [(BEGIN, BEGIN + 100 * SECOND), (BEGIN + 100 * SECOND, BEGIN + 10_000 * SECOND)]
    felt = felt_by_consumer(published, 60, BEGIN, BEGIN + 600 * SECOND)
    # Read at 60 s, dead at 100 s, read again at 120 s: the requests at 100 s and 110 s.
    assert (felt.requests, felt.refused, felt.longest_seconds) == (60, 2, 20)


def test_without_a_cache_only_a_dead_token_in_the_secret_is_felt() -> None:
    published = [(BEGIN, BEGIN + 100 * SECOND), (BEGIN + 125 * SECOND, BEGIN + 10_000 * SECOND)]
    felt = felt_by_consumer(published, 0, BEGIN, BEGIN + 600 * SECOND)
    assert (felt.refused, felt.longest_seconds) == (3, 30)


def test_a_token_that_is_never_replaced_is_refused_to_the_end() -> None:
    felt = felt_by_consumer([(BEGIN, BEGIN + 300 * SECOND)], 60, BEGIN, BEGIN + 600 * SECOND)
    assert (felt.refused, felt.longest_seconds) == (30, 300)


# Weather


def test_an_outage_is_the_same_for_every_way_and_other_weather_in_another_month() -> None:
    told = climate(timedelta(minutes=5), timedelta(minutes=6))
    one, other, another = Weather(told, 1), Weather(told, 1), Weather(told, 2)
    assert one.outages == other.outages != another.outages
    begin, end, how = one.outages["token"][0]
    assert timedelta(minutes=5) <= end - begin <= timedelta(minutes=6)
    assert one.fate("token", begin, "any") == one.fate("token", begin, "other") == how
    assert Weather(CALM, 1).fate("token", begin, "any") is None


def test_a_month_is_the_same_every_time() -> None:
    stormy = climate(timedelta(minutes=5), timedelta(minutes=20), count=2)
    assert month(THIS_JOB, stormy, seed=1, days=2) == month(THIS_JOB, stormy, seed=1, days=2)


@pytest.mark.parametrize("one", [THIS_JOB, way(overwrite)], ids=lambda one: one.name)
def test_a_failed_run_is_repeated_as_often_as_its_deployment_says(one: Way) -> None:
    out = Climate({"token": Outages(1, timedelta(hours=30), timedelta(hours=30))}, {}, twice=0)
    runs = month(one, CALM, seed=1, days=2).invocations
    failed = month(one, out, seed=1, days=2)
    assert (failed.invocations > runs) is (one.retries > 0)
    assert one.retries == (0 if one is THIS_JOB else 2)


# Ways


@pytest.mark.parametrize("one", [THIS_JOB, *OTHERS], ids=lambda one: one.name)
def test_in_calm_weather_the_secret_never_holds_a_dead_token(one: Way) -> None:
    lived = calm_month(one)
    assert lived.no_token_seconds == 0
    assert lived.felt[0].refused == 0
    assert lived.felt[0].requests > 2 * 2 * 8000


def test_only_this_job_spares_caches_and_ends_replaced_tokens() -> None:
    lived = {one.name: calm_month(one) for one in (THIS_JOB, *OTHERS)}
    spare = {name: max(one.spare_seconds) for name, one in lived.items()}
    refused = {name: one.felt[600].refused for name, one in lived.items()}
    assert refused[THIS_JOB.name] == 0
    assert 660 <= spare[THIS_JOB.name] <= 660 + 301
    assert spare[way(overwrite).name] > 1790
    for run in (overwrite_and_log_out, four_steps):
        assert spare[way(run).name] < 2
        assert refused[way(run).name] > 0


def test_four_steps_go_on_with_the_token_of_a_rotation_that_was_killed() -> None:
    there = place()
    assert there.run(way(four_steps), "a" * 32, "first")
    there.weather.outages = {"verify": [(BEGIN, BEGIN + timedelta(days=1), "crash")]}
    assert not there.run(way(four_steps), "b" * 32, "second")
    there.weather.outages = {}
    assert there.run(way(four_steps), "c" * 32, "third")
    assert there.aws.secrets[TOKEN].current == "b" * 32
    assert there.calls["token"] == 2
    assert len(there.telenor.live()) == 1


def test_four_steps_start_anew_when_the_token_that_waits_has_died() -> None:
    there = place()
    there.run(way(four_steps), "a" * 32, "first")
    there.weather.outages = {"verify": [(BEGIN, BEGIN + timedelta(minutes=30), "crash")]}
    there.run(way(four_steps), "b" * 32, "second")
    there.clock.advance(hours=2)
    assert not there.run(way(four_steps), "c" * 32, "third")
    assert there.run(way(four_steps), "d" * 32, "fourth")
    assert there.telenor.is_live(there.published[-1][1])


def test_logging_out_the_one_before_takes_a_token_in_use_where_a_run_comes_again_after_it_has_written() -> None:
    there, one = place(), way(overwrite_and_log_out_the_one_before)
    assert there.run(one, "a" * 32, "first")
    assert there.run(one, "b" * 32, "second")
    there.weather.outages = {"logout": [(BEGIN, BEGIN + timedelta(days=1), "crash")]}
    assert not there.run(one, "c" * 32, "third")
    there.weather.outages = {}
    in_use = there.published[-2][1]
    assert there.telenor.is_live(in_use)
    assert there.run(one, "c" * 32, "third again")
    assert not there.telenor.is_live(in_use)


def test_a_failed_logout_leaves_the_token_to_its_expiry_where_nothing_keeps_it() -> None:
    there = place()
    assert there.run(way(overwrite_and_log_out), "a" * 32, "first")
    there.weather.outages = {"logout": [(BEGIN, BEGIN + timedelta(days=1), "503")]}
    assert there.run(way(overwrite_and_log_out), "b" * 32, "second")
    there.weather.outages = {}
    assert there.run(way(overwrite_and_log_out), "c" * 32, "third")
    assert len(there.telenor.live()) == 2


# Sums


def lived_month() -> Month:
    lived = Month("any", months=2, invocations=2000, busy_seconds=200.0)
    lived.calls.update(DescribeSecret=20_000, PutSecretValue=2_000, token=7)
    return lived


def test_the_cost_is_of_one_month_and_counts_calls_runs_and_time() -> None:
    calls, runs = 11_000 * 0.05 / 10_000, 1000 * 0.20 / 1_000_000
    seconds = (100 + 1000 * OWN_SECONDS_A_RUN) * 0.25 * 0.0000133334
    assert running_cost(lived_month()) == pytest.approx(calls + runs + seconds)


def test_what_is_watched_is_what_the_template_and_the_handler_have(seen: Seen) -> None:
    template = (artifact.ROOT / "template.yaml").read_text(encoding="utf-8")
    assert template.count("Type: AWS::CloudWatch::Alarm") == ALARMS
    app._put_metrics(EVERYTHING)  # noqa: SLF001  a run puts out nothing else that could be counted
    assert len(seen.metrics()) == METRICS


@pytest.mark.parametrize(
    ("filename", "package"),
    [
        ("requests/api.py", "requests"),
        ("requests-2.34.2.dist-info/METADATA", "requests"),
        ("typing_extensions.py", "typing_extensions"),
    ],
)
def test_metadata_counts_to_its_package(filename: str, package: str) -> None:
    assert package_of(filename) == package
