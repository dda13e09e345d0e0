"""What the owner of a database may do in it, in the hope that the next sync stumbles over it.

`{me}`, `{mine}`: the attacker and an own database; `{al}`: another user; `{admin}`: the admin; `{roster}`.
TRAPS are code that would write down who has run it, into a table `trapped` of the attacker's.
"""

import json

_SHADOWS = """
CREATE TABLE public.trapped (who text);
GRANT ALL ON public.trapped TO PUBLIC;
CREATE FUNCTION public.trap() RETURNS trigger LANGUAGE plpgsql AS
  $$BEGIN INSERT INTO public.trapped VALUES (current_user); RETURN NEW; END$$;
CREATE FUNCTION public.trap_eq(name, text) RETURNS boolean LANGUAGE sql AS
  $$INSERT INTO public.trapped VALUES (current_user); SELECT true$$;
CREATE OPERATOR public.= (LEFTARG = name, RIGHTARG = text, FUNCTION = public.trap_eq);
CREATE FUNCTION public.lower(text) RETURNS text LANGUAGE sql AS
  $$INSERT INTO public.trapped VALUES (current_user); SELECT $1$$;
CREATE FUNCTION public.format(text, VARIADIC text[]) RETURNS text LANGUAGE sql AS
  $$INSERT INTO public.trapped VALUES (current_user); SELECT $1$$;
CREATE FUNCTION public.pg_get_userbyid(oid) RETURNS name LANGUAGE sql AS
  $$INSERT INTO public.trapped VALUES (current_user); SELECT 'postgres'::name$$;
CREATE TABLE public.pg_roles (rolname name); CREATE TABLE public.pg_database (datname name);
CREATE TABLE public.watched (n int); CREATE TRIGGER t BEFORE INSERT ON public.watched
  FOR EACH ROW EXECUTE FUNCTION trap();
CREATE VIEW public.peek AS SELECT public.lower('x');
ALTER DATABASE {mine} SET search_path = public, pg_catalog;
ALTER ROLE {me} SET search_path = public, pg_catalog;
"""

_MANY_TABLES = "\n".join(f"CREATE TABLE many{number} (n int);" for number in range(300))

HOSTILE = {
    "postgresql": {
        "hundreds of tables": _MANY_TABLES,
        "shadowed functions and operators": _SHADOWS,
        "open to everybody": "GRANT ALL ON DATABASE {mine} TO PUBLIC; GRANT ALL ON SCHEMA public TO PUBLIC",
        "settings": (
            "ALTER ROLE {me} SET default_transaction_read_only = on;"
            " ALTER DATABASE {mine} SET statement_timeout = 1; ALTER ROLE {me} SET statement_timeout = 1"
        ),
    },
    "mysql": {
        "hundreds of tables": _MANY_TABLES,
        "routines": (
            "CREATE TABLE trapped (who text);"
            "CREATE PROCEDURE p() INSERT INTO trapped VALUES (current_user());"
            "CREATE VIEW v AS SELECT current_user() AS who;"
            "CREATE EVENT e ON SCHEDULE EVERY 1 HOUR DO INSERT INTO trapped VALUES (current_user())"
        ),
        "odd names": "CREATE TABLE `a``b'c\\d%` (n int); CREATE TABLE `..\\x2f` (n int)",
    },
    "clickhouse": {
        "a table": "CREATE TABLE watched (n Int8) ENGINE = MergeTree ORDER BY n",
        "a view": "CREATE VIEW peek AS SELECT currentUser() AS who",
        "a view that feeds a table": "CREATE MATERIALIZED VIEW feed ENGINE = Memory AS SELECT n FROM watched",
        "odd names": "CREATE TABLE `a\\`b'c\\\\d%` (n Int8) ENGINE = Memory",
    },
    "mongodb": {
        "a view of a neighbour": json.dumps({"create": "peek", "viewOn": "note", "pipeline": []}),
        "a validator": json.dumps({"create": "strict", "validator": {"$expr": False}}),
        "a profiler": json.dumps({"profile": 2}),
        "odd names": json.dumps({"create": "a'b\\c%"}),
        "a capped one": json.dumps({"create": "capped", "capped": True, "size": 4096}),
    },
}
HOSTILE["mariadb"] = HOSTILE["mysql"]
HOSTILE["mysql"] = {**HOSTILE["mysql"], "read only": "ALTER DATABASE `{mine}` READ ONLY = 1"}
HOSTILE["mongodb"] = {name: text.replace("{", "{{").replace("}", "}}") for name, text in HOSTILE["mongodb"].items()}

TRAPPED = {
    "postgresql": "SELECT who FROM public.trapped",
    "mysql": "SELECT who FROM trapped",
    "mariadb": "SELECT who FROM trapped",
}
"""How the attacker would read who has run into a trap."""
