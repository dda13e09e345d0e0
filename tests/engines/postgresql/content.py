"""What an owner can have in a PostgreSQL database, and how it is read."""

CONTENT = """
    CREATE SCHEMA "Größe";
    CREATE TYPE mood AS ENUM ('good', 'bad');
    CREATE TYPE pair AS (a int, b text);
    CREATE TYPE span AS RANGE (subtype = int);
    CREATE DOMAIN positive AS int CHECK (VALUE > 0);
    CREATE COLLATION mine FROM "C";
    CREATE SEQUENCE counter START 41 INCREMENT 3 CYCLE MAXVALUE 1000000;
    CREATE TABLE "Größe"."täble 語" (id int PRIMARY KEY DEFAULT nextval('counter'), text text, feeling mood,
        double int GENERATED ALWAYS AS (id * 2) STORED, data bytea, CHECK (id > 0));
    CREATE INDEX "an ïndex" ON "Größe"."täble 語" (lower(text)) WHERE id > 3;
    CREATE FUNCTION twice(x int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN x * 2; END $$;
    CREATE PROCEDURE nothing() LANGUAGE sql AS '';
    CREATE AGGREGATE total (int) (SFUNC = int4pl, STYPE = int);
    CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq);
    CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.text := upper(NEW.text); RETURN NEW; END $$;
    CREATE TRIGGER loud BEFORE INSERT ON "Größe"."täble 語" FOR EACH ROW EXECUTE FUNCTION shout();
    CREATE VIEW seen AS SELECT id, twice(double) FROM "Größe"."täble 語";
    CREATE VIEW seen_again WITH (security_barrier) AS SELECT count(*) FROM seen;
    CREATE MATERIALIZED VIEW kept AS SELECT count(*) FROM "Größe"."täble 語" WHERE id < 900;
    CREATE MATERIALIZED VIEW unkept AS SELECT 1 WITH NO DATA;
    CREATE UNIQUE INDEX on_kept ON kept (count);
    INSERT INTO "Größe"."täble 語" (text, feeling) SELECT 'zeile ' || n || E'\\n\\\\ \\'', 'bad'
        FROM generate_series(1, 1000) n;
    REFRESH MATERIALIZED VIEW kept;
    COMMENT ON TABLE "Größe"."täble 語" IS 'a comment';
    COMMENT ON COLUMN "Größe"."täble 語".text IS 'another';
    CREATE TABLE identities (a int GENERATED ALWAYS AS IDENTITY (START 7 INCREMENT 5), b serial,
        c positive, d span, e pair, f text COLLATE mine, g money, h jsonb, i int[], j text[]);
    INSERT INTO identities (c, d, e, f, g, h, i, j) VALUES
        (3, '[1,5)', '(1,x)', 'x', 12.34::numeric::money, '{"a": 1}', '{1,NULL}', '{NULL,"NULL"}'),
        (1, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    ALTER TABLE identities REPLICA IDENTITY FULL;
    ALTER TABLE identities ALTER c SET STATISTICS 77, ALTER f SET STORAGE EXTERNAL;
    CREATE TABLE years (y int, v text, PRIMARY KEY (y, v)) PARTITION BY RANGE (y);
    CREATE TABLE y1 PARTITION OF years FOR VALUES FROM (1) TO (10) PARTITION BY LIST (v);
    CREATE TABLE y1a PARTITION OF y1 FOR VALUES IN ('a');
    CREATE TABLE yrest PARTITION OF years DEFAULT;
    INSERT INTO years VALUES (1, 'a'), (50, 'b');
    CREATE TABLE child (y int, v text, FOREIGN KEY (y, v) REFERENCES years DEFERRABLE INITIALLY DEFERRED) INHERITS
        (identities);
    CREATE UNLOGGED TABLE quick AS SELECT n FROM generate_series(1, 10) n;
    CREATE TABLE bookings (during span, room int, EXCLUDE USING gist (during WITH &&));
    INSERT INTO bookings VALUES ('[1,3)', 1);
    CREATE RULE quiet AS ON DELETE TO quick DO INSTEAD NOTHING;
    CREATE STATISTICS both_ (ndistinct) ON y, v FROM years;
    ALTER TABLE quick ENABLE ROW LEVEL SECURITY;
    CREATE POLICY visible ON quick FOR SELECT USING (n > 3);
    CREATE PUBLICATION told FOR TABLE identities;
    CREATE TEXT SEARCH CONFIGURATION plain (COPY = simple);
    SELECT lo_from_bytea(0, 'large object');
    COMMENT ON SCHEMA "Größe" IS 'of schemas';
"""

_OWN = "(SELECT oid FROM pg_namespace WHERE nspname IN ('public', 'Größe'))"

READ = (
    'SELECT t.* FROM "Größe"."täble 語" t ORDER BY id',
    "SELECT * FROM seen ORDER BY id",
    "SELECT * FROM seen_again, kept",
    "SELECT relname, relispopulated FROM pg_class WHERE relkind = 'm' ORDER BY 1",
    "SELECT sequencename, start_value, increment_by, max_value, cycle, last_value FROM pg_sequences ORDER BY 1",
    "SELECT a, b, c, d::text, e::text, f, g::text, h, i, j FROM identities ORDER BY a",
    "SELECT tableoid::regclass::text, * FROM years ORDER BY 2",
    "SELECT * FROM quick ORDER BY n",
    "SELECT during::text, room FROM bookings",
    "SELECT indexdef FROM pg_indexes WHERE schemaname IN ('Größe', 'public') ORDER BY 1",
    "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal",
    "SELECT rulename, definition FROM pg_rules WHERE schemaname = 'public' ORDER BY 1",
    "SELECT pg_get_statisticsobjdef(oid) FROM pg_statistic_ext",
    "SELECT pubname, tablename FROM pg_publication_tables",
    "SELECT policyname, tablename, qual FROM pg_policies",
    f"SELECT oid::regprocedure::text, prosrc FROM pg_proc WHERE pronamespace IN {_OWN} ORDER BY 1",
    f"SELECT typname, typtype FROM pg_type WHERE typnamespace IN {_OWN} ORDER BY 1",
    f"SELECT relname, relkind, relpersistence, relreplident, relrowsecurity, reloptions, pg_get_userbyid(relowner),"
    f" relispartition FROM pg_class WHERE relnamespace IN {_OWN} ORDER BY 1",
    "SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated,"
    " coalesce(nullif(attstattarget, -1), 0), attstorage, attcollation::regcollation::text,"
    " (SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = attrelid AND adnum = attnum)"
    f" FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE relnamespace IN {_OWN} AND attnum > 0 ORDER BY 1, 2",
    f"SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace IN {_OWN} ORDER BY 1, 2",
    f"SELECT oprname FROM pg_operator WHERE oprnamespace IN {_OWN}",
    f"SELECT collname FROM pg_collation WHERE collnamespace IN {_OWN}",
    f"SELECT cfgname FROM pg_ts_config WHERE cfgnamespace IN {_OWN}",
    "SELECT enumlabel FROM pg_enum ORDER BY enumsortorder",
    "SELECT description FROM pg_description d JOIN pg_class c ON c.oid = objoid AND classoid = 'pg_class'::regclass"
    f" WHERE relnamespace IN {_OWN} ORDER BY 1",
    "SELECT lo_get(oid) FROM pg_largeobject_metadata",
    "SELECT setrole::regrole::text, unnest(setconfig) FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase"
    " WHERE datname = current_database() AND setrole::regrole::text NOT LIKE '%dbroster%' ORDER BY 1, 2",
)


def settings(user: str, database: str) -> list[str]:
    """Settings that an owner can make for the database, and for the own account in it."""
    return [
        f'ALTER DATABASE "{database}" SET search_path = "$user", \'od"d\', public',
        f"ALTER DATABASE \"{database}\" SET work_mem = '7MB'",
        f"ALTER DATABASE \"{database}\" SET application_name = 'it''s, \"so\"'",
        f'ALTER ROLE "{user}" IN DATABASE "{database}" SET timezone = \'Europe/Berlin\'',
    ]
