"""Data directories that are initialised once, kept in the cache, and copied for every server.

Creating a data directory takes seconds, copying one takes a tenth. Everything that two servers may share is in the
template: the empty catalogue, the administrator with a random password, and the TLS certificates.
"""

import fcntl
import hashlib
import os
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from servers.process import Account, new_directory

PASSWORD_FILE = "admin_password"
# The address as a name, too: libpq before 15 looks at names only.
SUBJECT_NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1,DNS:127.0.0.1"


def cache_directory() -> Path:
    """Where templates and unpacked servers are kept: $DBROSTER_CACHE, or `.cache` in the repository."""
    given = os.environ.get("DBROSTER_CACHE")
    return Path(given).resolve() if given else Path(__file__).resolve().parent.parent / ".cache"


def digest(*parts: object) -> str:
    """A short name for a combination of things."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def copy(name: str, content: str, fill: Callable[[Path, str], None], account: Account, target: Path) -> None:
    """Copy the template `name` into the directory `target`.

    The template is made first if there is none made from `content` (a digest of all that decides what is in it):
    `fill(directory, password)` has to initialise the data below `directory`, for an administrator with that password.
    """
    templates = cache_directory() / "templates"
    templates.mkdir(parents=True, exist_ok=True)
    wanted = templates / f"{name}-{content}"
    with _locked(templates / f"{name}.lock") as exclusively:
        if not wanted.exists():
            exclusively()
            if not wanted.exists():
                _make(wanted, fill, account)
                _remove_outdated(templates, name, wanted)
        subprocess.run(["cp", "-a", "--reflink=auto", f"{wanted}/.", target], check=True)


@contextmanager
def _locked(path: Path) -> Iterator[Callable[[], None]]:
    """Hold a file lock that is shared by those who copy; yields a function that makes it exclusive."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield lambda: fcntl.flock(lock, fcntl.LOCK_EX)


def _make(wanted: Path, fill: Callable[[Path, str], None], account: Account) -> None:
    # Not in the cache itself: an unprivileged account may not reach it, and server programs dislike long paths.
    work = new_directory(durable=False)
    try:
        password = secrets.token_urlsafe(12) + ":@/'%\\#"
        (work / PASSWORD_FILE).write_text(password)
        make_certificates(work)
        account.own(work)
        fill(work, password)
        unfinished = wanted.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        subprocess.run(["cp", "-a", work, unfinished], check=True)
        unfinished.rename(wanted)
    finally:
        shutil.rmtree(work)


def _remove_outdated(templates: Path, name: str, wanted: Path) -> None:
    for other in templates.glob(f"{name}-*"):
        if other != wanted:
            shutil.rmtree(other, ignore_errors=True)


def make_certificates(directory: Path) -> None:
    """Write ca.pem, server.pem, server.key for localhost: a small authority of its own, as strict clients want it."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)

    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650")
    authority = ("-subj", "/CN=dbroster test authority", "-keyout", "ca.key", "-out", "ca.pem")
    openssl(*new, *authority, "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-subj", "/CN=localhost", "-addext", SUBJECT_NAMES)
    leaf = ("-addext", "basicConstraints=critical,CA:FALSE", "-addext", "keyUsage=critical,digitalSignature")
    openssl(*new, *signed, *leaf, "-keyout", "server.key", "-out", "server.pem")
    (directory / "ca.key").unlink()
    for name in ("server.key", PASSWORD_FILE):
        path = directory / name
        if path.exists():
            path.chmod(0o600)
