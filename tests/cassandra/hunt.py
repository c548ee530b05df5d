"""What a bypass hunt watches: whatever Cassandra's audit log and its tables show as done must have been admitted as just that in our access log.

`open` and `free` may be read and written, nothing else may be touched: not `shut`, not `"Open"`, whose name differs in case alone, and no schema.
"""

from collections import Counter

import stage
from stage import CANARY, Executed, wait_for
from wire import RESULT, Wire

# What is in the first two may change; cases that ask for a row of `open` must not delete it.
FREE = ("open", "free")
CLOSED = ("shut", '"Open"')
# Where statements go that everything is allowed to: nobody looks at what is in it.
WILD = ("wild",)
TABLES = ("t", '"T"')
# What the rules of hunt.yaml and hunt-strict.yaml admit, and drivers ask.
ADMITTED_KEYSPACES = {*FREE, "system", "system_schema", "system_virtual_schema"}
# The audit log has one word for both.
SAME = {"insert": "modify", "update": "modify"}


def build(server) -> None:
    with Wire(server.port) as direct:
        for keyspace in FREE + CLOSED + WILD:
            statements = [f"CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"]
            for table in TABLES:
                statements += [f"CREATE TABLE IF NOT EXISTS {keyspace}.{table} (k int PRIMARY KEY, v text)",
                               f"INSERT INTO {keyspace}.{table} (k, v) VALUES (1, '{'read me' if keyspace not in CLOSED else CANARY}')"]
            statements += [f"CREATE TABLE IF NOT EXISTS {keyspace}.\"from\" (k int PRIMARY KEY, v text)"]
            for statement in statements:
                reply = direct.query(statement)
                if reply.opcode != RESULT:
                    raise stage.rig.RigError(f"`{statement}`: {reply}")


class Bypass(AssertionError):
    """Something was done that nobody may do, or that we did not admit."""


class Watch:
    """Compares the witnesses over what was sent through `place` since the last look."""

    def __init__(self, front: stage.Front, place: str, *, anywhere: bool = False):
        """`anywhere`: the policy of the place lets every table be read and written; still it must be admitted as what it is."""
        self.front, self.place, self.server, self.anywhere = front, place, front.server, anywhere
        self.direct = Wire(self.server.port)
        self.own_ports = {self.direct.local_port}
        self.logged = len(self.front.log(self.place))
        self.new_entries()
        self.untouchable = self.picture()
        self.audited = stage.read_audit(self.server)[1]
        # What the whole hunt came to: a hunt of which nothing was done would prove nothing.
        self.executed: Counter = Counter()
        self.denied = 0

    def picture(self) -> list:
        """All that must stay as it is: the forbidden tables and the schema."""
        asked = ["SELECT keyspace_name, table_name FROM system_schema.tables", "SELECT keyspace_name, index_name FROM system_schema.indexes",
                 "SELECT keyspace_name, type_name FROM system_schema.types", "SELECT role FROM system_auth.roles",
                 *(f"SELECT k, v, writetime(v) FROM {keyspace}.{table}" for keyspace in CLOSED for table in TABLES),
                 *(f'SELECT k, v FROM {keyspace}."from"' for keyspace in CLOSED)]
        return [(statement, sorted(self.direct.query(statement).rows)) for statement in asked]

    def look(self, what) -> list[Executed]:
        """Raises a Bypass if the witnesses differ; `what` names what was sent. Returns what was done."""
        entries = self.new_entries()
        done, self.audited = stage.read_audit(self.server, self.audited)
        done = [one for one in done if one.port not in self.own_ports and not one.failed and one.type != "PREPARE_STATEMENT"]
        admitted = Counter(key for entry in entries if entry["verdict"] == "forwarded" for key in admitted_keys(entry))
        self.denied += sum(entry["verdict"] == "denied" for entry in entries)
        for one in done:
            if one.type == "BATCH":
                if not one.statement.startswith("BatchId:") and not any(entry["verdict"] == "forwarded" for entry in entries):
                    raise Bypass(f"{what!r}: {one} was done, and nothing was admitted")
                continue
            if one.action == "use":
                continue
            if one.keyspace and one.keyspace not in ADMITTED_KEYSPACES and not self.anywhere:
                raise Bypass(f"{what!r}: {one} was done")
            key = (SAME.get(one.action, one.action), one.keyspace, one.scope)
            if one.type == "UPDATE":
                key = ("modify", one.keyspace, one.scope)
            if admitted[key] == 0:
                raise Bypass(f"{what!r}: {one} was done as {key}, admitted were {dict(admitted)} in {[entry.get('fields') for entry in entries]}")
            admitted[key] -= 1
            self.executed[key] += 1
        return done

    def look_at_tables(self, what) -> None:
        now = self.picture()
        self.audited = stage.read_audit(self.server)[1]
        for before, after in zip(self.untouchable, now):
            if before != after:
                raise Bypass(f"{what!r}: `{before[0]}` had {len(before[1])} rows, and has {[row for row in after[1] if row not in before[1]]} now")

    def new_entries(self) -> list[dict]:
        """Everything logged since the last look. A request of our own, once it is in the log, says that all before it are."""
        mark = stage.unique("mark")
        with Wire(self.front.ports[self.place]) as marker:
            marker.query(f"SELECT * FROM open.{mark}")

        def marked():
            entries = self.front.log(self.place)
            return entries if any(named(entry, f"open.{mark}") for entry in entries[self.logged:]) else None
        entries = wait_for(f"`{mark}` in {self.front.log_path(self.place)}", marked)
        new, self.logged = entries[self.logged:], len(entries)
        return [entry for entry in new if not named(entry, f"open.{mark}")]


def named(entry: dict, table: str) -> bool:
    return entry.get("fields", {}).get("query_table") == table


def admitted_keys(entry: dict) -> list[tuple]:
    """What one entry lets be done, as the audit log would put it. Preparing does nothing."""
    fields = entry.get("fields", {})
    if fields.get("message") == "prepare" or "query_table" not in fields:
        return []
    tables = fields["query_table"] if isinstance(fields["query_table"], list) else [fields["query_table"]]
    action = fields["query_action"]
    return [(SAME.get(action, action), *table.split(".", 1)) for table in tables if "." in table]
