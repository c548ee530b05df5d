//! Rules as they are written, and what they say of statements.

use portcullis_policy::{Dialect, Effect, L7Decision, Located, RuleError, RuleId, RuleSet};
use proptest::prelude::*;

use crate::cassandra::cql::Script;
use crate::cassandra::{Request, Rule, Rules};

/// Rules as JSON; those that begin with `!` deny.
fn compile(rules: &[&str], dialect: Dialect) -> Result<Rules, RuleError> {
    let read = |(n, text): (usize, &&str)| {
        let (effect, json) = text.strip_prefix('!').map_or((Effect::Allow, *text), |json| (Effect::Deny, json));
        Located { id: RuleId::nth(u32::try_from(n).unwrap()), effect, rule: serde_json::from_str(json).unwrap() }
    };
    Rules::compile(rules.iter().enumerate().map(read).collect(), dialect)
}

/// What rules say of a text of one statement, in a keyspace.
fn decide(rules: &Rules, text: &str, keyspace: Option<&str>) -> L7Decision {
    with_request(text, keyspace, |request| rules.decide(request))
}

fn with_request<T>(text: &str, keyspace: Option<&str>, use_it: impl Fn(&Request<'_>) -> T) -> T {
    let mut script = Script::default();
    script.read(text.as_bytes()).unwrap();
    let statement = script.statements().next().unwrap();
    use_it(&Request { statement, keyspace, message: "query", prepared: false, batch: false })
}

fn error(json: &str, dialect: Dialect) -> String {
    match serde_json::from_str::<Rule>(json) {
        Err(error) => error.to_string(),
        Ok(_) => compile(&[json], dialect).map(|_| String::new()).unwrap_or_else(|error| error.to_string()),
    }
}

#[test]
fn rules_that_would_mean_more_or_less_than_they_say_are_refused() {
    for (dialect, json, expected) in [
        (Dialect::Cilium, r#"{"query_action": "SELECT"}"#, "`query_action: SELECT`: write `select`"),
        (Dialect::Cilium, r#"{"query_action": "truncate"}"#, "write `truncate-table`"),
        (Dialect::Cilium, r#"{"query_action": "create_table"}"#, "write `create-table`"),
        (Dialect::Cilium, r#"{"query_action": "explain"}"#, "`query_action: explain` is no action"),
        (Dialect::Cilium, r#"{"query_action": "list-users", "query_table": "a"}"#, "which has no table"),
        (Dialect::Cilium, r#"{"query_table": "("}"#, "`(`"),
        (Dialect::Cilium, r#"{"query_tables": "a"}"#, "query_tables"),
        (Dialect::Cilium, r#"{"actions": "select"}"#, "for objects of our own kind"),
        (Dialect::Cilium, r#"{"query_action": "select", "keyspace": "a"}"#, "in one rule"),
        (Dialect::Strict, r#"{"query_action": "select"}"#, "for `cilium.io` objects"),
        (Dialect::Strict, "{}", "`actions`"),
        (Dialect::Strict, r#"{"keyspace": "a"}"#, "no `actions`"),
        (Dialect::Strict, r#"{"actions": []}"#, "`actions` is empty"),
        (Dialect::Strict, r#"{"actions": ["select", ""]}"#, "`actions` is empty"),
        (Dialect::Strict, r#"{"actions": "select", "keyspace": ""}"#, "`keyspace` is empty"),
        (Dialect::Strict, r#"{"actions": "select", "tablePrefix": [""]}"#, "`tablePrefix` is empty"),
        (Dialect::Strict, r#"{"actions": "select", "table": "a", "tableRegex": "b"}"#, "`table` and `tableRegex`"),
        (
            Dialect::Strict,
            r#"{"actions": "select", "keyspacePrefix": "a", "keyspaceRegex": "b"}"#,
            "`keyspacePrefix` and",
        ),
        (Dialect::Strict, r#"{"actions": "select", "keyspaceRegex": "a)|(b"}"#, "`a)|(b`"),
        (Dialect::Strict, r#"{"actions": "select", "tableRegex": "a)|(b"}"#, "`a)|(b`"),
        (Dialect::Strict, r#"{"actions": "list-users", "table": "a"}"#, "would match nothing"),
        (Dialect::Strict, r#"{"actions": "create-role", "keyspace": "a"}"#, "would match nothing"),
        (Dialect::Strict, r#"{"actions": "select", "roles": "a"}"#, "would match nothing"),
    ] {
        let found = error(json, dialect);
        assert!(found.contains(expected), "{json}: `{found}`");
    }
}

#[test]
fn every_action_that_is_documented_can_be_written() {
    let page = include_str!("../../../../docs/cassandra.md");
    for action in crate::cassandra::cql::Action::ALL {
        let name = action.name();
        assert!(page.contains(&format!("`{name}`")), "{name}");
        assert_eq!(error(&format!(r#"{{"query_action": "{name}"}}"#), Dialect::Cilium), "");
        assert_eq!(error(&format!(r#"{{"actions": "{name}"}}"#), Dialect::Strict), "");
    }
}

#[test]
fn explain_names_the_field_that_keeps_each_rule_from_applying() {
    let fields = |rules: &[&str], dialect, text| {
        let rules = compile(rules, dialect).unwrap();
        with_request(text, None, |request| rules.explain(request))
            .into_iter()
            .map(|miss| miss.field)
            .collect::<Vec<_>>()
    };
    let strict = [
        r#"{"actions": "insert"}"#,
        r#"{"actions": "select", "keyspace": "a"}"#,
        r#"{"actions": "select", "table": "a"}"#,
        r#"{"actions": "select", "keyspace": "ks"}"#,
    ];
    assert_eq!(fields(&strict, Dialect::Strict, "SELECT a FROM ks.t"), ["keyspace", "table", "actions"]);
    let cilium = [r#"{"query_action": "insert"}"#, r#"{"query_table": "x"}"#];
    assert_eq!(fields(&cilium, Dialect::Cilium, "SELECT a FROM ks.t"), ["query_table", "query_action"]);
}

#[test]
fn ten_thousand_rules_say_what_one_does() {
    let cilium: Vec<String> =
        (0..10_000).map(|n| format!(r#"{{"query_action": "select", "query_table": "^ks\\.t{n}$"}}"#)).collect();
    let strict: Vec<String> = (0..10_000)
        .map(|n| format!(r#"{{"actions": "select", "keyspace": "ks{n}", "tablePrefix": "t{n}"}}"#))
        .collect();
    let texts = |rules: &[String]| rules.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
    for (rules, dialect, text, other) in [
        (cilium, Dialect::Cilium, "SELECT a FROM ks.t9999", "SELECT a FROM ks.t10000"),
        (strict, Dialect::Strict, "SELECT a FROM ks9999.t99991", "SELECT a FROM ks9999.t9998"),
    ] {
        let all = texts(&rules);
        let rules = compile(&all.lines().collect::<Vec<_>>(), dialect).unwrap();
        assert_eq!(decide(&rules, text, None), L7Decision::Allow(RuleId::nth(9999)));
        assert_eq!(decide(&rules, other, None), L7Decision::NoMatch);
    }
}

fn name() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("a"), Just("ab"), Just("b"), Just("ba")]
}

/// A condition on one name: the kind, and a text.
fn condition() -> impl Strategy<Value = (usize, &'static str)> {
    (0..4_usize, name())
}

fn holds((kind, text): (usize, &str), name: &str) -> bool {
    match kind {
        0 => true,
        1 => name == text,
        2 => name.starts_with(text),
        _ => name.starts_with(text) && name.len() <= text.len() + 1,
    }
}

fn write(field: &str, (kind, text): (usize, &str)) -> String {
    match kind {
        0 => String::new(),
        1 => format!(r#", "{field}": "{text}""#),
        2 => format!(r#", "{field}Prefix": "{text}""#),
        _ => format!(r#", "{field}Regex": "{text}.?""#),
    }
}

proptest! {
    /// A set of rules says what its rules say one by one, each read in the plainest way.
    #[test]
    fn a_set_decides_as_its_rules_one_by_one(
        rules in proptest::collection::vec((condition(), condition(), any::<bool>(), any::<bool>()), 0..8),
        keyspace in name(),
        table in name(),
        qualified in any::<bool>(),
    ) {
        let texts: Vec<String> = rules
            .iter()
            .map(|&(ks, tb, deny, insert)| {
                let action = if insert { "insert" } else { "select" };
                let bang = if deny { "!" } else { "" };
                format!(r#"{bang}{{"actions": "{action}"{}{}}}"#, write("keyspace", ks), write("table", tb))
            })
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let compiled = compile(&texts, Dialect::Strict).unwrap();
        let text = if qualified { format!("SELECT x FROM {keyspace}.{table}") } else { format!("SELECT x FROM {table}") };
        let matching = |denies: bool| {
            rules.iter().any(|&(ks, tb, deny, insert)| {
                deny == denies && !insert && holds(ks, keyspace) && holds(tb, table)
            })
        };
        match decide(&compiled, &text, Some(keyspace)) {
            L7Decision::Deny(_) => prop_assert!(matching(true)),
            L7Decision::Allow(_) => prop_assert!(matching(false) && !matching(true)),
            L7Decision::NoMatch => prop_assert!(!matching(false) && !matching(true)),
        }
    }
}
