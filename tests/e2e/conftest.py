"""Real servers behind the real scripts: no fake here."""

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.contract.adapters import Adapter
from tests.contract.conftest import ADAPTERS
from tests.e2e.site import Site

REAL = [name for name in ADAPTERS if name != "fake"]
SOAK = bool(os.environ.get("DBROSTER_SOAK"))
on_one_product = pytest.mark.parametrize("adapter", REAL if SOAK else ["mariadb"], indirect=True)
"""For what no product has a part in: one shows that the script does it, and `make soak` tries it on all."""

_numbers = count(1)


@pytest.fixture(scope="session", params=REAL)
def adapter(request: pytest.FixtureRequest) -> Iterator[Adapter]:
    adapter = ADAPTERS[request.param](request.getfixturevalue(f"{request.param}_server"))
    yield adapter
    adapter.close()


@pytest.fixture(scope="session")
def adapters(request: pytest.FixtureRequest) -> Iterator[dict[str, Adapter]]:
    """All servers at once, by name."""
    found = {name: ADAPTERS[name](request.getfixturevalue(f"{name}_server")) for name in REAL}
    yield found
    for adapter in found.values():
        adapter.close()


@pytest.fixture
def site(adapter: Adapter, tmp_path: Path) -> Iterator[Site]:
    site = Site(adapter, tmp_path / "config", f"e{next(_numbers)}q")
    yield site
    adapter.wipe(site.prefix)
