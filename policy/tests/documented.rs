//! The examples of Cilium's documentation with their documented verdicts, by stand-ins for the protocols.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::BTreeMap;

use portcullis_policy::matcher::Regex;
use portcullis_policy::{
    CompileOptions, Describe, Dialect, Fields, Flow, Identity, KnownBy, Labels, ListedRule, Outcome, Protocols,
    RuleCompiler, RuleList, Snapshot, Source, Traffic, TypedCompiler,
};

/// A rule whose fields are compared with those of the request: exactly, by prefix or by regex, as their names say.
struct Words(Vec<(String, Test)>);

enum Test {
    Exact(String),
    Prefix(String),
    Regex(Regex),
}

type Request<'a> = [(&'a str, &'a str)];

struct Borrowed<'a>(&'a Request<'a>);

impl Describe for Borrowed<'_> {
    fn describe(&self, fields: &mut dyn Fields) {
        for (name, value) in self.0 {
            fields.text(if *name == "key" { "key" } else { "other" }, value.as_bytes());
        }
    }
}

impl ListedRule for Words {
    type Spec = BTreeMap<String, String>;
    type Request<'a> = Borrowed<'a>;

    fn compile(spec: Self::Spec, dialect: Dialect) -> Result<Self, String> {
        let test = |(field, value): (String, String)| {
            Ok(match field.as_str() {
                "query_action" | "cmd" | "command" => (field, Test::Exact(value)),
                "query_table" | "file" => (field, Test::Regex(Regex::compile(&value, dialect)?)),
                "keyExact" => ("key".to_owned(), Test::Exact(value)),
                "keyPrefix" => ("key".to_owned(), Test::Prefix(value)),
                other => return Err(format!("unknown field `{other}`")),
            })
        };
        spec.into_iter().filter(|(_, value)| !value.is_empty()).map(test).collect::<Result<_, _>>().map(Self)
    }

    fn matches(&self, request: &Borrowed<'_>) -> Result<(), &'static str> {
        let holds = |(field, test): &(String, Test)| {
            let value = request.0.iter().find(|(name, _)| name == field).map_or("", |(_, value)| *value);
            match test {
                // The group of all commands that change something, as far as these tests go.
                Test::Exact(group) if group == "writeGroup" => ["set", "delete"].contains(&value),
                Test::Exact(wanted) => wanted == value,
                Test::Prefix(prefix) => value.starts_with(prefix),
                Test::Regex(regex) => regex.is_match(value.as_bytes()),
            }
        };
        if self.0.iter().all(holds) { Ok(()) } else { Err("field") }
    }
}

struct StandIns;

static WORDS: TypedCompiler<RuleList<Words>> = TypedCompiler::new();

impl Protocols for StandIns {
    fn compiler(&self, l7proto: &str) -> Option<&dyn RuleCompiler> {
        ["cassandra", "memcache", "r2d2"].contains(&l7proto).then_some(&WORDS as &dyn RuleCompiler)
    }

    fn names(&self) -> Vec<&str> {
        vec!["cassandra", "memcache", "r2d2"]
    }
}

fn path(file: &str) -> String {
    format!("{}/{file}", env!("CARGO_MANIFEST_DIR"))
}

fn load(file: &str) -> Snapshot {
    let sources = Source::load(&[path(file)]).unwrap();
    match Snapshot::compile(&sources, &StandIns, &CompileOptions::default()) {
        Ok(compiled) => compiled.snapshot,
        Err(errors) => panic!("{errors}"),
    }
}

/// `key=value` labels, or an address.
fn remote(who: &str) -> Identity {
    match who.split_once('=') {
        Some(pair) => {
            Identity { labels: Labels::new([pair]).unwrap(), known_by: KnownBy::Address, ..Identity::default() }
        }
        None => Identity::unknown(Some(who.parse().unwrap())),
    }
}

fn allows(
    snapshot: &Snapshot,
    traffic: Traffic,
    (endpoint, port): (&str, u16),
    who: &str,
    request: &Request<'_>,
) -> bool {
    let endpoint = Labels::new(endpoint.split(',').map(|pair| pair.split_once('=').unwrap())).unwrap();
    let flow = Flow { traffic, endpoint: &endpoint, port, remote: &remote(who) };
    snapshot.judge::<RuleList<Words>>(&snapshot.view(&flow), &Borrowed(request)).outcome == Outcome::Allow
}

#[test]
fn cassandra() {
    let query = |action, table| [("query_action", action), ("query_table", table)];
    let rows = [
        ("app=empire-outpost", "insert", "attendance.daily_records", true),
        ("app=empire-outpost", "select", "attendance.daily_records", false),
        ("app=empire-outpost", "select", "system.local", true),
        ("app=empire-outpost", "select", "system_schema.keyspaces", true),
        ("app=empire-outpost", "select", "system_virtual_schema.keyspaces", false),
        ("app=empire-outpost", "insert", "system.local", false),
        ("app=empire-hq", "select", "attendance.daily_records", true),
        ("app=empire-hq", "drop-table", "attendance.daily_records", true),
        ("app=rebel", "select", "system.local", false),
    ];
    let snapshot = load("testdata/documented/cassandra-empire.yaml");
    for (who, action, table, wanted) in rows {
        let found = allows(&snapshot, Traffic::Ingress, ("app=cass-server", 9042), who, &query(action, table));
        assert_eq!(found, wanted, "{who} {action} {table}");
    }
    let snapshot = load("testdata/documented/cassandra-anchored.yaml");
    for (action, table, wanted) in [
        ("select", "system_auth.roles", true),
        ("select", "posts_db.posts", true),
        ("select", "posts_db.posts2", false),
        ("select", "my_posts_db.posts", false),
        ("insert", "posts_db.posts", false),
    ] {
        let found = allows(&snapshot, Traffic::Ingress, ("app=cass-server", 9042), "192.0.2.1", &query(action, table));
        assert_eq!(found, wanted, "{action} {table}");
    }
}

#[test]
fn r2d2() {
    let snapshot = load("testdata/documented/r2d2.yaml");
    for (who, cmd, file, wanted) in [
        ("who=reader", "READ", "/public/a", true),
        ("who=reader", "READ", "/secret/a", false),
        ("who=reader", "WRITE", "/public/a", false),
        // Unanchored, as documented: the words may stand anywhere.
        ("who=reader", "READ", "/secret/public/a", true),
        ("who=public", "WRITE", "/public/a", true),
        ("who=public", "HALT", "", false),
        ("who=stopper", "HALT", "", true),
        ("who=stopper", "READ", "/secret/a", true),
        ("who=stopper", "RESET", "", false),
    ] {
        let found = allows(&snapshot, Traffic::Ingress, ("app=droid", 4040), who, &[("cmd", cmd), ("file", file)]);
        assert_eq!(found, wanted, "{who} {cmd} {file}");
    }
}

#[test]
fn memcached() {
    let fighters = load("testdata/documented/memcache-sw.yaml");
    let fleet = load("../envoy-config/policies/rebel-alliance-memcache.yaml");
    for (snapshot, app, who, command, key, wanted) in [
        (&fighters, "memcd-server", "app=a-wing", "set", "awing-coord", true),
        (&fighters, "memcd-server", "app=a-wing", "get", "xwing-coord", false),
        (&fighters, "memcd-server", "app=x-wing", "get", "xwing-coord", true),
        (&fighters, "memcd-server", "name=fleet-tracker", "get", "awing-coord", true),
        (&fighters, "memcd-server", "name=fleet-tracker", "get", "xwing-coord", true),
        (&fighters, "memcd-server", "name=fleet-tracker", "set", "xwing-coord", false),
        (&fleet, "memcached", "function=fleet-maintenance", "set", "alliance/fleet/1", true),
        (&fleet, "memcached", "function=fleet-maintenance", "set", "alliance/plans", false),
        (&fleet, "memcached", "function=fleet-monitoring", "get", "alliance/fleet/1", true),
        (&fleet, "memcached", "function=fleet-monitoring", "delete", "alliance/fleet/1", false),
        (&fleet, "memcached", "role=jedi", "flush_all", "", true),
        (&fleet, "memcached", "192.0.2.1", "get", "alliance/fleet/1", false),
    ] {
        let endpoint = format!("app={app}");
        let request = [("command", command), ("key", key)];
        assert_eq!(
            allows(snapshot, Traffic::Ingress, (&endpoint, 11211), who, &request),
            wanted,
            "{who} {command} {key}"
        );
    }
}

#[test]
fn l3_and_l4() {
    use Traffic::{Egress, Ingress};
    let rows = [
        ("world-deny", Ingress, "a=b", 1, "192.0.2.1", false),
        ("world-deny", Ingress, "a=b", 1, "app=x", true),
        ("cidr", Egress, "app=my-service", 1, "20.1.1.1", true),
        ("cidr", Egress, "app=my-service", 1, "20.1.1.2", false),
        ("cidr", Egress, "app=my-service", 1, "10.1.1.1", true),
        ("cidr", Egress, "app=my-service", 1, "10.97.1.1", false),
        ("requires", Ingress, "env=prod,role=backend", 1, "role=frontend", false),
        ("requires", Ingress, "env=dev,role=backend", 1, "role=frontend", true),
        ("requires", Ingress, "env=prod,role=other", 1, "env=prod", false),
        ("l4-port-range", Egress, "app=my-service", 80, "192.0.2.1", true),
        ("l4-port-range", Egress, "app=my-service", 444, "192.0.2.1", true),
        ("l4-port-range", Egress, "app=my-service", 445, "192.0.2.1", false),
    ];
    for (file, traffic, endpoint, port, who, wanted) in rows {
        let snapshot = load(&format!("testdata/documented/{file}.yaml"));
        assert_eq!(allows(&snapshot, traffic, (endpoint, port), who, &[]), wanted, "{file} {endpoint} {port} {who}");
    }
}

#[test]
fn what_is_for_others_is_refused_by_name() {
    let sources = Source::load(&[path("testdata/documented/refused.yaml")]).unwrap();
    let errors = Snapshot::compile(&sources, &StandIns, &CompileOptions::default()).unwrap_err();
    let names = [
        "http",
        "kafka",
        "dns",
        "toFQDNs",
        "icmps",
        "toServices",
        "serverNames",
        "authentication",
        "nodeSelector",
        "cidrGroupRef",
    ];
    assert_eq!(errors.errors.len(), names.len(), "{errors}");
    for (name, error) in names.iter().zip(&errors.errors) {
        let error = error.to_string();
        assert!(
            error.contains(&format!(" {name}/spec")) && error.contains(&format!("`{name}` cannot be enforced: ")),
            "{error}"
        );
    }
}
