"""Whose a session is, by the client that a process list tells."""

import pytest

from dbroster.engines.mysql.access.clients import Hosts


@pytest.mark.parametrize(
    ("ours", "other", "client", "is_ours"),
    [
        ("%", "10.9.9.9", "10.1.1.1:4711", True),
        ("%", "10.9.9.9", "10.9.9.9:4711", False),
        ("%", "10.9.9.9", "pc.example:4711", False),  # nobody tells the address of that name
        ("%", "10.9.%", "10.9.1.1:4711", False),
        ("%", "localhost", "localhost", False),
        ("%", "localhost", "10.1.1.1:4711", True),
        ("%", "localhost", "127.0.0.1:4711", True),  # shown so without name resolution only
        ("%", "127.0.0.1", "localhost:4711", False),
        ("%", "10.0.0.0/255.0.0.0", "10.1.1.1:4711", False),
        ("%", "10.0.0.0/8", "11.1.1.1:4711", True),
        ("%", "10.0.0.0/8", "pc.example:4711", False),
        ("%", "10.0.0.0/255.0.255.0", "11.1.1.1:4711", False),  # a mask with gaps
        ("%", "%.example", "pc.example:4711", False),
        ("%", "%.example", "10.1.1.1:4711", True),
        ("%", "2001:db8::1", "2001:db8::1:4711", False),
        ("%", "2001:db8::1", "2001:db8::2:4711", True),
        ("10.9.%", "%", "10.9.1.1:4711", True),
        ("10.9.%", "%", "10.8.1.1:4711", False),
        ("10.9.1.1", "10.9.%", "10.9.1.1:4711", True),
    ],
)
def test_a_session_is_ours_if_it_can_be_nobody_else_s(ours: str, other: str, client: str, *, is_ours: bool) -> None:
    """S1: the server takes the account with the most specific host."""
    assert Hosts({ours}, {other}).has_client(client) is is_ours
    assert Hosts({ours}, set()).has_client(client)
