"""A7: two lines that became one without a trace in the file: the server tells."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbroster.model.roster import Roster
from dbroster.plan.glued_lines import MOST_PREFIXES
from tests.fake import FakeHandler
from tests.support.fake_site import Site, code, short
from tests.support.samples import OTHER_PASSWORD, PASSWORD, user


def with_users(**passwords: str) -> Roster:
    users = {name: user(name, password, line) for line, (name, password) in enumerate(passwords.items(), start=1)}
    return Roster(users, templates=("web",))


@pytest.mark.parametrize("between", ["", " ", "\t", "\\n", ",", ";"])
def test_a_line_behind_a_last_line_without_an_end(site: Site, between: str) -> None:
    """A7: `echo new:... >> users.txt`; ann keeps her password, and the line is told."""
    site.run(with_users(ann=PASSWORD, bob=OTHER_PASSWORD))
    glued = with_users(ann=PASSWORD, bob=f"{OTHER_PASSWORD}{between}new_developer:SecurePass123!")
    for dry_run in (True, False):
        result = site.run(glued, dry_run=dry_run)
        assert (code(result), short(result)) == (1, [])
        (problem,) = [problem for problem in result.problems if not problem.warning]
        assert (problem.line, problem.user) == (2, "bob")
        assert "the line may be two lines: part them" in problem.text
        assert "nothing is removed" in problem.text
        assert OTHER_PASSWORD not in repr(result)


@pytest.mark.parametrize("between", ["", " ", "\\n", ", "])
def test_two_lines_whose_line_end_went(site: Site, between: str) -> None:
    """A7: a line end that an editor, YAML or a mail has made nothing or a blank of; eve stays."""
    site.run(with_users(ann=PASSWORD, bob=PASSWORD, eve=OTHER_PASSWORD))
    result = site.run(with_users(ann=PASSWORD, bob=f"{PASSWORD}{between}eve:{OTHER_PASSWORD}"), max_removals="all")
    assert (code(result), short(result)) == (1, [])
    assert "eve" in site.server.accounts
    assert any("nothing is removed" in problem.text for problem in result.problems)


def test_a_new_user_whose_line_swallows_an_old_one(site: Site) -> None:
    """A7: nobody knows the new one's password, but eve would be removed."""
    site.run(with_users(ann=PASSWORD, eve=OTHER_PASSWORD))
    result = site.run(with_users(ann=PASSWORD, new=f"{PASSWORD}eve:{OTHER_PASSWORD}"), max_removals="all")
    assert (code(result), short(result)) == (1, [])
    assert any("the line holds the name of eve, who would be removed" in problem.text for problem in result.problems)


def test_a_new_password_with_a_colon_is_just_that(site: Site) -> None:
    """A7: also while somebody leaves whose name is not in it."""
    site.run(with_users(ann=PASSWORD, bob=PASSWORD, eve=OTHER_PASSWORD, zoe=PASSWORD))
    changed = with_users(ann=PASSWORD, bob="Colons:and#hashes:are-fine-9", zoe=PASSWORD)
    assert code(site.run(changed, max_removals="1")) == 0
    assert "eve" not in site.server.accounts
    longer = with_users(ann=PASSWORD, bob="Colons:and#hashes:are-fine-9!", zoe=PASSWORD)
    assert [verb for _, verb, _ in short(site.run(longer))] == ["update_password"]


def test_no_more_beginnings_are_tried_than_it_takes(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A7: each may be a login."""
    site.run(with_users(ann=PASSWORD))
    asked = 0
    check = FakeHandler.check_passwords

    def counting(self: FakeHandler, *arguments: object) -> object:
        nonlocal asked
        asked += 1
        return check(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(FakeHandler, "check_passwords", counting)
    assert code(site.run(with_users(ann=f"{'Long-' * 100}:9"))) == 0
    assert 1 < asked <= MOST_PREFIXES + 1


@settings(max_examples=50, deadline=None)
@given(password=st.text(st.sampled_from("abZ9.-_: #!"), min_size=1, max_size=30).filter(lambda p: p == p.strip()))
def test_whatever_is_glued_behind_a_password_is_found(tmp_path_factory: pytest.TempPathFactory, password: str) -> None:
    """A7: unless the new line's name is so far behind that it takes too many tries."""
    site = Site(tmp_path_factory.mktemp("config"))
    site.run(with_users(ann=password))
    result = site.run(with_users(ann=f"{password}bo:{OTHER_PASSWORD}"))
    assert short(result) == []
