"""The raw script's client for engines without a program of their own: run by itself, with a job as JSON on stdin."""

import json
import ssl
import sys
from collections.abc import Sequence
from http.client import HTTPSConnection
from typing import Any


def mongodb(job: dict[str, Any], script: Sequence[str]) -> None:
    """Run commands through PyMongo."""
    from pymongo import MongoClient
    from pymongo.errors import OperationFailure

    login = {"username": job["user"], "password": job["password"]}
    more: dict[str, Any] = {**login, "tls": True, "tlsCAFile": job["ca"], "directConnection": True}
    with MongoClient[dict[str, object]](job["host"], job["port"], **more) as client:
        for database, command in map(json.loads, script):
            try:
                client[database].command(command)
            except OperationFailure:
                if "dropUser" not in command:  # gone already
                    raise


def clickhouse(job: dict[str, Any], script: Sequence[str]) -> None:
    """Run statements over one kept HTTPS connection."""
    context = ssl.create_default_context(cafile=job["ca"])
    connection = HTTPSConnection(job["host"], job["port"], context=context)
    headers = {"X-ClickHouse-User": job["user"], "X-ClickHouse-Key": job["password"]}
    for statement in script:
        connection.request("POST", "/?database=default", statement, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            sys.exit(text.decode(errors="replace"))
    connection.close()


if __name__ == "__main__":
    given = json.load(sys.stdin)
    {"mongodb": mongodb, "clickhouse": clickhouse}[given["engine"]](given, given["script"])
