"""What `dbroster grants` prints, given to a superuser's client."""

import json

from servers import Server


def pipe(server: Server, text: str) -> None:
    """Run the statements: all at once, where the client takes more than one."""
    if server.engine not in ("mongodb", "clickhouse"):
        server.admin(text)
        return
    for line in text.splitlines():
        if server.engine == "mongodb" and not line.startswith("//"):
            database, body = line.removeprefix('db.getSiblingDB("').removesuffix(")").split('").runCommand(')
            server.admin(json.dumps(json.loads(body)), database)
        elif server.engine == "clickhouse" and line and not line.startswith("--"):
            server.admin(line.removesuffix(";"))
