"""How long things last in the demo. A minute shows what takes hours in earnest."""

from __future__ import annotations

LIFE_SECONDS = 20.0
"""How long Telenor lets a token live."""

GRACE_SECONDS = 4
"""How long a superseded token stays valid."""

RENEW_AT_FRACTION = 0.45
"""Share of its life after which a token is renewed."""

SCHEDULE_SECONDS = 1.0
"""How far apart the scheduled runs are."""

RUN_SECONDS = 6.0
"""What a run has until Lambda would end it. The job asks for tokens in the first half of so short a time."""

CACHE_SECONDS = (1, 2, 3, 3)
"""Cache lifetimes of the consumers of each kind: at least a second below the grace, which is for the write itself,
for the answers under way, and for a read that was a moment old when it came."""

RENEWED_AFTER_SECONDS = RENEW_AT_FRACTION * LIFE_SECONDS
"""Age at which a token is due for renewal."""

SLACK_SECONDS = LIFE_SECONDS - RENEWED_AFTER_SECONDS - GRACE_SECONDS - SCHEDULE_SECONDS
"""How long the token endpoint may be out without a consumer noticing."""
