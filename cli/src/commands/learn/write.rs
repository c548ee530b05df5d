//! The policy that admits what was seen, as text.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::lesson::{Item, Lesson};
use super::observe::{LabelMap, Observed, Peer, Place, Uses};
use super::patterns::Names;
use crate::commands::replay::count;

/// A policy's lines.
struct Text(String);

impl Text {
    fn line(&mut self, depth: usize, text: &str) {
        self.0.push_str(&"  ".repeat(depth));
        self.0.push_str(text);
        self.0.push('\n');
    }

    fn labels(&mut self, depth: usize, labels: &LabelMap) {
        for (key, value) in labels {
            self.line(depth, &format!("{}: {}", quote(key), quote(value)));
        }
    }
}

/// Peers that did just the same.
struct Rule<'a> {
    peers: Vec<&'a Peer>,
    items: Vec<Item>,
}

/// Writes one policy for each endpoint.
pub(super) fn write(observed: &Observed, lesson: &Lesson, name: &str, head: &[String]) -> String {
    let mut text = Text(String::new());
    for line in head {
        text.line(0, &format!("# {line}"));
    }
    let endpoints: BTreeSet<&LabelMap> = observed.seen.keys().map(|place| &place.endpoint).collect();
    for (n, endpoint) in endpoints.into_iter().enumerate() {
        if n > 0 {
            text.line(0, "---");
        }
        let name = if n == 0 { name.to_owned() } else { format!("{name}-{}", n.saturating_add(1)) };
        write_policy(&mut text, observed, lesson, &name, endpoint);
    }
    text.0
}

fn write_policy(text: &mut Text, observed: &Observed, lesson: &Lesson, name: &str, endpoint: &LabelMap) {
    let is_namespace = |key: &str| key.rsplit_once(':').map_or(key, |(_, key)| key) == NAMESPACE;
    let namespace = endpoint.iter().find(|(key, _)| is_namespace(key)).map(|(_, namespace)| namespace.clone());
    let selected: LabelMap = endpoint
        .iter()
        .filter(|(key, _)| !is_namespace(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    text.line(0, "apiVersion: portcullis.dev/v1");
    text.line(0, "kind: L7Policy");
    text.line(0, "metadata:");
    text.line(1, &format!("name: {}", quote(name)));
    if let Some(namespace) = &namespace {
        text.line(1, &format!("namespace: {}", quote(namespace)));
    }
    text.line(0, "spec:");
    if selected.is_empty() {
        text.line(1, "endpointSelector: {}");
    } else {
        text.line(1, "endpointSelector:");
        text.line(2, "matchLabels:");
        text.labels(3, &selected);
    }
    for (egress, way, field) in [(false, "ingress", "from"), (true, "egress", "to")] {
        let places: Vec<_> =
            observed.seen.iter().filter(|(place, _)| place.endpoint == *endpoint && place.egress == egress).collect();
        if places.is_empty() {
            continue;
        }
        text.line(1, &format!("{way}:"));
        for (Place { port, .. }, peers) in places {
            for rule in rules(peers, lesson, observed.most) {
                write_rule(text, &rule, lesson, *port, field, namespace.is_some());
            }
        }
    }
}

/// The rules of a port: peers without a name that do the same share one, and all of the world do where they are too many.
fn rules<'a>(peers: &'a BTreeMap<Peer, Uses>, lesson: &Lesson, most: usize) -> Vec<Rule<'a>> {
    static WORLD: std::sync::LazyLock<Peer> = std::sync::LazyLock::new(|| Peer::Entity("world".to_owned()));
    let addresses = peers.keys().filter(|peer| matches!(peer, Peer::Address(_))).count();
    let mut world: BTreeMap<&str, Names> = BTreeMap::new();
    let mut rules: Vec<Rule<'_>> = Vec::new();
    for (peer, uses) in peers {
        let is_world = matches!(peer, Peer::Address(_)) && addresses > MAX_ADDRESSES;
        if is_world || *peer == *WORLD {
            uses.iter().for_each(|(word, names)| world.entry(word).or_default().merge(names));
            continue;
        }
        let items = items(uses.iter().map(|(word, names)| (word.as_str(), names)), lesson, most);
        let alike = |rule: &&mut Rule<'_>| {
            let both = rule.peers.iter().chain([&peer]).all(|peer| matches!(peer, Peer::Address(_)));
            both && rule.items.iter().map(|item| &item.rule).eq(items.iter().map(|item| &item.rule))
        };
        match rules.iter_mut().find(alike) {
            Some(rule) => {
                rule.peers.push(peer);
                for (sum, item) in rule.items.iter_mut().zip(items) {
                    sum.count = sum.count.saturating_add(item.count);
                }
            }
            None => rules.push(Rule { peers: vec![peer], items }),
        }
    }
    if !world.is_empty() {
        let items = items(world.iter().map(|(word, names)| (*word, names)), lesson, most);
        rules.push(Rule { peers: vec![&WORLD], items });
    }
    rules
}

fn items<'a>(uses: impl Iterator<Item = (&'a str, &'a Names)>, lesson: &Lesson, most: usize) -> Vec<Item> {
    lesson.items(uses.map(|(word, names)| (word.to_owned(), names.patterns(most))), most)
}

fn write_rule(text: &mut Text, rule: &Rule<'_>, lesson: &Lesson, port: u16, field: &str, has_namespace: bool) {
    let Some(first) = rule.peers.first() else { return };
    match first {
        Peer::Certificate(kind, name) => {
            text.line(1, &format!("- {field}Peers:"));
            text.line(2, &format!("- {kind}: {}", quote(name)));
        }
        Peer::Labels(labels) => {
            text.line(1, &format!("- {field}Endpoints:"));
            text.line(2, "- matchLabels:");
            text.labels(4, labels);
            // A selector without a namespace means the policy's own; a peer without one is in `default`.
            let named = labels.keys().any(|key| key.rsplit_once(':').map_or(key.as_str(), |(_, key)| key) == NAMESPACE);
            if has_namespace && !named {
                text.line(4, &format!("\"k8s:{NAMESPACE}\": \"default\""));
            }
        }
        Peer::Entity(entity) => text.line(1, &format!("- {field}Entities: [{}]", quote(entity))),
        Peer::Address(_) => {
            text.line(1, &format!("- {field}CIDR:"));
            for peer in &rule.peers {
                if let Peer::Address(address) = peer {
                    let bits = if address.is_ipv4() { 32 } else { 128 };
                    text.line(2, &format!("- {}", quote(&format!("{address}/{bits}"))));
                }
            }
        }
    }
    text.line(2, "toPorts:");
    text.line(2, &format!("- ports: [{{port: \"{port}\", protocol: TCP}}]"));
    text.line(3, "rules:");
    text.line(4, &format!("l7proto: {}", lesson.protocol));
    text.line(4, "l7:");
    for Item { rule, count: seen } in &rule.items {
        text.line(4, &format!("# {}", count(*seen, "request")));
        let mut dash = "- ";
        for (name, value) in rule.as_object().into_iter().flatten() {
            match value {
                Value::Array(texts) => {
                    text.line(4, &format!("{dash}{name}:"));
                    for one in texts {
                        text.line(5, &format!("- {}", quote(one.as_str().unwrap_or_default())));
                    }
                }
                one => text.line(4, &format!("{dash}{name}: {}", quote(one.as_str().unwrap_or_default()))),
            }
            dash = "  ";
        }
    }
}

/// A text as JSON writes it, which YAML reads alike, with all beyond plain ASCII by number.
fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            ' '..='~' => out.push(character),
            other if u32::from(other) > 0xffff => out.push_str(&format!("\\U{:08x}", u32::from(other))),
            other => out.push_str(&format!("\\u{:04x}", u32::from(other))),
        }
    }
    out.push('"');
    out
}

/// The label of a namespace.
const NAMESPACE: &str = "io.kubernetes.pod.namespace";

/// Unknown addresses on a port that a policy lists; of more, all of the world.
const MAX_ADDRESSES: usize = 64;
