//! One `l7` item as it is written.

use std::fmt;

use portcullis_policy::Dialect;
use portcullis_policy::lint::{Outline, Wants};
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use super::commands::{Commands, suggest};

/// A rule: commands, and at most one kind of condition on their keys.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "Spec")]
pub struct Rule {
    /// What it is about; everything where nothing is named.
    pub(super) commands: Commands,
    pub(super) keys: KeySpec,
    /// The first thing that only the strict kind may say, or must not leave out.
    strict: Strictness,
}

/// Which keys a rule is about. All the texts of one kind are alternatives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeySpec {
    /// Every key, and commands without one.
    Any,
    Exact(Vec<String>),
    Prefix(Vec<String>),
    Regex(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strictness {
    Neither,
    /// Several commands, or several keys.
    HasList,
    /// No command is named, or a text is empty.
    HasEmpty,
}

impl Rule {
    /// Whether the rule may stand in an object of that dialect.
    ///
    /// # Errors
    /// What the dialect does not allow.
    pub(super) fn check(&self, dialect: Dialect) -> Result<(), String> {
        match (dialect, self.strict) {
            (Dialect::Cilium, Strictness::HasList) => {
                Err("lists are for objects of our own kind: write one rule for each `command` and key".to_owned())
            }
            (Dialect::Strict, Strictness::HasEmpty) => {
                Err("name at least one `command`, and leave out keys that are empty: nothing is implied".to_owned())
            }
            _ => Ok(()),
        }
    }
}

impl Rule {
    /// What the rule demands.
    pub(super) fn outline(&self) -> Outline {
        let keyed = self.keys != KeySpec::Any;
        let commands = if keyed { self.commands.only(Commands::KEYED) } else { self.commands };
        let mut outline = Outline::default().demand("command", "command", Wants::Kinds(commands.bits()));
        outline.never = self.never().map(str::to_owned);
        let (field, wants) = match self.keys.clone() {
            KeySpec::Any => return outline,
            KeySpec::Exact(texts) => ("keyExact", Wants::Exact(texts)),
            KeySpec::Prefix(texts) => ("keyPrefix", Wants::Prefix(texts)),
            KeySpec::Regex(texts) => {
                ("keyRegex", Wants::Regex { texts, exact: Some("keyExact"), prefix: Some("keyPrefix") })
            }
        };
        outline.demand("key", field, wants)
    }

    /// Why no request matches.
    fn never(&self) -> Option<&'static str> {
        if self.commands.is_unimplemented() {
            return Some("no memcached has the command");
        }
        match &self.keys {
            KeySpec::Exact(texts) | KeySpec::Prefix(texts) if texts.iter().all(|text| text.len() > MAX_KEY) => {
                Some("no key of memcached has more than 250 bytes")
            }
            _ => None,
        }
    }
}

/// Bytes of a key: `KEY_MAX_LENGTH` of memcached.
const MAX_KEY: usize = 250;

/// The rule before it is known to be one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    command: Texts,
    #[serde(default)]
    key_exact: Texts,
    #[serde(default)]
    key_prefix: Texts,
    #[serde(default)]
    key_regex: Texts,
}

impl TryFrom<Spec> for Rule {
    type Error = String;

    fn try_from(spec: Spec) -> Result<Self, String> {
        let Spec { command, key_exact, key_prefix, key_regex } = spec;
        let all = [&command, &key_exact, &key_prefix, &key_regex];
        let strict = if all.iter().any(|texts| texts.list) {
            Strictness::HasList
        } else if command.is_empty() || all.iter().any(|texts| texts.has_empty()) {
            Strictness::HasEmpty
        } else {
            Strictness::Neither
        };
        let mut kinds = Vec::new();
        for (name, texts, kind) in [
            ("keyExact", key_exact, KeySpec::Exact as fn(Vec<String>) -> KeySpec),
            ("keyPrefix", key_prefix, KeySpec::Prefix),
            ("keyRegex", key_regex, KeySpec::Regex),
        ] {
            if texts.list && texts.has_empty() {
                return Err(format!("`{name}` has an empty text, which would match every key: leave it out"));
            }
            if !texts.is_empty() {
                kinds.push((name, kind(texts.texts)));
            }
        }
        let keys = match (kinds.pop(), kinds.pop()) {
            (None, _) => KeySpec::Any,
            (Some((_, keys)), None) => keys,
            (Some((second, _)), Some((first, _))) => {
                return Err(format!("`{first}` and `{second}` in one rule: only one kind of key may be given"));
            }
        };
        if command.is_empty() && keys != KeySpec::Any {
            return Err("a key without a `command`: name the commands that may use the key".to_owned());
        }
        if command.list && command.has_empty() {
            return Err("`command` has an empty name in its list".to_owned());
        }
        let mut commands = if command.is_empty() { Commands::ALL } else { Commands::NONE };
        for name in command.texts.iter().filter(|_| !command.is_empty()) {
            let known = Commands::named(name).ok_or_else(|| unknown(name))?;
            commands = commands | known;
        }
        if keys != KeySpec::Any && !commands.intersects(Commands::KEYED) {
            return Err("a key for commands that have none: the rule would match nothing".to_owned());
        }
        Ok(Self { commands, keys, strict })
    }
}

fn unknown(name: &str) -> String {
    match suggest(name) {
        Some(likely) => format!("`{name}` is no memcached command or group: write `{likely}`"),
        None => format!("`{name}` is no memcached command or group: see docs/memcache.md for the names"),
    }
}

/// One text or a list of them. A null is one empty text, which counts as none.
#[derive(Default)]
struct Texts {
    texts: Vec<String>,
    list: bool,
}

impl Texts {
    fn is_empty(&self) -> bool {
        self.texts.iter().all(String::is_empty)
    }

    fn has_empty(&self) -> bool {
        self.texts.iter().any(String::is_empty) || self.list && self.texts.is_empty()
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts { texts: vec![text.to_owned()], list: false })
            }

            fn visit_unit<E: de::Error>(self) -> Result<Texts, E> {
                self.visit_str("")
            }

            fn visit_none<E: de::Error>(self) -> Result<Texts, E> {
                self.visit_str("")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Texts, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = seq.next_element()? {
                    texts.push(text);
                }
                Ok(Texts { texts, list: true })
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Rule, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn rules_that_can_be_enforced_are_read() {
        let get = Commands::named("get").unwrap();
        for (json, commands, keys) in [
            (r#"{}"#, Commands::ALL, KeySpec::Any),
            (r#"{"command": null}"#, Commands::ALL, KeySpec::Any),
            (r#"{"command": ""}"#, Commands::ALL, KeySpec::Any),
            (r#"{"command": "get"}"#, get, KeySpec::Any),
            (r#"{"command": "get", "keyExact": null}"#, get, KeySpec::Any),
            (r#"{"command": "get", "keyPrefix": "a/"}"#, get, KeySpec::Prefix(vec!["a/".to_owned()])),
            (r#"{"command": "get", "keyRegex": "^a"}"#, get, KeySpec::Regex(vec!["^a".to_owned()])),
        ] {
            let rule = read(json).unwrap();
            assert_eq!((rule.commands, &rule.keys), (commands, &keys), "{json}");
            assert_eq!(rule.check(Dialect::Cilium), Ok(()), "{json}");
        }
    }

    #[test]
    fn rules_that_would_mean_more_or_less_than_they_say_are_refused() {
        for (json, error) in [
            (r#"{"command": "gets"}"#, "`gets` is no memcached command"),
            (r#"{"command": "writegroup"}"#, "write `writeGroup`"),
            (r#"{"keyExact": "a"}"#, "a key without a `command`"),
            (r#"{"command": null, "keyPrefix": "a"}"#, "a key without a `command`"),
            (r#"{"command": "get", "keyExact": "a", "keyPrefix": "b"}"#, "`keyExact` and `keyPrefix`"),
            (r#"{"command": "get", "keyPrefix": "a", "keyRegex": "b"}"#, "`keyPrefix` and `keyRegex`"),
            (r#"{"command": "get", "keyprefix": "a"}"#, "unknown field `keyprefix`"),
            (r#"{"command": "stats", "keyPrefix": "a"}"#, "would match nothing"),
            (r#"{"command": ["get", ""]}"#, "empty name"),
            (r#"{"command": "get", "keyPrefix": ["a", ""]}"#, "match every key"),
            (r#"{"command": "get", "keyPrefix": []}"#, "match every key"),
            (r#"{"command": []}"#, "empty name"),
            (r#"{"command": 1}"#, "a text or a list of texts"),
        ] {
            let refused = read(json).unwrap_err();
            assert!(refused.contains(error), "{json}: {refused}");
        }
    }

    #[test]
    fn each_dialect_refuses_what_is_not_its_own() {
        for (json, cilium, strict) in [
            (r#"{"command": "get"}"#, true, true),
            (r#"{"command": ["get", "set"], "keyExact": ["a", "b"]}"#, false, true),
            (r#"{}"#, true, false),
            (r#"{"command": "get", "keyExact": ""}"#, true, false),
        ] {
            let rule = read(json).unwrap();
            assert_eq!(rule.check(Dialect::Cilium).is_ok(), cilium, "{json}");
            assert_eq!(rule.check(Dialect::Strict).is_ok(), strict, "{json}");
        }
    }
}
