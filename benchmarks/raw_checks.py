"""What a raw client needs to check many passwords on ClickHouse: run as `raw_checks.py logins|hashes CONFIG_DIRECTORY`.

Logins over eight kept connections, or all hashes in one query, computed anew; nothing else.
"""

import base64
import hashlib
import re
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import yaml

SESSIONS = 8
_HASHED = re.compile(r"CREATE USER `?([\w.-]+)`? IDENTIFIED WITH sha256_hash BY '(\w+)' SALT '(\w*)'")


def ask(connection: HTTPSConnection, user: str, password: str, query: str = "") -> str:
    """Ask as this user; the answer, or an error."""
    login = base64.b64encode(f"{user}:{password}".encode()).decode()
    setting = "/?format_display_secrets_in_show_and_select=1" if query else "/"
    connection.request("POST", setting, query or "SELECT 1", {"Authorization": f"Basic {login}"})
    answer = connection.getresponse()
    text = answer.read().decode()
    if answer.status != 200:
        sys.exit(text)
    return text


def main(kind: str, directory: Path) -> None:
    """Check the passwords of users.txt."""
    section: dict[str, Any] = yaml.safe_load((directory / "connections.yaml").read_text())["clickhouse"]
    users = [line.split(":", 1) for line in (directory / "users.txt").read_text().splitlines()]
    context = ssl.create_default_context(cafile=section["tls"]["ca"])

    def check(part: int) -> None:
        connection = HTTPSConnection(section["host"], section["port"], context=context)
        for name, password in users[part::SESSIONS]:
            ask(connection, name, password)

    if kind == "logins":
        with ThreadPoolExecutor(SESSIONS) as pool:
            list(pool.map(check, range(SESSIONS)))
        return
    connection = HTTPSConnection(section["host"], section["port"], context=context)
    shown = ask(connection, section["username"], section["password"], "SHOW CREATE USERS")
    plain = shown.replace("\\'", "'")  # the statement takes no format that would leave quotes alone
    found = {name: (stored.upper(), salt) for name, stored, salt in _HASHED.findall(plain)}
    for name, password in users:
        stored, salt = found[name]
        if hashlib.sha256(f"{password}{salt}".encode()).hexdigest().upper() != stored:
            sys.exit(f"{name} has another password")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
