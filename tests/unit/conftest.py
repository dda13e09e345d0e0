"""What unit tests share. They have a busy machine with servers, so the time of one example proves nothing."""

from pathlib import Path

import pytest
from hypothesis import settings

from tests.fake_server import FakeServer
from tests.support.fake_site import Site

settings.register_profile("unit", deadline=None, max_examples=60)
settings.load_profile("unit")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()
