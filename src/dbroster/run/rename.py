"""Giving a user another name on one server: account and databases, so that nothing is lost wherever it breaks off.

While it lasts, the roster says that it is under way (`old>new:password`), and no sync touches either name. What is
left to do is told by the server alone: as long as the new user has a password that nobody knows, the databases of the
old name are the truth, and nobody else can have written into those of the new name. From the password of the roster on
it is the other way round, and the old ones may go, if they are as they were copied. The old account goes last.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from dbroster.engines.base import Handler
from dbroster.errors import DbrosterError, OperationError, ServerError
from dbroster.model.plan import Action, Plan, Verb
from dbroster.model.result import Outcome, Result, Status
from dbroster.model.roster import Roster, User
from dbroster.model.state import Actual, ExistingDatabase, Lock, PasswordCheck
from dbroster.passwords.generated import generated
from dbroster.passwords.secret import Secret
from dbroster.plan.plan_digest import plan_digest
from dbroster.roster.validation import validate
from dbroster.run.server_run import ServerRun
from dbroster.run.steps import carry_out

_OWN = (Verb.RENAME_USER, Verb.MOVE_DATABASE)


class Wish(NamedTuple):
    """Who gets which name; `begun`: the roster says that it is under way."""

    old: str
    new: str
    password: Secret
    begun: bool = False


class Rename(ServerRun):
    """One user, renamed on one server."""

    def __init__(self, *given: Any, wish: Wish, **more: Any) -> None:
        super().__init__(*given, **more)
        self.wish = wish
        self.user = User(wish.new, wish.password, 0)

    def run(self) -> Result:
        """Do it, or say what would be done, or why it can't be; never raises for what is wrong with a server."""
        result = self.blank()._replace(users=1)
        try:
            with ExitStack() as stack:
                handler = self.reach(stack)
                with self.stage("rename"):
                    return self._run(result, handler)
        except DbrosterError as error:
            return result._replace(fatal=str(error))

    def _run(self, result: Result, handler: Handler) -> Result:
        server = handler.server()
        result = result._replace(product=server.product, host=server.host)
        self._refuse_name(handler)
        actual = self.read(handler, self._with(self.wish.old, self.wish.new))
        stay = self._to_be_moved(handler, actual)
        steps = [] if stay is None else list(self._steps(handler, actual, stay))
        self._refuse(handler, steps, stay or {})
        told = self.problems(Roster(), *(p for p in self.warnings(handler) if p.user in (None, self.wish.old)))
        result = result._replace(problems=told, unchanged=int(not steps))
        if self.options.dry_run or not steps:
            planned = tuple(Outcome(step, Status.PLANNED) for step in steps)
            return result._replace(outcomes=planned, plan=plan_digest(self.connection, steps))
        handler.prepare()
        return carry_out(self, result, handler, steps, self._own(handler, stay or {}), permitted="1")

    # --- may it be done? --------------------------------------------------------------------------------------------

    def _with(self, *names: str) -> Roster:
        """The roster as if it had these users alone, on good lines."""
        users = {name: User(name, self.wish.password, 0) for name in names}
        return Roster(users, templates=self.roster.templates)

    def _refuse_name(self, handler: Handler) -> None:
        """Raise for a name that a sync would refuse here, with its databases, or for this password."""
        judged = validate(self._with(self.wish.new), self.connection, handler)
        if self.wish.new not in judged.users:
            raise self._no("; ".join(problem.text for problem in judged.problems))

    def _no(self, why: str) -> ServerError:
        return ServerError(f"{self.wish.old} can't become {self.wish.new} here: {why}")

    def _to_be_moved(self, handler: Handler, actual: Actual) -> Mapping[str, str] | None:
        """Return the old user's databases with their new names; None where there is no such account."""
        old, new = actual.users.get(self.wish.old), actual.users.get(self.wish.new)
        self._refuse_others(handler, actual)
        if old is None:
            return None
        if not self.wish.begun:
            self._refuse_out_of_step(handler, actual)
        if not old.managed:
            raise self._no(f"the account {old.name} is not managed by dbroster: {old.protected or 'it has no marker'}")
        if old.lock is Lock.FOREIGN:
            raise self._no(f"the account {old.name} is locked, but not by dbroster, and would be open then")
        if new is not None and handler.renamer().renames:
            raise self._no(f"an account {new.name} has been made meanwhile; drop or rename it, and run this again")
        owned = {handler.fold_database(d.name): d.name for d in actual.databases.values() if d.owner == old.name}
        names = {
            handler.fold_database(before): after
            for before, after in zip(
                self.roster.databases(self.wish.old), self.roster.databases(self.wish.new), strict=True
            )
        }
        if missing := sorted(name for fold, name in owned.items() if fold not in names):
            raise self._no(f"no template names {', '.join(missing)} any more: put it back until {old.name} is renamed")
        whole = actual.passwords.get(self.wish.new) is PasswordCheck.SAME
        if owned and whole and old.lock is Lock.OPEN:  # a rename has locked it long before
            found = ", ".join(sorted(owned.values()))
            raise self._no(
                f"{self.wish.new} is whole, and {old.name} has got databases anew ({found}): drop those first"
            )
        return {owned[fold]: names[fold] for fold in names if fold in owned}

    def _refuse_others(self, handler: Handler, actual: Actual) -> None:
        """Raise for anything of the new name that is there, or that, once it has begun, is not of this rename."""
        new = actual.users.get(self.wish.new)
        if new is not None and not (self.wish.begun and new.managed):
            raise self._no(f"an account {new.name} exists already; choose another name, or drop it first")
        for found in self._of_new_name(handler, actual).values():
            if not (self.wish.begun and found.owner == self.wish.new):
                raise self._no(f"a database {found.name} exists already; choose another name, or drop it first")

    def _of_new_name(self, handler: Handler, actual: Actual) -> Mapping[str, ExistingDatabase]:
        by_fold = {handler.fold_database(name): database for name, database in actual.databases.items()}
        wanted = self.roster.databases(self.wish.new)
        return {name: by_fold[fold] for name in wanted if (fold := handler.fold_database(name)) in by_fold}

    def _refuse_out_of_step(self, handler: Handler, actual: Actual) -> None:
        """What a sync would change, a rename would carry along or lose."""
        plan = self.plan(self._with(self.wish.old), actual, handler)
        found = [conflict.text for conflict in plan.conflicts if conflict.user == self.wish.old]
        found += [
            f"{action.verb.value} {action.database or action.user} ({action.reason})"
            for action in plan.actions
            if action.user.partition("@")[0] == self.wish.old
        ]
        if found:
            raise self._no(f"{self.wish.old} is not in step; run a sync first: {'; '.join(found)}")

    def _refuse(self, handler: Handler, steps: Sequence[Action], moved: Mapping[str, str]) -> None:
        """Raise for what the server must refuse, before anything is changed."""
        if not steps:
            return
        old = self.wish.old
        asked = [step for step in steps if step.verb not in _OWN]
        if handler.renamer().renames:
            asked = [Action(Verb.LOCK_USER, old), *(Action(Verb.DROP_DATABASE, old, name) for name in moved)]
        reasons = dict.fromkeys(self.refused(handler, Plan(tuple(asked))).values())
        if why := [*reasons, *handler.renamer().obstacles(old, list(moved))]:
            raise self._no("; ".join(why))
        if handler.renamer().copies and not (handler.renamer().renames or self.wish.begun):
            for name in list(moved)[:1]:  # what is copied is written with the user's login, which must be let in here
                handler.archiver().is_empty(User(old, self.wish.password, 0), name)

    # --- what is to be done -----------------------------------------------------------------------------------------

    def _steps(self, handler: Handler, actual: Actual, moved: Mapping[str, str]) -> Iterator[Action]:
        old, new, password = self.wish.old, self.wish.new, self.wish.password
        if handler.renamer().renames:
            databases = f", with {', '.join(moved)}" if moved else ""
            yield Action(Verb.RENAME_USER, new, None, password, f"was {old}{databases}")
            return
        copies, whole = handler.renamer().copies, self._is_whole(handler, actual)
        there = self._of_new_name(handler, actual)
        open_ones = {was: name for was, name in moved.items() if not (whole and name in there)}
        yield from self._account(handler, begun=new in actual.users, closed=bool(moved) and not whole)
        for was, name in open_ones.items():
            if copies and name in there:
                undone = "a copy that was not finished"
                yield Action(Verb.ARCHIVE_DATABASE, new, there[name].name, reason=undone)
                yield Action(Verb.DROP_DATABASE, new, there[name].name, reason=undone)
            yield from (Action(verb, new, name, reason=f"was {was}") for verb in handler.creation_order)
        yield Action(Verb.LOCK_USER, old, reason=f"{new} now")
        drops = {was: Action(Verb.DROP_DATABASE, old, was, reason=f"it is {name} now") for was, name in moved.items()}
        for was, name in open_ones.items():
            yield Action(Verb.MOVE_DATABASE, new, name, reason=f"from {was}")
            if not copies:
                yield drops.pop(was)  # at once, before somebody makes a table there
        yield from (Action(Verb.ARCHIVE_DATABASE, old, was, reason="has somebody written into it?") for was in drops)
        if not whole:
            yield Action(Verb.UPDATE_PASSWORD, new, None, password, f"that of {old}")
        yield from drops.values()
        yield Action(Verb.DROP_USER, old, reason=f"{new} now")

    def _is_whole(self, handler: Handler, actual: Actual) -> bool:
        """Whether everything was copied: then, and not before, the new user has the password of the roster."""
        new = actual.users.get(self.wish.new)
        if not handler.renamer().copies or new is None or new.lock is Lock.OURS:  # locked until a copy is made again
            return False
        check = actual.passwords.get(self.wish.new)
        if check is PasswordCheck.UNKNOWN:
            why = actual.doubts.get(self.wish.new, "the password could not be checked")
            raise self._no(f"whether everything was copied can't be told: {why}")
        return check is PasswordCheck.SAME

    def _account(self, handler: Handler, *, begun: bool, closed: bool) -> Iterator[Action]:
        """Make the account, with a password that nobody knows until everything is in its databases."""
        if closed:
            rules = [self.connection.rules, *handler.password_rules()]
            self.user = self.user._replace(password=Secret(generated(self.wish.new, rules)))
        if closed and begun and handler.renamer().copies:  # what a run that was killed has sent may still be at work
            yield Action(Verb.LOCK_USER, self.wish.new, reason="until the copy is made again")
        if closed or not begun:
            verb = Verb.UPDATE_PASSWORD if begun else Verb.CREATE_USER
            yield Action(verb, self.wish.new, None, self.user.password, f"the new name of {self.wish.old}")

    def _own(self, handler: Handler, moved: Mapping[str, str]) -> Mapping[Verb, Any]:
        before = {name: was for was, name in moved.items()}

        def rename(_: Action) -> None:
            handler.renamer().rename(self.wish.old, self.wish.new, self.wish.password)

        def move(action: Action) -> None:
            name = action.database or ""
            handler.renamer().move(self.wish.old, before[name], self.user, name)

        def archive(action: Action) -> None:
            name = action.database or ""
            copied = handler.archives.get(name) if action.user == self.wish.old else None
            handler.archive_database(action.user, name)
            if copied and handler.archives.get(name) != copied:
                raise OperationError(
                    f"{name} has changed since it was copied; end who writes into it, and run this again"
                )

        return {Verb.RENAME_USER: rename, Verb.MOVE_DATABASE: move, Verb.ARCHIVE_DATABASE: archive}
