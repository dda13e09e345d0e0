"""The least that any Python program needs to ask a server something: PyYAML, the driver, a connection, one question.

Run by itself, as `bare.py SECTION CONNECTIONS_YAML`; what dbroster's run that changes nothing is measured against.
"""

import sys
from typing import Any

import yaml


def mysql(section: dict[str, Any]) -> None:
    """Ask MySQL or MariaDB."""
    import pymysql

    login = {name: section[key] for name, key in (("host", "host"), ("port", "port"), ("user", "username"))}
    tls = {"ssl_ca": section["tls"]["ca"], "ssl_verify_cert": True, "ssl_verify_identity": True}
    connection = pymysql.connect(**login, password=section["password"].encode(), **tls)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchall()
    connection.close()


def postgresql(section: dict[str, Any]) -> None:
    """Ask PostgreSQL."""
    import psycopg

    where = {"host": section["host"], "port": section["port"], "dbname": "postgres"}
    login = {"user": section["username"], "password": section["password"]}
    with psycopg.connect(**where, **login, sslmode="verify-full", sslrootcert=section["tls"]["ca"]) as connection:
        connection.execute("SELECT 1").fetchall()


def mongodb(section: dict[str, Any]) -> None:
    """Ask MongoDB."""
    from pymongo import MongoClient

    login = {"username": section["username"], "password": section["password"]}
    more: dict[str, Any] = {**login, "tls": True, "tlsCAFile": section["tls"]["ca"], "directConnection": True}
    with MongoClient[dict[str, object]](section["host"], section["port"], **more) as client:
        client.admin.command("ping")


def clickhouse(section: dict[str, Any]) -> None:
    """Ask ClickHouse."""
    import clickhouse_connect

    where = {"host": section["host"], "port": section["port"], "secure": True, "ca_cert": section["tls"]["ca"]}
    client = clickhouse_connect.get_client(**where, username=section["username"], password=section["password"])
    client.query("SELECT 1")
    client.close()


if __name__ == "__main__":
    with open(sys.argv[2]) as file:  # noqa: PTH123 - one import less
        found = yaml.safe_load(file)[sys.argv[1]]
    {"mysql": mysql, "postgresql": postgresql, "mongodb": mongodb, "clickhouse": clickhouse}[sys.argv[1]](found)
