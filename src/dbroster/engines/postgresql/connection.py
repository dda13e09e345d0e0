"""Connections to PostgreSQL whose every wait ends, and that nothing but connections.yaml leads anywhere."""

import os
import select
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, Self, TypeVar

import psycopg
from psycopg import pq

Result = TypeVar("Result")

SLICE = 0.2
"""Seconds after which a wait looks whether the run has to end."""

GRACE = 5.0
"""Seconds for a server to say itself that a statement took too long, at most."""

NOWHERE = "/dev/null/none"
"""A file that can't be: libpq takes an empty name for the user's own file in the home directory."""

_LIBPQ_ONLY = ("PGSERVICE", "PGTZ", "PGDATESTYLE", "PGGEQO")
"""Variables that libpq reads whatever it is told."""

_WITHOUT_DEFAULT = {
    "min_protocol_version": "3.0",
    "max_protocol_version": "3.0",
    "require_auth": "scram-sha-256,md5,password,gss,sspi,none",
}
"""What stands for no choice where libpq takes an empty text for a choice."""


class Expired(psycopg.OperationalError):
    """A wait has lasted too long."""


class Aborted(psycopg.OperationalError):
    """The run has to end."""


@dataclass
class Patience:
    """How long to wait for an answer of which server, and whether to wait at all any more.

    `key` is what connections.yaml calls those seconds.
    """

    address: str
    seconds: float
    key: str = "timeout"
    aborted: bool = False

    def __str__(self) -> str:
        return f"{self.seconds:g} s, the `{self.key}` in connections.yaml"


class Patient(psycopg.Connection[tuple[Any, ...]]):
    """A connection that waits as long as its patience lasts; psycopg itself waits for ever."""

    patience = Patience("the server", 300)

    @classmethod
    def to(cls, parameters: Mapping[str, Any], patience: Patience) -> Self:
        """Connect; libpq's `connect_timeout` ends that."""
        for variable in _LIBPQ_ONLY:
            os.environ.pop(variable, None)
        told: dict[str, Any] = {**undisturbed(), **parameters}
        raw = cls.connect(**told, autocommit=True, prepare_threshold=None)
        raw.patience = patience
        return raw

    def wait(
        self,
        gen: Generator[Any, Any, Result],
        interval: float = SLICE,  # noqa: ARG002 - as psycopg calls it
        timeout: float | None = None,  # noqa: ARG002 - as psycopg calls it
    ) -> Result:
        """Let psycopg's own steps go on as the socket becomes ready. Raises Expired or Aborted, and closes."""
        deadline = monotonic() + self.patience.seconds + min(GRACE, self.patience.seconds)
        try:
            wanted = next(gen)
            while True:
                wanted = gen.send(self._ready(wanted, deadline))
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]  # what the generator returns is untyped
        except (Expired, Aborted):
            self.close()
            raise

    def _ready(self, wanted: int, deadline: float) -> int:
        """Wait until what is wanted is possible; 1 is to read, 2 is to write, for psycopg as well."""
        poll = select.poll()
        poll.register(self.pgconn.socket, select.POLLIN * (wanted & 1) | select.POLLOUT * (wanted >> 1 & 1))
        while True:
            if self.patience.aborted:
                raise Aborted(f"the run was stopped while it waited for {self.patience.address}")
            left = deadline - monotonic()
            if left <= 0:
                raise Expired("no answer")
            for _, events in poll.poll(min(SLICE, left) * 1000):
                broken = events & (select.POLLHUP | select.POLLERR | select.POLLNVAL)
                return wanted if broken else bool(events & select.POLLIN) | bool(events & select.POLLOUT) << 1


def undisturbed() -> dict[str, str]:
    """Parameters that keep libpq's variables, and files in the home directory, from deciding anything."""
    own = {option.keyword.decode(): option for option in pq.Conninfo.get_defaults()}
    named = {
        keyword: option.compiled.decode() if option.compiled else _WITHOUT_DEFAULT.get(keyword, "")
        for keyword, option in own.items()
        if option.envvar and option.envvar.decode() in os.environ and keyword not in ("service", "servicefile")
    }
    files = dict.fromkeys({"passfile", "sslcert", "sslkey", "sslcrl"} & own.keys(), NOWHERE)
    return {**named, **files, "gssencmode": "disable"}
