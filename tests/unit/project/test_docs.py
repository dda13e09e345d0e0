"""The documents tell of every key, option, exit code and test, and of none that does not exist."""

import argparse
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dbroster.audit.log import AuditLog
from dbroster.cli.main import parser
from dbroster.config.connections import CONNECTIONS_FILE, read_connections
from dbroster.engines import ENGINES as ENGINE_NAMES
from dbroster.engines.clickhouse.access.admin_privileges import COMMENTING, ENDING, FOR_ADMIN, Tree
from dbroster.engines.clickhouse.admin_script import script as clickhouse_script
from dbroster.engines.clickhouse.options import PRIVILEGES
from dbroster.engines.mongodb.admin_script import script as mongodb_script
from dbroster.engines.mysql.access.admin_privileges import MARIADB, MYSQL
from dbroster.engines.mysql.admin_script import script as mysql_script
from dbroster.engines.postgresql.admin_script import script as postgresql_script
from dbroster.errors import ConfigError
from dbroster.files.read import Files
from dbroster.model.admin_script import AdminScript
from dbroster.model.connection import Connection, Tls
from dbroster.model.names import SYSTEM_ACCOUNTS, SYSTEM_PREFIXES
from dbroster.model.plan import Action, Conflict, Verb
from dbroster.model.problems import Problem
from dbroster.model.result import Link, Outcome, Result, Status
from dbroster.model.standing import AccountState, Change, Pending, Standing
from dbroster.passwords.secret import Secret
from dbroster.report.exit_codes import Exit
from dbroster.report.json_document import as_json
from dbroster.report.report import Report
from dbroster.report.status.document import as_document
from dbroster.report.status.view import View
from dbroster.settings.section import ConfigSection
from tests.support.samples import private
from tools import proofs
from tools.register import FAULTS, INVARIANTS

ROOT = Path(__file__).resolve().parents[3]
PAGES = [
    *sorted((ROOT / "docs").glob("*.md")),
    *(ROOT / name for name in ("ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md")),
]
CONFIGURATION = (ROOT / "docs/configuration.md").read_text()
ENGINES = (ROOT / "docs/engines.md").read_text()
SAFETY = (ROOT / "docs/safety.md").read_text()


# --- configuration.md -------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Every key of connections.yaml that reading it asks for, as `tls.ca` inside a part of a section."""
    keys: set[str] = set()
    value = ConfigSection.value

    def spy(section: ConfigSection, key: str) -> object:
        inner = [part for part in section._path if part not in ENGINE_NAMES]
        keys.add(".".join(map(str, (*inner, key))))
        return value(section, key)

    monkeypatch.setattr(ConfigSection, "value", spy)
    for engine in ENGINE_NAMES:
        for way in ("password", "password_file", "password_env"):
            section = json.dumps({engine: {"host": "h", "username": "u", way: "x", "tls": {"mode": "require"}}})
            private(tmp_path / CONNECTIONS_FILE, section)
            with suppress(ConfigError):
                read_connections(Files(tmp_path), engine)
    return keys


def documented_keys() -> set[str]:
    """The first cells of the tables about connections.yaml."""
    chapter = CONFIGURATION.partition("\n## connections.yaml")[2].partition("\n## ")[0]
    tables = re.findall(r"\| key \|.*\n\|[-|]+\n((?:\|.*\n)+)", chapter)
    return {key for table in tables for key in re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)}


def test_every_key_of_connections_yaml_is_documented_and_no_other(asked: set[str]) -> None:
    parts = {key.split(".")[0] for key in asked if "." in key}
    assert {"host", "tls.ca", "removals.max", "roster", "postgresql", "hosts"} <= asked
    assert documented_keys() == asked - parts
    for part in parts:
        assert f"\n### {part}" in CONFIGURATION


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from parsers(inner)


def test_every_command_line_option_is_documented_and_no_other() -> None:
    every = [*parsers(parser(None)), *parsers(parser("mysql"))]
    options = {option for parser in every for action in parser._actions for option in action.option_strings}
    table = CONFIGURATION.partition("| option | meaning |")[2].partition("\n\n")[0]
    first_cells = " ".join(re.findall(r"^\| (.*?) \| ", table, re.MULTILINE))
    assert set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", first_cells)) == options
    (verbs,) = (action for action in every[0]._actions if isinstance(action, argparse._SubParsersAction))
    for verb in verbs.choices:
        assert f"`dbroster {verb}" in CONFIGURATION


def test_every_exit_code_is_documented_and_no_other() -> None:
    table = CONFIGURATION.partition("| exit | meaning |")[2].partition("\n\n")[0]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)] == [int(code) for code in Exit]


def keys_of(value: object) -> set[str]:
    if isinstance(value, dict):
        return value.keys() | {key for part in value.values() for key in keys_of(part)}
    return {key for part in value for key in keys_of(part)} if isinstance(value, list) else set()


def sample(heading: str) -> object:
    """The first indented block of a chapter, as JSON."""
    chapter = CONFIGURATION.partition(f"\n## {heading}")[2]
    block = re.search(r"((?:^    .*\n)+)", chapter, re.MULTILINE)
    assert block
    return json.loads(block[1])


def test_the_json_report_looks_as_documented() -> None:
    outcome = Outcome(Action(Verb.CREATE_USER, "bob"), Status.DONE)
    problems, conflicts = (Problem("text"),), (Conflict("ann", "text"),)
    result = Result("mysql", "default", False, outcomes=(outcome,), problems=problems, conflicts=conflicts)
    result = result._replace(audit=Link(1, "0" * 64))
    assert keys_of(sample("JSON report")) == keys_of(
        json.loads(as_json(Report([result], [], Exit.IN_STEP, dry_run=False)))
    )
    for status in Status:
        assert f"`{status.value}`" in CONFIGURATION


def test_a_status_in_json_looks_as_documented() -> None:
    now = datetime(2026, 11, 26, tzinfo=UTC)
    pending, change = Pending(Verb.CREATE_USER, None, "why"), Change(now, "create_user")
    row = Standing("bob", True, AccountState.OPEN, pending=(pending,), problems=(Problem("text"),), change=change)
    view = View([Result("mysql", "default", True, rows=(row,))], Exit.IN_STEP, now)
    assert keys_of(sample("Status as JSON")) == keys_of(json.loads(as_document(view)))
    for state in AccountState:
        assert f"`{state.value}`" in CONFIGURATION


def test_an_audit_line_looks_as_documented(tmp_path: Path) -> None:
    with AuditLog(tmp_path / "audit.jsonl", "mysql", "default") as audit:
        audit.started([Action(Verb.DROP_USER, "bob")])
    assert keys_of(sample("Audit log")) == keys_of(json.loads((tmp_path / "audit.jsonl").read_text()))


def test_reserved_names_are_documented() -> None:
    for name in SYSTEM_ACCOUNTS | set(SYSTEM_PREFIXES):
        prefixes = [prefix for prefix in SYSTEM_PREFIXES if name.startswith(prefix)]
        assert any(f"`{text}`" in CONFIGURATION for text in (name, *prefixes)), name


# --- engines.md -------------------------------------------------------------------------------------------------------


def admin_scripts() -> Iterator[AdminScript]:
    """What `dbroster grants` prints with the names of engines.md."""
    encrypted = Tls("verify-full")
    postgresql, mysql, mongodb, clickhouse = (
        Connection(name, "default", "db1", 1, "dbroster", Secret("x"), encrypted)
        for name in ("postgresql", "mysql", "mongodb", "clickhouse")
    )
    yield postgresql_script(postgresql, "...", "PostgreSQL 18", 180000)
    for wording in (MYSQL, MARIADB):
        yield mysql_script(mysql, ("tools", "web"), "...", wording, "1", ("dbroster", "%"))
    yield mongodb_script(mongodb, "...", "MongoDB 8", "admin", role_exists=False)
    tree = Tree(dict.fromkeys((*FOR_ADMIN, *ENDING, *COMMENTING, *PRIVILEGES), ""))
    yield clickhouse_script(clickhouse, "...", "ClickHouse 25.8", tree, list(PRIVILEGES), "")


@pytest.mark.parametrize("script", list(admin_scripts()), ids=lambda script: script.product)
def test_the_statements_for_the_admin_are_those_that_grants_prints(script: AdminScript) -> None:
    text = " ".join(ENGINES.split())
    more = [statement for statements in script.more.values() for statement in statements]
    for statement in (*script.first, script.create, *script.needed, *more):
        assert statement in text


# --- safety.md and all pages ------------------------------------------------------------------------------------------


def existing_tests() -> set[str]:
    texts = (path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    return {name for text in texts for name in re.findall(r"^def (test_\w+)\(", text, re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_is_cited_exists(page: Path) -> None:
    assert set(re.findall(r"`(test_\w+)`", page.read_text())) <= existing_tests()


def test_each_invariant_has_a_chapter_and_a_proof() -> None:
    chapters = [int(number) for number in re.findall(r"^### (\d+)\. ", SAFETY, re.MULTILINE)]
    assert chapters == list(INVARIANTS)
    assert {str(number) for number in INVARIANTS} <= proofs.collected().keys()


def test_every_fault_has_a_proof_and_the_page_of_proofs_is_current() -> None:
    assert proofs.collected().keys() == {*map(str, INVARIANTS), *FAULTS}
    assert (ROOT / "docs/proofs.md").read_text() == proofs.page(), "make proofs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_paths_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    for link, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([\w-]+))?\)", text):
        target = page.parent / link if link else page
        assert target.exists(), link
        if anchor:
            assert anchor in {slug(title) for title in re.findall(r"^#+ (.*)", target.read_text(), re.MULTILINE)}, (
                anchor
            )
    for path in re.findall(r"`((?:src|tests|servers|scripts|docs|config|tools|demo)/[\w./*]*)`", text):
        assert "NAME" in path or list(ROOT.glob(path.rstrip("/"))), path


def slug(title: str) -> str:
    """The anchor that a heading gets."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        assert set(re.findall(r"`make ([a-z]+)", page.read_text())) <= targets
