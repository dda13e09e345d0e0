"""What a server is called in texts for people."""

import pytest

from dbroster.report.labels import label


@pytest.mark.parametrize(
    ("server", "told"),
    [
        ("default", "mysql"),
        ("eu", "mysql eu"),
        ("mariadb", "mysql mariadb"),
        ("mysql", "mysql"),
        ("mysql-2", "mysql-2"),
    ],
)
def test_engine_and_server_and_nothing_twice(server: str, told: str) -> None:
    assert label("mysql", server) == told
