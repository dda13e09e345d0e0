"""Queries on what is in a PostgreSQL database, and what of it only a superuser can make."""

import re
from typing import LiteralString

ANYTHING: LiteralString = """
    WITH own AS (SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'),
        extended AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e')
    SELECT EXISTS (
        SELECT 1 FROM pg_class WHERE relnamespace IN (SELECT oid FROM own)
            AND ('pg_class'::regclass, oid) NOT IN (SELECT * FROM extended)
        UNION ALL SELECT 1 FROM pg_proc WHERE pronamespace IN (SELECT oid FROM own)
            AND ('pg_proc'::regclass, oid) NOT IN (SELECT * FROM extended)
        UNION ALL SELECT 1 FROM pg_type WHERE typnamespace IN (SELECT oid FROM own)
            AND ('pg_type'::regclass, oid) NOT IN (SELECT * FROM extended)
        UNION ALL SELECT 1 FROM own JOIN pg_namespace n USING (oid) WHERE nspname <> 'public'
            AND ('pg_namespace'::regclass, oid) NOT IN (SELECT * FROM extended)
        UNION ALL SELECT 1 FROM pg_largeobject_metadata
        UNION ALL SELECT 1 FROM pg_shdepend WHERE deptype = 'o' AND classid <> 'pg_extension'::regclass
            AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND (classid, objid) NOT IN (SELECT * FROM extended)
            AND NOT (classid = 'pg_namespace'::regclass AND objid = to_regnamespace('public')))"""
"""Whether there is anything in it that no extension has brought: publications and servers count, too."""

FOREIGN: LiteralString = """
    WITH others AS (
        SELECT CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
            WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END AS kind,
            format('%%I.%%I', nspname, relname) AS name, relowner AS owner
        FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
        WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND nspname !~ '^pg_' AND nspname <> 'information_schema'
            AND (NOT has_table_privilege(%(user)s, c.oid, 'SELECT')
                OR relrowsecurity AND NOT pg_has_role(%(user)s, relowner, 'USAGE'))
            AND ('pg_class'::regclass, c.oid) NOT IN (SELECT classid, objid FROM pg_depend WHERE deptype = 'e')
        UNION ALL SELECT 'LARGE OBJECT', m.oid::text, lomowner FROM pg_largeobject_metadata m
        WHERE NOT EXISTS (
            SELECT 1 FROM aclexplode(lomacl) x LEFT JOIN pg_roles g ON g.oid = x.grantee
            WHERE x.privilege_type = 'SELECT' AND (x.grantee = 0 OR g.rolname = %(user)s))
    )
    SELECT kind || ' ' || name, rolname,
        CASE kind WHEN 'LARGE OBJECT' THEN format('SELECT pg_catalog.lo_unlink(%%s)', name)
            ELSE 'DROP ' || kind || ' ' || name END
    FROM others JOIN pg_roles r ON r.oid = owner WHERE rolname <> %(user)s ORDER BY kind = 'LARGE OBJECT', 1 LIMIT 3"""
"""What their database's owner may not read, or not all of, so that no dump can: whose it is, and how it is dropped."""

HIDDEN: LiteralString = """
    WITH mine AS (
        SELECT classid, objid, extname FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
        WHERE d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass AND (classid, objid) IN (
            SELECT classid, objid FROM pg_shdepend WHERE deptype = 'o'
                AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND refobjid = (SELECT oid FROM pg_roles WHERE rolname = current_user)
            UNION ALL SELECT 'pg_cast'::regclass, c.oid FROM pg_cast c  -- has no owner, and belongs to a type's
            JOIN pg_type t ON t.oid IN (castsource, casttarget) JOIN pg_roles r ON r.oid = typowner
            WHERE rolname = current_user)
            AND NOT EXISTS (SELECT 1 FROM pg_available_extension_versions v
                WHERE v.name = extname AND v.version = extversion AND NOT v.superuser)
    )
    SELECT statement FROM (
        SELECT 1 AS rank, format('ALTER EXTENSION %I DROP %s %s', extname, i.type, i.identity) AS statement
        FROM mine, pg_identify_object(classid, objid, 0) i
        UNION ALL SELECT 2, format('GRANT USAGE ON SCHEMA %I TO CURRENT_USER', nspname) FROM pg_namespace
        WHERE pg_has_role(nspowner, 'USAGE') AND NOT has_schema_privilege(oid, 'USAGE')
        UNION ALL SELECT 3, format('GRANT SELECT ON %I.%I TO CURRENT_USER', nspname, relname)
        FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
        WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND pg_has_role(relowner, 'USAGE')
            AND NOT has_table_privilege(c.oid, 'SELECT')
        UNION ALL SELECT 4, format('GRANT SELECT ON LARGE OBJECT %s TO CURRENT_USER', m.oid)
        FROM pg_largeobject_metadata m WHERE pg_has_role(lomowner, 'USAGE') AND lomacl IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM aclexplode(lomacl) x WHERE x.privilege_type = 'SELECT'
                AND (x.grantee = 0 OR pg_has_role(x.grantee, 'USAGE')))
    ) statements ORDER BY rank, statement"""
"""What brings back into a dump what its owner has put out of it: members of an extension that needs a superuser, and
what he has no rights on any more. Such an extension's own members are a superuser's."""

FORCED: LiteralString = """
    SELECT nspname, relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE relforcerowsecurity AND relrowsecurity AND relkind IN ('r', 'p')
        AND pg_has_role(relowner, 'USAGE') ORDER BY 1, 2"""

COMPUTED: LiteralString = """
    SELECT DISTINCT format('%I.%I.%I', nspname, relname, attname), refobjid::regprocedure::text
    FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace
    JOIN pg_depend d ON refclassid = 'pg_proc'::regclass AND refobjid >= 16384 AND (
        classid = 'pg_class'::regclass AND objid = attrelid AND objsubid = attnum  -- until 14
        OR classid = 'pg_attrdef'::regclass
            AND objid = (SELECT f.oid FROM pg_attrdef f WHERE adrelid = attrelid AND adnum = attnum))
    WHERE attgenerated = 's' AND relkind = 'r' AND NOT EXISTS (SELECT 1 FROM pg_depend e
        WHERE e.classid = 'pg_proc'::regclass AND e.objid = d.refobjid AND e.deptype = 'e') ORDER BY 1, 2"""
"""Stored values that a restore computes anew, by which function: it may depend on settings of who wrote the row."""

SETTINGS: LiteralString = """
    SELECT CASE WHEN length(text) > 10000 THEN split_part(text, '=', 1) ELSE text END,
        CASE WHEN length(text) > 10000 THEN 'long' WHEN split_part(text, '=', 1) = 'role' THEN 'user' ELSE
            (SELECT context FROM pg_settings WHERE lower(name) = lower(split_part(text, '=', 1))) END,
        CASE WHEN setrole = 0 THEN '' ELSE 'user' END
    FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase, unnest(setconfig) text
    WHERE datname = %(database)s
        AND setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = %(user)s)) ORDER BY 3, 1"""
"""Settings of a database, with their kinds; `long`: an owner may give one a gigabyte, which nothing would hold."""

EXTENSIONS: LiteralString = """
    SELECT v.name, bool_or(e.oid IS NOT NULL), bool_or(v.trusted OR NOT v.superuser OR r.rolsuper)
    FROM pg_available_extension_versions v LEFT JOIN pg_extension e ON e.extname = v.name
    JOIN pg_roles r ON r.rolname = current_user GROUP BY v.name"""

KIND: LiteralString = """
    SELECT pg_encoding_to_char(d.encoding), d.datcollate, d.encoding = pg_char_to_encoding(%(encoding)s),
        (d.datcollate, d.datctype) = (coalesce(nullif(%(locale)s, ''), t.datcollate),
            coalesce(nullif(%(locale)s, ''), t.datctype)),
        CASE WHEN to_jsonb(d) ->> 'datlocprovider' <> to_jsonb(t) ->> 'datlocprovider'
                OR %(locale)s = '' AND p.locale IS DISTINCT FROM q.locale OR to_jsonb(d) ->> 'daticurules' IS NOT NULL
            THEN concat_ws(' ', to_jsonb(d) ->> 'datlocprovider', p.locale, to_jsonb(d) ->> 'daticurules') END
    FROM pg_database d, pg_database t,
        LATERAL (SELECT coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') AS locale) p,
        LATERAL (SELECT coalesce(to_jsonb(t) ->> 'datlocale', to_jsonb(t) ->> 'daticulocale') AS locale) q
    WHERE d.datname = %(database)s AND t.datname = 'template0'"""
"""Encoding and locale of a database, whether they are those that it would be created with, and another provider."""

CONTENTS: LiteralString = """
    WITH brought AS (SELECT classid, objid FROM pg_depend WHERE deptype IN ('e', 'i')),
    others AS (
        SELECT 'pg_proc'::regclass AS class, p.oid FROM pg_proc p JOIN pg_language l ON l.oid = prolang
        WHERE prokind <> 'a' AND NOT lanpltrusted OR proleakproof OR prosupport <> 0
        UNION ALL SELECT 'pg_proc'::regclass, aggfnoid FROM pg_aggregate
        WHERE 'internal'::regtype IN (aggtranstype, aggmtranstype)
        UNION ALL SELECT 'pg_type'::regclass, t.oid FROM pg_type t
        WHERE typtype = 'b' AND NOT EXISTS (SELECT 1 FROM pg_type e WHERE e.typarray = t.oid)
        UNION ALL SELECT 'pg_cast'::regclass, c.oid FROM pg_cast c WHERE castmethod = 'b'
            OR castsource < 16384 AND casttarget < 16384
        UNION ALL SELECT 'pg_opclass'::regclass, oid FROM pg_opclass
        UNION ALL SELECT 'pg_opfamily'::regclass, oid FROM pg_opfamily
        UNION ALL SELECT 'pg_am'::regclass, oid FROM pg_am
        UNION ALL SELECT 'pg_ts_parser'::regclass, oid FROM pg_ts_parser
        UNION ALL SELECT 'pg_ts_template'::regclass, oid FROM pg_ts_template
        UNION ALL SELECT 'pg_event_trigger'::regclass, oid FROM pg_event_trigger
        UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid FROM pg_foreign_data_wrapper
        UNION ALL SELECT 'pg_language'::regclass, oid FROM pg_language WHERE lanispl
        UNION ALL SELECT 'pg_publication'::regclass, oid FROM pg_publication WHERE puballtables
    )
    SELECT 'extension', extname::text FROM pg_extension e WHERE extname <> 'plpgsql' AND NOT EXISTS
        (SELECT 1 FROM pg_available_extension_versions v WHERE v.name = extname AND (v.trusted OR NOT v.superuser))
    UNION ALL SELECT type, identity FROM others, pg_identify_object(class, oid, 0)
        WHERE oid >= 16384 AND (class, oid) NOT IN (SELECT * FROM brought)
    UNION ALL SELECT 'subscription', quote_ident(subname) FROM pg_subscription  -- its oid may not be read in 13
        WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    UNION ALL SELECT DISTINCT 'security labels of', provider FROM pg_seclabel"""
"""What a superuser has made, and its owner could not bring back; nothing that the server, extensions or types bring."""

_OF_EXTENSION = re.compile(r"\d+; \d+ \d+ (?:COMMENT - EXTENSION|EXTENSION -) (.*) ")


def extension_of(entry: str, *, comments: bool = False) -> str | None:
    """The extension that a line of `pg_restore --list` creates, or describes; None for all other lines."""
    found = _OF_EXTENSION.match(entry)
    if found is None or (" COMMENT " in entry[: found.start(1)] and not comments):
        return None
    return found[1].strip().removeprefix('"').removesuffix('"').replace('""', '"')
