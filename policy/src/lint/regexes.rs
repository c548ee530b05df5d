//! What is doubtful about a regex by itself.

use std::collections::HashSet;

use regex_automata::Anchored;
use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::start;
use regex_syntax::hir::{Dot, Hir, HirKind, Look};

use super::{Finding, Fix, Lint};
use crate::l7::Dialect;
use crate::matcher::{Shape, parse};
use crate::node::{Node, shorten};

/// A regex as it stands in a rule.
pub(super) struct Written<'a> {
    pub(super) text: &'a str,
    pub(super) node: &'a Node,
    pub(super) dialect: Dialect,
    pub(super) rule: &'a str,
    /// The field it stands in, and those that say the same of a plain text and of a prefix.
    pub(super) field: &'static str,
    pub(super) exact: Option<&'static str>,
    pub(super) prefix: Option<&'static str>,
    /// Whether it is the only text of its field, so that the field can be renamed.
    pub(super) alone: bool,
}

impl Written<'_> {
    pub(super) fn check(&self, found: &mut Vec<Finding>) {
        let Ok(hir) = parse(self.text, self.dialect) else { return };
        let shape = Shape::of(&hir);
        if matches!(shape, Shape::Any) || matches_all(&hir) {
            let message = format!("`{}` matches every text", shorten(self.text));
            let better = format!("leave `{}` out, if no text is to be told from another", self.field);
            return found.push(self.finding(Lint::RegexMatchesAll, message, better));
        }
        if self.dialect == Dialect::Cilium && !hir.properties().look_set_prefix().contains(Look::Start) {
            found.push(self.unanchored());
        }
        if let Some(dots) = find_dots(self.text) {
            found.push(self.dots(&dots));
        }
        match &shape {
            Shape::Exact(text) => self.is_text(text, self.exact, "the one text", found),
            Shape::Prefix(text) => self.is_text(text, self.prefix, "what begins with", found),
            Shape::Any | Shape::Other => {}
        }
    }

    fn finding(&self, lint: Lint, message: String, better: String) -> Finding {
        Finding {
            lint,
            place: self.node.place.clone(),
            rule: format!("{}.{}", self.rule, self.field),
            message,
            better,
            fix: None,
        }
    }

    fn unanchored(&self) -> Finding {
        let anchored = match top_level_bar(self.text) {
            true => format!("^(?:{})", self.text),
            false => format!("^{}", self.text.trim_start_matches('^')),
        };
        let example = if self.text.chars().all(|c| c.is_ascii_alphanumeric() || "/_-:".contains(c)) {
            format!(", `x{0}` too", self.text)
        } else {
            String::new()
        };
        let message = format!("`{}` is searched for anywhere{example}", shorten(self.text));
        let prefix = self.prefix.map(|prefix| format!(", or `{prefix}` where it is a plain text")).unwrap_or_default();
        self.finding(Lint::UnanchoredRegex, message, format!("`{}`{prefix}", one_line(&anchored)))
    }

    fn dots(&self, dots: &Dots) -> Finding {
        let message = format!("in `{}` the `.` stands for any character", shorten(self.text));
        let mut finding = self.finding(Lint::DotInRegex, message, format!("`{}`", one_line(&dots.escaped)));
        if dots.certain {
            finding.fix = Some(Fix::Replace { place: self.node.place.clone(), text: dots.escaped.clone() });
        }
        finding
    }

    fn is_text(&self, text: &[u8], field: Option<&'static str>, means: &str, found: &mut Vec<Finding>) {
        let (Some(field), Ok(text)) = (field, std::str::from_utf8(text)) else { return };
        if text.is_empty() {
            return;
        }
        let message = format!("`{}` matches {means} `{}`", shorten(self.text), shorten(text));
        let mut finding = self.finding(Lint::RegexIsText, message, format!("`{field}: {}`", one_line(text)));
        if self.alone {
            finding.fix = Some(Fix::ReplaceEntry {
                place: self.node.place.clone(),
                old_key: self.field,
                key: field,
                text: text.to_owned(),
            });
        }
        found.push(finding);
    }
}

/// A text to be copied: as it is, unless it would not stay on its line.
fn one_line(text: &str) -> String {
    /// Longer ones are looked up where they stand.
    const MAX_COPIED: usize = 200;
    if text.len() > MAX_COPIED || text.chars().any(char::is_control) { shorten(text) } else { text.to_owned() }
}

/// Whether nothing but any text is demanded, in an expression that matches the whole.
fn matches_all(hir: &Hir) -> bool {
    let HirKind::Concat(parts) = hir.kind() else { return false };
    let [start, any, end] = parts.as_slice() else { return false };
    let is = |part: &Hir, look| *part.kind() == HirKind::Look(look);
    let HirKind::Repetition(repetition) = any.kind() else { return false };
    let whatever = [Hir::dot(Dot::AnyChar), Hir::dot(Dot::AnyCharExceptLF)].contains(&repetition.sub);
    is(start, Look::Start) && is(end, Look::End) && repetition.min == 0 && repetition.max.is_none() && whatever
}

/// Whether no text matches, where that can be told.
pub(super) fn matches_nothing(text: &str, dialect: Dialect) -> bool {
    let Ok(hir) = parse(text, dialect) else { return false };
    if hir.properties().minimum_len().is_none() {
        return true;
    }
    // Without anchors in its middle an expression that can be read can be matched.
    let middle = match hir.kind() {
        HirKind::Concat(parts) => {
            let is = |part: &Hir, look| *part.kind() == HirKind::Look(look);
            let parts = match parts.as_slice() {
                [first, rest @ ..] if is(first, Look::Start) => rest,
                all => all,
            };
            let parts = match parts {
                [rest @ .., last] if is(last, Look::End) => rest,
                all => all,
            };
            parts.iter().any(|part| !part.properties().look_set().is_empty())
        }
        _ => !hir.properties().look_set().is_empty(),
    };
    middle && has_no_match(&hir)
}

/// Walks all states of the automaton, as far as it stays small.
fn has_no_match(hir: &Hir) -> bool {
    let build = || {
        let nfa = thompson::Compiler::new().build_from_hir(hir).ok()?;
        let config = dense::Config::new()
            .start_kind(StartKind::Unanchored)
            .dfa_size_limit(Some(MAX_DFA_BYTES))
            .determinize_size_limit(Some(MAX_DFA_BYTES));
        dense::Builder::new().configure(config).build_from_nfa(&nfa).ok()
    };
    let Some(dfa) = build() else { return false };
    let Ok(first) = dfa.start_state(&start::Config::new().anchored(Anchored::No)) else { return false };
    let mut seen = HashSet::from([first]);
    let mut open = vec![first];
    while let Some(state) = open.pop() {
        if dfa.is_match_state(state) || dfa.is_match_state(dfa.next_eoi_state(state)) {
            return false;
        }
        for byte in 0..=u8::MAX {
            let next = dfa.next_state(state, byte);
            if seen.insert(next) {
                open.push(next);
            }
        }
    }
    true
}

/// Bytes of an automaton that is walked: a few thousand states, more than anybody writes by hand.
const MAX_DFA_BYTES: usize = 1 << 20;

/// Dots that look as if a dot were meant.
struct Dots {
    escaped: String,
    /// Whether each of them is in a place where names of files and hosts have one.
    certain: bool,
}

/// Finds dots that no repetition follows, between characters as names have them.
fn find_dots(text: &str) -> Option<Dots> {
    // What is between these reads otherwise.
    if text.contains("\\Q") || text.contains("(?x") {
        return None;
    }
    let chars: Vec<char> = text.chars().collect();
    let at = |n: Option<usize>| n.and_then(|n| chars.get(n)).copied();
    let (mut escaped, mut certain, mut found) = (String::with_capacity(text.len()), true, false);
    let (mut in_class, mut after_backslash) = (false, false);
    for (n, &c) in chars.iter().enumerate() {
        let literal = !after_backslash && !in_class;
        let before = at(n.checked_sub(1));
        let after = n.checked_add(1);
        if literal
            && c == '.'
            && before.is_some_and(|c| c.is_ascii_alphanumeric() || "*+?)]}_-".contains(c))
            && at(after).is_some_and(|c| c.is_ascii_alphanumeric())
        {
            found = true;
            let ending = chars.get(n.saturating_add(1)..).unwrap_or_default();
            let word = ending.iter().take_while(|c| c.is_ascii_alphanumeric()).count();
            let end = ending.get(word).copied();
            // `.txt` at the end, `example.com/`: two to six letters, then an end; or one dot more.
            certain &= end == Some('.') || (2..=6).contains(&word) && end.is_none_or(|end| "$|)/:\\".contains(end));
            escaped.push('\\');
        }
        escaped.push(c);
        match c {
            '[' if literal => in_class = true,
            ']' if in_class && !after_backslash => in_class = false,
            _ => {}
        }
        after_backslash = c == '\\' && !after_backslash;
    }
    found.then_some(Dots { escaped, certain })
}

/// Whether an alternative stands outside of all groups, so far as can be seen without reading the expression.
fn top_level_bar(text: &str) -> bool {
    text.contains('|')
}
