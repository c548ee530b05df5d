use super::{Action, Kind, MAX_NESTING, MAX_OBJECTS, Script};

/// What a text does: `action kind keyspace.name, ..; ..`.
fn reading(text: &str) -> String {
    let mut script = Script::default();
    if let Err(error) = script.read(text.as_bytes()) {
        assert!(script.statements().next().is_none() && !script.needs_keyspace() && !script.is_batch());
        return format!("refused: {error}");
    }
    let statements = script.statements().map(|statement| {
        let objects = statement.objects().map(|object| {
            let keyspace = object.keyspace.map(|keyspace| format!("{keyspace}.")).unwrap_or_default();
            format!("{:?} {keyspace}{}", object.kind, object.name.unwrap_or("-"))
        });
        format!("{} {}", statement.action.name(), objects.collect::<Vec<_>>().join(", "))
    });
    statements.collect::<Vec<_>>().join("; ")
}

fn is_refused(text: &str) -> bool {
    reading(text).starts_with("refused")
}

#[test]
fn every_statement_says_what_it_does_and_to_what() {
    for (text, expected) in [
        ("SELECT a FROM ks.t", "select Table ks.t"),
        ("select * from KS.\"T\";", "select Table ks.T"),
        ("INSERT INTO t (a) VALUES (1)", "insert Table t"),
        ("INSERT INTO ks.t JSON '{}' DEFAULT UNSET", "insert Table ks.t"),
        ("UPDATE t SET a = a + 1 WHERE b = 2 IF EXISTS", "update Table t"),
        ("DELETE a[0] FROM t WHERE b = 2", "delete Table t"),
        ("USE \"Ks\"", "use Keyspace Ks"),
        ("TRUNCATE ks.t", "truncate-table Table ks.t"),
        ("CREATE SCHEMA k WITH replication = {'class': 'x'}", "create-keyspace Keyspace k"),
        ("CREATE TABLE ks.t (a int PRIMARY KEY, b u)", "create-table Table ks.t, Type ks.u"),
        ("CREATE CUSTOM INDEX i ON ks.t (a) USING 'sai'", "create-index Table ks.t, Index ks.i"),
        (
            "CREATE MATERIALIZED VIEW ks.v AS SELECT a FROM t PRIMARY KEY (a)",
            "create-materialized-view View ks.v, Table ks.t",
        ),
        ("CREATE AGGREGATE ks.a (int) SFUNC f STYPE int", "create-aggregate Aggregate ks.a, Function ks.f"),
        ("DROP TRIGGER tr ON ks.t", "drop-trigger Table ks.t, Trigger ks.tr"),
        ("CREATE USER Bob", "create-user Role Bob"),
        ("CREATE ROLE Bob", "create-role Role bob"),
        ("GRANT SELECT ON ks.t TO 'R'", "grant-permission Table ks.t, Role R"),
        ("GRANT SELECT ON role TO r", "grant-permission Table role, Role r"),
        ("REVOKE ALTER ON ROLE s FROM r", "revoke-permission Role s, Role r"),
        ("GRANT a TO b", "grant-role Role a, Role b"),
        ("LIST ALL", "list-permissions AllRoles -"),
        ("ADD IDENTITY 'i' TO ROLE 'r'", "add-identity Identity i, Role r"),
        ("DESC TABLES", "describe AllKeyspaces -"),
        ("DESC ks.t", "describe Any ks.t"),
        (
            "BEGIN BATCH INSERT INTO a (b) VALUES (1); DELETE FROM ks.c WHERE d = 1 APPLY BATCH;",
            "insert Table a; delete Table ks.c",
        ),
    ] {
        assert_eq!(reading(text), expected, "{text}");
    }
}

#[test]
fn an_object_is_found_wherever_it_is_named() {
    for (text, expected) in [
        ("SELECT x.f(a), now(), g(b) FROM ks.t", "select Table ks.t, Function ks.g, Function x.f"),
        ("SELECT (u) a, (x.u) b, (c) FROM ks.t", "select Table ks.t, Type x.u, Type ks.u"),
        ("SELECT a FROM ks.t WHERE expr(i, x.f())", "select Table ks.t, Index ks.i, Function x.f"),
        ("SELECT a[x.f()] FROM t GROUP BY x.g(b)", "select Table t, Function x.f, Function x.g"),
        ("UPDATE t SET a[x.f()] = [{b: x.g()}] WHERE c = 1", "update Table t, Function x.f, Function x.g"),
        ("DELETE FROM t WHERE a = 1 IF b = (list<x.u>) []", "delete Table t, Type x.u"),
        ("ALTER TABLE ks.t ADD a int MASKED WITH x.f(1)", "alter-table Table ks.t, Function x.f"),
        ("DROP FUNCTION ks.f (frozen<map<u, x.v>>)", "drop-function Function ks.f, Type ks.u, Type x.v"),
        ("SELECT system.now(), \"System\".now() FROM ks.t", "select Table ks.t, Function System.now"),
    ] {
        let (mut found, mut wanted): (Vec<_>, Vec<_>) = (reading(text), expected.to_owned()).into_parts();
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted, "{text}");
    }
}

/// Both lists of objects, the action with the first.
trait Parts {
    fn into_parts(self) -> (Vec<String>, Vec<String>);
}

impl Parts for (String, String) {
    fn into_parts(self) -> (Vec<String>, Vec<String>) {
        let parts = |text: String| text.split(", ").map(str::to_owned).collect();
        (parts(self.0), parts(self.1))
    }
}

#[test]
fn a_name_is_not_where_it_looks() {
    for (text, expected) in [
        ("SELECT '*/ FROM x' FROM t -- FROM y\n", "select Table t"),
        ("SELECT a /* FROM x */ FROM /*/ */ t", "select Table t"),
        ("SELECT $$ FROM x $$, \"from\" FROM t // FROM y\r", "select Table t"),
        ("SELECT a FROM \"ks\" . \"t\"", "select Table ks.t"),
        ("SELECT '\\', x.f(1), '--'\nFROM t", "select Table t, Function x.f"),
        ("DROP ROLE \"a\"\"b\"", "drop-role Role a\"b"),
        ("DROP ROLE 'it''s'", "drop-role Role it's"),
        ("DROP ROLE $$it''s$$", "drop-role Role it''s"),
        ("DROP ROLE ''''''", "drop-role Role ''"),
    ] {
        assert_eq!(reading(text), expected, "{text}");
    }
}

#[test]
fn what_does_not_end_or_goes_on_is_refused() {
    for text in [
        "",
        ";",
        "SELECT",
        "SELECT a FROM t -- x",
        "SELECT a FROM t /* x",
        "SELECT a FROM t; SELECT a FROM t",
        "SELECT a FROM t x",
        "SELECT 'a FROM t",
        "SELECT \"a FROM t",
        "SELECT $$a FROM t",
        "SELECT a\u{b}FROM t",
        "SELECT a\0FROM t",
        "SELECT a FROM \u{a0}t",
        "SELECT a FROM é",
        "SELECT a FROM t WHERE b = 1x",
        "SELECT a FROM t WHERE b = -nano",
        "SELECT a FROM t WHERE b = 0xg",
        "SELECT a FROM t WHERE b = deadbeef-1",
        "BEGIN BATCH APPLY BATCH",
        "BEGIN BATCH SELECT a FROM t; APPLY BATCH",
        "BEGIN BATCH DELETE FROM t WHERE a = 1;; APPLY BATCH",
        "SELECT json(a) FROM t",
        "SELECT VALUES(a) FROM t",
        "SELECT a FROM \"a.b\"",
        "SELECT a FROM \"\"",
        "SELECT a FROM select",
        "CREATE TABLE t (a int PRIMARY KEY) WITH x = {'a': f(1)}",
        "COMMENT ON TABLE t IS 'x'",
    ] {
        assert!(is_refused(text), "{text}: {}", reading(text));
    }
    assert!(Script::default().read(b"SELECT '\xff' FROM t").is_err());
}

#[test]
fn every_beginning_of_a_statement_is_refused_or_complete() {
    let text =
        "SELECT f(a, 'b'), (x.u) c FROM ks.t WHERE d IN ($$e$$, {f: 1h}) AND g = \"h\" LIMIT 10 ALLOW FILTERING;";
    let mut accepted = 0;
    for end in 0..=text.len() {
        let reading = reading(&text[..end]);
        accepted += usize::from(!reading.starts_with("refused"));
        assert!(reading.starts_with("refused") || reading.contains("Table k"), "{reading}");
    }
    assert!((1..20).contains(&accepted), "{accepted}");
}

#[test]
fn nothing_nests_deeper_than_it_may() {
    let nested = |open: &str, inner: &str, close: &str, depth: usize| {
        format!("SELECT {}{inner}{} FROM t", open.repeat(depth), close.repeat(depth))
    };
    for (open, close) in
        [("(", ")"), ("[", "]"), ("{", "}"), ("f(", ")"), ("{a:", "}"), ("CAST(", " AS int)"), ("a[", "]")]
    {
        let inner = if open == "a[" { "1" } else { "b" };
        let depth = if open == "a[" { 1 } else { MAX_NESTING };
        assert!(!is_refused(&nested(open, inner, close, depth)), "{open}");
        assert!(is_refused(&nested(open, inner, close, MAX_NESTING + 1)), "{open}");
        assert!(is_refused(&nested(open, inner, close, 100_000)), "{open}");
        assert!(is_refused(&nested(open, "", "", 100_000)), "{open}");
    }
    assert!(is_refused(&format!("SELECT a FROM t WHERE {}a = 1", "(".repeat(100_000))));
    assert!(is_refused(&format!("CREATE TABLE t (a {}int", "frozen<".repeat(100_000))));
    // Without brackets nothing nests.
    assert!(!is_refused(&format!("SELECT {}a FROM t", "- ".repeat(100_000))));
    assert!(!is_refused(&format!("SELECT {}a FROM t", "(int)".repeat(100_000))));
}

#[test]
fn objects_are_counted() {
    let calls = |count: usize| format!("SELECT {} FROM t", vec!["x.f()"; count].join(","));
    assert!(!is_refused(&calls(MAX_OBJECTS - 1)));
    assert!(is_refused(&calls(MAX_OBJECTS)));
}

#[test]
fn a_script_forgets_the_text_before_and_keeps_its_memory() {
    let mut script = Script::default();
    script.read(b"BEGIN BATCH INSERT INTO a (b) VALUES (1); APPLY BATCH").unwrap();
    assert!(script.is_batch() && script.needs_keyspace());
    assert!(script.footprint() > 0);
    let copy = script.clone();
    let names = script.names.as_ptr();
    script.read(b"SELECT a FROM k.t").unwrap();
    assert!(!script.is_batch() && !script.needs_keyspace() && script.statements().count() == 1);
    assert_eq!(script.names.as_ptr(), names);
    let object = copy.statements().next().unwrap().objects().next().unwrap();
    assert_eq!((object.kind, object.keyspace, object.name), (Kind::Table, None, Some("a")));
}

#[test]
fn only_what_is_in_a_keyspace_needs_one() {
    for (text, needs) in [
        ("SELECT a FROM t", true),
        ("SELECT f(a) FROM ks.t", false),
        ("DESCRIBE KEYSPACE", true),
        ("DESCRIBE KEYSPACE ks", false),
        ("DESCRIBE x", true),
        ("USE ks", false),
        ("LIST ROLES", false),
        ("GRANT EXECUTE ON ALL FUNCTIONS TO r", false),
        ("CREATE MATERIALIZED VIEW v AS SELECT a FROM ks.t PRIMARY KEY (a)", true),
        ("CREATE MATERIALIZED VIEW ks.v AS SELECT a FROM t PRIMARY KEY (a)", false),
    ] {
        let mut script = Script::default();
        script.read(text.as_bytes()).unwrap();
        assert_eq!(script.needs_keyspace(), needs, "{text}");
    }
}

#[test]
fn names_of_actions_lead_back_to_them() {
    for action in Action::ALL {
        assert_eq!(Action::from_name(action.name()), Some(action));
    }
    assert_eq!(Action::from_name("Select"), None);
}
