"""After every disturbance: a dry run says what is pending, a run does just that, a dry run says nothing."""

from tests.e2e.site import OTHER_PASSWORD, PASSWORD, TEMPLATES, Site


def test_an_empty_server_gets_everything(site: Site) -> None:
    users = site.users("ann", "bob", "cyd")
    run = site.converge()
    wanted: set[tuple[str, str, str | None]] = {("create_user", user, None) for user in users}
    for verb in ("create_database", "grant_privileges"):
        wanted |= {(verb, user, f"{user}_{template}") for user in users for template in TEMPLATES}
    assert run.actions == wanted
    site.everybody_is_at_home()


def test_a_new_user(site: Site) -> None:
    site.users("ann")
    site.sync()
    site.users("ann", "bob")
    run = site.converge()
    assert {user for _, user, _ in run.actions} == {site.name("bob")}
    site.everybody_is_at_home()


def test_a_changed_password(site: Site) -> None:
    site.users("ann", "bob")
    site.sync()
    site.users("ann", bob=OTHER_PASSWORD)
    run = site.converge()
    bob = site.name("bob")
    assert run.actions == {("update_password", bob, None)}
    assert site.adapter.can_login(bob, OTHER_PASSWORD)
    assert not site.adapter.can_login(bob, PASSWORD)


def test_a_removed_user(site: Site) -> None:
    _, bob = site.users("ann", "bob")
    site.sync()
    site.users("ann")
    run = site.converge()
    drops = {("drop_database", bob, f"{bob}_{template}") for template in TEMPLATES}
    assert run.actions == {("lock_user", bob, None), ("drop_user", bob, None), *drops}
    assert bob not in site.adapter.accounts()
    assert not any(name.startswith(bob) for name in site.adapter.databases())
    site.everybody_is_at_home()


def test_a_removed_user_loses_databases_of_templates_that_left_before(site: Site) -> None:
    _, bob = site.users("ann", "bob")
    site.sync()
    site.users("ann")
    site.templates("tools", "fresh")
    site.converge("--max-removals", "1")
    assert not any(name.startswith(bob) for name in site.adapter.databases())


def test_a_removed_user_with_an_open_session(site: Site) -> None:
    _, bob = site.users("ann", "bob")
    site.sync()
    with site.adapter.session(bob, PASSWORD) as session:
        assert session.alive()
        site.users("ann")
        site.converge()
        assert not session.alive()
    assert bob not in site.adapter.accounts()


def test_a_user_who_comes_back(site: Site) -> None:
    site.users("ann", "bob")
    site.sync()
    site.users("ann")
    site.sync()
    site.users("ann", bob=OTHER_PASSWORD)
    site.converge()
    site.everybody_is_at_home()


def test_an_added_and_a_removed_template(site: Site) -> None:
    (ann,) = site.users("ann")
    site.sync()
    site.templates("tools", "web", "analytics")
    assert site.converge().actions == {
        ("create_database", ann, f"{ann}_analytics"),
        ("grant_privileges", ann, f"{ann}_analytics"),
    }
    site.everybody_is_at_home("tools", "web", "analytics")
    site.templates("tools", "analytics")
    assert site.converge().actions == {("drop_database", ann, f"{ann}_web")}


def test_an_account_dropped_by_hand(site: Site) -> None:
    _ann, bob = site.users("ann", "bob")
    site.sync()
    for template in TEMPLATES:
        site.adapter.drop_database_by_hand(f"{bob}_{template}")
    site.adapter.drop_account_by_hand(bob)
    assert {user for _, user, _ in site.converge().actions} == {bob}
    site.everybody_is_at_home()


def test_a_database_dropped_by_hand(site: Site) -> None:
    _ann, bob = site.users("ann", "bob")
    site.sync()
    site.adapter.drop_database_by_hand(f"{bob}_web")
    assert {database for _, _, database in site.converge().actions} == {f"{bob}_web"}
    site.everybody_is_at_home()


def test_a_grant_revoked_by_hand(site: Site) -> None:
    _, bob = site.users("ann", "bob")
    site.sync()
    site.adapter.revoke_by_hand(bob, f"{bob}_web")
    assert site.converge().actions == {("grant_privileges", bob, f"{bob}_web")}
    site.everybody_is_at_home()


def test_an_entry_given_by_hand_to_another_user(site: Site) -> None:
    ann, bob = site.users("ann", "bob")
    site.sync()
    site.adapter.share_by_hand(bob, f"{ann}_web")
    assert ("grant_privileges", ann, f"{ann}_web") in site.converge().actions
    site.everybody_is_at_home()


def test_a_foreign_account_of_a_wanted_name(site: Site) -> None:
    bob = site.name("bob")
    site.adapter.create_account_by_hand(bob, OTHER_PASSWORD)
    before = site.adapter.fingerprint(bob)
    site.users("ann", "bob")
    run = site.run()
    assert run.code == 1
    assert [conflict["user"] for conflict in run.result["conflicts"]] == [bob]
    assert "--adopt" in run.result["conflicts"][0]["text"]
    assert {user for _, user, _ in run.actions} == {site.name("ann")}
    assert site.adapter.fingerprint(bob) == before
    assert not any(name.startswith(bob) for name in site.adapter.databases())

    run = site.converge("--adopt", bob)
    assert ("adopt", bob, None) in run.actions
    site.everybody_is_at_home()


def test_a_foreign_database_of_a_wanted_name(site: Site) -> None:
    bob = site.name("bob")
    site.adapter.create_database_by_hand(f"{bob}_web")
    site.users("ann", "bob", "cyd")
    run = site.run()
    assert run.code == 1
    assert [conflict["user"] for conflict in run.result["conflicts"]] == [bob]
    assert {user for _, user, _ in run.actions} == {site.name("ann"), site.name("cyd")}
    assert bob not in site.adapter.accounts()
    again = site.run()
    assert (again.code, again.actions) == (1, set())

    run = site.converge("--adopt", bob)
    assert ("adopt", bob, f"{bob}_web") in run.actions
    site.everybody_is_at_home()


def test_two_rosters_on_one_server(site: Site) -> None:
    site.users("ann", "bob")
    site.sync()
    other = Site(site.adapter, site.directory.parent / "other", site.prefix)
    other.configure(site.prefix + "2")
    other.users("cyd")
    other.sync()
    site.in_step()
    other.in_step()
    other.users("ann", "cyd")
    run = other.run("--adopt", site.name("ann"))
    assert run.code == 1
    assert "roster" in run.result["conflicts"][0]["text"]
    site.everybody_is_at_home()
    other.users("cyd")
    other.users_file(b"")
    assert other.run("--max-removals", "all").code == 0
    site.everybody_is_at_home()
