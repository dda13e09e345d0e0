"""Which accounts, of any roster or none, have privileges on which databases."""

from collections import defaultdict
from collections.abc import Collection

from dbroster.engines.clickhouse.session import Session

_HELD = """
    SELECT DISTINCT assumeNotNull(user_name), assumeNotNull(database) FROM system.grants
    WHERE user_name IS NOT NULL AND database IS NOT NULL AND NOT is_partial_revoke"""


def read_holders(session: Session, databases: Collection[str]) -> dict[str, set[str]]:
    """Read it in one query.

    system.grants shows `GRANT ... ON ann_*.*` as a grant on a database `ann_`: where there is none, it counts for all
    that begin so.
    """
    holders: defaultdict[str, set[str]] = defaultdict(set)
    for user, place in session.union(_HELD):
        for name in [place] if place in databases else [name for name in databases if name.startswith(place)]:
            holders[name].add(user)
    return dict(holders)
