//! What cannot fail with an error, but for limits.

use std::cell::Cell;

use regorus::Value;

use crate::code::{Code, ComprKind, Instr, Key, Node, NodeId, NodeKind, Pattern, Ref, Root, Rule, Term};
use crate::compile::tree::Tree;

/// How deep functions may call each other that are found not to fail.
const MAX_CALLS: usize = 16;

/// How many instructions are looked at, some 20 ns each. What is left after that counts as what may fail.
const MAX_WORK: usize = 5_000_000;

pub(super) struct Sound<'t> {
    tree: &'t Tree,
    work: Cell<usize>,
    /// The functions that cannot fail.
    functions: Vec<bool>,
}

impl<'t> Sound<'t> {
    pub(super) fn of(tree: &'t Tree, code: &Code) -> Self {
        let mut sound = Self { tree, work: Cell::new(0), functions: vec![false; code.nodes.len()] };
        for _ in 0..MAX_CALLS {
            let functions = code.nodes.iter().map(|node| sound.function(node)).collect();
            if std::mem::replace(&mut sound.functions, functions) == sound.functions {
                break;
            }
        }
        sound
    }

    /// Whether a path below `data` leads to where no rules are.
    pub(super) fn is_document(&self, keys: &[Key]) -> bool {
        let mut at: NodeId = 0;
        for key in keys {
            let (Key::Const(key), Some(node)) = (key, self.tree.node(at)) else { return false };
            if !node.rules.is_empty() {
                return false;
            }
            match node.children.get(key) {
                Some(next) => at = *next,
                None => return true,
            }
        }
        false
    }

    pub(super) fn is_sound(&self, instr: &Instr) -> bool {
        self.work.set(self.work.get().saturating_add(1));
        if self.work.get() > MAX_WORK {
            return false;
        }
        match instr {
            Instr::Test(term) => self.term(term),
            Instr::Match(term, pattern) | Instr::Walk(term, pattern) => self.term(term) && self.pattern(pattern),
            Instr::Scan(made, pattern) => self.reference(made) && self.pattern(pattern),
            Instr::Seek(seek) => self.reference(&seek.made) && self.pattern(&seek.pattern),
            Instr::Not(body) => self.body(body),
            Instr::Every { domain, body, .. } => self.term(domain) && self.body(body),
            Instr::With(..) => false,
        }
    }

    fn body(&self, code: &[Instr]) -> bool {
        code.iter().all(|instr| self.is_sound(instr))
    }

    fn term(&self, term: &Term) -> bool {
        match term {
            Term::Const(_) | Term::Slot(_) => true,
            Term::Array(items) | Term::Set(items) | Term::Builtin(_, items) => items.iter().all(|item| self.term(item)),
            // Its keys may conflict.
            Term::Object(_) => false,
            Term::Record(_, entries) => entries.iter().all(|(_, value)| self.term(value)),
            Term::Ref(made) => self.reference(made),
            Term::Function(id, arguments) => {
                usize::try_from(*id).is_ok_and(|id| self.functions.get(id) == Some(&true))
                    && arguments.iter().all(|argument| self.term(argument))
            }
            Term::Compr(compr) => compr.kind != ComprKind::Object && self.body(&compr.body) && self.term(&compr.head),
        }
    }

    fn reference(&self, made: &Ref) -> bool {
        let keys = made.keys.iter().all(|key| match key {
            Key::Const(_) | Key::Slot(_) => true,
            Key::Any(pattern) => self.pattern(pattern),
            Key::Term(term) => self.term(term),
        });
        keys && (!matches!(made.root, Root::Data) || self.is_document(&made.keys))
    }

    fn pattern(&self, pattern: &Pattern) -> bool {
        match pattern {
            Pattern::Any | Pattern::Bind(_) => true,
            Pattern::Equals(term) => self.term(term),
            Pattern::Array(items) => items.iter().all(|item| self.pattern(item)),
            Pattern::Object(entries) => entries.iter().all(|(key, value)| self.term(key) && self.pattern(value)),
        }
    }

    /// Whether a call cannot fail: neither in a body, nor by two values that differ.
    fn function(&self, node: &Node) -> bool {
        let has_default = node.default.as_ref().is_some_and(|rule| !rule.body.is_empty() || constant(rule).is_none());
        if node.kind != NodeKind::Function || has_default {
            return false;
        }
        let mut branches = Vec::new();
        for rule in &node.rules {
            let mut next = Some(rule);
            while let Some(rule) = next {
                branches.push(rule);
                next = rule.otherwise.as_deref();
            }
        }
        let mut values = branches.iter().map(|rule| constant(rule));
        let first = values.next().flatten();
        let is_one_value = first.is_some() && values.all(|value| value == first);
        let is_one_rule = node.rules.len() == 1 && branches.iter().all(|rule| has_one_value(rule));
        (is_one_value || is_one_rule)
            && branches.iter().all(|rule| {
                rule.arguments.iter().all(|argument| self.pattern(argument))
                    && self.body(&rule.body)
                    && self.term(&rule.value)
            })
    }
}

fn constant(rule: &Rule) -> Option<&Value> {
    match &rule.value {
        Term::Const(value) => Some(value),
        _ => None,
    }
}

/// Whether a branch has one value at most: it is always the same, or there is one way through the body.
fn has_one_value(rule: &Rule) -> bool {
    let is_step =
        |instr: &Instr| matches!(instr, Instr::Test(_) | Instr::Match(..) | Instr::Not(_) | Instr::Every { .. });
    constant(rule).is_some() || rule.body.iter().all(is_step)
}
