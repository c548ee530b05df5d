//! All rules of a block, compiled together.

use portcullis_policy::lint::Outline;
use portcullis_policy::matcher::{KeyMatcher, KeyMatcherBuilder, KeyPattern};
use portcullis_policy::{Dialect, Effect, L7Decision, Located, Mismatch, RuleError, RuleSet};

use super::commands::Commands;
use super::request::{Keys, Request};
use super::rule::{KeySpec, Rule};

/// The compiled rules.
pub struct Rules {
    keys: KeyMatcher,
    denies: bool,
    /// The rules as they were written, for `explain`.
    written: Vec<Located<Rule>>,
    dialect: Dialect,
}

impl RuleSet for Rules {
    type Rule = Rule;
    type Request<'a> = Request<'a>;

    fn compile(rules: Vec<Located<Rule>>, dialect: Dialect) -> Result<Self, RuleError> {
        let mut keys = KeyMatcherBuilder::new(dialect);
        for located in &rules {
            located.rule.check(dialect).map_err(|message| RuleError::new(located.id, message))?;
            add(&mut keys, located, located.effect)?;
        }
        let denies = rules.iter().any(|located| located.effect == Effect::Deny);
        Ok(Self { keys: keys.build()?, denies, written: rules, dialect })
    }

    fn decide(&self, request: &Request<'_>) -> L7Decision {
        decide(&self.keys, self.denies, request)
    }

    fn explain(&self, request: &Request<'_>) -> Vec<Mismatch> {
        let mut misses: Vec<Mismatch> = self.written.iter().filter_map(|rule| self.miss(rule, request)).collect();
        misses.sort_by_key(|miss| miss.field == COMMAND);
        misses
    }

    fn outline(rule: &Rule) -> Option<Outline> {
        Some(rule.outline())
    }
}

impl Rules {
    /// The field of one rule that keeps it from applying to a request, if one does.
    fn miss(&self, located: &Located<Rule>, request: &Request<'_>) -> Option<Mismatch> {
        let Located { id, rule, .. } = located;
        let mut alone = KeyMatcherBuilder::new(self.dialect);
        add(&mut alone, located, Effect::Allow).ok()?;
        let alone = alone.build().ok()?;
        if decide(&alone, false, request) != L7Decision::NoMatch {
            return None;
        }
        let field = match &rule.keys {
            _ if !rule.commands.contains(request.needs) => COMMAND,
            KeySpec::Any => COMMAND,
            KeySpec::Exact(_) => "keyExact",
            KeySpec::Prefix(_) => "keyPrefix",
            KeySpec::Regex(_) => "keyRegex",
        };
        Some(Mismatch { rule: *id, field })
    }
}

/// Adds a rule, for the commands that it is about. One with a key is about commands that have keys.
fn add(keys: &mut KeyMatcherBuilder, located: &Located<Rule>, effect: Effect) -> Result<(), RuleError> {
    let Located { id, rule, .. } = located;
    let keyed = rule.commands.only(Commands::KEYED).bits();
    match &rule.keys {
        KeySpec::Any => keys.add(KeyPattern::Any, rule.commands.bits(), *id, effect),
        KeySpec::Exact(texts) => {
            texts.iter().try_for_each(|text| keys.add(KeyPattern::Exact(text.as_bytes()), keyed, *id, effect))
        }
        KeySpec::Prefix(texts) => {
            texts.iter().try_for_each(|text| keys.add(KeyPattern::Prefix(text.as_bytes()), keyed, *id, effect))
        }
        KeySpec::Regex(texts) => {
            texts.iter().try_for_each(|text| keys.add(KeyPattern::Regex(text), keyed, *id, effect))
        }
    }
}

/// Every command that the request can perform must be admitted on every key, by whichever rules; the rule of the last one
/// stands for all. What any rule denies is denied.
fn decide(rules: &KeyMatcher, denies: bool, request: &Request<'_>) -> L7Decision {
    let mut allowed = None;
    let mut missing = false;
    for command in request.needs.iter() {
        let class = command.bits();
        let keyless = (request.keys == Keys::None).then(|| rules.decide_keyless(class));
        let keyed = request.keys.iter().map(|key| rules.decide(class, key));
        for decision in keyless.into_iter().chain(keyed) {
            match decision {
                L7Decision::Deny(_) => return decision,
                L7Decision::Allow(rule) => allowed = Some(rule),
                L7Decision::NoMatch if !denies => return decision,
                L7Decision::NoMatch => missing = true,
            }
        }
    }
    match allowed {
        Some(rule) if !missing => L7Decision::Allow(rule),
        _ => L7Decision::NoMatch,
    }
}

/// The field whose mismatch is the farthest miss.
const COMMAND: &str = "command";

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up has failed")]
mod tests {
    use portcullis_policy::RuleId;
    use proptest::prelude::*;

    use super::*;
    use crate::memcache::commands::Commands;

    /// Rules as JSON; those that begin with `!` deny.
    fn compile(rules: &[&str], dialect: Dialect) -> Result<Rules, RuleError> {
        let read = |(n, text): (usize, &&str)| {
            let (effect, json) = text.strip_prefix('!').map_or((Effect::Allow, *text), |json| (Effect::Deny, json));
            let id = RuleId::nth(u32::try_from(n).unwrap());
            Located { id, effect, rule: serde_json::from_str(json).expect(text) }
        };
        Rules::compile(rules.iter().enumerate().map(read).collect(), dialect)
    }

    fn request<'a>(command: &str, keys: Keys<'a>) -> Request<'a> {
        Request { name: "", needs: Commands::named(command).unwrap(), keys }
    }

    fn decide(rules: &Rules, command: &str, keys: &str) -> L7Decision {
        let keys = if keys.is_empty() { Keys::None } else { Keys::List(keys.as_bytes()) };
        rules.decide(&request(command, keys))
    }

    const fn allow(n: u32) -> L7Decision {
        L7Decision::Allow(RuleId::nth(n))
    }

    const fn deny(n: u32) -> L7Decision {
        L7Decision::Deny(RuleId::nth(n))
    }

    #[test]
    fn every_key_must_be_admitted_by_some_rule_and_none_may_be_denied() {
        let rules = compile(
            &[
                r#"{"command": "get", "keyExact": "a"}"#,
                r#"{"command": "writeGroup", "keyPrefix": "fleet/"}"#,
                r#"{"command": "get", "keyRegex": "[0-9]$"}"#,
                r#"!{"command": "get", "keyPrefix": "secret"}"#,
                r#"{"command": "stats"}"#,
                r#"{"command": "get", "keyPrefix": "fleet/"}"#,
                r#"!{"command": "flush_all"}"#,
            ],
            Dialect::Cilium,
        )
        .unwrap();
        for (command, keys, expected) in [
            ("get", "a", allow(0)),
            ("get", "ab", L7Decision::NoMatch),
            ("get", "a fleet/x", allow(5)),
            ("get", "a b", L7Decision::NoMatch),
            ("get", "b a", L7Decision::NoMatch),
            ("get", "x1 a", allow(0)),
            ("get", "secret1", deny(3)),
            ("get", "a secret1", deny(3)),
            ("set", "fleet/", allow(1)),
            ("set", "fleet", L7Decision::NoMatch),
            ("set", "a", L7Decision::NoMatch),
            ("gat", "a", L7Decision::NoMatch),
            ("stats", "", allow(4)),
            ("version", "", L7Decision::NoMatch),
            ("flush_all", "", deny(6)),
        ] {
            assert_eq!(decide(&rules, command, keys), expected, "{command} {keys}");
        }
    }

    #[test]
    fn what_a_request_can_do_may_be_admitted_by_several_rules() {
        let rules = compile(
            &[r#"{"command": "append", "keyPrefix": "l/"}"#, r#"{"command": "add", "keyExact": "l/a"}"#],
            Dialect::Cilium,
        )
        .unwrap();
        let both = |key: &'static [u8]| {
            rules.decide(&Request { name: "ms", needs: Commands::APPEND | Commands::ADD, keys: Keys::One(key) })
        };
        assert!(matches!(both(b"l/a"), L7Decision::Allow(_)));
        assert_eq!(both(b"l/b"), L7Decision::NoMatch);
    }

    #[test]
    fn an_empty_rule_admits_everything_and_no_rule_nothing() {
        let all = compile(&["{}"], Dialect::Cilium).unwrap();
        let none = compile(&[], Dialect::Cilium).unwrap();
        for (command, keys) in [("get", "a"), ("flush_all", ""), ("shutdown", "")] {
            assert_eq!(decide(&all, command, keys), allow(0));
            assert_eq!(decide(&none, command, keys), L7Decision::NoMatch);
        }
    }

    #[test]
    fn regexes_search_in_one_dialect_and_match_the_whole_in_the_other() {
        let rules = [r#"{"command": "get", "keyRegex": "b|cd"}"#];
        let cilium = compile(&rules, Dialect::Cilium).unwrap();
        let strict = compile(&rules, Dialect::Strict).unwrap();
        for (key, searched, whole) in
            [("abc", true, false), ("b", true, true), ("cd", true, true), ("bcd", true, false)]
        {
            assert_eq!(decide(&cilium, "get", key) == allow(0), searched, "{key}");
            assert_eq!(decide(&strict, "get", key) == allow(0), whole, "{key}");
        }
    }

    #[test]
    fn regexes_that_are_none_are_refused_with_their_rule() {
        for pattern in ["(", "a)|(b"] {
            let rule = format!(r#"{{"command": "get", "keyRegex": "{pattern}"}}"#);
            for dialect in [Dialect::Cilium, Dialect::Strict] {
                let refused = compile(&[r#"{"command": "get"}"#, &rule], dialect).err();
                assert_eq!(refused.and_then(|error| error.rule), Some(RuleId::nth(1)), "{pattern} {dialect:?}");
            }
        }
    }

    #[test]
    fn explain_names_the_field_that_keeps_each_rule_from_applying() {
        let rules = compile(
            &[
                r#"{"command": "set"}"#,
                r#"{"command": "get", "keyExact": "a"}"#,
                r#"{"command": "get", "keyPrefix": "x"}"#,
                r#"{"command": "get", "keyRegex": "^x"}"#,
            ],
            Dialect::Cilium,
        )
        .unwrap();
        let misses: Vec<_> =
            rules.explain(&request("get", Keys::One(b"b"))).into_iter().map(|miss| miss.field).collect();
        assert_eq!(misses, ["keyExact", "keyPrefix", "keyRegex", "command"]);
        assert_eq!(rules.explain(&request("get", Keys::One(b"a"))).len(), 3);
    }

    proptest! {
        /// The set decides as its rules do one by one, tried in any order.
        #[test]
        fn a_set_decides_as_its_rules_one_by_one(
            rules in proptest::collection::vec((0..4_u8, "[ab]{0,3}", any::<bool>(), 0..3_u8), 0..12),
            key in "[ab]{1,4}",
            command in 0..3_u8,
        ) {
            let name = |n: u8| ["get", "set", "storage"][usize::from(n)];
            let text = |(kind, text, deny, command): &(u8, String, bool, u8)| {
                let field = ["keyExact", "keyPrefix", "keyRegex", "none"][usize::from(*kind)];
                let bang = if *deny { "!" } else { "" };
                let key = if field == "none" || text.is_empty() { String::new() } else { format!(r#", "{field}": "{text}""#) };
                format!(r#"{bang}{{"command": "{}"{key}}}"#, name(*command))
            };
            let texts: Vec<String> = rules.iter().map(text).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let needs = Commands::named(name(command)).unwrap();
            // Only one command at a time can be judged rule by rule.
            let needs = if name(command) == "storage" { Commands::INCR } else { needs };
            let request = Request { name: "", needs, keys: Keys::One(key.as_bytes()) };
            let together = compile(&texts, Dialect::Cilium).unwrap().decide(&request);
            let alone = |text: &&str| compile(&[text], Dialect::Cilium).unwrap().decide(&request);
            let alone: Vec<_> = texts.iter().map(alone).collect();
            let denied = alone.iter().any(|decision| matches!(decision, L7Decision::Deny(_)));
            let allowed = alone.iter().any(|decision| matches!(decision, L7Decision::Allow(_)));
            match together {
                L7Decision::Deny(id) => prop_assert!(matches!(alone[id.index()], L7Decision::Deny(_))),
                L7Decision::Allow(id) => prop_assert!(!denied && matches!(alone[id.index()], L7Decision::Allow(_))),
                L7Decision::NoMatch => prop_assert!(!denied && !allowed),
            }
        }
    }
}
