"""Bad bytes in files that programs write, a few of them in every run; `make soak` tries thousands."""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.bad_stored import STORED, StoredTarget

FLIPS = st.lists(st.tuples(st.binary(min_size=2, max_size=2), st.sampled_from([b"\1", b"\x80", b"\x20", b"\xff"])))
PIECES = st.sampled_from([
    b"age-encryption.org/v1\n", b"-> X25519 ", b"-> ssh-ed25519 ", b"--- ", b"\n", b"AGE-SECRET-KEY-1", b"age1",
    b"-----BEGIN AGE ENCRYPTED FILE-----\n", b"-----BEGIN OPENSSH PRIVATE KEY-----\n", b"ssh-rsa ",
    b"dbroster verification cache 1\n",
    b"a" * 64, b"0" * 20, b" ", b"{", b"}", b"[", b'"number": ', b'"previous": ', b"1", b"1e999", b"NaN", b"null", b'"',
    b", ", b"\0", b"\xff", b'"\\ud800"', b"\x1f\x8b\x08", b"[" * 5000,
])  # fmt: skip
DATA = FLIPS.map(lambda flips: b"".join(b"".join(each) for each in flips)) | st.lists(
    PIECES | st.binary(max_size=8), max_size=20
).map(b"".join)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> StoredTarget:
    return StoredTarget(tmp_path_factory.mktemp("config"))


@pytest.mark.parametrize("kind", STORED)
def test_sound_files_are_no_hindrance(target: StoredTarget, kind: str) -> None:
    for seed in target.seeds[kind]:
        target.attack(kind, seed)


@pytest.mark.parametrize("kind", STORED)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=DATA)
@example(data=b"[" * 100_000)
def test_nothing_that_is_stored_breaks_the_command(target: StoredTarget, kind: str, data: bytes) -> None:
    target.attack(kind, data)
