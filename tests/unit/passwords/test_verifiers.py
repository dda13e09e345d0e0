"""Verifiers against published vectors, against other implementations, and against hostile input."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbroster.passwords.secret import Secret
from dbroster.passwords.verifiers.algorithms import Algorithm, Check
from dbroster.passwords.verifiers.batch import matches_many
from dbroster.passwords.verifiers.digests import (
    clickhouse_salt,
    clickhouse_sha256,
    clickhouse_sha256_matches,
    mysql_native,
)
from dbroster.passwords.verifiers.ed25519 import ed25519, sodium, times_base
from dbroster.passwords.verifiers.saslprep import saslprep, saslprep_offender
from dbroster.passwords.verifiers.scram import mongodb_matches, postgresql_matches, scram_keys, scram_sha_256
from dbroster.passwords.verifiers.sha_crypt import caching_sha2, caching_sha2_matches, sha256_crypt

USER = "bob"
SALT = b"s" * 20
HOSTILE = [
    "it's",
    '"; DROP ROLE bob; --',
    "back\\slash%s{}$HOME`id` ",
    "nul\0inside",
    "line\r\nbreak\ttab",
    "emoji 😀👩‍💻",
    "é as one, e\u0301 as two",
    "\u00adsoft\u200bzero",
    "ﬁ ½ Ａ",
    "mixed עברית",
    "md5" + "0" * 32,
    "x" * 256,
]


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


# how a server's text comes about; two kinds belong to PostgreSQL
MAKERS: dict[str, Callable[[str], str]] = {
    "scram": lambda password: scram_sha_256(password, iterations=1),
    "md5": lambda password: "md5" + md5(password + USER),
    "mysql_native_password": lambda password: mysql_native(password.encode()),
    "ed25519": lambda password: ed25519(password.encode()),
    "caching_sha2_password": lambda password: caching_sha2(password.encode()).decode(),
    "sha256_password": lambda password: f"$5${SALT.decode()}${sha256_crypt(password.encode(), SALT, 5000).decode()}",
}
each_kind = pytest.mark.parametrize("kind", MAKERS)


def check(kind: str, password: str, stored: str, user: str = USER) -> Check:
    algorithm = Algorithm.POSTGRESQL if kind in ("scram", "md5") else Algorithm(kind)
    return Check(algorithm, user, Secret(password), Secret(stored))


def matches(kind: str, password: str, stored: str, user: str = USER) -> bool | None:
    return matches_many([check(kind, password, stored, user)])[0]


def credentials(password: str) -> dict[str, dict[str, object]]:
    """Both mechanisms as MongoDB shows them."""
    made: dict[str, dict[str, object]] = {}
    prepared = {"SCRAM-SHA-1": md5(f"{USER}:mongo:{password}"), "SCRAM-SHA-256": password}
    for name, text in prepared.items():
        keys = scram_keys(name[6:].replace("-", ""), text.encode(), SALT, 2)
        encoded = [base64.b64encode(data).decode() for data in (SALT, *keys)]
        made[name] = {"iterationCount": 2, **dict(zip(("salt", "storedKey", "serverKey"), encoded, strict=True))}
    return made


@pytest.mark.parametrize(
    ("hash_name", "client", "server", "salt", "proof", "signature"),
    [
        (
            *("sha1", "fyko+d2lbbFgONRv9qkxdawL", "3rfcNHYJY1ZVvWVs7j", "QSXCR+Q6sek8bf92"),
            *("v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", "rmF9pqV8S7suAoZWja4dJRkFsKQ="),
        ),
        (
            *("sha256", "rOprNGfwEbeRWgbNEkqO", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", "W22ZaJ0SNY7soEsUEjb6gQ=="),
            *("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="),
        ),
    ],
    ids=["RFC 5802 section 5", "RFC 7677 section 3"],
)
def test_scram_keys_accept_the_published_conversation(
    hash_name: str, client: str, server: str, salt: str, proof: str, signature: str
) -> None:
    nonce = client + server
    message = f"n=user,r={client},r={nonce},s={salt},i=4096,c=biws,r={nonce}".encode()
    stored_key, server_key = scram_keys(hash_name, b"pencil", base64.b64decode(salt), 4096)
    client_signature = hmac.digest(stored_key, message, hash_name)
    client_key = bytes(a ^ b for a, b in zip(base64.b64decode(proof), client_signature, strict=True))
    assert hashlib.new(hash_name, client_key).digest() == stored_key
    assert hmac.digest(server_key, message, hash_name) == base64.b64decode(signature)


LONG = "a very much longer text to encrypt.  This one even stretches over morethan one line."
SHORT_SALT = "we have a short salt string but not a short password"


@pytest.mark.parametrize(
    ("password", "crypted"),
    [
        ("Hello world!", "5000$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
        ("Hello world!", "10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA"),
        ("This is just a test", "5000$toolongsaltstrin$Un/5jzAHMgOGZ5.mWJpuVolil07guHPvOW8mGRcvxa5"),
        (LONG, "1400$anotherlongsalts$Rx.j8H.h8HjEDGomFU8bDkXm3XIUnzyxf12oP84Bnq1"),
        (SHORT_SALT, "77777$short$JiO1O3ZpDAxGJeaDIuqCoEFysAe1mZNJRs3pw0KQRd/"),
        ("a short string", "123456$asaltof16chars..$gP3VQ/6X7UUEW3HkBn2w1/Ptq2jxPyzV/cZKmF/wJvD"),
        ("the minimum number is still observed", "1000$roundstoolow$yfvwcWrQ8l/K0DAWyuPMDNHpIVlTQebY9l/gL972bIC"),
    ],
)
def test_sha256_crypt_equals_the_vectors_of_its_specification(password: str, crypted: str) -> None:
    rounds, salt, digest = crypted.split("$")
    assert sha256_crypt(password.encode(), salt.encode(), int(rounds)) == digest.encode()


@pytest.mark.parametrize(
    ("seed", "public"),
    [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "/FHNjmIYoaONpH7QAjDwWAgW7RO6MwOsXeuRFUiQgCU",
        ),
        (b"secret".hex(), "ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY"),
    ],
    ids=["RFC 8032 test 1", "RFC 8032 test 2", "RFC 8032 test 3", "MariaDB's manual"],
)
def test_ed25519_equals_published_vectors(seed: str, public: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ed25519(bytes.fromhex(seed)) == public
    monkeypatch.setattr("dbroster.passwords.verifiers.ed25519.sodium", lambda: None)
    assert ed25519(bytes.fromhex(seed)) == public


@given(st.binary(min_size=32, max_size=32))
def test_both_multiplications_are_the_same(scalar: bytes) -> None:
    """Of clamped scalars, as RFC 8032 makes them: libsodium refuses the neutral element."""
    clamped = bytes([scalar[0] & 248, *scalar[1:31], scalar[31] & 63 | 64])
    multiply = sodium()
    assert multiply is not None, "PyNaCl belongs to what tests need"
    assert multiply(clamped) == times_base(clamped)


def test_plain_digests_equal_known_values() -> None:
    assert mysql_native(b"password") == "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19"
    assert mysql_native(b"mypass") == "*6C8989366EAF75BB670AD8EA7A7FC1176A95CEF4"
    abc = "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"  # FIPS 180-2's example
    assert clickhouse_sha256("a", "bc") == abc
    assert {len(clickhouse_salt()) for _ in range(9)} == {64}
    assert len({clickhouse_salt() for _ in range(9)}) == 9


@pytest.mark.parametrize(
    ("stored", "answer"),
    [
        # SHA-256("abc"), FIPS 180-4: as password without a salt, and as password "a" with the salt "bc"
        ("sha256_hash BY 'BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD'", False),
        ("sha256_hash BY 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad' SALT 'bc'", True),
        ("sha256_hash BY 'BA78' SALT 'bc'", None),
        ("sha256_password", None),
        ("double_sha1_hash BY '00'", None),
    ],
)
def test_clickhouse_hash_as_the_server_shows_it(stored: str, answer: bool | None) -> None:
    assert clickhouse_sha256_matches("a", stored) is answer
    if answer is False:
        assert clickhouse_sha256_matches("abc", stored)


def test_saslprep_equals_pymongo() -> None:
    from pymongo.saslprep import saslprep as reference

    def answer(prepare: Callable[[str], str], text: str) -> str | None:
        try:
            return prepare(text)
        except (ValueError, IndexError):  # PyMongo's has an IndexError for what is empty
            return None

    # the whole basic plane, a third of the next (all of it takes a minute), and the tags of plane 14
    for char in map(
        chr, [*range(0xD800), *range(0xE000, 0x10000), *range(0x10000, 0x20000, 3), *range(0xE0000, 0xE0100)]
    ):
        for text in (char, f"a{char}b", f"\u05d0{char}\u05d1"):
            prepared = answer(saslprep, text)
            assert prepared == answer(reference, text), ascii(text)
            carried = prepared is not None and char != "\u200b"
            assert carried == (saslprep_offender(text) is None), ascii(text)


def test_postgresql_verifiers_equal_those_of_libpq() -> None:
    pq = pytest.importorskip("psycopg", reason="psycopg brings the libpq to compare with").pq
    connection = pq.PGconn.connect_start(b"host=/nonexistent")  # hashing needs the object, not a server
    special = [
        "\u200b",
        "a\u200bb",
        "\u00ad",
        "\u00a0",
        "a\u0340",
        "\u2126",
        "\u2f868",
        "\u0627a",
        "\u0627\u0628",
        "\x7fé",
    ]
    for password in [*special, *(text for text in HOSTILE if "\0" not in text)]:
        for method in (b"scram-sha-256", b"md5"):
            stored = connection.encrypt_password(password.encode(), USER.encode(), method).decode()
            assert postgresql_matches(password, USER, stored), ascii(password)


@each_kind
@pytest.mark.parametrize("password", HOSTILE, ids=ascii)
def test_a_hostile_password_matches_its_verifier_and_no_other(kind: str, password: str) -> None:
    stored = MAKERS[kind](password)
    assert matches(kind, password, stored) is True
    assert matches(kind, password[:-1] + "~", stored) is False
    assert matches(kind, "", stored) is False


@each_kind
@settings(max_examples=30, deadline=None)
@given(password=st.text(min_size=1, max_size=40), other=st.text(max_size=40))
def test_round_trip(kind: str, password: str, other: str) -> None:
    stored = MAKERS[kind](password)
    assert matches(kind, password, stored) is True
    if other != password and kind != "scram":  # SCRAM normalises, so different texts may be one password
        assert matches(kind, other, stored) is False


@each_kind
def test_every_changed_character_of_a_verifier_is_noticed(kind: str) -> None:
    stored = MAKERS[kind]("pencil")
    # the last character of base64 has spare bits, so for SCRAM the first one of each field
    places = [0, 14, *(stored.index(mark, 17) + 1 for mark in "$:"), 17] if kind == "scram" else range(len(stored))
    for place in places:
        changed = stored[:place] + ("2" if stored[place] != "2" else "3") + stored[place + 1 :]
        assert not matches(kind, "pencil", changed), changed


@each_kind
def test_an_unknown_format_is_none(kind: str) -> None:
    stored = MAKERS[kind]("pencil")
    for text in ("", "*", "invalid", "\0", "é", stored[:-1], stored[1:], stored + "\n", stored + "x", " " + stored):
        assert matches(kind, "pencil", text) is None, text


@each_kind
@given(stored=st.text())
def test_arbitrary_stored_text_raises_nothing(kind: str, stored: str) -> None:
    assert matches(kind, "pencil", stored) in (None, False)


@pytest.mark.parametrize("head", ["0:AAAA", "99999999:AAAA", "1:AAA", "1:é===", "1:", ":AAAA", "-1:AAAA", "1:===="])
def test_a_damaged_scram_verifier_is_none(head: str) -> None:
    key = "A" * 43 + "="
    assert matches("scram", "pencil", f"SCRAM-SHA-256$1:AAAA${key}:{key}") is False
    assert matches("scram", "pencil", f"SCRAM-SHA-256${head}${key}:{key}") is None
    assert matches("scram", "pencil", f"SCRAM-SHA-256$1:AAAA${key}:AAAA") is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: scram_sha_256(""),
        lambda: scram_sha_256("x", salt=b""),
        lambda: scram_sha_256("x", iterations=0),
        lambda: caching_sha2(b""),
        lambda: caching_sha2(b"x" * 257),
        lambda: caching_sha2(b"x", salt=b"short"),
        lambda: caching_sha2(b"x", salt=b"$" * 20),
        lambda: caching_sha2(b"x", rounds=4000),
        lambda: caching_sha2(b"x", rounds=5500),
        lambda: caching_sha2(b"x", rounds=4_096_000),
        lambda: mysql_native(b""),
        lambda: ed25519(b""),
        lambda: clickhouse_sha256("", "salt"),
        lambda: clickhouse_sha256("x", ""),
    ],
)
def test_what_would_make_a_useless_account_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"password|salt|rounds"):
        make()


def test_caching_sha2_has_mysqls_form() -> None:
    stored = caching_sha2(b"pencil", rounds=10000)
    assert (len(stored), stored[:7], stored[7:27].isalnum()) == (70, b"$A$00A$", True)
    assert stored != caching_sha2(b"pencil", rounds=10000)
    by_server = caching_sha2(b"pencil", bytes(range(1, 21)))  # with a line feed
    assert caching_sha2_matches(b"pencil", by_server) is True


def test_what_mysql_denies_the_login_for_is_not_the_wanted_state() -> None:
    too_few_rounds = b"$A$001$" + SALT + sha256_crypt(b"pencil", SALT, 1000)
    assert caching_sha2_matches(b"pencil", too_few_rounds) is False
    too_long = b"x" * 257
    assert caching_sha2_matches(too_long, b"$A$005$" + SALT + sha256_crypt(too_long, SALT, 5000)) is False


def test_the_user_name_salts_md5() -> None:
    assert matches("md5", "pencil", MAKERS["md5"]("pencil"), user="eve") is False


def test_mongodb_asks_every_mechanism() -> None:
    new, old = credentials("new"), credentials("old")
    assert mongodb_matches("new", USER, json.dumps(new)) is True
    assert mongodb_matches("old", USER, json.dumps(new)) is False
    assert mongodb_matches("new", "eve", json.dumps(new)) is False  # SCRAM-SHA-1 mixes the user in
    for name in new:
        assert mongodb_matches("new", USER, json.dumps({name: new[name]})) is True
        assert mongodb_matches("new", USER, json.dumps(new | {name: old[name]})) is False


def test_mongodb_normalises() -> None:
    composed = {"SCRAM-SHA-256": credentials("é")["SCRAM-SHA-256"]}
    assert mongodb_matches("e\u0301", USER, json.dumps(composed)) is True
    assert mongodb_matches("tab\t", USER, json.dumps(composed)) is False


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1", "SCRAM-SHA-256"])
@pytest.mark.parametrize("field", ["salt", "storedKey", "serverKey", "iterationCount"])
@pytest.mark.parametrize("value", [None, "", "é", "AAA", "AAAA", 0, -1, 10**9, [], {}])
def test_damaged_mongodb_credentials_are_never_true(mechanism: str, field: str, value: object) -> None:
    damaged = credentials("pencil")
    damaged[mechanism][field] = value
    assert not mongodb_matches("pencil", USER, json.dumps(damaged))


@pytest.mark.parametrize("unknown", [{}, {"external": True}, {"SCRAM-SHA-256": {}}, {"SCRAM-SHA-1": None}])
def test_unknown_mongodb_credentials_are_none(unknown: dict[str, object]) -> None:
    assert mongodb_matches("pencil", USER, json.dumps(unknown)) is None


@pytest.mark.parametrize("password", ["", "Correct horse: battery'\\", "é e\u0301 ﬁ \u00a0", "\u05d01\u05d0"])
def test_a_password_that_mongodb_can_carry_has_no_offender(password: str) -> None:
    assert saslprep_offender(password) is None


@pytest.mark.parametrize("char", ["😀", "\u200b", "\t", "\0", "\x7f", "\ufffd", "\u1e9e", "\ue000", "\u2028", "\u05d0"])
def test_saslprep_offender_names_the_code_point(char: str) -> None:
    assert saslprep_offender(f"Correct {char} battery") == f"U+{ord(char):04X}"


def test_saslprep_offender_of_nothing_left_and_of_the_original_text() -> None:
    assert saslprep_offender("\u00ad\u00ad") == "U+00AD"
    assert saslprep_offender("\u05d01") == "U+05D0"  # right-to-left text must end so, too
    assert saslprep_offender("a\ufb1d") == "U+FB1D"  # normalised, it is U+05D9 U+05B4
