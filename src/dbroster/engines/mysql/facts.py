"""What a MySQL or MariaDB server says of itself: its version, settings and plugins, read once."""

import re
from collections.abc import Collection
from functools import cached_property, lru_cache

from dbroster.engines.mysql.access.accounts import Key
from dbroster.engines.mysql.access.ways_in import mandatory_roles
from dbroster.engines.mysql.session import Session
from dbroster.errors import UnsupportedServer

_SETTINGS = (
    "version", "lower_case_table_names", "partial_revokes", "read_only", "super_read_only", "general_log",
    "caching_sha2_password_digest_rounds", "strict_password_validation", "default_password_lifetime", "datadir",
    "mandatory_roles",
)  # fmt: skip
_OFF = frozenset({"OFF", "0", ""})
_WANTED = "SHOW GLOBAL VARIABLES WHERE Variable_name IN %s OR Variable_name LIKE %s OR Variable_name LIKE %s"
_PLUGINS = "SELECT PLUGIN_NAME, PLUGIN_TYPE FROM information_schema.PLUGINS WHERE PLUGIN_STATUS = 'ACTIVE'"


class ServerFacts:
    """`settings` by their names in lower case; `plugins`: those that are loaded, with their types."""

    def __init__(self, session: Session) -> None:
        """Ask. Raises ConnectError and OperationError."""
        rows = session.rows(_WANTED, _SETTINGS, "validate_password%", "simple_password_check%")
        self.settings = {row["Variable_name"].lower(): str(row["Value"]) for row in rows}
        self.plugins: dict[str, str] = {row["PLUGIN_NAME"]: row["PLUGIN_TYPE"] for row in session.rows(_PLUGINS)}

    @property
    def version(self) -> tuple[int, ...]:
        """The three numbers of it."""
        return _numbers(self.settings["version"])

    def is_on(self, setting: str) -> bool:
        """Whether a setting is there, and not off."""
        return self.settings.get(setting, "OFF").upper() not in _OFF

    def refuse_unsupported(self, product: str, oldest: tuple[int, ...], plugins: Collection[str], wanted: str) -> None:
        """Raise UnsupportedServer for one that is too old, a replica, or lacks the plugin that accounts shall have."""
        found = f"{product} {self.settings['version']}"
        if self.version < oldest:
            raise UnsupportedServer(f"{found} is too old; {'.'.join(map(str, oldest))} or newer is needed")
        if self.is_on("read_only") or self.is_on("super_read_only"):
            raise UnsupportedServer(
                f"{found} is read-only: connected to a replica? Name the primary in connections.yaml"
            )
        if wanted not in plugins or wanted not in self.plugins:
            raise UnsupportedServer(f"{found} lacks the plugin {wanted}: load it, or set auth_plugin: auto")

    def of(self, validator: str) -> dict[str, str]:
        """The settings of a component or a plugin, by what follows its name."""
        size = len(validator)
        return {name[size + 1 :]: value for name, value in self.settings.items() if name.startswith(validator)}

    @cached_property
    def mandatory_roles(self) -> list[Key]:
        """Roles that everybody has; MySQL only."""
        return mandatory_roles(self.settings.get("mandatory_roles", ""))


@lru_cache
def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
