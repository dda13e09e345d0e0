"""What the benchmarks make of what they measure."""

import socket
import threading
import time

import pytest

from benchmarks.delay import SECONDS, Delay
from benchmarks.engines import ENGINES
from benchmarks.figures import Samples, exponent, number, table
from benchmarks.targets import Row
from servers import Server


def test_a_ratio_is_taken_within_each_round() -> None:
    busy = Samples([{"first": 1, "raw": 2}, {"first": 10, "raw": 20}, {"first": 3, "raw": 1}, {"raw": 9}])
    assert busy.ratio("first", "raw") == 0.5
    assert busy.seconds("raw") == 5.5
    assert (busy.seconds("no-op"), busy.ratio("no-op", "raw")) == (None, None)


@pytest.mark.parametrize(("power", "factor"), [(1, 3), (2, 0.1), (0, 7)])
def test_exponent(power: int, factor: float) -> None:
    found = exponent({users: factor * users**power for users in (100, 1000, 5000)})
    assert found == pytest.approx(power)
    assert exponent({100: 1.0}) is None


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0, "0.00"), (0.01234, "0.012"), (1.234, "1.23"), (123.4, "123"), (0.5, "0.500")]
)
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert number(value) == text


def test_table() -> None:
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"


def test_a_target_is_met_or_not_or_was_not_run() -> None:
    rows = [Row("x", "y", value, 1.0, at_least=at_least) for value in (0.5, 2.0, None) for at_least in (False, True)]
    assert [row.cells()[-1] for row in rows] == ["yes", "**no**", "**no**", "yes", "-", "-"]


@pytest.mark.parametrize("name", ENGINES)
def test_a_raw_script_makes_and_removes_every_database(name: str) -> None:
    engine = ENGINES[name](["web", "tools"])
    for statements in (engine.creation("bob", "secret"), engine.removal("bob")):
        for database in ("bob_web", "bob_tools"):
            assert any(database in statement for statement in statements)


class Echo(Server):
    """A server that sends back what it gets."""

    engine = "echo"
    can_kill = False

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def start(self) -> "Echo":
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            while data := connection.recv(100):
                connection.sendall(data)

    def close(self) -> None:
        self._listener.close()

    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def log_files(self) -> list[object]:  # type: ignore[override]
        return []


def test_the_relay_delays_each_round_trip_and_counts_it() -> None:
    with Echo() as server, Delay(server) as relay, socket.create_connection(("127.0.0.1", relay.port)) as client:
        began = time.perf_counter()
        for _ in range(4):
            client.sendall(b"x")
            assert client.recv(1) == b"x"
        assert time.perf_counter() - began >= 4 * SECONDS
        assert relay.round_trips == 4
