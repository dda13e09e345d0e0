"""Keys and encrypted rosters, by the real library."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyrage
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.support.samples import private


@dataclass(frozen=True)
class Key:
    """A secret key in a file of its own, and the public key that goes with it."""

    path: Path
    public: str


def age_key(directory: Path, name: str = "age.key") -> Key:
    """Write an identity as `age-keygen` does."""
    identity = pyrage.x25519.Identity.generate()
    public = str(identity.to_public())
    return Key(private(directory / name, f"# public key: {public}\n{identity}\n"), public)


def ssh_key(directory: Path, kind: str, passphrase: bytes = b"") -> Key:
    """Write an ssh key as `ssh-keygen` does; one with a passphrase in the older form, which needs no bcrypt."""
    key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    if kind == "rsa":
        key = rsa.generate_private_key(65537, 2048)
    else:
        key = ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())
    lock: KeySerializationEncryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    form = PrivateFormat.TraditionalOpenSSL if passphrase else PrivateFormat.OpenSSH
    data = key.private_bytes(Encoding.PEM, form, lock)
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return Key(private(directory / f"id_{kind}", data), public)


def sealed(data: bytes, *keys: Key, armored: bool = False) -> bytes:
    """Encrypt for the keys."""
    recipients = [
        (pyrage.ssh if key.public.startswith("ssh-") else pyrage.x25519).Recipient.from_str(key.public) for key in keys
    ]
    return bytes(pyrage.encrypt(data, recipients, armored=armored))


def opened(path: Path, key: Key) -> bytes:
    """Decrypt with an age key."""
    identity = pyrage.x25519.Identity.from_str(key.path.read_text().splitlines()[-1])
    return bytes(pyrage.decrypt(path.read_bytes(), [identity]))


def files(directory: Path) -> dict[str, bytes]:
    """Everything in a directory, to see that nothing was changed."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in _files(directory)}


def holding(secret: str, *directories: Path) -> list[Path]:
    """Files under the directories that hold a text."""
    return [path for each in directories for path in _files(each) if secret.encode() in path.read_bytes()]


def _files(directory: Path) -> Iterator[Path]:
    return (path for path in sorted(directory.rglob("*")) if path.is_file())
