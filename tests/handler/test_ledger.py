"""The ledger: parsing and creating labels, and the order of versions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from handler.ledger import LABEL_QUOTA, Entry, Ledger, ledger_from, new_entry, with_label

T0 = datetime(2026, 11, 23, 21, 30, tzinfo=UTC)
EXPIRES = datetime(2026, 11, 23, 22, 29, 59, tzinfo=UTC)
ID = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
OTHER = "9b2d1c40-0000-4000-8000-000000000001"
LABEL = f"LIVE_20261123T213000Z_20261123T222959Z_{ID}"
SHORT = "LIVE_20261123T213000Z_20261123T222959Z_3fa85f64"
LATER = f"LIVE_20261123T214000Z_20261123T222959Z_{ID}"


def at(**time: float) -> datetime:
    return T0 + timedelta(**time)


def live(name: str, published_at: datetime = T0) -> Entry:
    return new_entry(name, published_at, published_at + timedelta(hours=1))


def current_of(*labels: str, now: datetime = T0) -> Entry:
    current = ledger_from({ID: ["AWSCURRENT", *labels]}, now).current
    assert current is not None
    return current


# Labels


@pytest.mark.parametrize("rounded_off", [timedelta(0), timedelta(milliseconds=999)])
def test_a_label_has_the_times_rounded_down_and_the_full_version_id(rounded_off: timedelta) -> None:
    """The expiry is rounded down too, so that no label states a time at which the token is inactive."""
    assert new_entry(ID, T0 + rounded_off, EXPIRES + rounded_off) == Entry(ID, T0, EXPIRES, (LABEL,), T0)


def test_labels_of_both_formats_are_parsed() -> None:
    assert current_of(LABEL) == new_entry(ID, T0, EXPIRES)
    assert current_of(SHORT) == Entry(ID, T0, EXPIRES, (SHORT,), T0)


@pytest.mark.parametrize(
    "label",
    [
        *("LIVE_", "LIVE_manual", "LIVE_20261123T213000Z_20261123T222959Z", "LIVE_20261123T213000Z_20261123T222959Z_"),
        *("LIVE_20261323T213000Z_20261123T222959Z_3fa85f64", "LIVE_20261123T213000Z_20261123T222960Z_3fa85f64"),
        *("LIVE_00010101T000000Z_99991231T235959Z_3fa85f64", "LIVE_20261123T213000Z_99991231T235959Z_3fa85f64"),
        "LIVE_\uff12\uff10261123T213000Z_20261123T222959Z_3fa85f64",
    ],
)
def test_an_unreadable_label_is_tracked_without_times(label: str) -> None:
    entry = current_of(label)
    assert entry == Entry(ID, labels=(label,))
    assert entry.is_tracked


@pytest.mark.parametrize(
    ("now", "is_readable"),
    [
        pytest.param(at(minutes=-1), True, id="a minute ahead is within the clock skew"),
        pytest.param(at(minutes=-1, microseconds=-1), False, id="more than a minute ahead is unreadable"),
        pytest.param(at(days=-400), False, id="another year is unreadable"),
    ],
)
def test_a_label_from_the_future_is_unreadable_and_does_not_date_the_next_publication(
    now: datetime, is_readable: bool
) -> None:
    assert (current_of(LABEL, now=now).published_at == T0) is is_readable
    later = at(hours=-1)
    assert ledger_from({ID: ["AWSCURRENT", LABEL]}, later).next_publication(later) == later


@pytest.mark.parametrize("labels", [(LABEL, LATER), (LATER, LABEL), (SHORT, LATER)])
def test_of_two_labels_the_later_publication_counts_and_the_first_is_kept(labels: tuple[str, ...]) -> None:
    entry = current_of(*labels, "LIVE_manual", now=at(minutes=10))
    assert (entry.published_at, entry.first_published_at) == (at(minutes=10), T0)
    assert entry.labels == tuple(sorted([*labels, "LIVE_manual"]))


def test_of_two_expiries_the_earlier_one_counts() -> None:
    longer = f"LIVE_20261123T213000Z_20261123T230000Z_{ID}"
    assert current_of(LABEL, longer).expires_at == EXPIRES
    (superseded,) = ledger_from({ID: ["AWSPREVIOUS", LABEL, longer]}, T0).superseded
    assert (superseded.expires_at, superseded.is_previous) == (datetime(2026, 11, 23, 23, 0, tzinfo=UTC), True)


def test_a_version_published_twice_has_a_label_for_each_publication() -> None:
    again = with_label(new_entry(ID, T0, EXPIRES), at(minutes=10), EXPIRES)
    assert again == Entry(ID, at(minutes=10), EXPIRES, (LABEL, LATER), T0)
    assert again == current_of(*again.labels, now=at(minutes=10))
    unreadable = Entry(ID, labels=("LIVE_manual",))
    assert with_label(unreadable, T0, EXPIRES) == Entry(ID, T0, EXPIRES, ("LIVE_manual", LABEL), T0)


# Parsing a description


def test_superseded_versions_are_the_labelled_ones_oldest_first() -> None:
    new, middle, old = live("new", at(minutes=2)), live("middle", at(minutes=1)), live("old")
    unreadable = Entry("unreadable", labels=("LIVE_",), is_previous=True)
    ledger = ledger_from(
        {
            "new": ["AWSCURRENT", *new.labels],
            "middle": list(middle.labels),
            "old": list(old.labels),
            "unreadable": ["AWSPREVIOUS", "LIVE_"],
            "settled": ["theirs"],
        },
        at(minutes=2),
    )
    assert (ledger.current, ledger.superseded) == (new, (unreadable, old, middle))


def test_foreign_labels_are_counted_on_every_version() -> None:
    ledger = ledger_from({ID: ["AWSCURRENT", LABEL, "theirs"], OTHER: ["AWSPREVIOUS", "a", "b"], "third": ["c"]}, T0)
    assert (ledger.other_labels, ledger.label_count, ledger.superseded) == (4, 5, ())


@pytest.mark.parametrize(
    ("labels", "has_current", "has_room"),
    [
        # A label and AWSCURRENT for the new version, and AWSPREVIOUS for the previous one.
        *((LABEL_QUOTA - 3, True, True), (LABEL_QUOTA - 2, True, False), (LABEL_QUOTA - 2, False, True)),
        (LABEL_QUOTA - 1, False, False),
    ],
)
def test_a_secret_has_room_for_20_labels(labels: int, has_current: bool, has_room: bool) -> None:
    current = live("current") if has_current else None
    assert Ledger(current, other_labels=labels - (1 if has_current else 0)).has_room is has_room


# The order of publications


@pytest.mark.parametrize(
    ("now", "published_at"),
    [
        pytest.param(T0, T0, id="a whole second is kept"),
        pytest.param(at(microseconds=1), at(seconds=1), id="rounded up, so that the grace is never shorter"),
        pytest.param(at(seconds=1, microseconds=-1), at(seconds=1), id="even by a microsecond"),
    ],
)
def test_a_publication_time_has_whole_seconds(now: datetime, published_at: datetime) -> None:
    assert Ledger(None).next_publication(now) == published_at


@pytest.mark.parametrize(
    "ledger",
    [
        pytest.param(Ledger(live("current")), id="the current one"),
        pytest.param(Ledger(live("current", at(hours=-1)), (live("newer"),)), id="a superseded one"),
        pytest.param(Ledger(None, (live("newer"),)), id="nothing is current"),
    ],
)
@pytest.mark.parametrize("now", [T0, at(days=-1), at(milliseconds=300)])
def test_the_next_publication_is_dated_after_all_others_whatever_the_clock_says(ledger: Ledger, now: datetime) -> None:
    assert ledger.next_publication(now) == at(seconds=1)


@pytest.mark.parametrize(
    ("current", "is_latest"),
    [
        *((None, True), (Entry("current"), True), (live("current", at(seconds=1)), True)),
        pytest.param(live("current"), False, id="the same time: unknown"),
        (live("current", at(seconds=-1)), False),
    ],
)
def test_the_current_version_is_the_latest_if_no_other_was_published_later(
    current: Entry | None, is_latest: bool
) -> None:
    assert Ledger(current, (Entry("unreadable", labels=("LIVE_",)), live("other"))).is_current_latest is is_latest


# Changes


def test_a_superseded_version_stays_in_the_ledger_if_it_is_labelled() -> None:
    old, new = live("old"), live("new", at(minutes=1))
    (superseded,) = Ledger(old).superseded_by(new).superseded
    assert (superseded.version_id, superseded.labels, superseded.is_previous) == ("old", old.labels, True)
    assert Ledger(Entry("unlabelled")).superseded_by(new) == Ledger(new)
    assert Ledger(None).superseded_by(new) == Ledger(new)


def test_only_the_last_current_version_is_the_previous_one() -> None:
    before = Ledger(None).superseded_by(live("first")).superseded_by(live("second", at(minutes=1)))
    after = before.superseded_by(live("third", at(minutes=2)))
    previous = [(entry.version_id, entry.is_previous) for entry in after.superseded]
    assert previous == [("first", False), ("second", True)]


def test_a_republished_version_is_in_the_ledger_once() -> None:
    old, new = live("old"), live("new", at(minutes=1))
    ledger = Ledger(new, (old,)).superseded_by(old)
    assert (ledger.current, [entry.version_id for entry in ledger.superseded]) == (old, ["new"])


def test_an_entry_is_found_by_its_version_until_it_is_removed() -> None:
    ledger = Ledger(Entry("current"), (live("old"),))
    assert (ledger.find("old"), ledger.find("current"), ledger.find("other")) == (live("old"), Entry("current"), None)
    assert ledger.without(live("old")) == Ledger(Entry("current"))


def test_updated_labels_are_stored_at_their_version() -> None:
    assert Ledger(Entry("old")).updated(live("old")) == Ledger(live("old"))
    assert Ledger(None, (Entry("old"),)).updated(live("old")) == Ledger(None, (live("old"),))
    ledger = Ledger(live("current", at(minutes=2)), (live("middle", at(minutes=1)),)).updated(live("old"))
    assert [entry.version_id for entry in ledger.entries] == ["old", "middle", "current"]
