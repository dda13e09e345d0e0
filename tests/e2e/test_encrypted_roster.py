"""The life of an encrypted roster on a real server, and a search for its plain text in every place it could lie."""

import os
import shlex
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from secrets import token_hex

import pytest

from tests.e2e.site import Site
from tests.support.vault import age_key

pytestmark = pytest.mark.parametrize("adapter", ["postgresql"], indirect=True)
PLACES = [Path(tempfile.gettempdir()), Path("/dev/shm"), Path("/var/tmp")]


def dbroster(*arguments: str, **environment: str) -> str:
    """Run the command as a process of its own and return what it prints."""
    command = [sys.executable, "-m", "dbroster", *arguments]
    given = {**os.environ, **environment}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=given)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def lying_about(text: str, since: float) -> list[Path]:
    """Files of all temporary directories that were written since then and hold the text."""
    found = []
    walks = (walk for place in PLACES for walk in os.walk(place))  # it goes on where a directory is gone meanwhile
    for path in (f"{directory}/{name}" for directory, _, names in walks for name in names):
        try:
            told = os.lstat(path)  # one question for each of what may be a hundred thousand files
            if stat.S_ISREG(told.st_mode) and told.st_mtime >= since and text.encode() in Path(path).read_bytes():
                found.append(Path(path))
        except OSError:
            continue  # other tests' files come and go
    return found


@pytest.fixture
def password() -> str:
    """One that stands in no other file of this machine."""
    return f"Pw-{token_hex(12)}"


def test_nothing_of_an_encrypted_roster_lies_in_clear(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    since = time.time() - 2
    first, second, third = (f"{password}-{number}" for number in range(3))
    key = age_key(tmp_path)
    ann, bob = site.users(ann=first, bob=second)
    assert lying_about(first, since) == [site.directory / "users.txt"]  # the search finds what there is
    config = ("--config", str(site.directory))
    said = dbroster("encrypt", *config, "--recipient", key.public, "--identity", str(key.path))

    planned = site.pending("--identity", str(key.path))
    monkeypatch.setenv("DBROSTER_AGE_IDENTITY_FILE", str(key.path))
    assert site.converge().actions == planned.actions
    site.everybody_is_at_home()

    editor = tmp_path / "editor"
    editor.write_text(f'#!/bin/sh\nprintf "%s\\n" "{ann}:$NEW" "{site.name("eve")}:$NEW" > "$1"\n')
    editor.chmod(0o700)
    said += dbroster("edit", *config, EDITOR=shlex.quote(str(editor)), VISUAL="", NEW=third)
    changed = site.converge()
    assert {(action, user) for action, user, _ in changed.actions} >= {
        ("update_password", ann), ("create_user", site.name("eve")), ("drop_user", bob),
    }  # fmt: skip
    site.roster = {ann: third, site.name("eve"): third}
    site.everybody_is_at_home()

    assert password not in said + planned.out + changed.out + changed.err
    assert lying_about(password, since) == []
