"""`dbroster check`: whether files, login and privileges are sound. It shows no plan and changes nothing."""

from collections.abc import Iterator
from contextlib import ExitStack

from dbroster.config.connections import CONNECTIONS_FILE
from dbroster.engines.base import Handler
from dbroster.errors import DbrosterError
from dbroster.model.plan import Plan
from dbroster.model.problems import Problem
from dbroster.model.result import Result
from dbroster.model.roster import Roster
from dbroster.roster.validation import validate
from dbroster.run.server_run import ServerRun


class Check(ServerRun):
    """A check of one server's files, and of the server itself where that is asked for."""

    def of_files(self, servers: int = 1) -> Result:
        """Judge what the files tell by themselves; connections.yaml has so many `servers` of this engine."""
        roster = validate(self.roster, self.connection)
        return self._judged(roster, self.problems(roster), self._files(servers))

    def of_server(self, servers: int = 1) -> Result:
        """Judge the files, the login and the admin's privileges, and what this server can carry."""
        try:
            with ExitStack() as stack:
                handler = self.reach(stack)
                roster = validate(self.roster, self.connection, handler)
                plan = self.plan(roster, self.read(handler, roster), handler)
                problems = self.problems(roster, *self._foreseen(handler, plan), *self.warnings(handler))
        except DbrosterError as error:
            return self._on_server(self.of_files(servers)._replace(fatal=str(error)))
        carried, wanted = len(roster.users), len(self.roster.users)
        login = f"login as {self.connection.username}: has all privileges"
        carries = "" if carried == wanted else f"; this server can't carry {_number(wanted - carried, 'user')}"
        return self._on_server(self._judged(roster, problems, f"{self._files(servers)}; {login}{carries}"))

    def _files(self, servers: int) -> str:
        """Say of each file what was judged in it."""
        roster, engine = self.roster, self.connection.engine
        users = roster.unread or _number(len(roster.users), "user")
        templates = _number(len(roster.templates), "template")
        return (
            f"judged {roster.file}: {users}; {engine}_databases.txt: {templates}; "
            f"{CONNECTIONS_FILE}: {_number(servers, 'server')}"
        )

    def _judged(self, roster: Roster, problems: tuple[Problem, ...], judgement: str) -> Result:
        return self.blank()._replace(users=len(roster.users), problems=problems, judgement=judgement)

    def _on_server(self, result: Result) -> Result:
        """Tell what the server is, if there was a login."""
        return result._replace(product=self.reached.product, host=self.reached.host) if self.reached else result

    def _foreseen(self, handler: Handler, plan: Plan) -> Iterator[Problem]:
        """Tell what of a plan the server must refuse."""
        for place, reason in self.refused(handler, plan).items():
            action = plan.actions[place]
            yield Problem(f"{action.verb} {action.database or action.user} can't be done: {reason}", user=action.user)


def _number(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
