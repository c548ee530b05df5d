"""Statements in hostile forms: each is about a table that nobody may touch, dressed up as one about a table that is open."""

import random

# Ways to write the name of a table. Of the first kind all mean shut.t to Cassandra, of the second another forbidden table or nothing at all.
NAMES = [
    "shut.t", "SHUT.T", "sHuT.t", '"shut".t', 'shut."t"', '"shut"."t"', "shut . t", "shut\n.\tt", "shut./**/t", "shut/*open.*/.t", "shut--\n.t",
    "shut//open.t\n.t", "shut.-- open.t\rt", "/* open.t */shut.t", "shut.t/* open.t */", "--open.t\nshut.t", "shut/*\n*/./* */t", "shut./*/ open.*/t",
]
OTHERS = [
    '"Open".t', '"Open"."T"', 'open."T"', '"open""".t', '"OPEN".t', "open\uff0et", "\uff4fpen.t", "\u017fhut.t", "\u017fHUT.t", "o\u200bpen.t",
    "open\u00a0.t", "open\x00.t", "shut\x00.t", "open.t\x00shut.t", "\ufeffshut.t", "shut\u2028.t", "shut\x0b.t", "shut\x0c.t", "shut.open.t",
    "open.shut.t", "'open'.t", "$$open$$.t", "shut..t", ".t", "?.t", ":open.t", 'open.t"', '"open.t"', '"open".""', 'shut."T"', "shut.\"from\"",
]
# `{}` is a name; every one of these is about that table and no other, whatever else it says.
TEMPLATES = [
    "SELECT * FROM {}", "SELECT * FROM {} ;", "SELECT v FROM {} WHERE k = 1", "select distinct k from {}", "SELECT JSON * FROM {}", "SELECT count(*) FROM {}",
    "SELECT k AS open FROM {} LIMIT 5 ALLOW FILTERING", "SELECT 'FROM open.t' FROM {}", "SELECT v FROM {} -- FROM open.t\n", "SELECT v FROM {} // FROM open.t\n",
    "SELECT v /* FROM open.t */ FROM {}", "SELECT v FROM {} /* FROM open.t */", "SELECT v FROM {} WHERE k IN (1, 2) /* FROM open.t", "SELECT k FROM {} -- FROM open.t",
    "SELECT v FROM {} WHERE v = 'FROM open.t' ALLOW FILTERING", "SELECT v FROM {} WHERE v = $$ FROM open.t $$ ALLOW FILTERING",
    "SELECT v FROM {} WHERE v = $$'$$ ALLOW FILTERING --' FROM open.t\n", "SELECT v FROM {} WHERE v = '$$' ALLOW FILTERING --$$ FROM open.t\n",
    "SELECT v FROM {} WHERE v = '''' ALLOW FILTERING -- ' FROM open.t\n", "SELECT \"v\" FROM {} WHERE token(k) > -9223372036854775808",
    "/* /* */ SELECT v FROM {} /* */", "/**/SELECT/**/*/**/FROM/**/{}", "--\nSELECT v FROM {}", "-- \r SELECT v FROM {}", "// open.t\rSELECT v FROM {}", "\t\r\n SELECT\tv\rFROM\n{}",
    "SELECT writetime(v), ttl(v) FROM {}", "SELECT (text) v FROM {}", "SELECT cast(k AS text) FROM {}", "SELECT * FROM {} PER PARTITION LIMIT 1", "SELECT min(k), max(k) FROM {} GROUP BY k",
    "SELECT blobasint(0x00000001) FROM {}", "SELECT [k, 1] FROM {}", "SELECT {{'a': 1, 'FROM open.t': 2}} FROM {}", "SELECT -k, k + 1, k % 2 FROM {}", "SELECT 1e3, NaN, -Infinity, 1y2mo FROM {}",
    "INSERT INTO {} (k, v) VALUES (66, 'x')", "INSERT INTO {} (k, v) VALUES (66, 'x') IF NOT EXISTS", "INSERT INTO {} (k, v) VALUES (66, 'INTO open.t') USING TTL 60",
    "INSERT INTO {} JSON '{{\"k\": 66, \"v\": \"INTO open.t\"}}'", "INSERT INTO {} (k, v) VALUES (66, $$x'$$) --' INTO open.t\n", "insert into {} json $${{\"k\":66}}$$ default unset",
    "UPDATE {} SET v = 'x' WHERE k = 66", "UPDATE {} USING TIMESTAMP 99 SET v = 'UPDATE open.t' WHERE k = 66", "UPDATE {} SET v = 'x' WHERE k = 1 IF EXISTS", "UPDATE {} SET v = 'x' WHERE k IN (66, 67)",
    "DELETE FROM {} WHERE k = 1", "DELETE v FROM {} WHERE k = 1", "DELETE FROM {} USING TIMESTAMP 99999999999999999 WHERE k = 1 IF EXISTS", "TRUNCATE {}", "TRUNCATE TABLE {}", "TRUNCATE COLUMNFAMILY {}",
    "DROP TABLE {}", "DROP TABLE IF EXISTS {}", "ALTER TABLE {} ADD open int", "ALTER COLUMNFAMILY {} WITH comment = 'open.t'", "CREATE INDEX ON {} (v)", "CREATE INDEX IF NOT EXISTS open_t ON {} (v)",
    "CREATE CUSTOM INDEX ON {} (v) USING 'StorageAttachedIndex'", "CREATE TRIGGER open ON {} USING 'open.t'", "DROP TRIGGER open ON {}", "GRANT SELECT ON {} TO cassandra",
    "REVOKE ALL ON TABLE {} FROM cassandra", "DESCRIBE TABLE {}", "DESC {}", "CREATE MATERIALIZED VIEW open.m AS SELECT * FROM {} WHERE v IS NOT NULL AND k IS NOT NULL PRIMARY KEY (v, k)",
    "BEGIN BATCH INSERT INTO open.t (k, v) VALUES (5, 'x'); INSERT INTO {} (k, v) VALUES (66, 'x'); APPLY BATCH", "BEGIN UNLOGGED BATCH DELETE FROM {} WHERE k = 1 APPLY BATCH;",
    "BEGIN BATCH USING TIMESTAMP 1 UPDATE open.t SET v = 'APPLY BATCH' WHERE k = 5 UPDATE {} SET v = 'x' WHERE k = 66 APPLY BATCH",
    "BEGIN BATCH INSERT INTO open.t (k, v) VALUES (5, $$APPLY BATCH;$$); /* APPLY BATCH */ DELETE v FROM {} WHERE k = 1; APPLY BATCH;",
    "BEGIN BATCH INSERT INTO open.t (k, v) VALUES (5, 'x') -- APPLY BATCH\n; INSERT INTO {} (k) VALUES (66) APPLY BATCH",
    "SELECT * FROM open.t; SELECT * FROM {}", "SELECT * FROM {}; SELECT * FROM open.t", "INSERT INTO open.t (k) VALUES (5); DELETE FROM {} WHERE k = 1", ";SELECT * FROM {}", "SELECT * FROM {};;",
    "SELECT * FROM open.t, {}", "SELECT * FROM open.t UNION SELECT * FROM {}", "SELECT * FROM (SELECT * FROM {})", "INSERT INTO open.t SELECT * FROM {}", "EXPLAIN SELECT * FROM {}",
    "SELECT * FROM open.t WHERE k IN (SELECT k FROM {})", "LIST ALL ON {}", "COPY {} TO 'open.t'", "USE {}",
]
# Without any name: schema and roles.
WITHOUT_NAME = [
    "DROP KEYSPACE shut", "DROP SCHEMA IF EXISTS \"shut\"", "ALTER KEYSPACE shut WITH durable_writes = false", "CREATE KEYSPACE open2 WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
    "CREATE TABLE shut.made (k int PRIMARY KEY)", "CREATE TABLE open.made (k int PRIMARY KEY)", "CREATE TYPE shut.ty (a int)", "DROP INDEX shut.t_v_idx", "DROP TYPE IF EXISTS shut.ty",
    "CREATE ROLE open WITH PASSWORD = 'open.t'", "CREATE USER open", "DROP ROLE cassandra", "ALTER ROLE cassandra WITH SUPERUSER = false", "LIST ROLES", "LIST USERS", "LIST ALL PERMISSIONS",
    "GRANT ALL ON ALL KEYSPACES TO cassandra", "GRANT ALL ON KEYSPACE shut TO cassandra", "ADD IDENTITY 'open' TO ROLE 'cassandra'", "DROP IDENTITY 'open'", "CREATE FUNCTION shut.f (n int) CALLED ON NULL INPUT RETURNS int LANGUAGE java AS 'return n;'",
    "CREATE TABLE open.like (k int PRIMARY KEY) WITH comment = 'shut.t'", "DESCRIBE SCHEMA", "DESCRIBE KEYSPACE shut", "DESC FULL SCHEMA", "DESCRIBE CLUSTER",
    "", ";", " ", "/**/", "--", "/*", "'", '"', "$$", "SELECT", "SELECT * FROM", "\x00", "BEGIN BATCH APPLY BATCH", "BEGIN BATCH SELECT * FROM shut.t APPLY BATCH",
]


def forms() -> list[str]:
    """Every template with some names and every name with some templates, the same in every run."""
    chance = random.Random(40)
    made = list(WITHOUT_NAME)
    for number, template in enumerate(TEMPLATES):
        made += [template.format(name) for name in ("shut.t", NAMES[number % len(NAMES)], OTHERS[number % len(OTHERS)])]
    for name in NAMES + OTHERS:
        made += [template.format(name) for template in ["SELECT * FROM {}", *chance.sample(TEMPLATES, 2)]]
    return list(dict.fromkeys(made))


def varied(statement: str, chance: random.Random) -> str:
    """The statement with other spaces, comments and case between and in its words; to Cassandra it is nearly always the same one."""
    out = []
    for at, letter in enumerate(statement):
        if letter == " " and chance.random() < 0.4:
            letter = chance.choice(["\n", "\t", " /* open.t */ ", " -- open.t\n", " // FROM open.t\r", "/**/", "\r\n", " /*'*/ ", " /*\"*/ ", " --$$\n", "  "])
        elif letter.isalpha() and chance.random() < 0.2:
            letter = letter.swapcase()
        elif letter in ".,();" and chance.random() < 0.1:
            letter = chance.choice([" ", "/*x*/", "\n", "--\n"]) + letter
        out.append(letter)
    return "".join(out)


# Pieces that mean something to a lexer, thrown into statements.
PIECES = ["'", "''", '"', '""', "$$", "$", "--", "//", "/*", "*/", "\n", "\r", ";", ".", ",", "(", ")", "[", "]", "{", "}", ":", "?", " ", "\t", "\0", "=", "*", "<", "!=", "-", "+",
          "1", "1.", "1e", "0x", "0xab", "NaN", "P1Y", "00000000-0000-1000-0000-000000000000", "\\", "\u00e9", "\u017f", "\u212a", "\U0001f600", "open", "shut", "free", "t", "k", "v",
          "open.t", "shut.t", "USE shut", "FROM", "from", "INTO", "AS", "AND", "WHERE", "JSON", "DISTINCT", "IF NOT EXISTS", "USING TTL 5", "ALLOW FILTERING", "BEGIN BATCH", "APPLY BATCH",
          "SELECT", "TOKEN", "true", "null", "text", "key", "type", "role", "list", "count", "(*)", "LIKE", "keyspace", "TABLE", "TRUNCATE", "PER PARTITION", "LIMIT 1", "writetime"]
# What mutations begin with: about every table, so that one becomes another by a slip.
SOUND = [
    "SELECT * FROM {}", "SELECT k, v AS open FROM {} WHERE k = 1", "SELECT DISTINCT k FROM {} LIMIT 3", "SELECT JSON k FROM {} WHERE k IN (1, 2)", "SELECT count(*), max(k) FROM {} ALLOW FILTERING",
    "SELECT writetime(v), (text) v, cast(k AS text) FROM {} WHERE token(k) > 5", "INSERT INTO {} (k, v) VALUES (8, 'it''s') USING TTL 60 AND TIMESTAMP 5", "INSERT INTO {} JSON '{{\"k\": 8}}' DEFAULT UNSET IF NOT EXISTS",
    "INSERT INTO {} (k, v) VALUES (8, $$open.t '--$$) IF NOT EXISTS", "UPDATE {} SET v = 'x' WHERE k = 8", "UPDATE {} USING TTL 9 SET v = 'FROM open.t' WHERE k IN (8, 9)", "UPDATE {} SET v = 'x' WHERE k = 8 IF v = 'y' AND v != 'z'",
    "DELETE v FROM {} WHERE k = 8", "DELETE FROM {} USING TIMESTAMP 5 WHERE k = 8 IF EXISTS", "BEGIN BATCH INSERT INTO {} (k) VALUES (8); DELETE FROM open.t WHERE k = 8 APPLY BATCH",
    "SELECT v /* FROM open.t */ FROM {} -- x\n", "/* a */ SELECT k FROM {} // FROM open.t\n WHERE k = 1",
]


def mutated(chance: random.Random) -> str:
    """A sound statement with a slip or two, most between words, where what comes of it is more often a statement again."""
    statement = chance.choice(SOUND).format(chance.choice(["open.t", "shut.t", "free.t", '"Open".t', 'free."T"', '"shut"."T"', "t", '"from"', 'shut."from"']))
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        at = chance.choice([0, len(statement), *(place for place, letter in enumerate(statement) if letter in " .,()'")])
        if chance.random() < 0.3:
            at = chance.randrange(len(statement) + 1)
        kind = chance.randrange(5)
        if kind == 0:
            statement = statement[:at] + chance.choice(PIECES) + statement[at:]
        elif kind == 1:
            statement = statement[:at] + " " + chance.choice(PIECES) + " " + statement[at:]
        elif kind == 2:
            statement = statement[:at] + statement[at + chance.randrange(1, 4):]
        elif kind == 3:
            words = statement.split(" ")
            words[chance.randrange(len(words))] = chance.choice(PIECES)
            statement = " ".join(words)
        else:
            statement = varied(statement, chance)
    return statement


# Bytes that are not the UTF-8 they seem: Java reads them as replacement characters.
NOT_TEXT = [
    b"SELECT * FROM shut\xc0\xaet", b"SELECT * FROM \xffshut.t", b"SELECT * FROM shut.t \xff", b"SELECT * FROM shut.t -- \xff\n", b"SELECT * FROM open.t -- \xff\n",
    b"SELECT * FROM shut.t /* \xc3\x28 */", b"SELECT '\xed\xa0\x80' FROM shut.t", b"SELECT v FROM open.t WHERE v = '\xff' ALLOW FILTERING",
    b"SELECT * FROM open.t -- \xe2\x80\n; SELECT * FROM shut.t", b"SELECT * FROM open.t -- \xc2\nSELECT * FROM shut.t", b"INSERT INTO open.t (k, v) VALUES (5, '\xf0\x28\x8c\xbc')",
]
