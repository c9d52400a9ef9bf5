"""The evaluator against AWS's own tables."""

from __future__ import annotations

from typing import Any

import pytest

from tests.infra.alarms.cloudwatch import CloudWatch, Metric, Query, Rule, State, next_state, parse

RETAINED = "Retain current state"

# Amazon CloudWatch User Guide, "How alarm state is evaluated when data is missing": two tables, unchanged. The columns
# are data points, how many must be filled, MISSING, IGNORE, BREACHING, NOT BREACHING.
THREE_OF_THREE = """
0 - X - X | 0 | OK | OK | OK | OK
0 - - - - | 2 | OK | OK | OK | OK
- - - - - | 3 | INSUFFICIENT_DATA | Retain current state | ALARM | OK
0 X X - X | 0 | ALARM | ALARM | ALARM | ALARM
- - X - - | 2 | ALARM | Retain current state | ALARM | OK
"""
TWO_OF_THREE = """
0 - X - X | 0 | ALARM | ALARM | ALARM | ALARM
0 0 X 0 X | 0 | ALARM | ALARM | ALARM | ALARM
0 - X - - | 1 | OK | OK | ALARM | OK
- - - - 0 | 2 | OK | OK | ALARM | OK
- - - X - | 2 | ALARM | Retain current state | ALARM | OK
"""
TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")
POINTS = {"0": False, "X": True, "-": None}


def rows() -> list[Any]:
    cases = []
    for table, datapoints_to_alarm in ((THREE_OF_THREE, 3), (TWO_OF_THREE, 2)):
        for row in table.strip().splitlines():
            points, to_fill, *states = (cell.strip() for cell in row.split("|"))
            for treatment, state in zip(TREATMENTS, states, strict=True):
                name = f"{datapoints_to_alarm} of 3: {points} {treatment}"
                cases.append(pytest.param(points.split(), int(to_fill), datapoints_to_alarm, treatment, state, id=name))
    return cases


@pytest.mark.parametrize(("points", "to_fill", "datapoints_to_alarm", "treatment", "state"), rows())
@pytest.mark.parametrize("before", list(State))
def test_each_row_of_awss_own_tables(
    points: list[str], to_fill: int, datapoints_to_alarm: int, treatment: str, state: str, before: State
) -> None:
    given = [POINTS[point] for point in points]
    assert max(0, 3 - sum(point is not None for point in given)) == to_fill
    after = next_state(given, Rule(3, datapoints_to_alarm, treatment), before)
    assert after == (before if state == RETAINED else state)


# The same page, "Avoiding premature transitions to alarm state".
@pytest.mark.parametrize("points", ["- - - - X", "- - - X -"])
def test_an_alarm_does_not_fire_prematurely(points: str) -> None:
    given = [POINTS[point] for point in points.split()]
    assert next_state(given, Rule(3, 3, "missing"), State.OK) is State.OK


# "Metric math", "Comparison and logical operators": metric1 is [30, 20, 0, 0] and metric2 is [20, -, 20, -].
@pytest.mark.parametrize(
    ("expression", "result"),
    [
        # "Basic arithmetic functions": missing values in a time series are treated as 0.
        *(("metric1 - metric2", [10, 20, -20, 0]), ("FILL(metric2, 7)", [20, 7, 20, 7])),
        *(("FILL(metric2, 0) - (15 + 2 * 5)", [-5, -25, -5, -25]), ("metric2 - 15", [5, None, 5, None])),
    ],
)
def test_metric_math_is_evaluated_as_documented(expression: str, result: list[float | None]) -> None:
    given: dict[str, list[float | None]] = {"metric1": [30.0, 20.0, 0.0, 0.0], "metric2": [20.0, None, 20.0, None]}
    assert parse(expression)(given) == result


@pytest.mark.parametrize(
    "expression", ["AVG(m)", "m AND m", "m > 1", "-m", "IF(m, 1, 0)", "FILL(m, REPEAT)", "m ** 2", "__import__('os')"]
)
def test_unknown_expressions_are_refused(expression: str) -> None:
    with pytest.raises(SyntaxError):
        parse(expression)


def test_fill_can_leave_an_empty_series_empty() -> None:
    assert parse("FILL(m, 0)")({"m": [None, None]}) == [0, 0]
    assert parse("FILL(m, 0)", fills_nothing=True)({"m": [None, None]}) == [None, None]
    assert parse("FILL(m, 0)", fills_nothing=True)({"m": [None, 1.0]}) == [0, 1]


METRIC = Metric("N", "m", frozenset())


def test_periods_end_at_the_last_full_minute() -> None:
    cloudwatch = CloudWatch()
    cloudwatch.put(METRIC, 61, 1, 61)
    cloudwatch.put(METRIC, 119, 2, 119)
    cloudwatch.put(METRIC, 240, 4, 240)
    for now, seen in ((239, [None, 3.0]), (299, [None, 3.0]), (300, [3.0, 4.0]), (420, [3.0, 4.0]), (480, [4.0, None])):
        expected = cloudwatch.series(Query("m", METRIC, "Sum"), 180, 2, now)
        assert expected == seen, now


def test_a_value_counts_only_after_it_has_arrived() -> None:
    cloudwatch = CloudWatch()
    cloudwatch.put(METRIC, 30, 5, 90)
    query = Query("m", METRIC, "Maximum")
    assert cloudwatch.series(query, 60, 1, 89) == [None]
    assert cloudwatch.series(query, 60, 1, 90) == [5]
