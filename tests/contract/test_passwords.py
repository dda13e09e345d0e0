"""The contract of passwords: any content goes in, nothing of it comes out."""

import pytest

from dbroster.errors import OperationError
from dbroster.model.plan import Action, Verb
from dbroster.model.roster import User
from dbroster.model.state import PasswordCheck, StoredVerifier
from dbroster.passwords.secret import Secret
from tests.contract.world import OTHER_PASSWORD, PASSWORD, World, actions

HOSTILE = {
    "quotes": "It's \"so\" `hard` ''quoted''",
    "backslash": "back\\slash \\' \\\\ \\n end\\",
    "percent": "100% %s %(name)s %% {0} {name}",
    "separators": "a:b:#c;--/*d*/@e/f?g=h&i",
    "spaces": "two  spaces   inside",
    "umlaut": "Grüße-aus-Köln-ß-é-Å",
    "emoji": "horse-🐴-battery-🔋",
    "dollar": "$1$2$$body$$ $A$005$ {SCRAM}",
    "sql": "'; DROP USER root; --",
    "verifier": "md5" + "0" * 32,
    "starred": "*" + "A" * 40,
    "non-breaking space": "a\u00a0b\u2003c-Compatible-\ufb01",
    "long": "Long-" + "x1Y-" * 48 + "end",
}


def test_a_hostile_password_logs_in_and_is_recognised(world: World, subtests: pytest.Subtests) -> None:
    for number, (name, password) in enumerate(HOSTILE.items()):
        with subtests.test(name):
            if not world.adapter.carries(password):
                assert world.handler.refuse_password(Secret(password))
                continue
            assert world.handler.refuse_password(Secret(password)) is None
            bob, alice = world.user(f"bob{number}", password), world.user(f"alice{number}")
            world.handler.update_user_password(alice, Secret(password))
            for user in (bob, alice):
                assert world.adapter.can_login(user, password)
                assert world.check(user, password) is PasswordCheck.SAME
                assert not world.adapter.can_login(user, PASSWORD)
                assert world.check(user, password[:-1]) is PasswordCheck.DIFFERENT


@pytest.mark.parametrize("character", ["\0", "\r", "\n"])
def test_a_password_that_clients_cannot_send_is_refused_without_showing_it(world: World, character: str) -> None:
    reason = world.handler.refuse_password(Secret(f"secret{character}word"))
    assert reason is not None
    assert "secret" not in reason
    assert f"U+{ord(character):04X}" in reason


def test_check_passwords_answers_for_every_user_that_is_asked(world: World) -> None:
    bob, alice, carl = world.user("bob"), world.user("alice"), world.name("carl")
    wanted = [User(bob, Secret(PASSWORD), 1), User(alice, Secret(OTHER_PASSWORD), 2), User(carl, Secret(PASSWORD), 3)]
    found = world.handler.check_passwords(wanted, world.handler.get_existing_users())
    assert found[bob] is PasswordCheck.SAME
    assert found[alice] is PasswordCheck.DIFFERENT
    assert found.get(carl, PasswordCheck.UNKNOWN) is PasswordCheck.UNKNOWN


def test_check_passwords_changes_nothing(world: World) -> None:
    bob = world.user()
    before = world.adapter.fingerprint(bob)
    handler = world.handler
    with world.adapter.changes() as changes:
        handler.check_passwords([User(bob, Secret(OTHER_PASSWORD), 1)], handler.get_existing_users())
    assert changes == []
    assert world.adapter.fingerprint(bob) == before


def test_a_password_that_was_changed_by_hand_is_noticed_and_mended(world: World) -> None:
    bob = world.user()
    world.adapter.clear_password_by_hand(bob)
    assert world.check(bob, PASSWORD) is PasswordCheck.DIFFERENT
    world.handler.update_user_password(bob, Secret(PASSWORD))
    assert world.check(bob, PASSWORD) is PasswordCheck.SAME
    assert world.adapter.can_login(bob, PASSWORD)


def test_a_locked_account_still_tells_whether_its_password_is_the_same(world: World) -> None:
    bob = world.user()
    world.handler.lock_user(bob)
    assert world.check(bob, PASSWORD) is not PasswordCheck.DIFFERENT
    assert world.check(bob, OTHER_PASSWORD) is not PasswordCheck.SAME


# --- what must not get out --------------------------------------------------------------------------------------------

TELLTALE = "Tell-tale-4711-password"


def test_no_password_in_the_servers_log(world: World) -> None:
    bob = world.user("bob", TELLTALE)
    world.handler.update_user_password(bob, Secret(TELLTALE + "2"))
    world.check(bob, TELLTALE)
    eve = world.foreign_user()
    world.handler.perform_all(actions_for(eve))
    world.handler.adopt_user(eve, Secret(TELLTALE + "3"))
    log = world.adapter.log_text()
    assert eve in log  # the log is alive
    assert TELLTALE not in log


def test_no_password_and_no_verifier_in_errors(world: World) -> None:
    eve = world.foreign_user()
    texts = [outcome.error or "" for outcome in world.handler.perform_all(actions_for(eve))]
    for write in (world.handler.create_user, world.handler.update_user_password):
        with pytest.raises(OperationError) as caught:
            write(eve, Secret(TELLTALE))
        texts.append(repr(caught.value) + repr(caught.value.__cause__) + repr(caught.value.__context__))
    assert all(texts)
    verifiers = [verifier.value.reveal() for verifier in stored(world, eve)]
    for text in texts:
        assert TELLTALE not in text
        assert not any(verifier in text for verifier in verifiers)


def test_no_password_and_no_verifier_in_representations(world: World) -> None:
    bob = world.user("bob", TELLTALE)
    existing = world.existing_user(bob)
    outcomes = world.handler.perform_all(actions_for(bob))
    secrets = [TELLTALE, *(verifier.value.reveal() for verifier in stored(world, bob))]
    admin = world.handler.connection.password
    secrets += [admin.reveal()] if admin and world.adapter.engine != "fake" else []
    shown = [repr(thing) + str(thing) for thing in (world.handler, existing, outcomes, world.handler.connection)]
    assert not [secret for secret in secrets for text in shown if secret in text]


def actions_for(user: str) -> list[Action]:
    return actions(Verb.CREATE_USER, [user], TELLTALE)


def stored(world: World, user: str) -> tuple[StoredVerifier, ...]:
    existing = world.existing_user(user)
    assert existing is not None
    return existing.verifiers
