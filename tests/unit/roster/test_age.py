"""users.txt.age: every kind of key opens it, and whatever is wrong with key or file is told without showing either."""

import sys
from collections.abc import Callable
from pathlib import Path

import pyrage
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dbroster.errors import ConfigError
from dbroster.model.roster import AGE_FILE
from dbroster.roster.age import IDENTITY_VARIABLE, Identities, Recipients, is_armored
from tests.support.samples import PASSWORD, private
from tests.support.vault import Key, age_key, sealed, ssh_key

PLAIN = f"ann:{PASSWORD}\nbob:{PASSWORD}\n".encode()
FILE = Path(AGE_FILE)


def refused(call: Callable[[], object]) -> str:
    """What a ConfigError says; neither it nor what it came from may show the roster."""
    with pytest.raises(ConfigError) as caught:
        call()
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    text = str(caught.value)
    assert PASSWORD not in text
    assert "AGE-SECRET-KEY-1" not in text.replace("AGE-SECRET-KEY-1...", "")
    return text


@pytest.fixture
def key(tmp_path: Path) -> Key:
    return age_key(tmp_path)


# --- what opens it --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("armored", [False, True])
def test_an_age_identity_opens_it(key: Key, armored: bool) -> None:
    data = sealed(PLAIN, key, armored=armored)
    assert Identities.find(key.path).decrypt(data, FILE) == PLAIN
    assert is_armored(data) is armored


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_an_ssh_key_opens_it(tmp_path: Path, kind: str) -> None:
    ssh = ssh_key(tmp_path, kind)
    assert Identities.find(ssh.path).decrypt(sealed(PLAIN, ssh), FILE) == PLAIN
    assert Recipients.of([f"{ssh.public} ann@host"], "here").encrypt(PLAIN) != PLAIN


def test_any_identity_of_a_file_will_do(tmp_path: Path) -> None:
    first, second = age_key(tmp_path, "1"), age_key(tmp_path, "2")
    both = private(tmp_path / "both", first.path.read_text() + "\n" + second.path.read_text())
    assert Identities.find(both).decrypt(sealed(PLAIN, second), FILE) == PLAIN


def test_the_environment_names_it_and_the_option_wins(
    tmp_path: Path, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(IDENTITY_VARIABLE, str(key.path))
    assert Identities.find(None).path == key.path
    other = age_key(tmp_path, "other")
    assert Identities.find(other.path).path == other.path
    monkeypatch.setenv(IDENTITY_VARIABLE, "")
    assert Identities.at_hand(None) is None


# --- what is wrong with the key -------------------------------------------------------------------------------------


def test_no_identity() -> None:
    text = refused(lambda: Identities.find(None))
    assert "--identity FILE" in text
    assert IDENTITY_VARIABLE in text


@pytest.mark.parametrize("mode", [0o644, 0o620, 0o604, 0o777])
def test_a_key_that_others_may_read_is_refused(key: Key, mode: int) -> None:
    key.path.chmod(mode)
    text = refused(lambda: Identities.find(key.path))
    assert f"holds a secret key and has mode {mode:04o}" in text
    assert f"chmod 600 {key.path}" in text


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "holds no identity"),
        (b"# only a comment\n\n", "holds no identity"),
        (b"AGE-SECRET-KEY-1QQQQ\n", "not an identity"),
        (b"age1qqqq\n", "not an identity"),
        (b"AGE-PLUGIN-YUBIKEY-1QQQQ\n", "not an identity"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"age-encryption.org/v1\n-> scrypt \xff", "is encrypted itself"),
        (b"-----BEGIN AGE ENCRYPTED FILE-----\n", "is encrypted itself"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", "must be ed25519 or rsa, without a passphrase"),
    ],
)
def test_what_is_no_key(tmp_path: Path, content: bytes, expected: str) -> None:
    path = private(tmp_path / "key", content)
    assert expected in refused(lambda: Identities.find(path))


@pytest.mark.parametrize(("kind", "passphrase"), [("rsa", b"secret"), ("ecdsa", b"")])
def test_ssh_keys_that_can_t_be_used(tmp_path: Path, kind: str, passphrase: bytes) -> None:
    ssh = ssh_key(tmp_path, kind, passphrase)
    assert "must be ed25519 or rsa, without a passphrase" in refused(lambda: Identities.find(ssh.path))


def test_a_key_that_is_not_there(tmp_path: Path) -> None:
    assert "does not exist" in refused(lambda: Identities.find(tmp_path / "none"))


def test_a_key_shows_itself_to_nobody(key: Key) -> None:
    assert "SECRET" not in repr(Identities.find(key.path))


# --- what is wrong with the file ------------------------------------------------------------------------------------


def test_the_wrong_identity(tmp_path: Path, key: Key) -> None:
    data = sealed(PLAIN, age_key(tmp_path, "other"))
    assert "holds no identity that it was encrypted for" in refused(
        lambda: Identities.find(key.path).decrypt(data, FILE)
    )


def test_a_file_under_a_passphrase(key: Key) -> None:
    data = pyrage.passphrase.encrypt(PLAIN, "secret")
    assert "holds no identity that it was encrypted for" in refused(
        lambda: Identities.find(key.path).decrypt(data, FILE)
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 10_000), armored=st.booleans())
def test_a_file_that_is_cut_short_is_never_taken(key: Key, cut: int, armored: bool) -> None:
    data = sealed(PLAIN, key, armored=armored).rstrip(b"\n")
    identities = Identities.find(key.path)
    assert "can't be decrypted" in refused(lambda: identities.decrypt(data[: cut % len(data)], FILE))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_a_file_that_is_damaged_is_never_taken(key: Key, place: int, flip: int) -> None:
    data = bytearray(sealed(PLAIN, key))
    data[place % len(data)] ^= flip
    identities = Identities.find(key.path)
    assert "can't be decrypted" in refused(lambda: identities.decrypt(bytes(data), FILE))


def test_a_file_that_was_never_encrypted(key: Key) -> None:
    assert "no age file" in refused(lambda: Identities.find(key.path).decrypt(PLAIN, FILE))


# --- recipients -----------------------------------------------------------------------------------------------------


def test_recipients_are_taken_once_each(tmp_path: Path, key: Key) -> None:
    path = private(tmp_path / "recipients", f"# ops\n{key.public}\n\n {key.public} \n")
    recipients = Recipients.read(path)
    assert recipients.texts == (key.public,)
    assert Identities.find(key.path).decrypt(recipients.encrypt(PLAIN), FILE) == PLAIN


@pytest.mark.parametrize("text", ["age1qqq", "bob", "", "ssh-ed25519 AAAA", "ecdsa-sha2-nistp256 AAAA"])
def test_what_is_no_recipient(key: Key, text: str) -> None:
    assert "recipient 2 is no public key" in refused(lambda: Recipients.of([key.public, text], "--recipient"))


def test_a_secret_key_as_recipient_is_not_repeated(key: Key) -> None:
    secret = key.path.read_text().splitlines()[-1]
    assert "recipient 1 is no public key" in refused(lambda: Recipients.of([secret], "--recipient"))


def test_recipients_that_others_may_write_are_refused(tmp_path: Path, key: Key) -> None:
    path = private(tmp_path / "recipients", key.public)
    path.chmod(0o664)
    assert "chmod go-w" in refused(lambda: Recipients.read(path))
    path.chmod(0o644)
    assert Recipients.read(path).texts == (key.public,)


# --- without pyrage -------------------------------------------------------------------------------------------------


def test_without_pyrage_it_is_named(key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyrage", None)
    with pytest.raises(ConfigError, match="pip install pyrage"):
        Identities.find(key.path)
    with pytest.raises(ConfigError, match="pip install pyrage"):
        Recipients.of([key.public], "--recipient")
