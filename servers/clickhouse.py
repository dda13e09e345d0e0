"""A throw-away ClickHouse: the clickhouse-server program, as it is linked into the library of older chdb wheels.

The library exports the program's main function; a Python process loads the library, calls it, and is the server.
"""

import hashlib
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import escape

from servers.base import LocalServer, Missing
from servers.process import Account, free_port
from servers.template import cache_directory

VERSIONS = ("25.8", "24.8")
"""The first one is the default; $DBROSTER_CLICKHOUSE_VERSION names another."""

_RUN = """
import ctypes, os, sys
library = ctypes.CDLL(sys.argv[1], mode=os.RTLD_NOW | os.RTLD_GLOBAL)
words = [b"clickhouse-server", *map(os.fsencode, sys.argv[2:])]
arguments = (ctypes.c_char_p * (len(words) + 1))(*words, None)
os._exit(library._Z25mainEntryClickHouseServeriPPc(len(words), arguments) & 255)
"""

# What a package of ClickHouse installs, in short: same access rules, same logs of queries and sessions.
_CONFIG = """<clickhouse>
  <logger><level>trace</level><log>{home}/clickhouse.log</log><console>0</console></logger>
  <http_port>{port}</http_port>
  <https_port>{https_port}</https_port>
  <listen_host>127.0.0.1</listen_host>
  <openSSL><server>
    <certificateFile>{home}/server.pem</certificateFile><privateKeyFile>{home}/server.key</privateKeyFile>
    <verificationMode>none</verificationMode><disableProtocols>sslv2,sslv3</disableProtocols>
  </server><client>
    <caConfig>{home}/ca.pem</caConfig><loadDefaultCAFile>false</loadDefaultCAFile>
    <verificationMode>strict</verificationMode>
  </client></openSSL>
  <path>{home}/data/</path>
  <tmp_path>{home}/tmp/</tmp_path>
  <user_files_path>{home}/user_files/</user_files_path>
  <format_schema_path>{home}/schemas/</format_schema_path>
  <mark_cache_size>5368709</mark_cache_size>
  <default_profile>default</default_profile>
  <default_database>default</default_database>
  <user_directories>
    <users_xml><path>{home}/users.xml</path></users_xml>
    {storage}
  </user_directories>
  <access_control_improvements>
    <users_without_row_policies_can_read_rows>true</users_without_row_policies_can_read_rows>
    <on_cluster_queries_require_cluster_grant>true</on_cluster_queries_require_cluster_grant>
    <select_from_system_db_requires_grant>true</select_from_system_db_requires_grant>
    <select_from_information_schema_requires_grant>true</select_from_information_schema_requires_grant>
    <settings_constraints_replace_previous>true</settings_constraints_replace_previous>
    <table_engines_require_grant>{engines}</table_engines_require_grant>
  </access_control_improvements>
  <query_log><database>system</database><table>query_log</table>
    <flush_interval_milliseconds>7500</flush_interval_milliseconds></query_log>
  <session_log><database>system</database><table>session_log</table>
    <flush_interval_milliseconds>7500</flush_interval_milliseconds></session_log>
  <asynchronous_metrics_update_period_s>60</asynchronous_metrics_update_period_s>
  <async_insert_threads>1</async_insert_threads><!-- each of sixteen would wake up a hundred times a second -->
  {more}
</clickhouse>
"""
_USERS = """<clickhouse>
  <profiles><default>{profile}</default></profiles>
  <quotas><default/></quotas>
  <users><default>
    <password_sha256_hex>{hash}</password_sha256_hex>
    <networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>
    <access_management>1</access_management><named_collection_control>1</named_collection_control>
    <show_named_collections>1</show_named_collections>
    <show_named_collections_secrets>1</show_named_collections_secrets>
  </default></users>
</clickhouse>
"""
# Threads and compiled expressions take longer than they save, where tables have a few rows.
_QUICK = """
    <max_threads>1</max_threads><compile_expressions>0</compile_expressions>
    <compile_aggregate_expressions>0</compile_aggregate_expressions>
    <compile_sort_description>0</compile_sort_description>
  """
_TABLES = ("query_log", "session_log")
_ENGINES = "table_engines_require_grant"


class ClickHouse(LocalServer):
    """A clickhouse-server; HTTP on `port`, HTTPS on `https_port`.

    Its options are settings of config.xml. Two are parts of settings: `password_pattern`, a regular expression for a
    rule of `password_complexity`, and `table_engines_require_grant`.
    """

    engine = "clickhouse"
    admin_user = "default"
    https_port: int = 0
    storage: str = "<local_directory><path>{home}/access/</path></local_directory>"
    """Where accounts are kept."""

    def __init__(self, *, version: str = "", options: Mapping[str, str] | None = None, durable: bool = False) -> None:
        self.version = version or os.environ.get("DBROSTER_CLICKHOUSE_VERSION", VERSIONS[0])
        directory = cache_directory() / "clickhouse" / self.version
        library = next(directory.glob("chdb/_chdb.*so"), None)
        if library is None:
            raise Missing(
                f"ClickHouse {self.version} is not unpacked. Run `make setup` "
                f"(or: tools/install_clickhouse.sh {self.version} {directory})."
            )
        super().__init__(library, options=options, durable=durable)
        self.account = Account()  # it needs this environment's Python, which others may not be able to read

    def describe(self) -> str:
        """Product and version; the program itself would take a second to say it."""
        return f"clickhouse-server {self.version}"

    def _initialise(self, home: Path, password: str) -> None:
        for name in ("data", "tmp", "user_files", "schemas", "access"):
            (home / name).mkdir()
        digest = hashlib.sha256(password.encode()).hexdigest()
        profile = "" if self.durable else _QUICK
        (home / "users.xml").write_text(_USERS.format(hash=digest, profile=profile))

    def _initial_options(self) -> object:
        return self.durable

    def _prepare(self) -> None:
        super()._prepare()
        self.https_port = free_port()
        self.ca = self.home / "ca.pem"

    def _command(self) -> list[str]:
        config = self.home / "config.xml"
        engines, ports = self.options.get(_ENGINES, "false"), {"port": self.port, "https_port": self.https_port}
        what = {"storage": self.storage.format(home=self.home), "engines": engines}
        config.write_text(_CONFIG.format(home=self.home, more=self._more(), **what, **ports))
        program = [sys.executable, "-c", _RUN, str(self.program), f"--config-file={config}"]
        return ["/usr/bin/env", "CLICKHOUSE_WATCHDOG_ENABLE=0", *program]

    def _more(self) -> str:
        return "\n  ".join(_setting(name, value) for name, value in self.options.items() if name != _ENGINES)

    def log_files(self) -> list[Path]:
        """The server's own log, and its tables of queries and sessions as they are now."""
        if self.is_running and self._is_ready():
            self.admin("SYSTEM FLUSH LOGS")
            for table in _TABLES:
                text = self.admin(f"SELECT * FROM system.{table} FORMAT JSONEachRow") if self._has(table) else ""
                # statements may hold any bytes
                (self.home / f"{table}.json").write_text(text, errors="surrogateescape")
        return super().log_files()

    def _more_logs(self) -> list[Path]:
        return [self.home / "clickhouse.log", *(self.home / f"{table}.json" for table in _TABLES)]

    def _has(self, table: str) -> bool:
        return self.admin(f"EXISTS TABLE system.{table}") == "1"

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.host}:{self.port}/ping", timeout=5) as answer:
                return bool(answer.read() == b"Ok.\n")
        except (OSError, urllib.error.URLError):
            return False


def _setting(name: str, value: str) -> str:
    if name == "password_pattern":
        rule = f"<pattern>{escape(value)}</pattern><message>fit the pattern</message>"
        return f"<password_complexity><rule>{rule}</rule></password_complexity>"
    return f"<{name}>{escape(value)}</{name}>"
