//! Listeners with the policies that the oracles know.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use portcullis_policy::Fields;
use portcullis_proxylib::testing::{CoreHost, Scenario};
use portcullis_proxylib::{Datapath, Entry, Instance, Level, Log, Meta, Sink, Status, write_json};
use serde_json::{Value, json};

use super::counted::REGISTRY;

/// The port of every listener here.
const PORT: u16 = 4040;

/// What a listener's policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Rules {
    DenyAll,
    AllowAll,
    /// Only to read what begins with `a`.
    Reads,
    /// Everything but keys and files that begin with `no`.
    NotNo,
}

/// What a listener says of the servers behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Servers {
    Usual,
    /// Those that want credentials first.
    Authenticating,
    /// Those without meta commands.
    Old,
    /// A webhook behind hooks that deny.
    Guarded,
    /// A webhook that hooks are compared with.
    Shadowed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Listener {
    pub(super) protocol: &'static str,
    pub(super) rules: Rules,
    pub(super) servers: Servers,
}

/// A listener, its log, and what is known of its connections.
type Made = (Arc<Instance>, Arc<Records>, Meta);

impl Listener {
    pub(super) fn choose(protocol: &'static str, settings: u8) -> Self {
        let rules = [Rules::DenyAll, Rules::AllowAll, Rules::Reads, Rules::NotNo][usize::from(settings & 3)];
        let servers = match (protocol, settings >> 2 & 7) {
            ("memcache", 6) => Servers::Authenticating,
            ("memcache", 7) => Servers::Old,
            ("admission", 6) => Servers::Guarded,
            ("admission", 7) => Servers::Shadowed,
            _ => Servers::Usual,
        };
        Self { protocol, rules, servers }
    }

    /// A connection, and the log of its listener.
    pub(super) fn open(self) -> (Datapath, Arc<Instance>, Arc<Records>) {
        thread_local! {
            static LISTENERS: RefCell<HashMap<Listener, Made>> = RefCell::default();
        }
        let known = LISTENERS.with_borrow_mut(|known| known.entry(self).or_insert_with(|| self.make()).clone());
        let (instance, records, meta) = known;
        records.take();
        let connection = instance.open(meta).expect("no protocol refuses a connection");
        (Datapath::new(connection), instance, records)
    }

    fn make(self) -> Made {
        let scenario = self.scenario();
        let mut instance = CoreHost::new(REGISTRY).instance(&scenario, &Arc::default()).expect("the policy compiles");
        let records = Arc::new(Records::default());
        let sink: Arc<dyn Sink> = Arc::<Records>::clone(&records);
        instance.log = Log::new(self.protocol, Level::Responses, sink);
        (Arc::new(instance), records, scenario.meta().expect("the labels are none"))
    }

    fn scenario(self) -> Scenario {
        let strict = self.rules == Rules::NotNo;
        let kind = if strict { ("portcullis.dev/v1", "L7Policy") } else { ("cilium.io/v2", "CiliumNetworkPolicy") };
        let mut rules = json!({"l7proto": self.protocol, "l7": self.allowed()});
        if strict {
            rules["deny"] = self.denied();
        }
        let config = match self.servers {
            Servers::Usual if self.protocol == "admission" => json!({"callers": "anonymous"}),
            Servers::Usual => Value::Null,
            Servers::Guarded => json!({"callers": "anonymous", "mode": "guard"}),
            Servers::Shadowed => json!({"callers": "anonymous", "mode": "shadow"}),
            Servers::Authenticating => json!({"authentication": true}),
            Servers::Old => json!({"server": ">=1.4.0"}),
        };
        let policy = json!({
            "apiVersion": kind.0,
            "kind": kind.1,
            "metadata": {"name": "fuzz"},
            "spec": {
                "endpointSelector": {},
                "ingress": [{"toPorts": [{"ports": [{"port": PORT.to_string(), "protocol": "TCP"}], "rules": rules}]}],
            },
        });
        let hooks = [hook("droids", &json!([])), hook("label", &json!([{"setLabels": {"owner": "luke"}}]))];
        let hooks = hooks.into_iter().filter(|_| self.protocol == "admission");
        let policy: Vec<_> = std::iter::once(policy).chain(hooks).collect();
        let scenario = json!({
            "name": "fuzz",
            "protocol": self.protocol,
            "config": config,
            "policy": policy,
            "port": PORT,
            "steps": [],
            "expect": {},
        });
        Scenario::parse(&scenario.to_string()).expect("the scenario is well formed")
    }

    fn allowed(self) -> Value {
        match (self.protocol, self.rules) {
            // Commands that memcached does not have, and a file without a name.
            ("memcache", Rules::DenyAll) => json!([{"command": "rget"}]),
            // A table without a name; and USE, which is never denied, in our own kind of rules is.
            ("cassandra", Rules::DenyAll) => json!([{"query_action": "select", "query_table": "^$"}]),
            ("cassandra", Rules::AllowAll) => json!([{}]),
            ("cassandra", Rules::Reads) => json!([{"query_action": "select", "query_table": "^a"}]),
            ("cassandra", Rules::NotNo) => json!([{"actions": CASSANDRA_ACTIONS}]),
            ("admission", Rules::DenyAll) => json!([{"path": "/"}]),
            ("admission", Rules::AllowAll) => json!([{}]),
            ("admission", Rules::Reads) => json!([{"pathRegex": "^/d"}]),
            ("admission", Rules::NotNo) => json!([{"pathPrefix": "/"}]),
            (_, Rules::DenyAll) => json!([{"cmd": "READ", "file": "^$"}]),
            (_, Rules::AllowAll) => json!([{}]),
            ("memcache", Rules::Reads) => json!([{"command": "get", "keyPrefix": "a"}]),
            (_, Rules::Reads) => json!([{"cmd": "READ", "file": "^a"}]),
            ("memcache", Rules::NotNo) => json!([{"command": MEMCACHE_COMMANDS}]),
            (_, Rules::NotNo) => json!([{"cmd": "READ"}, {"cmd": "WRITE"}, {"cmd": "HALT"}, {"cmd": "RESET"}]),
        }
    }

    fn denied(self) -> Value {
        match self.protocol {
            "memcache" => json!([{"command": ["get", "gat", "writeGroup"], "keyPrefix": "no"}]),
            "cassandra" => json!([{"actions": CASSANDRA_ACTIONS, "keyspacePrefix": "no"}]),
            "admission" => json!([{"pathPrefix": "/no"}]),
            _ => json!([{"cmd": "READ", "file": "no.*"}, {"cmd": "WRITE", "file": "no.*"}]),
        }
    }
}

/// A hook that denies what one user does, and what has one name.
fn hook(name: &str, mutate: &Value) -> Value {
    let rules = json!([{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}]);
    let deny = json!([{"deny": {"users": ["vader"], "message": "no"}}, {"deny": {"names": ["bad"], "message": "no"}}]);
    let mut spec = json!({"uri": format!("/{name}"), "doc": "for fuzzing", "failurePolicy": "Ignore", "rules": rules, "decide": deny});
    if mutate != &json!([]) {
        spec["mutate"] = mutate.clone();
    }
    json!({"apiVersion": "portcullis.dev/v1", "kind": "AdmissionHook", "metadata": {"name": name}, "spec": spec})
}

const CASSANDRA_ACTIONS: &[&str] =
    &["select", "insert", "update", "delete", "use", "truncate-table", "create-table", "drop-keyspace", "describe"];

const MEMCACHE_COMMANDS: &[&str] = &[
    "get",
    "gat",
    "writeGroup",
    "noop",
    "stats",
    "version",
    "flush_all",
    "verbosity",
    "quit",
    "slabs",
    "lru",
    "lru_crawler",
    "watch",
    "cache_memlimit",
    "misbehave",
    "shutdown",
    "refresh_certs",
    "extstore",
    "sasl-list-mechs",
    "sasl-auth",
    "sasl-step",
];

/// The access log in memory: requests and replies apart, since only the order within each is the same at every cut.
#[derive(Debug, Default)]
pub(super) struct Records(Mutex<[Vec<u8>; 2]>);

impl Records {
    /// What was written so far: of requests, of replies.
    pub(super) fn take(&self) -> [Vec<u8>; 2] {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sink for Records {
    fn record(&self, entry: &Entry<'_>) {
        let mut logs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let log = &mut logs[usize::from(entry.status == Status::Reply)];
        if log.len() < MAX_JSON {
            write_json(entry, SystemTime::UNIX_EPOCH, log);
        } else {
            brief(entry, log);
        }
    }
}

/// As much of a record as can differ.
fn brief(entry: &Entry<'_>, log: &mut Vec<u8>) {
    struct Brief<'l>(&'l mut Vec<u8>);
    impl Fields for Brief<'_> {
        fn text(&mut self, _: &'static str, value: &[u8]) {
            self.0.extend_from_slice(value);
        }

        fn list(&mut self, _: &'static str, values: &mut dyn Iterator<Item = &[u8]>) {
            values.for_each(|value| self.0.extend_from_slice(value));
        }
    }
    log.extend_from_slice(entry.status.as_str().as_bytes());
    log.extend_from_slice(entry.rule.map_or(entry.reason, |rule| &rule.name).as_bytes());
    if let Some(fields) = entry.fields {
        fields.describe(&mut Brief(log));
    }
    log.push(b'\n');
}

/// Bytes of a log that are written as they are in production. Writing all would take most of the time.
const MAX_JSON: usize = 4 << 10;
