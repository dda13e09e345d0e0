"""`dbroster check`: whether files, login and privileges are sound. It shows no plan and changes nothing."""

from collections.abc import Iterator
from contextlib import ExitStack

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

    def of_files(self) -> Result:
        """Judge what the files tell by themselves."""
        roster = validate(self.roster, self.connection)
        return self._judged(roster, self.problems(roster))

    def of_server(self) -> Result:
        """Judge the files, the login and the admin's privileges, and what this server can carry."""
        try:
            with ExitStack() as stack:
                handler = self.reach(stack)
                roster = validate(self.roster, self.connection, handler)
                server = handler.server()
                plan = self.plan(roster, self.read(handler, roster), handler)
                problems = self.problems(roster, *self._foreseen(handler, plan), *self.warnings(handler))
        except DbrosterError as error:
            return self.of_files()._replace(fatal=str(error))
        result = self._judged(roster, problems, ", and so are login and privileges")
        return result._replace(product=server.product, host=server.host)

    def _judged(self, roster: Roster, problems: tuple[Problem, ...], more: str = "") -> Result:
        users, templates = len(roster.users), len(roster.templates)
        judgement = f"{_number(users, 'user')} and {_number(templates, 'template')} are sound{more}"
        return self.blank()._replace(users=users, problems=problems, judgement=judgement)

    def _foreseen(self, handler: Handler, plan: Plan) -> Iterator[Problem]:
        """Tell what of a plan the server must refuse."""
        for place, reason in self.refused(handler, plan).items():
            action = plan.actions[place]
            yield Problem(f"{action.verb} {action.database or action.user} can't be done: {reason}", user=action.user)


def _number(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
