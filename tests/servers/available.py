"""Servers that are missing skip their tests, or fail them where all are required."""

from collections.abc import Callable
from typing import TypeVar

import pytest

from servers import Missing, Server
from tests.conftest import everything_is_required

S = TypeVar("S", bound=Server)


def available(make: Callable[[], S]) -> S:
    """Make a server (which does not start it)."""
    try:
        return make()
    except Missing as missing:
        if everything_is_required():
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))
