"""The real scripts are killed, and real servers; `DBROSTER_SOAK=1` tries every moment instead of a few."""

import os
from collections.abc import Iterator

import pytest

from tests.conftest import started
from tests.contract.adapters import Adapter
from tests.contract.conftest import ADAPTERS
from tests.e2e.conftest import REAL, adapter, site

__all__ = ["adapter", "site"]

SOAK = bool(os.environ.get("DBROSTER_SOAK"))


@pytest.fixture(scope="module", params=REAL)
def mortal(request: pytest.FixtureRequest) -> Iterator[Adapter]:
    """An adapter for a server of its own, since the others' may not be killed."""
    with started(request.param) as server:
        adapter = ADAPTERS[request.param](server)
        yield adapter
        adapter.close()
