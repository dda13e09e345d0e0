"""Sessions are opened when first needed, lent again, and replaced when they broke."""

from itertools import count
from threading import Thread

import pytest

from dbroster.engines.base import Handler
from dbroster.errors import ConnectError, Stalled
from dbroster.run.sessions import Sessions
from tests.fake import FakeHandler, FakeServer, fake_connection


def open_sessions(server: FakeServer, number: int = 2) -> Sessions:
    return Sessions(lambda: FakeHandler.open(fake_connection(server)), number)


def test_nothing_is_opened_before_it_is_needed() -> None:
    server = FakeServer()
    with open_sessions(server):
        assert server.sessions == {}


def test_a_session_is_lent_again() -> None:
    server = FakeServer()
    with open_sessions(server) as sessions:
        with sessions.borrow() as first:
            pass
        with sessions.borrow() as second, sessions.borrow() as third:
            assert second is first
            assert third is not first
        assert len(server.sessions) == 2
    assert server.sessions == {}


@pytest.mark.parametrize("error", [ConnectError, ZeroDivisionError, KeyboardInterrupt])
def test_a_session_that_broke_is_closed_and_not_lent_again(error: type[BaseException]) -> None:
    server = FakeServer()
    with open_sessions(server) as sessions:
        with pytest.raises(error), sessions.borrow() as first:
            raise error
        assert server.sessions == {}
        with sessions.borrow() as second:
            assert second is not first


def test_a_server_that_refuses_is_asked_again_the_next_time() -> None:
    server, attempts = FakeServer(), count()

    def connect() -> Handler:
        if next(attempts) == 0:
            raise ConnectError("refused")
        return FakeHandler.open(fake_connection(server))

    with Sessions(connect, 1) as sessions:
        with pytest.raises(ConnectError), sessions.borrow():
            pass
        with sessions.borrow() as handler:
            assert handler.server().product == "Fake 1.0"


def full(server: FakeServer) -> Sessions:
    """Sessions with a spare one, on a server that has no place for another."""

    def connect() -> Handler:
        raise ConnectError("too many connections")

    return Sessions(connect, 2, spare=FakeHandler.open(fake_connection(server)))


def test_where_no_session_can_be_opened_the_one_that_is_there_is_lent_turn_by_turn() -> None:
    """B1: a user who holds all connections can be locked, which makes room."""
    sessions, order = full(FakeServer()), []
    with sessions.borrow() as first:
        other = Thread(target=lambda: order.append(_product(sessions)))
        other.start()
        order.append(first.server().product + " first")
    other.join(5)
    assert order == ["Fake 1.0 first", "Fake 1.0"]


def _product(sessions: Sessions) -> str:
    with sessions.borrow() as handler:
        return handler.server().product


def test_a_spare_session_that_broke_is_not_lent_again() -> None:
    sessions = full(FakeServer())
    with pytest.raises(ConnectError, match="broke in the middle"), sessions.borrow():
        raise ConnectError("broke in the middle")
    with pytest.raises(ConnectError, match="too many connections"), sessions.borrow():
        pass


def test_a_server_that_stalls_is_not_waited_for_on_another_session() -> None:
    def connect() -> Handler:
        raise Stalled("no answer")

    with pytest.raises(Stalled), Sessions(connect, 1, FakeHandler.open(fake_connection(FakeServer()))).borrow():
        pass
