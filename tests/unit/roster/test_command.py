"""users_command: real programs, good ones and hostile ones; what they print lands in no message."""

import os
import re
from pathlib import Path

import pytest

from dbroster.errors import ConfigError
from dbroster.files.read import MAX_BYTES
from dbroster.roster.command import output_of
from tests.support.bounded import within
from tests.support.samples import OTHER_PASSWORD, PASSWORD
from tests.support.waiting import wait_until

ROSTER = f"ann:{PASSWORD}\nbob:{OTHER_PASSWORD}\n"


def run(script: str, directory: Path, seconds: float = 30) -> bytes:
    return output_of(["sh", "-c", script], directory, seconds)


def failure(script: str, directory: Path, seconds: float = 30) -> str:
    """What is told of a failure: never a part of the roster, nor anything that an exception carries along."""
    with pytest.raises(ConfigError) as caught:
        run(script, directory, seconds)
    assert caught.value.__context__ is None
    text = str(caught.value)
    assert text.startswith("users_command in connections.yaml: ")
    assert text.endswith("; nothing was done")
    for secret in (PASSWORD, OTHER_PASSWORD):
        assert not any(secret[start : start + 6] in text for start in range(len(secret) - 5)), text
    return text


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "users.enc").write_text(ROSTER)
    return tmp_path


# --- what works -----------------------------------------------------------------------------------------------------


def test_its_output_is_the_roster(directory: Path) -> None:
    assert output_of(["cat", "users.enc"], directory) == ROSTER.encode()


def test_a_program_of_the_config_directory(directory: Path) -> None:
    program = directory / "decrypt"
    program.write_text("#!/bin/sh\ncat users.enc\n")
    program.chmod(0o700)
    assert output_of(["./decrypt"], directory) == ROSTER.encode()


def test_no_shell_sees_the_arguments(directory: Path) -> None:
    assert output_of(["echo", "$HOME; *", "`id`"], directory) == b"$HOME; * `id`\n"


def test_it_has_nothing_to_read(directory: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"bob:y\n")
    os.close(writing)
    before = os.dup(0)
    os.dup2(reading, 0)
    try:
        assert run("cat; echo ann:x", directory) == b"ann:x\n"
    finally:
        os.dup2(before, 0)
        os.close(before)
        os.close(reading)


def test_what_it_says_beside_a_roster_is_not_kept(directory: Path) -> None:
    assert run("cat users.enc; cat users.enc >&2", directory) == ROSTER.encode()


def test_a_megabyte_on_stderr_does_not_stop_it(directory: Path) -> None:
    assert run("head -c 1000000 /dev/zero >&2; cat users.enc", directory) == ROSTER.encode()


# --- what fails -----------------------------------------------------------------------------------------------------


def test_a_program_that_is_not_there(directory: Path) -> None:
    with pytest.raises(ConfigError, match="the program nowhere can't be started: No such file"):
        output_of(["nowhere", PASSWORD], directory)


def test_it_prints_and_fails(directory: Path) -> None:
    assert "it failed with exit code 3;" in failure("cat users.enc; exit 3", directory)


def test_it_is_killed(directory: Path) -> None:
    assert "it was ended by SIGKILL" in failure("cat users.enc; kill -9 $$", directory)


@pytest.mark.parametrize("script", ["true", "echo; echo '  '"])
def test_it_prints_nothing(directory: Path, script: str) -> None:
    assert "it printed nothing" in failure(script, directory)


def test_it_prints_no_text(directory: Path) -> None:
    assert "not UTF-8" in failure(r"cat users.enc; printf '\377\376'", directory)


@pytest.mark.parametrize(
    "script", ["sleep 1000", "cat users.enc; sleep 1000 & exec sleep 1000", "exec >&- 2>&-; sleep 99"]
)
def test_it_hangs(directory: Path, script: str) -> None:
    with within(20):
        assert "it was not done after 0.3 seconds, and was ended" in failure(script, directory, 0.3)


def test_everything_that_it_started_is_ended(directory: Path) -> None:
    failure("sleep 1000 & echo $! > child; wait", directory, 3)  # a busy machine may need a second to start them
    child = int((directory / "child").read_text())
    wait_until(lambda: not _runs(child))


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("size", [MAX_BYTES + 1, 100_000_000])
def test_it_prints_a_hundred_megabytes(directory: Path, size: int) -> None:
    text = failure(f"yes 'ann:x' | head -c {size}", directory)
    assert f"more than the {MAX_BYTES} bytes" in text


def test_it_prints_as_much_as_it_may(directory: Path) -> None:
    assert len(run(f"yes 'ann:x' | head -c {MAX_BYTES}", directory)) == MAX_BYTES


def test_it_prints_for_ever(directory: Path) -> None:
    assert f"more than the {MAX_BYTES} bytes" in failure("yes", directory)


# --- what it says ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        "Failed to get the data key required to decrypt the SOPS file.",
        "gpg: decryption failed: No secret key",
        "age: error: no identity matched any of the recipients",
        "cat: users.enc: Permission denied",
    ],
)
def test_why_it_failed_can_be_read(directory: Path, message: str) -> None:
    assert failure(f"echo '{message}' >&2; exit 1", directory).endswith(f"it said: {message}; nothing was done")


@pytest.mark.parametrize(
    "script",
    [
        "cat users.enc >&2; exit 1",
        "cat users.enc; cat users.enc >&2; exit 1",
        "cat users.enc; sed s/.*:// users.enc >&2; exit 1",
        "sed s/.*:// users.enc >&2; exit 1",
        "base64 users.enc >&2; exit 1",
        "sed 's/^/level=error msg=\"/' users.enc >&2; exit 1",
        "printf '{\"data\": \"'$(tr '\\n' ' ' <users.enc)'\"}' >&2; exit 1",
        "head -c 392 /dev/zero | tr '\\0' x >&2; sed '1d; s/.*:/ /' users.enc >&2; exit 1",  # cut within the password
        "cat users.enc; cat users.enc >&2",
    ],
)
def test_the_roster_on_stderr_is_not_shown(directory: Path, script: str) -> None:
    if script.endswith("exit 1"):
        failure(script, directory)
    else:
        assert run(script, directory) == ROSTER.encode()


def test_passwords_of_words_are_not_shown(directory: Path) -> None:
    """Also where the rules are lax: a line like the roster's is hidden, and every word that it has printed."""
    text = failure("echo 'ann:open sesame please' >&2; echo sesame; echo bad sesame >&2; exit 1", directory)
    assert "sesame" not in text
    assert "open" not in text
    assert "bad" in text


def test_what_it_says_is_short(directory: Path) -> None:
    text = failure("yes 'no luck' | head -c 9000 >&2; exit 1", directory)
    assert text.endswith(" ...; nothing was done")
    assert "it said: no luck no luck" in text
    assert len(text) < 600


def test_no_descriptor_is_left(directory: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    run("cat users.enc", directory)
    failure("exit 1", directory)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_roster_is_not_shown_by_what_holds_it(directory: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        run("cat users.enc; exit 1", directory)
    shown = []
    trace = caught.value.__traceback__
    while trace:
        shown += [repr(value) for name, value in trace.tb_frame.f_locals.items() if name != "data"]
        trace = trace.tb_next
    assert not re.search(re.escape(PASSWORD), " ".join(shown))
