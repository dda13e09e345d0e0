"""The classes of the plan, by its own names, with the methods that it lists."""

import inspect

import pytest

from dbroster.engines.base import Handler
from dbroster.engines.clickhouse.handler import ClickHouseHandler
from dbroster.engines.mongodb.handler import MongoDBHandler
from dbroster.engines.mysql.handler import MySQLHandler
from dbroster.engines.mysql.mariadb import MariaDBHandler
from dbroster.engines.postgresql.handler import PostgreSQLHandler
from dbroster.model.plan import Verb
from tests.fake import FakeHandler

HANDLERS: tuple[type[Handler], ...] = (
    PostgreSQLHandler,
    MySQLHandler,
    MariaDBHandler,
    ClickHouseHandler,
    MongoDBHandler,
    FakeHandler,
)

PLAN = {
    "get_existing_users": (),
    "get_existing_databases": (),
    "create_user": ("user", "password"),
    "create_database": ("user", "database"),
    "grant_privileges": ("user", "database"),
    "drop_user": ("user",),
    "drop_database": ("user", "database"),
    "update_user_password": ("user", "password"),
}


@pytest.mark.parametrize("method", PLAN)
@pytest.mark.parametrize("handler", HANDLERS)
def test_each_handler_has_the_methods_of_the_plan(handler: type[Handler], method: str) -> None:
    assert not inspect.isabstract(handler)
    parameters = inspect.signature(getattr(handler, method)).parameters
    assert tuple(parameters) == ("self", *PLAN[method])


PAIRS = {
    Verb.CREATE_USER: ("create_user", "create_users"),
    Verb.UPDATE_PASSWORD: ("update_user_password", "update_user_passwords"),
    Verb.CREATE_DATABASE: ("create_database", "create_databases"),
    Verb.GRANT_PRIVILEGES: ("grant_privileges", "grant_databases"),
    Verb.LOCK_USER: ("lock_user", "lock_users"),
    Verb.DROP_DATABASE: ("drop_database", "drop_databases"),
    Verb.DROP_USER: ("drop_user", "drop_users"),
}


@pytest.mark.parametrize("verb", PAIRS)
@pytest.mark.parametrize("handler", HANDLERS)
def test_each_handler_writes_one_method_of_each_pair(handler: type[Handler], verb: Verb) -> None:
    """Base does the one by the other. What is done together is written in the plural."""
    written = [getattr(handler, name) is not getattr(Handler, name) for name in PAIRS[verb]]
    assert written == [verb not in handler.together, verb in handler.together]
