"""What a DBA runs to make the admin account of dbroster on one server."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class AdminScript(NamedTuple):
    """Statements, one a line: `first` what must be there before the account, `create` the account with its password.

    `needed` is what no run can do without, `more` what is worth having, by what it is for. `client` is the command that
    runs it, with `{script}` in the place of what prints it if it is no pipe's end; `local` what may do without a
    password on the server's own machine. `comment` is what its comments begin with.
    """

    product: str
    create: str
    needed: Sequence[str]
    more: Mapping[str, Sequence[str]]
    client: str
    first: Sequence[str] = ()
    comment: str = "--"
    local: str = ""

    def run_by(self, command: str) -> str:
        """Return the command line that runs what a command prints."""
        inside = self.client.replace("{script}", command)
        return inside if inside != self.client else f"{command} | {self.client}"
