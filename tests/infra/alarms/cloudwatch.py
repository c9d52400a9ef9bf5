"""CloudWatch's evaluation of alarms, as AWS documents it.

The Amazon CloudWatch User Guide, "Evaluating an alarm", "Configuring how CloudWatch alarms treat missing data" and
"Using metric math". Times are seconds; they count from any whole minute.
"""

from __future__ import annotations

import ast
import operator
from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Series = list[float | None]
    Expression = Callable[[Mapping[str, Series]], Series | float]

EVALUATED_EVERY = 60

# How many more data points than EvaluationPeriods CloudWatch retrieves. AWS says "a higher number", and shows two.
MORE_DATA_POINTS = 2


class State(StrEnum):
    """The state of an alarm."""

    OK = "OK"
    ALARM = "ALARM"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"


@dataclass(frozen=True, slots=True)
class Rule:
    """M out of N, and the treatment of missing data."""

    evaluation_periods: int
    datapoints_to_alarm: int
    treat_missing_data: str


def next_state(points: Sequence[bool | None], rule: Rule, state: State) -> State:
    """Return the state after an evaluation.

    The points are those of the evaluation range, oldest first: breaching, within the threshold, or missing.
    """
    real = [point for point in points if point is not None][-rule.evaluation_periods :]
    to_fill = rule.evaluation_periods - len(real)
    treatment = rule.treat_missing_data
    if to_fill and treatment in _FILLERS:
        return _counted(real + [_FILLERS[treatment]] * to_fill, rule)
    if not to_fill or False in real:
        return _counted(real, rule)
    if treatment == "missing":
        if not real:
            return State.INSUFFICIENT_DATA
        # "The oldest available breaching datapoint … is at least as old as the value of Datapoints to Alarm, and all
        # other more recent data points are breaching or missing."
        return State.ALARM if len(points) - points.index(True) >= rule.datapoints_to_alarm else state
    return state


_FILLERS = {"breaching": True, "notBreaching": False}
TREATMENTS = (*_FILLERS, "missing", "ignore")


def _counted(points: Sequence[bool], rule: Rule) -> State:
    return State.ALARM if points.count(True) >= rule.datapoints_to_alarm else State.OK


_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "LessThanOrEqualToThreshold": operator.le,
    "LessThanThreshold": operator.lt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
}


@dataclass(frozen=True, slots=True)
class Metric:
    """The identity of a metric: other dimensions make another metric."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, properties: Mapping[str, Any]) -> Metric:
        """Return the metric that a template names."""
        dimensions = frozenset((each["Name"], each["Value"]) for each in properties["Dimensions"])
        return cls(properties["Namespace"], properties["MetricName"], dimensions)


@dataclass(frozen=True, slots=True)
class Query:
    """A metric with its statistic, under the id that an expression uses."""

    name: str
    metric: Metric
    statistic: str


@dataclass(frozen=True)
class Alarm:
    """An AWS::CloudWatch::Alarm without its actions."""

    queries: tuple[Query, ...]
    expression: Expression
    period: int
    threshold: float
    comparison: Callable[[float, float], bool]
    rule: Rule

    @classmethod
    def of(cls, properties: Mapping[str, Any], *, fills_nothing: bool = False) -> Alarm:
        """Create an alarm from its properties, whose references are resolved.

        AWS does not say whether FILL fills a series without a single value in the evaluation range; with
        `fills_nothing` it does not.
        """
        if "Metrics" in properties:
            stats = [each for each in properties["Metrics"] if "MetricStat" in each]
            queries = tuple(
                Query(each["Id"], Metric.of(each["MetricStat"]["Metric"]), each["MetricStat"]["Stat"]) for each in stats
            )
            (period,) = {int(each["MetricStat"]["Period"]) for each in stats}
            (returned,) = [each for each in properties["Metrics"] if each.get("ReturnData", True)]
            expression = parse(returned["Expression"], fills_nothing=fills_nothing)
        else:
            queries = (Query("m", Metric.of(properties), properties["Statistic"]),)
            period = int(properties["Period"])
            expression = parse("m")
        periods = int(properties["EvaluationPeriods"])
        rule = Rule(periods, int(properties.get("DatapointsToAlarm", periods)), properties["TreatMissingData"])
        assert rule.treat_missing_data in TREATMENTS
        comparison = _COMPARISONS[properties["ComparisonOperator"]]
        return cls(queries, expression, period, float(properties["Threshold"]), comparison, rule)

    @property
    def metrics(self) -> set[Metric]:
        """The metrics that it reads."""
        return {query.metric for query in self.queries}


def parse(text: str, *, fills_nothing: bool = False) -> Expression:
    """Return a metric math expression: numbers, names, arithmetic and FILL. Raises SyntaxError."""
    return _Parser(fills_nothing).expression(ast.parse(text, mode="eval").body)


_OPERATORS: dict[type[ast.AST], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}


class _Parser:
    """Parses metric math with Python's parser: the syntax that alarms use is the same."""

    def __init__(self, fills_nothing: bool) -> None:
        self._fills_nothing = fills_nothing

    def expression(self, node: ast.expr) -> Expression:
        match node:
            case ast.Constant(value=int() | float() as number):
                value = float(number)
                return lambda _: value
            case ast.Name(id=name):
                return lambda series: series[name]
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                return self._applied(_OPERATORS[type(op)], self.expression(left), self.expression(right))
            case ast.Call(func=ast.Name(id="FILL"), args=[series, ast.Constant(value=int() | float() as filler)]):
                return self._filled(self.expression(series), float(filler))
        raise SyntaxError(f"this reader of metric math does not know {ast.unparse(node)}")

    def _filled(self, series: Expression, filler: float) -> Expression:
        def fill(given: Mapping[str, Series]) -> Series:
            points = series(given)
            assert isinstance(points, list)
            if self._fills_nothing and not any(point is not None for point in points):
                return points
            return [filler if point is None else point for point in points]

        return fill

    @staticmethod
    def _applied(function: Callable[[float, float], float], left: Expression, right: Expression) -> Expression:
        """Return the function of each two points.

        "Missing values in a time series are treated as 0" next to a value of another series. AWS does not document that
        a number adds values where a series has none.
        """

        def apply(given: Mapping[str, Series]) -> Series | float:
            a, b = left(given), right(given)
            if isinstance(a, float):
                if isinstance(b, float):
                    return float(function(a, b))
                return [None if y is None else float(function(a, y)) for y in b]
            if isinstance(b, float):
                return [None if x is None else float(function(x, b)) for x in a]
            pairs = zip(a, b, strict=True)
            return [None if x is None and y is None else float(function(x or 0, y or 0)) for x, y in pairs]

        return apply


_STATISTICS: dict[str, Callable[[list[float]], float]] = {"Minimum": min, "Maximum": max, "Sum": sum}


class CloudWatch:
    """Metrics, each visible from its arrival on, and the states of alarms on them."""

    def __init__(self) -> None:
        self._samples: dict[Metric, tuple[list[float], list[float], list[float]]] = defaultdict(lambda: ([], [], []))

    def put(self, metric: Metric, at: float, value: float, arrives_at: float) -> None:
        """Add a value. Call this in the order of `at`."""
        times, values, arrivals = self._samples[metric]
        assert not times or times[-1] <= at
        times.append(at)
        values.append(value)
        arrivals.append(arrives_at)

    def series(self, query: Query, period: int, count: int, now: float) -> Series:
        """Return the statistic of each of the last periods, oldest first; the newest ends with the last full minute."""
        times, values, arrivals = self._samples[query.metric]
        statistic = _STATISTICS[query.statistic]
        end = now - now % EVALUATED_EVERY
        begin = end - count * period
        seen: dict[int, list[float]] = {}
        for index in range(bisect_left(times, begin), bisect_left(times, end)):
            if arrivals[index] <= now:
                seen.setdefault(int((times[index] - begin) // period), []).append(values[index])
        return [statistic(seen[place]) if place in seen else None for place in range(count)]

    def state(self, alarm: Alarm, now: float, state: State, more: int = MORE_DATA_POINTS) -> State:
        """Return an alarm's state after an evaluation now."""
        count = alarm.rule.evaluation_periods + more
        given = {query.name: self.series(query, alarm.period, count, now) for query in alarm.queries}
        points = alarm.expression(given)
        assert isinstance(points, list)
        breaching = [None if point is None else alarm.comparison(point, alarm.threshold) for point in points]
        return next_state(breaching, alarm.rule, state)

    def changes(
        self, alarm: Alarm, begin: float, end: float, more: int = MORE_DATA_POINTS
    ) -> Iterator[tuple[float, State]]:
        """Yield when an alarm changes, evaluated each minute from `begin` to `end`, OK at first."""
        state, now = State.OK, begin
        while now <= end:
            after = self.state(alarm, now, state, more)
            if after is not state:
                yield now, after
                state = after
            now += EVALUATED_EVERY


def metrics_of(properties: Mapping[str, Any]) -> Iterator[Metric]:
    """Yield the metrics of a widget; a dot repeats the word above it."""
    above: list[str] = []
    for entry in properties["metrics"]:
        words = [each for each in entry if isinstance(each, str)]
        above = [above[place] if each == "." else each for place, each in enumerate(words)]
        namespace, name, *rest = above
        yield Metric(namespace, name, frozenset(zip(rest[::2], rest[1::2], strict=True)))
