"""SHA-256-crypt (Ulrich Drepper, "Unix crypt using SHA-256 and SHA-512") as MySQL's two SHA-2 plugins store it."""

import hashlib
import hmac
import os
import re
from itertools import chain, islice

_ITOA64 = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LETTERS = _ITOA64[2:]
_SALT_SIZE = 20
_MIN_ROUNDS = 5000
_MAX_ROUNDS = 0xFFF * 1000
_MAX_PASSWORD = 256  # bytes; MySQL denies the login with more, whatever is stored
_CACHING_SHA2 = re.compile(rb"\$A\$([0-9A-Fa-f]{3})\$(.{20})([./0-9A-Za-z]{43})", re.DOTALL)
_SHA256_PASSWORD = re.compile(rb"\$5\$(.{20})\$([./0-9A-Za-z]{43})", re.DOTALL)
# the round function repeats after lcm(2, 3, 7) = 42 rounds; these are its pairs of an even and an odd one
_CYCLE = [(even, even + 1) for even in range(0, 42, 2)]


def caching_sha2(password: bytes, salt: bytes | None = None, rounds: int = _MIN_ROUNDS) -> bytes:
    """Return the 70 bytes that MySQL stores for caching_sha2_password: `$A$005$`, salt, digest.

    `rounds` is a multiple of 1000 from 5000 to 4,095,000 (`caching_sha2_password_digest_rounds`): fewer are stored
    by the server, but then it denies every login. The salt is 20 random letters and digits unless given.
    Raises ValueError for anything else, and for a password that is empty or over 256 bytes.
    Source: MySQL Reference Manual, "Caching SHA-2 Pluggable Authentication".
    """
    salt = _random_salt() if salt is None else salt
    if not 0 < len(password) <= _MAX_PASSWORD:
        raise ValueError(f"MySQL takes passwords of 1 to {_MAX_PASSWORD} bytes")
    if rounds % 1000 or not _MIN_ROUNDS <= rounds <= _MAX_ROUNDS:
        raise ValueError(f"rounds must be a multiple of 1000 from {_MIN_ROUNDS} to {_MAX_ROUNDS}")
    if len(salt) != _SALT_SIZE or b"$" in salt or b"\0" in salt:
        raise ValueError(f"the salt must have {_SALT_SIZE} bytes, none of them $ or NUL")
    return b"$A$%03X$%b%b" % (rounds // 1000, salt, sha256_crypt(password, salt, rounds))


def caching_sha2_matches(password: bytes, stored: bytes) -> bool | None:
    """Say whether a caching_sha2_password authentication_string is of this password, with its own round count."""
    if (found := _CACHING_SHA2.fullmatch(stored)) is None:
        return None
    rounds = int(found[1], 16) * 1000
    # below the minimum the server denies the login even with the right password: not the wanted state
    return rounds >= _MIN_ROUNDS and _digest_matches(password, found[2], rounds, found[3])


def rounds_of(stored: str) -> int:
    """How many rounds a check of this takes; 1 for anything that has no rounds."""
    if found := _CACHING_SHA2.fullmatch(stored.encode()):
        return int(found[1], 16) * 1000
    return _MIN_ROUNDS if stored.startswith("$5$") else 1


def sha256_password_matches(password: bytes, stored: bytes) -> bool | None:
    """Say whether a sha256_password (deprecated plugin) authentication_string is of this password."""
    if (found := _SHA256_PASSWORD.fullmatch(stored)) is None:
        return None
    return _digest_matches(password, found[1], _MIN_ROUNDS, found[2])


def sha256_crypt(password: bytes, salt: bytes, rounds: int) -> bytes:
    """Return the 43 characters of SHA-256-crypt. The salt is used as it is; Drepper's crypt cuts it at 16 bytes."""
    digest = _first_digest(password, salt)
    password_part = _stretched(_sha256(password * len(password)), len(password))
    salt_part = _stretched(_sha256(salt * (16 + digest[0])), len(salt))
    pairs = [_round_pair(even, odd, password_part, salt_part) for even, odd in _CYCLE]
    full_cycles, rest = divmod(rounds // 2, len(pairs))
    sha256 = hashlib.sha256
    # nearly all of a check's time is spent here; hence the parts made beforehand and the local name
    for tail, head in chain(chain.from_iterable([pairs] * full_cycles), pairs[:rest]):
        digest = sha256(head + sha256(digest + tail).digest()).digest()
    if rounds % 2:
        digest = sha256(digest + pairs[rest][0]).digest()
    return _crypt_base64(digest)


def _digest_matches(password: bytes, salt: bytes, rounds: int, digest: bytes) -> bool:
    if len(password) > _MAX_PASSWORD:
        return False
    return hmac.compare_digest(sha256_crypt(password, salt, rounds), digest)


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _stretched(digest: bytes, size: int) -> bytes:
    """Repeat a digest to a size."""
    return (digest * (size // len(digest) + 1))[:size]


def _first_digest(password: bytes, salt: bytes) -> bytes:
    """Steps 1 to 12: everything before the salt and password sequences."""
    alternate = _sha256(password + salt + password)
    material = password + salt + _stretched(alternate, len(password))
    bits = len(password)
    while bits:
        material += alternate if bits & 1 else password
        bits >>= 1
    return _sha256(material)


def _round_pair(even: int, odd: int, password: bytes, salt: bytes) -> tuple[bytes, bytes]:
    """Return what an even round hashes after the digest, and what the odd round after it hashes before its digest."""
    tail = _middle(even, password, salt) + password
    head = password + _middle(odd, password, salt)
    return tail, head


def _middle(number: int, password: bytes, salt: bytes) -> bytes:
    return (salt if number % 3 else b"") + (password if number % 7 else b"")


def _crypt_base64(digest: bytes) -> bytes:
    """Encode in crypt's own order: ten groups of bytes from the three thirds, rotating, then the last two bytes."""
    triples = [(i, i + 10, i + 20) for i in range(10)]
    order = [triples[i][-i % 3 :] + triples[i][: -i % 3] for i in range(10)]
    text = ""
    for first, second, third in order:
        text += _letters(digest[first] << 16 | digest[second] << 8 | digest[third], 4)
    return (text + _letters(digest[31] << 8 | digest[30], 3)).encode()


def _letters(number: int, count: int) -> str:
    """Write six bits per letter, lowest first."""
    return "".join(_ITOA64[number >> 6 * place & 63] for place in range(count))


def _random_salt() -> bytes:
    # not by `secrets`, whose import takes longer than a verifier; bytes that would favour some letters are left out
    letters = (_LETTERS[byte % 62] for byte in os.urandom(4 * _SALT_SIZE) if byte < 4 * 62)
    return "".join(islice(letters, _SALT_SIZE)).encode()
