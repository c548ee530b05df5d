#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use serde::Deserialize;

use super::*;
use crate::l7::Dialect;

#[derive(Deserialize)]
#[serde(untagged)]
enum Row {
    Pattern { pattern: String, ok: bool, matches_hex: Option<Vec<String>> },
    Inputs { inputs_hex: Vec<String> },
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// What Go 1.25 answers: one pattern a line, with those of the inputs in the last line that it matches.
#[test]
fn go_regexes_answer_as_in_go() {
    let table = include_str!("../../testdata/go-regex-table.jsonl");
    let rows: Vec<Row> = table.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let Some(Row::Inputs { inputs_hex }) = rows.last() else { panic!("the last line has no inputs") };
    let mut compared = 0;
    for row in &rows {
        let Row::Pattern { pattern, ok, matches_hex } = row else { continue };
        let regex = Regex::compile(pattern, Dialect::Cilium);
        assert_eq!(regex.is_ok(), *ok, "{pattern:?}: {regex:?}");
        let Ok(regex) = regex else { continue };
        for input in inputs_hex {
            let wanted = matches_hex.as_ref().is_some_and(|matches| matches.contains(input));
            assert_eq!(regex.is_match(&unhex(input)), wanted, "{pattern:?} on {input}");
            compared += 1;
        }
    }
    assert!(compared > 1500, "{compared}");
}

#[test]
fn more_of_go() {
    let rows: &[(&str, &str, bool)] = &[
        ("^a$", "a\n", false),
        ("(?m)^a$", "b\na\nc", true),
        ("(?i)straße", "STRAẞE", true),
        (r"\p{Lu}", "É", true),
        (r"\p{^Lu}", "É", false),
        (r"\P{Greek}", "α", false),
        (r"(?i)[^k]", "\u{212a}", false),
        (r"(?i)\w", "ſ", true),
        (r"\Qa*\E*$", "ba***", true),
        ("a(?i)b(?-i)c", "aBc", true),
        ("a((?i)b)c", "aBC", false),
        ("(?i:a)b|c", "c", true),
        (r"\x{10FFFF}", "\u{10ffff}", true),
        (r"[\x{D700}-\x{E000}]", "\u{e000}", true),
        (r"^[^\x{0}-\x{10FFFF}]", "a", false),
        (r"\07", "\u{7}", true),
        ("a{2,3}?$", "aa", true),
        ("^a{0}$", "", true),
        ("x{,2}", "x{,2}", true),
        ("[[:alpha:][:digit:]]", "7", true),
        ("[[:foo]", ":", true),
        ("(?P<a>x)(?<b>y)", "xy", true),
        (r"\bfoo\b", "éfooé", true),
    ];
    for (pattern, text, wanted) in rows {
        let regex = Regex::compile(pattern, Dialect::Cilium).unwrap();
        assert_eq!(regex.is_match(text.as_bytes()), *wanted, "{pattern} on {text}");
    }
    let refused = [
        "*",
        "(*)",
        "a|*",
        "a{1001,}",
        "[[:foo:]]",
        r"\p{Foo}",
        r"\p{IsGreek}",
        r"\p{Grek}",
        r"\p{gc=L}",
        r"\pé",
        r"\1",
        "[a",
        "a\\",
        "(?i",
        "(?P<a>x)(?P<a>y)",
        "(?P<>x)",
        "(?<=a)b",
        "(?--i)",
        "(?i-)",
        r"\x{110000}",
        r"\x{}",
        r"\xg0",
        "a??*",
        r"[\Qa\E]",
    ];
    for pattern in refused {
        assert!(Regex::compile(pattern, Dialect::Cilium).is_err(), "{pattern}");
    }
}

#[test]
fn bytes_that_are_no_text_count_one_by_one() {
    let two = Regex::compile("^..$", Dialect::Cilium).unwrap();
    assert!(
        two.is_match(b"\xe2\x84")
            && !two.is_match(b"\xff")
            && !two.is_match("é".as_bytes())
            && two.is_match("éé".as_bytes())
    );
    assert!(Regex::compile(r"^\x{FFFD}$", Dialect::Cilium).unwrap().is_match(b"\xff"));
    assert!(Regex::compile("a.c", Dialect::Strict).unwrap().is_match(b"a\xffc"));
}

#[test]
fn strict_regexes_match_the_whole() {
    let regex = Regex::compile("a|bc", Dialect::Strict).unwrap();
    for (text, wanted) in [("a", true), ("bc", true), ("ab", false), ("xbc", false), ("a\n", false), ("", false)] {
        assert_eq!(regex.is_match(text.as_bytes()), wanted, "{text:?}");
    }
    let error = Regex::compile("(a", Dialect::Strict).unwrap_err();
    assert_eq!(error, "the regex `(a` is refused: unclosed group");
}

/// Small automata are made whole, large ones as they are used: both must find what each regex finds alone.
#[test]
fn many_regexes_match_as_each_alone_does() {
    let names = |n: u32| (0..40_usize).map(move |m| format!("name-{n}-{m}-{}", "x".repeat(m)));
    for start in ["^openshift-", "^", "openshift-", ""] {
        let pattern = |n| format!("{start}({})$", names(n).collect::<Vec<_>>().join("|"));
        for count in [1, 2, 8, 32, 128] {
            let mut builder = KeyMatcherBuilder::new(Dialect::Cilium);
            for n in 0..count {
                builder.add(KeyPattern::Regex(&pattern(n)), 1, RuleId::nth(n), Effect::Deny).unwrap();
            }
            let matcher = builder.build().unwrap();
            let begin = if start.contains("openshift") { "openshift-" } else { "" };
            for (n, name) in (0..count).flat_map(|n| names(n).map(move |name| (n, name))).step_by(7) {
                let key = format!("{begin}{name}");
                assert_eq!(matcher.decide(1, key.as_bytes()), L7Decision::Deny(RuleId::nth(n)), "{count}: {key}");
                assert_eq!(matcher.decide(1, format!("{key}y").as_bytes()), L7Decision::NoMatch, "{count}: {key}y");
            }
        }
    }
}

#[test]
fn large_regexes_are_refused_in_time() {
    for pattern in [
        "a".repeat(20_000),
        "(".repeat(5_000),
        format!("{}a{}", "(".repeat(200), ")".repeat(200)),
        r"(\pL{100}){10}".to_owned(),
        r"\pL{1000}".to_owned(),
        r"((\w{10}){10}){10}\pL{1000}".to_owned(),
    ] {
        for dialect in [Dialect::Cilium, Dialect::Strict] {
            let error = Regex::compile(&pattern, dialect).unwrap_err();
            assert!(error.len() < 300, "{error}");
        }
    }
}

mod matchers {
    use proptest::prelude::*;

    use super::*;
    use crate::{Effect, L7Decision, RuleId};

    #[derive(Clone, Debug)]
    enum Pattern {
        Any,
        Exact(Vec<u8>),
        Prefix(Vec<u8>),
        Regex(String),
    }

    #[derive(Clone, Debug)]
    struct Rule {
        pattern: Pattern,
        classes: u64,
        effect: Effect,
    }

    impl Rule {
        fn borrow(&self) -> KeyPattern<'_> {
            match &self.pattern {
                Pattern::Any => KeyPattern::Any,
                Pattern::Exact(key) => KeyPattern::Exact(key),
                Pattern::Prefix(prefix) => KeyPattern::Prefix(prefix),
                Pattern::Regex(regex) => KeyPattern::Regex(regex),
            }
        }

        /// One rule, looked at by itself.
        fn matches(&self, dialect: Dialect, class: u64, key: &[u8]) -> bool {
            let key_matches = match &self.pattern {
                Pattern::Any => true,
                Pattern::Exact(exact) => key == exact,
                Pattern::Prefix(prefix) => key.starts_with(prefix),
                Pattern::Regex(regex) => Regex::compile(regex, dialect).unwrap().is_match(key),
            };
            key_matches && self.classes & class != 0
        }
    }

    fn key() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            8 => "[abc/]{0,6}".prop_map(String::into_bytes),
            1 => proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), Just(0xff), Just(0xc3), Just(0xa9)], 0..6),
        ]
    }

    fn regex() -> impl Strategy<Value = String> {
        let atom = prop_oneof![
            4 => "[abc/]{1,4}", 1 => Just(".".to_owned()), 1 => Just(".*".to_owned()), 1 => Just("[a-b]+".to_owned()),
            1 => Just("(?:abc|bca)".to_owned()), 1 => Just("é".to_owned()), 1 => Just("(?i:ABC)".to_owned()), 1 => Just("\u{fffd}".to_owned()),
        ];
        let body = proptest::collection::vec(atom, 0..4).prop_map(|atoms| atoms.concat());
        (prop_oneof![Just(""), Just("^")], body, prop_oneof![3 => Just(""), 1 => Just("$")])
            .prop_map(|(start, body, end)| format!("{start}{body}{end}"))
    }

    fn rule() -> impl Strategy<Value = Rule> {
        let pattern = prop_oneof![
            1 => Just(Pattern::Any),
            6 => key().prop_map(Pattern::Exact),
            6 => key().prop_map(Pattern::Prefix),
            12 => regex().prop_map(Pattern::Regex),
        ];
        let effect = prop_oneof![4 => Just(Effect::Allow), 1 => Just(Effect::Deny)];
        (pattern, 1_u64..8, effect).prop_map(|(pattern, classes, effect)| Rule { pattern, classes, effect })
    }

    proptest! {
        #[test]
        fn a_matcher_decides_as_its_rules_one_by_one(
            rules in proptest::collection::vec(rule(), 0..12),
            keys in proptest::collection::vec(key(), 1..8),
            strict in any::<bool>(),
        ) {
            let dialect = if strict { Dialect::Strict } else { Dialect::Cilium };
            let mut builder = KeyMatcherBuilder::new(dialect);
            for (n, rule) in (0..).zip(&rules) {
                builder.add(rule.borrow(), rule.classes, RuleId::nth(n), rule.effect).unwrap();
            }
            let matcher = builder.build().unwrap();
            for key in &keys {
                for class in [1, 2, 4] {
                    let matching = |effect| rules.iter().any(|rule| rule.effect == effect && rule.matches(dialect, class, key));
                    let decision = matcher.decide(class, key);
                    let (id, effect) = match decision {
                        L7Decision::NoMatch => {
                            prop_assert!(!matching(Effect::Allow) && !matching(Effect::Deny), "{key:?}");
                            continue;
                        }
                        L7Decision::Allow(id) => (id, Effect::Allow),
                        L7Decision::Deny(id) => (id, Effect::Deny),
                    };
                    let named = &rules[id.index()];
                    prop_assert!(named.effect == effect && named.matches(dialect, class, key), "{decision:?} for {key:?}");
                    prop_assert!(effect == Effect::Deny || !matching(Effect::Deny), "{decision:?} for {key:?}");
                }
            }
            for class in [1, 2, 4] {
                let has = |effect| rules.iter().any(|rule| rule.effect == effect && rule.classes & class != 0);
                let wanted = if has(Effect::Deny) { "Deny" } else if has(Effect::Allow) { "Allow" } else { "NoMatch" };
                let decision = format!("{:?}", matcher.decide_keyless(class));
                prop_assert!(decision.starts_with(wanted), "{decision} is not {wanted}");
            }
        }
    }

    #[test]
    fn a_literal_may_be_there_many_times_before_the_match() {
        for effect in [Effect::Allow, Effect::Deny] {
            let mut builder = KeyMatcherBuilder::new(Dialect::Cilium);
            builder.add(KeyPattern::Regex("foo[0-9]"), 1, RuleId::nth(0), effect).unwrap();
            builder.add(KeyPattern::Regex("(?:bar|baz)[0-9]"), 1, RuleId::nth(1), effect).unwrap();
            let matcher = builder.build().unwrap();
            for times in 0..12 {
                for (literal, id) in [("foo", 0), ("baz", 1)] {
                    let key = literal.repeat(times);
                    assert_eq!(matcher.decide(1, key.as_bytes()), L7Decision::NoMatch);
                    let decision = matcher.decide(1, format!("{key}{literal}1").as_bytes());
                    let wanted = RuleId::nth(id);
                    assert!(
                        matches!(decision, L7Decision::Allow(id) | L7Decision::Deny(id) if id == wanted),
                        "{times} {decision:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn many_literals_may_be_there_many_times() {
        let mut builder = KeyMatcherBuilder::new(Dialect::Cilium);
        for n in 0..20_u32 {
            let pattern = format!("lit{n:02}[0-9]");
            builder.add(KeyPattern::Regex(&pattern), 1, RuleId::nth(n), Effect::Allow).unwrap();
        }
        let matcher = builder.build().unwrap();
        let all: String = (0..20).map(|n| format!("lit{n:02}x")).collect();
        for times in 0..8 {
            let key = all.repeat(times);
            assert_eq!(matcher.decide(1, key.as_bytes()), L7Decision::NoMatch, "{times}");
            for n in 0..20_u32 {
                let key = format!("{key}lit{n:02}7");
                assert_eq!(matcher.decide(1, key.as_bytes()), L7Decision::Allow(RuleId::nth(n)), "{times} {n}");
            }
        }
    }

    #[test]
    fn thousands_of_regexes_are_told_apart() {
        let mut builder = KeyMatcherBuilder::new(Dialect::Cilium);
        for n in 0..2_000_u32 {
            let pattern = match n % 3 {
                0 => format!("^fleet/{n:05}/[0-9]+$"),
                1 => format!("ship-{n:05}-[a-z]"),
                _ => format!("^fleet/{n:05}/.*"),
            };
            builder.add(KeyPattern::Regex(&pattern), 1, RuleId::nth(n), Effect::Allow).unwrap();
        }
        let matcher = builder.build().unwrap();
        for (key, wanted) in [
            ("fleet/00003/7", Some(3)),
            ("fleet/00003/7x", None),
            ("a/ship-00004-x", Some(4)),
            ("fleet/00005/é", Some(5)),
            ("ship-00007-1 ship-00007-2 ship-00007-x", Some(7)),
            ("ship-00001-", None),
            ("", None),
        ] {
            let wanted = wanted.map_or(L7Decision::NoMatch, |n| L7Decision::Allow(RuleId::nth(n)));
            assert_eq!(matcher.decide(1, key.as_bytes()), wanted, "{key}");
        }
    }
}
