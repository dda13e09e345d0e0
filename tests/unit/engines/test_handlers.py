"""The classes of the plan, by its own names, with the methods that it lists."""

import inspect

import pytest

from dbroster.engines.base import Handler
from dbroster.engines.clickhouse.handler import ClickHouseHandler
from dbroster.engines.mongodb.handler import MongoDBHandler
from dbroster.engines.mysql.handler import MySQLHandler
from dbroster.engines.mysql.mariadb import MariaDBHandler
from dbroster.engines.postgresql.handler import PostgreSQLHandler
from tests.fake import FakeHandler

HANDLERS = (PostgreSQLHandler, MySQLHandler, MariaDBHandler, ClickHouseHandler, MongoDBHandler, FakeHandler)

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
