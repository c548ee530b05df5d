//! What each protocol's log says of a request, and how a rule says the same: a small table for each protocol.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::patterns::{Pattern, Patterns};

/// One protocol.
pub(super) struct Lesson {
    pub(super) protocol: &'static str,
    /// The fields of a request that name what it is about.
    pub(super) objects: &'static [&'static str],
    /// The field of a request that names roles, where rules can name them together with what else it is about.
    pub(super) roles: Option<&'static str>,
    /// The words of rules that a command needs: all that it may need, where the log does not tell.
    pub(super) needs: fn(&str) -> Vec<&'static str>,
    /// The rules for one word.
    write: fn(&str, &Patterns) -> Vec<Item>,
}

/// One `l7` item, and how many requests it is for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    pub(super) rule: Value,
    pub(super) count: u64,
}

impl Lesson {
    /// The protocol's, if there is one.
    pub(super) fn of(protocol: &str) -> Option<&'static Self> {
        LESSONS.iter().find(|lesson| lesson.protocol == protocol)
    }

    /// The protocols that can be learned.
    pub(super) fn names() -> String {
        LESSONS.iter().map(|lesson| lesson.protocol).collect::<Vec<_>>().join("`, `")
    }

    /// The rules that admit what was seen of some words. Where more than `most` roles did the same, any may.
    pub(super) fn items(&self, seen: impl Iterator<Item = (String, Patterns)>, most: usize) -> Vec<Item> {
        let mut items: Vec<(Item, Vec<String>)> = Vec::new();
        for (word, patterns) in seen {
            let (word, role) = match word.split_once(ROLE) {
                Some((word, role)) => (word, Some(role.to_owned())),
                None => (word.as_str(), None),
            };
            for item in (self.write)(word, &patterns) {
                let alike = |(known, roles): &&mut (Item, Vec<String>)| {
                    known.rule == item.rule && roles.is_empty() == role.is_none()
                };
                match items.iter_mut().find(alike) {
                    Some((known, roles)) => {
                        known.count = known.count.saturating_add(item.count);
                        roles.extend(role.clone());
                    }
                    None => items.push((item, role.clone().into_iter().collect())),
                }
            }
        }
        let with_roles = |(mut item, roles): (Item, Vec<String>)| {
            if let Some(rule) = item.rule.as_object_mut().filter(|_| (1..=most).contains(&roles.len())) {
                rule.insert("roles".to_owned(), json!(roles));
            }
            item
        };
        items.into_iter().map(with_roles).collect()
    }

    /// A word for each role that it is about, if it is about any and they can be told.
    pub(super) fn with_roles(words: Vec<String>, roles: &[Vec<u8>]) -> Vec<String> {
        let texts: Option<Vec<&str>> = roles.iter().map(|role| std::str::from_utf8(role).ok()).collect();
        match texts {
            Some(roles)
                if !roles.is_empty() && !roles.iter().any(|role| role.contains(ROLE) || role.contains('\0')) =>
            {
                words.iter().flat_map(|word| roles.iter().map(move |role| format!("{word}{ROLE}{role}"))).collect()
            }
            _ => words,
        }
    }
}

/// Stands between a word and a role: the unit separator, which no name has.
const ROLE: char = '\u{1f}';

const LESSONS: &[Lesson] = &[
    Lesson { protocol: "r2d2", objects: &["file"], roles: None, needs: |_| Vec::new(), write: write_r2d2 },
    Lesson { protocol: "memcache", objects: &["keys"], roles: None, needs: memcache_needs, write: write_memcache },
    Lesson {
        protocol: "cassandra",
        objects: &["query_table"],
        roles: Some("query_role"),
        needs: |_| Vec::new(),
        write: write_cassandra,
    },
];

fn write_r2d2(cmd: &str, patterns: &Patterns) -> Vec<Item> {
    let rule = |(pattern, count): (&Pattern, &u64)| {
        let rule = match pattern {
            Pattern::Nothing | Pattern::Any => json!({"cmd": cmd}),
            Pattern::Exact(file) => json!({"cmd": cmd, "file": regex_syntax::escape(file)}),
            Pattern::Prefix(start) => json!({"cmd": cmd, "file": format!("{}.*", regex_syntax::escape(start))}),
        };
        Item { rule, count: *count }
    };
    patterns.iter().map(rule).collect()
}

/// docs/memcache.md, "Rules": what commands are called there. A meta command needs some of several, by its flags.
fn memcache_needs(name: &str) -> Vec<&'static str> {
    const NAMES: &[(&str, &[&str])] = &[
        ("gets", &["get"]),
        ("getk", &["get"]),
        ("getq", &["get"]),
        ("getkq", &["get"]),
        ("gats", &["gat"]),
        ("gatk", &["gat"]),
        ("gatq", &["gat"]),
        ("gatkq", &["gat"]),
        ("setq", &["set"]),
        ("addq", &["add"]),
        ("replaceq", &["replace"]),
        ("appendq", &["append"]),
        ("prependq", &["prepend"]),
        ("deleteq", &["delete"]),
        ("incrq", &["incr"]),
        ("decrq", &["decr"]),
        ("quitq", &["quit"]),
        ("flush_allq", &["flush_all"]),
        ("mn", &["noop"]),
        ("me", &["get"]),
        ("mg", &["get", "gat", "add"]),
        ("ms", &["set", "add", "replace", "append", "prepend", "cas"]),
        ("md", &["delete", "touch", "set"]),
        ("ma", &["incr", "decr", "add", "touch"]),
    ];
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, needs)| needs.to_vec()).unwrap_or_default()
}

fn write_memcache(command: &str, patterns: &Patterns) -> Vec<Item> {
    let mut items = Vec::new();
    let (mut exact, mut prefixes) = ((Vec::new(), 0_u64), (Vec::new(), 0_u64));
    for (pattern, count) in patterns {
        let (texts, sum) = match pattern {
            Pattern::Nothing | Pattern::Any => {
                items.push(Item { rule: json!({"command": command}), count: *count });
                continue;
            }
            Pattern::Exact(key) => (&mut exact, key),
            Pattern::Prefix(start) => (&mut prefixes, start),
        };
        texts.0.push(sum.clone());
        texts.1 = texts.1.saturating_add(*count);
    }
    for (field, (texts, count)) in [("keyExact", exact), ("keyPrefix", prefixes)] {
        if !texts.is_empty() {
            items.push(Item { rule: json!({"command": command, field: texts}), count });
        }
    }
    items
}

/// `keyspace.table` as the log has it; a keyspace alone where the statement is about one.
fn write_cassandra(action: &str, patterns: &Patterns) -> Vec<Item> {
    /// The actions whose statements name nothing within a keyspace. Of what is named elsewhere, whatever it is, rules say `table`.
    const OF_KEYSPACES: &[&str] = &["use", "create-keyspace", "alter-keyspace", "drop-keyspace"];
    let has_table = !OF_KEYSPACES.contains(&action);
    let mut exact: BTreeMap<&str, (Vec<&str>, u64)> = BTreeMap::new();
    let mut items = BTreeMap::new();
    let mut add = |rule: Value, count: u64| {
        let item = items.entry(rule.to_string()).or_insert(Item { rule, count: 0 });
        item.count = item.count.saturating_add(count);
    };
    for (pattern, count) in patterns {
        match pattern {
            Pattern::Nothing | Pattern::Any => add(json!({"actions": action}), *count),
            Pattern::Exact(object) => match object.split_once('.') {
                Some((keyspace, table)) if has_table && table != "*" => {
                    let (tables, sum) = exact.entry(keyspace).or_default();
                    tables.push(table);
                    *sum = sum.saturating_add(*count);
                }
                Some((keyspace, _)) => add(json!({"actions": action, "keyspace": keyspace}), *count),
                None => add(json!({"actions": action, "keyspace": object}), *count),
            },
            Pattern::Prefix(start) => match start.split_once('.') {
                Some((keyspace, table)) if has_table && !table.is_empty() => {
                    add(json!({"actions": action, "keyspace": keyspace, "tablePrefix": table}), *count);
                }
                Some((keyspace, _)) => add(json!({"actions": action, "keyspace": keyspace}), *count),
                None => add(json!({"actions": action, "keyspacePrefix": start}), *count),
            },
        }
    }
    for (keyspace, (tables, count)) in exact {
        add(json!({"actions": action, "keyspace": keyspace, "table": tables}), count);
    }
    items.into_values().collect()
}
