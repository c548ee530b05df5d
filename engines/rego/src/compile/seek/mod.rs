//! Scans of documents that an index makes short: those of which an equality further on in the body tells what is wanted.
//!
//! The equality stays where it is. So an index may give too many elements, and only must not leave out one for which the body
//! would hold, or fail with an error: nothing that can fail may stand between the scan and the equality.

mod sound;

use std::collections::{BTreeMap, BTreeSet};

use regorus::Value;

use super::tree::Tree;
use crate::code::{Code, Instr, Key, Pattern, Ref, Root, Seek, Slot, Term};
use crate::machine::Shape;
use sound::Sound;

/// How far on in a body an equality is looked for. The longest rule of Gatekeeper's library has seven expressions after a scan.
const LOOK_AHEAD: usize = 32;

/// How many keys may lead to an element, and how many from there to a value.
const MAX_KEYS: usize = 16;

/// Turns scans into seeks.
pub(super) fn add_seeks(tree: &Tree, code: &mut Code) {
    let finder = Finder { sound: Sound::of(tree, code) };
    for node in &mut code.nodes {
        for rule in node.rules.iter_mut().chain(&mut node.default) {
            let mut next = Some(rule);
            while let Some(rule) = next {
                finder.visit_body(&mut rule.body);
                let parts = rule.suffix.iter_mut().chain(&mut rule.key).chain([&mut rule.value]);
                parts.for_each(|term| finder.visit_term(term));
                next = rule.otherwise.as_deref_mut();
            }
        }
    }
}

struct Finder<'t> {
    sound: Sound<'t>,
}

/// The keys from an element to a value.
type Path = Vec<Option<Value>>;

impl Finder<'_> {
    fn visit_body(&self, code: &mut [Instr]) {
        for instr in code.iter_mut() {
            self.visit_instr(instr);
        }
        for at in 0..code.len() {
            let Some((shape, sought)) = code.get(at..).and_then(|code| self.find(code)) else { continue };
            let Some(instr) = code.get_mut(at) else { continue };
            *instr = match std::mem::replace(instr, Instr::Not(Vec::new())) {
                Instr::Scan(made, pattern) => Instr::Seek(Box::new(Seek { made, pattern, shape, sought })),
                other => other,
            };
        }
    }

    fn visit_instr(&self, instr: &mut Instr) {
        match instr {
            Instr::Test(term) => self.visit_term(term),
            Instr::Match(term, pattern) | Instr::Walk(term, pattern) => {
                self.visit_term(term);
                self.visit_pattern(pattern);
            }
            Instr::Scan(made, pattern) => {
                self.visit_ref(made);
                self.visit_pattern(pattern);
            }
            Instr::Seek(_) => {}
            Instr::Not(body) => self.visit_body(body),
            Instr::Every { domain, body, .. } => {
                self.visit_term(domain);
                self.visit_body(body);
            }
            Instr::With(overrides, body) => {
                overrides.iter_mut().for_each(|change| self.visit_term(&mut change.value));
                self.visit_body(body);
            }
        }
    }

    fn visit_pattern(&self, pattern: &mut Pattern) {
        match pattern {
            Pattern::Any | Pattern::Bind(_) => {}
            Pattern::Equals(term) => self.visit_term(term),
            Pattern::Array(items) => items.iter_mut().for_each(|item| self.visit_pattern(item)),
            Pattern::Object(entries) => entries.iter_mut().for_each(|(key, value)| {
                self.visit_term(key);
                self.visit_pattern(value);
            }),
        }
    }

    fn visit_ref(&self, made: &mut Ref) {
        for key in &mut made.keys {
            match key {
                Key::Term(term) => self.visit_term(term),
                Key::Any(pattern) => self.visit_pattern(pattern),
                Key::Const(_) | Key::Slot(_) => {}
            }
        }
    }

    fn visit_term(&self, term: &mut Term) {
        match term {
            Term::Const(_) | Term::Slot(_) => {}
            Term::Array(items) | Term::Set(items) | Term::Builtin(_, items) | Term::Function(_, items) => {
                items.iter_mut().for_each(|item| self.visit_term(item));
            }
            Term::Object(entries) => entries.iter_mut().for_each(|(key, value)| {
                self.visit_term(key);
                self.visit_term(value);
            }),
            Term::Record(_, entries) => entries.iter_mut().for_each(|(_, value)| self.visit_term(value)),
            Term::Ref(made) => self.visit_ref(made),
            Term::Compr(compr) => {
                self.visit_body(&mut compr.body);
                compr.key.iter_mut().chain([&mut compr.head]).for_each(|term| self.visit_term(term));
            }
        }
    }

    /// What to look for in the scan that a body begins with.
    fn find(&self, code: &[Instr]) -> Option<(Shape, Term)> {
        let (Instr::Scan(made, pattern), rest) = code.split_first()? else { return None };
        if !matches!(made.root, Root::Data) || !self.sound.is_document(&made.keys) {
            return None;
        }
        let mut written = BTreeSet::new();
        let is_open = |key: &Key| matches!(key, Key::Any(_));
        for key in &made.keys {
            match key {
                Key::Slot(slot) if written.contains(slot) => return None,
                Key::Const(_) | Key::Slot(_) | Key::Any(Pattern::Any) => {}
                Key::Any(Pattern::Bind(slot)) => {
                    written.insert(*slot);
                }
                Key::Any(_) | Key::Term(_) => return None,
            }
        }
        let last = made.keys.iter().rposition(is_open)?;
        let (shape, sought) = match pattern {
            Pattern::Equals(term) => {
                let (base, inner) = made.keys.split_at_checked(last.saturating_add(1))?;
                (Shape { base: path_of(base), inner: path_of(inner) }, copy(term, &written)?)
            }
            Pattern::Bind(slot) => {
                written.insert(*slot);
                let (inner, sought) = self.find_equality(rest, *slot, written)?;
                (Shape { base: path_of(&made.keys), inner }, sought)
            }
            _ => return None,
        };
        // The keys that are known at first lead to a document as texts.
        let leading = shape.base.iter().map_while(Option::as_ref);
        let is_plain = leading.into_iter().all(|key| matches!(key, Value::String(_)));
        let is_short = shape.base.len() <= MAX_KEYS && shape.inner.len() <= MAX_KEYS;
        (is_plain && is_short).then_some((shape, sought))
    }

    /// The first equality of something within an element, and of what is known before the scan.
    fn find_equality(&self, code: &[Instr], element: Slot, mut written: BTreeSet<Slot>) -> Option<(Path, Term)> {
        let mut paths = BTreeMap::from([(element, Path::new())]);
        for instr in code.iter().take(LOOK_AHEAD) {
            if !self.sound.is_sound(instr) {
                return None;
            }
            let (from, pattern) = match instr {
                Instr::Match(term, pattern) => (path_within(term, &paths), pattern),
                Instr::Scan(made, pattern) => (path_below(made, &paths), pattern),
                Instr::Seek(seek) => (None, &seek.pattern),
                Instr::Walk(_, pattern) => (None, pattern),
                _ => continue,
            };
            match (from, pattern, instr) {
                (Some(path), Pattern::Equals(term), _) => {
                    if let Some(sought) = copy(term, &written) {
                        return Some((path, sought));
                    }
                }
                (None, Pattern::Equals(term), Instr::Match(other, _)) => {
                    if let (Some(path), Some(sought)) = (path_within(term, &paths), copy(other, &written)) {
                        return Some((path, sought));
                    }
                }
                (Some(path), Pattern::Bind(slot), _) => {
                    paths.insert(*slot, path);
                }
                _ => {}
            }
            add_slots(pattern, &mut written);
            match instr {
                Instr::Scan(made, _) => add_keys(made, &mut written),
                Instr::Seek(seek) => add_keys(&seek.made, &mut written),
                _ => {}
            }
        }
        None
    }
}

fn path_of(keys: &[Key]) -> Path {
    keys.iter()
        .map(|key| match key {
            Key::Const(key) => Some(key.clone()),
            Key::Slot(_) | Key::Any(_) | Key::Term(_) => None,
        })
        .collect()
}

fn path_within(term: &Term, paths: &BTreeMap<Slot, Path>) -> Option<Path> {
    match term {
        Term::Slot(slot) => paths.get(slot).cloned(),
        Term::Ref(made) => path_below(made, paths),
        _ => None,
    }
}

fn path_below(made: &Ref, paths: &BTreeMap<Slot, Path>) -> Option<Path> {
    let Root::Slot(slot) = made.root else { return None };
    let mut path = paths.get(&slot)?.clone();
    path.extend(path_of(&made.keys));
    (path.len() <= MAX_KEYS).then_some(path)
}

/// A term that can be evaluated before the scan: it cannot fail, and needs nothing that is written later.
fn copy(term: &Term, written: &BTreeSet<Slot>) -> Option<Term> {
    let known = |slot: &Slot| (!written.contains(slot)).then_some(*slot);
    Some(match term {
        Term::Const(value) => Term::Const(value.clone()),
        Term::Slot(slot) => Term::Slot(known(slot)?),
        Term::Ref(made) => {
            let root = match &made.root {
                Root::Input => Root::Input,
                Root::Slot(slot) => Root::Slot(known(slot)?),
                Root::Data => return None,
            };
            let mut keys = Vec::with_capacity(made.keys.len());
            for key in &made.keys {
                keys.push(match key {
                    Key::Const(value) => Key::Const(value.clone()),
                    Key::Slot(slot) => Key::Slot(known(slot)?),
                    Key::Any(_) | Key::Term(_) => return None,
                });
            }
            Term::Ref(Box::new(Ref { root, keys }))
        }
        _ => return None,
    })
}

fn add_slots(pattern: &Pattern, slots: &mut BTreeSet<Slot>) {
    match pattern {
        Pattern::Any | Pattern::Equals(_) => {}
        Pattern::Bind(slot) => {
            slots.insert(*slot);
        }
        Pattern::Array(items) => items.iter().for_each(|item| add_slots(item, slots)),
        Pattern::Object(entries) => entries.iter().for_each(|(_, value)| add_slots(value, slots)),
    }
}

fn add_keys(made: &Ref, slots: &mut BTreeSet<Slot>) {
    for key in &made.keys {
        if let Key::Any(pattern) = key {
            add_slots(pattern, slots);
        }
    }
}

#[cfg(test)]
mod tests;
