"""Every kind of statement is logged as what Cassandra's own audit log says was done."""

import os
import random
import unittest
from collections import Counter

import stage
import wire
from hostile_cql import PIECES, varied
from stage import ALLOW_ALL, CANARY, SERVERS, Front, unique, wait_for

CASES = int(os.environ.get("PORTCULLIS_CASES", "1500"))
SEED = os.environ.get("PORTCULLIS_SEED", "1")

# Statement, our action, and our names; `ks` stands for a keyspace of the case's own. In order: later ones stand on earlier ones.
STATEMENTS = [
    ("CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}", "create-keyspace", "ks"),
    ("USE ks", "use", "ks"),
    ("CREATE TYPE ks.address (street text, number int)", "create-type", "ks.address"),
    ("CREATE TABLE people (id int PRIMARY KEY, name text, home frozen<address>)", "create-table", "ks.people ks.address"),
    ("CREATE INDEX by_name ON ks.people (name)", "create-index", "ks.people ks.by_name"),
    ("CREATE CUSTOM INDEX ON people (home) USING 'StorageAttachedIndex'", "create-index", "ks.people"),
    ("CREATE MATERIALIZED VIEW ks.names AS SELECT name, id FROM people WHERE name IS NOT NULL AND id IS NOT NULL PRIMARY KEY (name, id)",
     "create-materialized-view", "ks.names ks.people"),
    ("CREATE FUNCTION ks.twice (n int) CALLED ON NULL INPUT RETURNS int LANGUAGE java AS $$ return n * 2; $$", "create-function", "ks.twice"),
    ("CREATE FUNCTION plus (a int, b int) CALLED ON NULL INPUT RETURNS int LANGUAGE java AS 'return a + b;'", "create-function", "ks.plus"),
    ("CREATE AGGREGATE ks.total (int) SFUNC plus STYPE int INITCOND 0", "create-aggregate", "ks.total ks.plus"),
    ("ALTER TABLE people ADD born date", "alter-table", "ks.people"),
    ("ALTER TYPE ks.address ADD town text", "alter-type", "ks.address"),
    (f"ALTER MATERIALIZED VIEW names WITH comment = '{CANARY}'", "alter-materialized-view", "ks.names"),
    ("ALTER KEYSPACE ks WITH durable_writes = false", "alter-keyspace", "ks"),
    (f"INSERT INTO people (id, name) VALUES (1, '{CANARY}')", "insert", "ks.people"),
    (f"UPDATE ks.people SET name = '{CANARY}' WHERE id = 1", "update", "ks.people"),
    ("SELECT * FROM people", "select", "ks.people"),
    ("SELECT JSON name FROM names", "select", "ks.names"),
    ("SELECT release_version FROM system.local", "select", "system.local"),
    ("SELECT * FROM system_virtual_schema.keyspaces", "select", "system_virtual_schema.keyspaces"),
    ("DELETE FROM people WHERE id = 1 IF EXISTS", "delete", "ks.people"),
    ("CREATE ROLE ks_role WITH LOGIN = true", "create-role", ""),
    (f"CREATE USER ks_user WITH PASSWORD '{CANARY}'", "create-user", ""),
    ("ALTER ROLE ks_role WITH LOGIN = false", "alter-role", ""),
    ("ALTER USER ks_user SUPERUSER", "alter-user", ""),
    ("GRANT ks_role TO ks_user", "grant-role", ""),
    ("REVOKE ks_role FROM ks_user", "revoke-role", ""),
    ("GRANT SELECT ON ks.people TO ks_role", "grant-permission", "ks.people"),
    ("GRANT ALL ON KEYSPACE ks TO ks_role", "grant-permission", "ks"),
    ("GRANT ALL ON ALL KEYSPACES TO ks_role", "grant-permission", ""),
    ("GRANT EXECUTE ON FUNCTION ks.twice(int) TO ks_role", "grant-permission", "ks.twice"),
    ("REVOKE SELECT ON ks.people FROM ks_role", "revoke-permission", "ks.people"),
    ("LIST ROLES", "list-roles", ""),
    ("LIST ROLES OF ks_user", "list-roles", ""),
    ("LIST USERS", "list-users", ""),
    ("LIST ALL PERMISSIONS OF ks_role", "list-permissions", ""),
    (f"ADD IDENTITY '{CANARY}' TO ROLE ks_role", "add-identity", ""),
    (f"DROP IDENTITY '{CANARY}'", "drop-identity", ""),
    ("DROP USER ks_user", "drop-user", ""),
    ("DROP ROLE ks_role", "drop-role", ""),
    ("DESCRIBE TABLE ks.people", "describe", "ks.people"),
    ("DESCRIBE KEYSPACE ks", "describe", "ks"),
    ("DESC FULL SCHEMA", "describe", ""),
    ("DROP AGGREGATE ks.total", "drop-aggregate", "ks.total"),
    ("DROP FUNCTION plus", "drop-function", "ks.plus"),
    ("DROP FUNCTION IF EXISTS ks.twice (int)", "drop-function", "ks.twice"),
    ("DROP MATERIALIZED VIEW names", "drop-materialized-view", "ks.names"),
    ("DROP INDEX ks.by_name", "drop-index", "ks.by_name"),
    ("TRUNCATE people", "truncate-table", "ks.people"),
    ("DROP TABLE ks.people", "drop-table", "ks.people"),
    ("DROP TYPE address", "drop-type", "ks.address"),
    ("DROP KEYSPACE ks", "drop-keyspace", "ks"),
]
# What the audit log calls some of them.
THEIR_WORDS = {
    "insert": "UPDATE", "use": "USE_KEYSPACE", "truncate-table": "TRUNCATE", "create-user": "CREATE_ROLE", "alter-user": "ALTER_ROLE", "drop-user": "DROP_ROLE",
    "create-materialized-view": "CREATE_VIEW", "alter-materialized-view": "ALTER_VIEW", "drop-materialized-view": "DROP_VIEW",
    "grant-role": "GRANT", "grant-permission": "GRANT", "revoke-role": "REVOKE", "revoke-permission": "REVOKE", "list-users": "LIST_ROLES", "add-identity": "CREATE_IDENTITY",
}


class Witness(unittest.TestCase):
    def test_what_is_logged_is_what_was_done(self):
        server = SERVERS.guarded()
        front = self.enterContext(Front("witness", {"all": ALLOW_ALL}, server))
        for version, prepared in ((4, False), (5, False), (5, True)):
            peer = self.enterContext(wire.Wire(front.ports["all"], version, startup=False))
            self.assertEqual(peer.start().opcode, wire.AUTHENTICATE)
            wait_for("the first role of Cassandra", lambda: peer.ask(wire.AUTH_RESPONSE, wire.long_text("\0cassandra\0cassandra")).opcode == wire.AUTH_SUCCESS)
            keyspace = unique("witness")
            mine = lambda words: words.replace("ks", keyspace)
            logged, (_, audited) = len(front.log("all")), stage.read_audit(server)
            for statement, _, _ in STATEMENTS:
                reply = peer.prepare(mine(statement)) if prepared else peer.query(mine(statement))
                if reply.kind == wire.PREPARED:
                    reply = peer.execute(reply)
                self.assertEqual(reply.opcode, wire.RESULT, (statement, reply))
            executions = lambda: [entry["fields"] for entry in front.log("all")[logged:] if "query_action" in entry["fields"] and entry["fields"]["message"] != "prepare"]
            wait_for("the access log", lambda: len(executions()) >= len(STATEMENTS))
            done = [one for one in stage.read_audit(server, audited)[0] if one.type != "PREPARE_STATEMENT"]
            self.assertEqual((len(executions()), len(done)), (len(STATEMENTS), len(STATEMENTS)))
            for (statement, action, names), ours, theirs in zip(STATEMENTS, executions(), done):
                with self.subTest(statement, version=version, prepared=prepared):
                    tables = ours.get("query_table", [])
                    tables = tables if isinstance(tables, list) else [tables]
                    self.assertEqual((ours["query_action"], tables), (action, mine(names).split()))
                    self.assertEqual(theirs.type, THEIR_WORDS.get(action, action.upper().replace("-", "_")))
                    # What they say of permissions is a path, and of what has no name the current keyspace.
                    if tables and theirs.scope and "permission" not in action and "INDEX ON" not in statement:
                        self.assertIn(f"{theirs.keyspace}.{theirs.scope}", tables)
                    elif "keyspace" in action or action == "use":
                        self.assertEqual([theirs.keyspace], tables)
                    if "_role" in mine(statement) or "_user" in mine(statement):
                        self.assertIn(keyspace, str(ours.get("query_role")))
        self.assertNotIn(CANARY, front.told())

    def test_mutations_of_all_kinds(self):
        """Slips in schema and roles as well, where everything is allowed: what was done was admitted as that, with that name."""
        server = SERVERS.open()
        front = self.enterContext(Front("mutated-schema", {"all": ALLOW_ALL}, server))
        chance = random.Random(SEED)
        matched = Counter()
        for number in range(max(1, CASES // 750)):
            peer = self.enterContext(wire.Wire(front.ports["all"], 4 + number % 2))
            keyspace = unique("mutated")
            mine = lambda words: words.replace("ks", keyspace)
            for statement, _, _ in STATEMENTS[:14]:
                self.assertEqual(peer.query(mine(statement)).opcode, wire.RESULT, statement)
            logged, (_, audited) = len(front.log("all")), stage.read_audit(server)
            for _ in range(100):
                statement = mine(slip(chance.choice(STATEMENTS[1:-1])[0], chance))
                peer.query(statement)
            peer.query(f"USE {keyspace}")
            peer.query("SELECT * FROM nothing.at_the_end")
            entries = lambda: [entry["fields"] for entry in front.log("all")[logged:] if entry["verdict"] == "forwarded"]
            wait_for("the access log", lambda: any(fields.get("query_table") == "nothing.at_the_end" for fields in entries()))
            admitted = entries()
            for one in stage.read_audit(server, audited)[0]:
                if one.failed or one.port == 0 or one.type == "BATCH" or one.keyspace not in (keyspace, "system", "system_schema") or "system." in one.statement:
                    continue
                fitting = next((fields for fields in admitted if fits(fields, one)), None)
                self.assertIsNotNone(fitting, f"{one} was done, and admitted were {admitted}")
                admitted.remove(fitting)
                matched[one.type] += 1
            peer.query(f"DROP KEYSPACE {keyspace}")
        self.assertGreater(len(matched), 5, matched)


def fits(fields: dict, one: stage.Executed) -> bool:
    """Whether an entry of ours is about what Cassandra did."""
    action = fields.get("query_action", "")
    if THEIR_WORDS.get(action, action.upper().replace("-", "_")) != one.type:
        return False
    tables = fields.get("query_table", [])
    tables = tables if isinstance(tables, list) else [tables]
    if one.type in ("GRANT", "REVOKE", "DESCRIBE") or "ROLE" in one.type or "IDENTITY" in one.type or "PERMISSIONS" in one.type:
        return True
    if one.scope is None:
        return tables == [one.keyspace]
    # The name of an index that was not given is the server's choice.
    return f"{one.keyspace}.{one.scope}" in tables or one.type == "CREATE_INDEX" and tables[0].startswith(one.keyspace)


def slip(statement: str, chance: random.Random) -> str:
    """The statement with one slip, or only written otherwise."""
    words = statement.split(" ")
    at = chance.randrange(len(words))
    kind = chance.randrange(5)
    if kind == 0:
        words[at] = chance.choice(PIECES)
    elif kind == 1:
        words.insert(at, chance.choice(PIECES))
    elif kind == 2:
        del words[at]
    elif kind == 3:
        other = chance.randrange(len(words))
        words[at], words[other] = words[other], words[at]
    return varied(" ".join(words), chance) if chance.random() < 0.4 else " ".join(words)


if __name__ == "__main__":
    unittest.main()
