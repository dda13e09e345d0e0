"""The statements that make the admin account: by the server's own version where it answers, else by an assumed one."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from dbroster.engines import assumed_admin_script
from dbroster.engines.base import Handler
from dbroster.errors import DbrosterError
from dbroster.model.admin_script import AdminScript
from dbroster.model.connection import Connection

PLACEHOLDER = "..."


class Wanted(NamedTuple):
    """For which server, with which templates. `called`: what a person calls the product. `show`: the password, too."""

    connection: Connection
    templates: Sequence[str]
    called: str
    show: bool = False

    @property
    def password(self) -> str:
        """The admin's password where it is to be shown, or what stands for it."""
        known = self.connection.password
        return known.reveal() if self.show and known else PLACEHOLDER


class Found(NamedTuple):
    """The script; `there`: the account has logged in. `why`: why the server could not be asked, `lacking`: the rest."""

    script: AdminScript
    there: bool = False
    why: str = ""
    lacking: Sequence[str] = ()


def find(wanted: Wanted, connect: Callable[[Connection], Handler]) -> Found:
    """Ask the server, if the admin of connections.yaml can log in already. Raises ServerError (no driver)."""
    connection = wanted.connection
    if connection.password is not None and not connection.password.reveal():
        return _assumed(wanted, "the admin's password of connections.yaml is not there yet")
    try:
        with connect(connection) as handler:
            script = handler.admin_script(wanted.templates, wanted.password)
            lacking = handler.missing_privileges(wanted.templates)
    except DbrosterError as error:
        return _assumed(wanted, str(error))
    known = {*script.first, *script.needed}
    return Found(script, there=True, lacking=[text for text in lacking if text not in known])


def _assumed(wanted: Wanted, why: str) -> Found:
    script = assumed_admin_script(wanted.connection, wanted.templates, wanted.password, wanted.called)
    return Found(script, why=" ".join(why.split()))


def lines(wanted: Wanted, found: Found, command: str) -> Iterator[str]:
    """Write the script; `command` is the one that prints it with the password, to be told."""
    script, name = found.script, wanted.connection.username
    yield from _comments(script, _head(wanted, found))
    yield from _comments(script, [f"Run it as the server's own administrator: {script.run_by(command)}"])
    if script.local and wanted.connection.loopback:
        yield from _comments(script, [f"On this machine that may be, without a password: {command} | {script.local}"])
    yield from script.first
    if found.there:
        yield from _comments(script, [f"The account {name} is there already. It was made by:", script.create])
    elif wanted.connection.password is None:
        yield from _comments(script, [f"{name} logs in without a password: make the account by hand"])
    elif wanted.show:
        yield script.create
    else:
        yield from _comments(script, ["Put the password in, or let it be printed:", script.create])
    yield from (*script.needed, *found.lacking)
    for why, statements in script.more.items():
        yield ""
        yield from _comments(script, [f"to {why}"])
        yield from statements


def _head(wanted: Wanted, found: Found) -> Iterator[str]:
    connection = wanted.connection
    yield f"The admin account of dbroster on {found.script.product} at {connection.host}:{connection.port}"
    if not found.there:
        yield f"dbroster can't log in there yet, so the version is what the server told, or assumed ({found.why})"


def _comments(script: AdminScript, texts: Sequence[str] | Iterator[str]) -> Iterator[str]:
    """Write comments of one line each, whatever stands in a text."""
    for text in texts:
        yield f"{script.comment} {''.join(c if c.isprintable() else '?' for c in text)}"
