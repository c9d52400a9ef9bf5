"""The demo's settings: the job's defaults, on a clock that shows three hours in a minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from handler import decisions
from handler.model import Policy
from infra.promises.history import Tolerances

SPEED = 180
"""Simulated seconds in one real second."""

# Simulated seconds

LIFETIME_SECONDS = 3600.0
"""How long Telenor lets a token live."""

GRACE_SECONDS = 600
"""How long a superseded token stays valid."""

RENEW_AT_FRACTION = 0.33
"""Share of its life by which a token is renewed."""

SCHEDULE_SECONDS = 300.0
"""How far apart the scheduled runs are."""

_POLICY = Policy(timedelta(seconds=GRACE_SECONDS), RENEW_AT_FRACTION, timedelta(seconds=SCHEDULE_SECONDS))
_LIFE = timedelta(seconds=LIFETIME_SECONDS)
_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)
_TIMES = decisions.renewal_times(_ANY_TIME, _ANY_TIME + _LIFE, _POLICY)
_LAST_RUN_AT = _TIMES.due_at - _POLICY.schedule - decisions.schedule_jitter(_POLICY)

RENEWED_AFTER_SECONDS = (max(_TIMES.not_before, _LAST_RUN_AT) - _ANY_TIME).total_seconds()
"""Age after which the next run renews a token."""

OUTAGE_TOLERANCE_SECONDS = decisions.outage_tolerance(_LIFE, _POLICY).total_seconds()
"""How long the token endpoint may be out without a consumer noticing."""

TOLERANCES = Tolerances(late=SCHEDULE_SECONDS + 2.0 * SPEED, recording=1.0 * SPEED, slow=2.0 * SPEED)
"""In simulated seconds. A revocation may wait for the next run."""

JOB_ENVIRON = {"RENEW_AT_FRACTION": str(RENEW_AT_FRACTION), "SCHEDULE_MINUTES": f"{SCHEDULE_SECONDS / 60:g}"}
"""The job's environment, besides its secrets and the grace."""

# Real seconds

CACHE_SECONDS = (1, 1, 2, 2)
"""Cache lifetimes of the consumers of each kind: at least a second less than the grace, for the write, for requests
that are under way, and for a read that is slightly old."""
