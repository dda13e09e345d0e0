"""C9: files and directories that others could write or exchange are refused, with the command that mends it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dbroster.config.connections import USERS_COMMAND
from dbroster.errors import ConfigError
from dbroster.files.permissions import closed_directory_problem, me, mode_problem, place_problem, trusted
from dbroster.files.read import Files
from dbroster.roster.adopted import read_adopted
from dbroster.roster.source import UsersSource
from dbroster.run.sync import load
from tests.support.samples import CONNECTIONS, PASSWORD, config, private

STRANGER = 12345
FILES = ["users.txt", "connections.yaml", "postgresql_databases.txt"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    site = tmp_path / "parent" / "config"
    site.mkdir(parents=True)
    return config(site, f"ann:{PASSWORD}\n")


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Give a file away, as root sees it; who is not root sees it so by another owner in the answer of stat."""
    given: dict[int, int] = {}

    def give(path: Path) -> None:
        if os.getuid() == 0:
            os.chown(path, STRANGER, STRANGER, follow_symlinks=False)
        given[path.lstat().st_ino] = STRANGER

    if os.getuid() != 0:
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        real = {name: getattr(os, name) for name in ("stat", "lstat", "fstat")}

        def seen(name: str) -> Callable[..., os.stat_result]:
            def look(*arguments: object, **options: object) -> os.stat_result:
                status = real[name](*arguments, **options)
                owner = given.get(status.st_ino, 0 if status.st_uid == os.getuid() else status.st_uid)
                return os.stat_result((*status[:4], owner, *status[5:]))

            return look

        for name in real:
            monkeypatch.setattr(os, name, seen(name))
    return give


def refused(directory: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(UsersSource(Files(directory)), "postgresql")
    return str(caught.value)


def well(directory: Path) -> bool:
    return list(load(UsersSource(Files(directory)), "postgresql")[1].users) == ["ann"]


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_somebody_else(name: str, directory: Path, root: Callable[[Path], None]) -> None:
    """C9: whoever owns it decides who has an account, where, and with whose data."""
    root(directory / name)
    said = refused(directory)
    assert f"{directory / name} belongs to another user (uid {STRANGER})" in said
    assert f"chown {me()} {directory / name}" in said


def test_the_admins_password_in_a_file_of_somebody_else(directory: Path, root: Callable[[Path], None]) -> None:
    """C9: who owns it reads it."""
    private(directory / "pw", "secret\n")
    private(directory / "connections.yaml", CONNECTIONS.replace("password_env: HOME", "password_file: pw"))
    assert well(directory)
    root(directory / "pw")
    assert f"{directory / 'pw'} belongs to another user" in refused(directory)


@pytest.mark.parametrize("part", ["adopt.txt", ""])
def test_whom_somebody_else_lets_take_over(part: str, directory: Path, root: Callable[[Path], None]) -> None:
    """G5: the file of `--adopt-from`, and its directory, too."""
    path = private(directory / "adopt.txt", "ann\n")
    assert read_adopted(path) == {"ann"}
    root(directory / part)
    with pytest.raises(ConfigError, match=f"{directory / part} belongs to another user"):
        read_adopted(path)


@pytest.mark.parametrize("part", ["config", "parent"])
def test_a_directory_of_somebody_else(part: str, directory: Path, root: Callable[[Path], None]) -> None:
    """C9: its owner puts other files into it, or another directory in its place."""
    place = directory if part == "config" else directory.parent
    root(place)
    assert f"the directory {place} belongs to another user (uid {STRANGER})" in refused(directory)


@pytest.mark.parametrize("part", ["config", "parent"])
@pytest.mark.parametrize(
    ("mode", "safe"), [(0o777, False), (0o702, False), (0o773, False), (0o1777, True), (0o755, True)]
)
def test_a_directory_that_everybody_may_write(part: str, mode: int, safe: bool, directory: Path) -> None:
    """C9: but a sticky one, as Kubernetes makes it, is safe."""
    place = directory if part == "config" else directory.parent
    place.chmod(mode)
    if safe:
        assert well(directory)
    else:
        said = refused(directory)
        assert f"the directory {place} has mode {mode:04o}: everybody may put another file into it" in said
        assert f"chmod o-w {place}" in said


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_everybody_may_write(name: str, directory: Path) -> None:
    """C9: a template list, too: each line of it is everybody's database."""
    (directory / name).chmod(0o646)
    assert f"{directory / name}" in refused(directory)


def test_a_link_to_the_directory(directory: Path, tmp_path: Path, root: Callable[[Path], None]) -> None:
    """C9: whose link it is, and where it lies."""
    (tmp_path / "open").mkdir()
    link = tmp_path / "open" / "link"
    link.symlink_to(directory)
    assert well(link)
    (tmp_path / "open").chmod(0o777)
    assert f"{tmp_path / 'open'} has mode 0777" in refused(link)
    (tmp_path / "open").chmod(0o1777)
    assert well(link)
    root(link)
    assert f"the link {link} belongs to another user" in refused(link)
    assert f"chown -h {me()} {link}" in refused(link)


def test_a_program_is_not_run_for_somebody_else(directory: Path, root: Callable[[Path], None]) -> None:
    """C9: users_command runs as root."""
    (directory / "users.txt").unlink()
    private(directory / "connections.yaml", f"{USERS_COMMAND}: [touch, ran]\n{CONNECTIONS}")
    root(directory / "connections.yaml")
    assert "belongs to another user" in refused(directory)
    assert not (directory / "ran").exists()


def test_who_keeps_files_for_a_service(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C9: a service may be told what to do by who keeps its directory, and by root."""
    keeper = directory.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    assert trusted(directory) == {0, keeper, STRANGER}
    assert place_problem(directory) is None


def test_an_archive_directory_of_somebody_else(directory: Path, root: Callable[[Path], None]) -> None:
    """C9: who owns it reads everybody's data."""
    archives = directory / "archives"
    archives.mkdir(mode=0o700)
    assert closed_directory_problem(archives) is None
    root(archives)
    assert f"chown {me()} {archives}" in (closed_directory_problem(archives) or "")
    private(directory / "connections.yaml", f"{CONNECTIONS}  removals: {{archive_dir: archives}}\n")
    assert "who may read archives" in refused(directory)


def test_an_archive_directory_that_could_be_exchanged(directory: Path) -> None:
    """C9: or the one that it is to be made in."""
    (directory / "open").mkdir()
    (directory / "open").chmod(0o777)
    assert "everybody may put another file into it" in (closed_directory_problem(directory / "open" / "archives") or "")
    (directory / "open" / "archives").mkdir(mode=0o700)
    assert "everybody may put another file into it" in (closed_directory_problem(directory / "open" / "archives") or "")


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400, 0o440, 0o700])
def test_safe_modes(mode: int) -> None:
    assert mode_problem(Path("users.txt"), mode) is None


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o601, 0o660, 0o620, 0o666, 0o777])
def test_unsafe_modes_name_file_mode_and_remedy(mode: int) -> None:
    problem = mode_problem(Path("/etc/roster/users.txt"), mode)
    assert problem is not None
    assert f"/etc/roster/users.txt holds passwords and has mode {mode:04o}" in problem.text
    assert "chmod 600 /etc/roster/users.txt" in problem.text
    assert problem.file == "users.txt"
