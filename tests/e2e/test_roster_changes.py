"""`dbroster add`, `passwd` and `remove` with real servers of all products behind them."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from tests.contract.adapters import Adapter
from tests.e2e.site import PASSWORD
from tests.e2e.together import Everything

_numbers = count(1)


@pytest.fixture
def everything(adapters: dict[str, Adapter], tmp_path: Path) -> Iterator[Everything]:
    everything = Everything(adapters, tmp_path / "config", f"rc{next(_numbers)}q")
    everything.users({everything.prefix + "ann": PASSWORD})
    yield everything
    everything.wipe()


def changed(everything: Everything, verb: str, *options: str) -> None:
    """Change the roster, and read it as it is then."""
    run = everything.run(verb, *options)
    assert run.code == 0, run.out + run.err
    lines = (everything.directory / "users.txt").read_text().splitlines()
    everything.roster = dict(line.split(":", 1) for line in lines)


def in_step(everything: Everything, code: int = 0) -> None:
    run = everything.run("plan", "--detailed-exitcode")
    assert run.code == code, run.out + run.err


def test_from_a_new_user_to_a_leaver_on_every_server(everything: Everything) -> None:
    bob, cyd = everything.prefix + "bob", everything.prefix + "cyd"
    changed(everything, "add", bob, cyd, "--connect")
    in_step(everything, 4)
    changed(everything, "add", everything.prefix + "dan", "--sync")
    in_step(everything)
    assert all(everything.at_home(name) for name in everything.adapters)

    old = everything.roster[bob]
    changed(everything, "passwd", bob)
    in_step(everything, 4)
    assert everything.run("sync").code == 0
    in_step(everything)
    assert everything.roster[bob] != old
    assert all(everything.at_home(name) for name in everything.adapters)
    assert not any(adapter.can_login(bob, old) for adapter in everything.adapters.values())

    changed(everything, "remove", cyd, "--sync")
    in_step(everything)
    assert all(everything.at_home(name) for name in everything.adapters)
    assert not any(cyd in adapter.accounts() for adapter in everything.adapters.values())


@contextmanager
def strict(adapters: dict[str, Adapter]) -> Iterator[None]:
    """Let MySQL and MariaDB ask for more than any configured policy does."""
    mysql, mariadb = adapters["mysql"].server, adapters["mariadb"].server
    mysql.admin("INSTALL COMPONENT 'file://component_validate_password'")
    mariadb.admin("INSTALL SONAME 'simple_password_check'; SET GLOBAL strict_password_validation = OFF")
    try:
        mysql.admin("SET GLOBAL validate_password.length = 50")
        mysql.admin("SET GLOBAL validate_password.special_char_count = 7")
        mariadb.admin("SET GLOBAL simple_password_check_digits = 12")
        yield
    finally:
        mysql.admin("UNINSTALL COMPONENT 'file://component_validate_password'")
        mariadb.admin("UNINSTALL SONAME 'simple_password_check'; SET GLOBAL strict_password_validation = ON")


def test_a_new_password_is_by_the_rules_of_the_servers_themselves(everything: Everything) -> None:
    """A server that checks passwords itself would refuse what is made without asking it."""
    bob = everything.prefix + "bob"
    with strict(dict(everything.adapters)):
        changed(everything, "passwd", everything.prefix + "ann", "--connect")
        changed(everything, "add", bob, "--sync")
        password = everything.roster[bob]
        assert len(password) >= 50
        assert sum(map(str.isdigit, password)) >= 12
        assert sum(not letter.isalnum() for letter in password) >= 7
        in_step(everything)
    assert all(everything.at_home(name) for name in everything.adapters)


def test_a_server_that_is_down_hinders_nobody(everything: Everything) -> None:
    everything.hurt("mongodb", host="127.0.0.1", port=1)
    run = everything.run("add", everything.prefix + "bob", "--sync")
    assert run.code == 2
    assert "mongodb default could not be asked what it takes, so only the files were" in run.err
    assert everything.prefix + "bob" in everything.adapters["postgresql"].accounts()
