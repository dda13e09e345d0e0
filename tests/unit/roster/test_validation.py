"""Users that one server can't or mustn't carry are merely mentioned, each with a problem and the line."""

from collections.abc import Iterator

import pytest

from dbroster.model.connection import Connection
from dbroster.model.roster import Roster
from dbroster.model.state import Actual, ExistingUser
from dbroster.passwords.policy import PasswordRules
from dbroster.plan.diff import Differ
from dbroster.roster.parse import MOST
from dbroster.roster.validation import validate
from tests.fake import FakeHandler, FakeServer, fake_connection
from tests.support.samples import PASSWORD, roster, user


class CaseInsensitive(FakeHandler):
    """A server that takes names for the same when they differ only in case."""

    def fold_database(self, name: str) -> str:
        return name.casefold()


@pytest.fixture
def handler(server: FakeServer) -> Iterator[FakeHandler]:
    with FakeHandler.open(fake_connection(server)) as handler:
        yield handler


def found(before: Roster, connection: Connection, handler: FakeHandler | None = None) -> dict[str, str]:
    """Screen, check that who has a problem is out, and return the problems by user."""
    after = validate(before, connection, handler)
    texts = {problem.user or "": problem.text for problem in after.problems}
    assert after.mentioned == texts.keys()
    assert after.users.keys() == before.users.keys() - texts.keys()
    assert {p.line for p in after.problems} == {before.users[name].line for name in texts}
    return texts


def test_who_is_in_order_stays(server: FakeServer, handler: FakeHandler) -> None:
    assert found(roster("bob", "eve"), fake_connection(server), handler) == {}


def test_the_admin_itself(server: FakeServer) -> None:
    texts = found(roster("admin", "bob"), fake_connection(server))
    assert "admin account that dbroster itself uses" in texts["admin"]
    assert texts.keys() == {"admin"}


def test_protected_names(server: FakeServer) -> None:
    texts = found(roster("boss", "bob"), fake_connection(server, protected=frozenset({"boss"})))
    assert "protected" in texts["boss"]
    assert texts.keys() == {"boss"}


def test_protected_databases(server: FakeServer) -> None:
    texts = found(roster("ann", "bob"), fake_connection(server, protected=frozenset({"bob_web"})))
    assert "bob_web" in texts["bob"]
    assert texts.keys() == {"bob"}


def test_names_that_the_engine_refuses(server: FakeServer, handler: FakeHandler) -> None:
    long_user, long_database = "u" * 33, "d" * 32
    before = roster(long_user, long_database, "bob", templates=("t" * 32,))
    assert found(before, fake_connection(server)) == {}
    texts = found(before, fake_connection(server), handler)
    assert texts.keys() == {long_user, long_database}


class Fussy(FakeHandler):
    """A server that carries no dots."""

    def refuse_user(self, name: str) -> str | None:
        return f"the user name {name} has a dot" if "." in name else None

    def refuse_database(self, name: str) -> str | None:
        return f"the database name {name} has a dot" if "." in name else None


def test_a_name_that_the_engine_refuses_is_one_problem(server: FakeServer) -> None:
    """C8: a dot in a user's name is in the names of all databases as well."""
    with Fussy.open(fake_connection(server)) as handler:
        after = validate(roster("anna.adler", "bob", templates=("a", "b", "c")), fake_connection(server), handler)
    assert [problem.text for problem in after.problems] == ["the user name anna.adler has a dot"]


def test_shared_databases_refuse_both_sides(server: FakeServer) -> None:
    texts = found(roster("a", "a_b", "z", templates=("c", "b_c")), fake_connection(server))
    assert texts.keys() == {"a", "a_b"}
    assert "the users a and a_b would share the database a_b_c" in texts["a"]


def test_names_that_this_server_takes_for_the_same(server: FakeServer) -> None:
    before = roster("a", "a_b", templates=("c", "B_c"))
    assert found(before, fake_connection(server)) == {}
    with CaseInsensitive.open(fake_connection(server)) as handler:
        assert found(before, fake_connection(server), handler).keys() == {"a", "a_b"}


def test_two_templates_that_this_server_takes_for_the_same(server: FakeServer) -> None:
    with CaseInsensitive.open(fake_connection(server)) as handler:
        texts = found(roster("bob", templates=("Web", "web")), fake_connection(server), handler)
    assert texts["bob"].startswith("two templates of bob would share the database bob_web")


def test_passwords_of_connections_yaml_and_of_the_server(server: FakeServer, handler: FakeHandler) -> None:
    server.rules = [PasswordRules(0, 0, digits=3, source="the server's own rule")]
    weak = fake_connection(server, rules=PasswordRules(min_length=100))
    after = validate(roster("bob"), weak, handler)
    assert [problem.text.split("(")[-1] for problem in after.problems] == ["password_policy)", "the server's own rule)"]
    assert all(PASSWORD not in problem.text for problem in after.problems)


def test_passwords_that_clients_cannot_send(server: FakeServer, handler: FakeHandler) -> None:
    for password, told in (("Correct-7-horse\r", None), ("Correct-7-" + "x" * 1024, handler)):
        before = Roster({"bob": user("bob", password)}, templates=("web",))
        assert found(before, fake_connection(server), told).keys() == {"bob"}


def test_problems_of_the_files_stay_and_new_ones_come_in_the_order_of_lines(server: FakeServer) -> None:
    before = roster("zoe", "ann", password="short")
    after = validate(before, fake_connection(server))
    lines = [problem.line for problem in after.problems]
    assert lines == sorted(lines, key=lambda line: line or 0)
    assert validate(after, fake_connection(server)) == after


# --- many ------------------------------------------------------------------------------------------------------------


def test_of_many_bad_lines_the_first_are_told_and_nobody_is_forgotten(server: FakeServer, handler: FakeHandler) -> None:
    names = [f"u{number:04}" for number in range(MOST + 500)]
    after = validate(roster(*names, password="short"), fake_connection(server), handler)
    *told, rest = after.problems
    assert len(told) == MOST
    assert {problem.line for problem in told} == set(range(1, MOST // 2 + 1))  # each has two problems
    assert (rest.text, rest.file, rest.warning) == (
        "so it is with 1000 more lines, 1000 of which can't be used", "users.txt", False,
    )  # fmt: skip
    assert after.mentioned == set(names)
    assert after.users == {}
    there = Actual({name: ExistingUser(name, managed=True, roster="default") for name in [*names, "zoe"]})
    assert {action.user for action in Differ(after, there).plan().actions} == {"zoe"}


def test_one_line_with_many_problems_hides_no_other(server: FakeServer) -> None:
    templates = [f"t{number}" for number in range(2 * MOST)]
    protected = frozenset(f"ann_{template}" for template in templates)
    weak = Roster({"ann": user("ann"), "bob": user("bob", "short", 2)}, templates=tuple(templates))
    after = validate(weak, fake_connection(server, protected=protected))
    assert len(after.problems) == MOST + 1
    assert after.problems[-1].text == "so it is with 1 more lines, 1 of which can't be used"
    assert after.mentioned == {"ann", "bob"}


def test_one_reason_for_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """C8: a dot is refused in the user name and in every database; that is one problem."""
    server = FakeServer()
    handler = FakeHandler.open(fake_connection(server))
    monkeypatch.setattr(FakeHandler, "refuse_user", lambda _, name: f"{name} has a dot" if "." in name else None)
    monkeypatch.setattr(FakeHandler, "refuse_database", lambda _, name: f"{name} has a dot" if "." in name else None)
    wanted = roster("anna.adler", templates=("web", "tools", "data"))
    assert [p.text for p in validate(wanted, handler.connection, handler).problems] == ["anna.adler has a dot"]
