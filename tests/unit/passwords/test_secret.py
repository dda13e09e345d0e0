"""Secret lets nothing out by accident; scrub finds secrets in every spelling that drivers use."""

import base64
import copy
import json
import logging
import operator
import pickle
import pprint
import re
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbroster.passwords.secret import Secret, scrub

PLAIN = "S3cr'et\"pä\\ss:😀 %`x"


@dataclass(frozen=True)
class Holder:
    name: str
    password: Secret


def test_reveal_and_bytes_are_the_way_out() -> None:
    assert Secret(PLAIN).reveal() == PLAIN
    assert Secret(PLAIN).bytes() == PLAIN.encode()


@pytest.mark.parametrize(
    "show",
    [
        repr,
        ascii,
        pprint.pformat,
        lambda secret: f"{secret!r}",
        lambda secret: repr(Holder("bob", secret)),
        lambda secret: repr([secret, {"password": secret}]),
        lambda secret: repr(asdict(Holder("bob", secret))),
        lambda secret: json.dumps([secret], default=repr),
        lambda secret: repr(dir(secret)),
    ],
)
def test_what_shows_an_object_shows_a_mask(show: Callable[[Secret], str]) -> None:
    assert PLAIN[:4] not in show(Secret(PLAIN))


@pytest.mark.parametrize(
    "leak",
    [
        str,
        format,
        lambda secret: f"{secret}",
        lambda secret: f"{secret:>20}",
        lambda secret: operator.mod("%s", secret),
        lambda secret: "IDENTIFIED BY " + secret,
        lambda secret: "".join([secret]),
        lambda secret: list(secret),
        bytes,
        len,
        vars,
        hash,
        json.dumps,
        lambda secret: json.dumps(secret, default=str),
        lambda secret: json.dumps(secret, default=vars),
        lambda secret: json.dumps(asdict(Holder("bob", secret))),
        pickle.dumps,
        lambda secret: pickle.dumps(Holder("bob", secret)),
        *(lambda secret, version=version: pickle.dumps(secret, version) for version in range(pickle.HIGHEST_PROTOCOL)),
        lambda secret: secret.__reduce__(),
        lambda secret: secret.__reduce_ex__(2),
        lambda secret: secret.__getstate__(),
    ],
)
def test_what_would_let_it_out_raises_without_it(leak: Callable[[Secret], object]) -> None:
    with pytest.raises(TypeError) as caught:
        leak(Secret(PLAIN))
    assert PLAIN[:4] not in "".join(traceback.format_exception(caught.value))


def test_a_log_line_with_a_secret_by_mistake_does_not_show_it(capsys: pytest.CaptureFixture[str]) -> None:
    handler = logging.StreamHandler()
    handler.handle(logging.makeLogRecord({"msg": "password %s", "args": (Secret(PLAIN),), "levelno": logging.ERROR}))
    assert PLAIN[:4] not in "".join(capsys.readouterr())


def test_a_copy_is_the_secret_itself() -> None:
    secret = Secret(PLAIN)
    assert copy.copy(secret) is secret
    assert copy.deepcopy({"a": secret})["a"] is secret


def test_equality_is_by_content_and_only_with_secrets() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != Secret("aa")
    assert Secret("ä") != "ä"
    assert Holder("bob", Secret("a")) == Holder("bob", Secret("a"))


def test_it_has_no_dict_and_takes_no_attributes() -> None:
    assert not hasattr(Secret("a"), "__dict__")
    with pytest.raises(AttributeError):
        Secret("a").other = 1  # type: ignore[attr-defined]  # the point of the test


def test_a_lone_surrogate_is_refused_without_showing_the_text() -> None:
    with pytest.raises(ValueError, match="UTF-8") as caught:
        Secret(PLAIN + "\ud800")
    assert caught.value.__suppress_context__
    assert PLAIN[:4] not in "".join(traceback.format_exception(caught.value))
    assert not isinstance(caught.value, UnicodeError)


def test_anything_but_text_is_refused_without_showing_it() -> None:
    with pytest.raises(TypeError, match="bytes") as caught:
        Secret(PLAIN.encode())  # type: ignore[arg-type]  # the point of the test
    assert "S3cr" not in str(caught.value)


SPELLINGS: list[Callable[[str], str]] = [
    lambda s: s,
    lambda s: s.replace("'", "''"),
    lambda s: s.replace("\\", "\\\\").replace("'", "\\'"),
    lambda s: s.replace("\\", "\\\\").replace("'", "''"),
    lambda s: s.replace("\\", "\\\\").replace("'", "\\'").replace('"', '\\"'),
    lambda s: s.replace('"', '""'),
    lambda s: s.replace("`", "``"),
    lambda s: quote(s),
    lambda s: quote(s, safe=""),
    lambda s: quote_plus(s),
    lambda s: re.sub("%..", lambda found: found[0].lower(), quote(s, safe="")),
    lambda s: base64.b64encode(s.encode()).decode(),
    lambda s: base64.urlsafe_b64encode(s.encode()).decode(),
    lambda s: s.encode().hex(),
    lambda s: "0x" + s.encode().hex().upper(),
    repr,
    ascii,
    lambda s: repr(s.encode()),
    lambda s: repr((1064, f"near '{s}' \"")),
    lambda s: repr(f"near '{s.replace(chr(39), chr(39) * 2)}'"),
    json.dumps,
    lambda s: json.dumps(s, ensure_ascii=False),
    lambda s: s.encode().decode("latin-1"),
]


@pytest.mark.parametrize(
    "secret", [PLAIN, "hunter2!", "it's", "pa\\ss", "a\nb\tc\0d", "ünïcödé", "S" * 140, "+/+/=?>>"]
)
@pytest.mark.parametrize("spell", SPELLINGS)
def test_scrub_finds_every_spelling(secret: str, spell: Callable[[str], str]) -> None:
    scrubbed = scrub(f"error at <<{spell(secret)}>> line 1", [secret])
    # quotes and prefixes that the spelling itself adds may stay, nothing of the secret may
    head, _, rest = scrubbed.partition("[secret]")
    assert head.startswith("error at <<")
    assert set(head.removeprefix("error at <<")) <= set("'\"b(1064, near\\0x")
    assert set(rest.removesuffix(" line 1")) <= set("'\">),=\\ ")


@pytest.mark.parametrize("user", ["b", "bo", "bob", "müller"])
def test_scrub_finds_the_password_in_basic_authentication(user: str) -> None:
    header = base64.b64encode(f"{user}:correct horse".encode()).decode()
    scrubbed = scrub(f"Authorization: Basic {header}", ["correct horse"])
    assert "[secret]" in scrubbed
    assert b"horse" not in base64.b64decode(scrubbed.replace("[secret]", "")[21:] + "====")


def test_scrub_finds_a_part_of_a_secret_that_the_server_cut() -> None:
    verifier = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWh"
    text = f"syntax error near '{verifier[40:80]}' at line 1"
    assert scrub(text, [verifier]) == "syntax error near '[secret]' at line 1"


def test_scrub_leaves_the_rest_alone() -> None:
    text = 'role "bob" can\'t be created: disk is full'
    assert scrub(text, []) == text
    assert scrub(text, ["", "hunter2!"]) == text
    assert scrub("", ["hunter2!"]) == ""


def test_scrub_hides_overlapping_and_repeated_secrets_and_does_not_scrub_its_own_mark() -> None:
    assert scrub("x ababab y abab", ["abab", "secret"]) == "x [secret] y [secret]"
    assert scrub("the secret: abcdef", ["abcd", "cdef", "secret"]) == "the [secret]: [secret]"


@given(st.text(), st.text(), st.text(min_size=1))
def test_scrub_leaves_no_trace_of_the_plain_form(before: str, after: str, secret: str) -> None:
    runs = scrub(before + secret + after, [secret]).split("[secret]")
    assert len(runs) > 1
    assert len("".join(runs)) <= len(before + after)
