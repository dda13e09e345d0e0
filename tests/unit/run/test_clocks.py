"""Clocks that are wrong: the server's, which dates locks, and the one of this machine."""

from datetime import timedelta
from pathlib import Path

import pytest

from dbroster.model.connection import Removals
from dbroster.model.plan import Verb
from tests.support.fake_site import Site, code
from tests.support.samples import roster

KEPT = {"removals": Removals(grace_days=7)}
LONG = timedelta(days=3000)


@pytest.mark.parametrize(("at_lock", "later"), [(timedelta(), LONG), (-LONG, timedelta()), (LONG, timedelta())])
def test_a_clock_that_is_wrong_ends_no_days_of_grace_too_soon(
    tmp_path: Path, at_lock: timedelta, later: timedelta
) -> None:
    """K12: neither a server's clock that is suddenly ahead, nor one that was behind when the account was locked."""
    site = Site(tmp_path)
    site.run(roster("al", "bob"), connection=KEPT)
    site.server.clock_ahead = at_lock
    assert [o.action.verb for o in site.run(roster("al"), connection=KEPT).outcomes] == [Verb.LOCK_USER]
    site.server.clock_ahead = later
    result = site.run(roster("al"), connection=KEPT)
    assert (code(result), result.outcomes) == (0, ())
