//! Evaluates rules.
//!
//! A body runs from left to right. What has one value at most is a step; a reference that goes through a collection runs the
//! rest of the body for each value. Where a variable has its value is known beforehand, so that a slot is simply written.

mod index;
mod limits;
mod references;
mod rules;
mod seek;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use regorus::Value;

pub(crate) use index::{Indexes, Shape};
pub(crate) use limits::{Limits, MAX_DEPTH, measure};

use crate::builtins::{Builtin, Context, Stop};
use crate::code::{Code, Compr, ComprKind, Instr, Mock, Override, Pattern, Slot, Target, Term};
use crate::{Data, EvalError};

/// About how many bytes an element of a collection takes.
const ELEMENT: usize = 48;

pub(crate) type Evaluated<T> = Result<T, EvalError>;

/// Called where a body holds. It says whether that is enough.
type Then<'t, 'c> = &'t mut dyn FnMut(&mut Machine<'c>) -> Evaluated<bool>;

/// A value that a rule has come to, and how deep it may be nested.
type Cached = Option<(Value, u32)>;

pub(crate) struct Machine<'c> {
    code: &'c Code,
    input: Value,
    input_depth: u32,
    data: Value,
    data_depth: u32,
    /// Nothing where `with` has replaced a part of the documents.
    indexes: Option<&'c Indexes>,
    slots: Vec<Value>,
    /// At least how deep the value of each slot is nested.
    depths: Vec<u32>,
    base: usize,
    /// The same for the term that was evaluated last.
    depth: u32,
    /// The values of rules, as the `with` has it that is in force.
    cache: Vec<Option<Cached>>,
    /// Parts of `data` that `with` has replaced, so that rules do not count there.
    masks: Vec<Vec<Value>>,
    mocks: Vec<(String, Mock, Value)>,
    context: Context,
}

impl<'c> Machine<'c> {
    pub(crate) fn new(code: &'c Code, input: (Value, u32), data: &'c Data, until: Instant) -> Self {
        Self {
            code,
            input: input.0,
            input_depth: input.1,
            data: data.value().clone(),
            data_depth: data.depth(),
            indexes: Some(data.indexes()),
            slots: Vec::with_capacity(64),
            depths: Vec::with_capacity(64),
            base: 0,
            depth: 0,
            cache: vec![None; code.nodes.len()],
            masks: Vec::new(),
            mocks: Vec::new(),
            context: Context::new(Limits::new(until)),
        }
    }

    /// The value of a path below `data`.
    pub(crate) fn evaluate(&mut self, path: &[Value]) -> Evaluated<Option<Value>> {
        self.context.limits.look()?;
        self.data_value(path)
    }

    fn run(&mut self, code: &'c [Instr], then: Then<'_, 'c>) -> Evaluated<bool> {
        self.context.limits.check_stack()?;
        for (at, instr) in code.iter().enumerate() {
            self.context.limits.step()?;
            match instr {
                Instr::Test(Term::Slot(slot)) => {
                    if self.slots.get(self.slot_at(*slot)) == Some(&Value::Bool(false)) {
                        return Ok(false);
                    }
                }
                Instr::Test(term) => match self.term(term)? {
                    None | Some(Value::Bool(false)) => return Ok(false),
                    Some(_) => {}
                },
                Instr::Match(term, Pattern::Bind(slot)) => {
                    let Some(value) = self.term(term)? else { return Ok(false) };
                    self.bind(*slot, value, self.depth);
                }
                Instr::Match(term, pattern) => {
                    let Some(value) = self.term(term)? else { return Ok(false) };
                    if !self.matches(pattern, &value)? {
                        return Ok(false);
                    }
                }
                Instr::Scan(made, pattern) => {
                    let rest = code.get(at.saturating_add(1)..).unwrap_or_default();
                    return self.scan(made, pattern, &mut |machine| machine.run(rest, then));
                }
                Instr::Seek(seek) => {
                    let rest = code.get(at.saturating_add(1)..).unwrap_or_default();
                    return self.seek(seek, &mut |machine| machine.run(rest, then));
                }
                Instr::Walk(term, pattern) => {
                    let rest = code.get(at.saturating_add(1)..).unwrap_or_default();
                    let Some(value) = self.term(term)? else { return Ok(false) };
                    return self.walk(value, pattern, &mut |machine| machine.run(rest, then));
                }
                Instr::Not(inner) => {
                    if self.run(inner, &mut |_| Ok(true))? {
                        return Ok(false);
                    }
                }
                Instr::Every { domain, key, value, body } => {
                    if !self.every(domain, *key, *value, body)? {
                        return Ok(false);
                    }
                }
                Instr::With(overrides, inner) => {
                    let rest = code.get(at.saturating_add(1)..).unwrap_or_default();
                    return self.with(overrides, inner, &mut |machine| machine.run(rest, then));
                }
            }
        }
        then(self)
    }

    fn every(&mut self, domain: &'c Term, key: Option<Slot>, value: Slot, body: &'c [Instr]) -> Evaluated<bool> {
        let Some(domain) = self.term(domain)? else { return Ok(false) };
        let depth = self.depth;
        let each = |machine: &mut Self, at: Value, it: &Value| {
            if let Some(key) = key {
                machine.bind(key, at, depth);
            }
            machine.bind(value, it.clone(), depth);
            machine.run(body, &mut |_| Ok(true))
        };
        match &domain {
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    if !each(self, Value::from(at), item)? {
                        return Ok(false);
                    }
                }
            }
            Value::Set(items) => {
                for item in items.iter() {
                    if !each(self, item.clone(), item)? {
                        return Ok(false);
                    }
                }
            }
            Value::Object(entries) => {
                for (at, item) in entries.iter() {
                    if !each(self, at.clone(), item)? {
                        return Ok(false);
                    }
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Runs instructions with other documents or functions, and the rest without them.
    fn with(&mut self, overrides: &'c [Override], inner: &'c [Instr], then: Then<'_, 'c>) -> Evaluated<bool> {
        let mut made = Vec::new();
        for change in overrides {
            let Some(value) = self.term(&change.value)? else { return Ok(false) };
            made.push((&change.target, value, self.depth));
        }
        let mut other = Saved {
            input: self.input.clone(),
            input_depth: self.input_depth,
            data: self.data.clone(),
            data_depth: self.data_depth,
            indexes: self.indexes,
            masks: self.masks.clone(),
            mocks: self.mocks.clone(),
            cache: vec![None; self.code.nodes.len()],
        };
        for (target, value, depth) in made {
            match target {
                Target::Input(path) => {
                    put(&mut other.input, path, value);
                    other.input_depth = self.input_depth.max(depth).saturating_add(length(path));
                }
                Target::Data(path) => {
                    put(&mut other.data, path, value);
                    other.indexes = None;
                    other.data_depth = self.data_depth.max(depth).saturating_add(length(path));
                    other.masks.push(path.clone());
                }
                Target::Function(name, mock) => other.mocks.push((name.clone(), mock.clone(), value)),
            }
        }
        self.swap(&mut other);
        let result = self.run(inner, &mut |machine| {
            // The rest of the body does not see the overrides.
            machine.swap(&mut other);
            let result = then(machine);
            machine.swap(&mut other);
            result
        });
        self.swap(&mut other);
        result
    }

    fn swap(&mut self, other: &mut Saved<'c>) {
        std::mem::swap(&mut self.input, &mut other.input);
        std::mem::swap(&mut self.input_depth, &mut other.input_depth);
        std::mem::swap(&mut self.data, &mut other.data);
        std::mem::swap(&mut self.data_depth, &mut other.data_depth);
        std::mem::swap(&mut self.indexes, &mut other.indexes);
        std::mem::swap(&mut self.masks, &mut other.masks);
        std::mem::swap(&mut self.mocks, &mut other.mocks);
        std::mem::swap(&mut self.cache, &mut other.cache);
    }

    fn slot_at(&self, slot: Slot) -> usize {
        self.base.saturating_add(usize::try_from(slot).unwrap_or(usize::MAX))
    }

    fn slot(&mut self, slot: Slot) -> Value {
        let at = self.slot_at(slot);
        self.depth = self.depths.get(at).copied().unwrap_or(0);
        self.slots.get(at).cloned().unwrap_or(Value::Undefined)
    }

    fn bind(&mut self, slot: Slot, value: Value, depth: u32) {
        let at = self.slot_at(slot);
        if let Some(place) = self.slots.get_mut(at) {
            *place = value;
        }
        if let Some(place) = self.depths.get_mut(at) {
            *place = depth;
        }
    }

    /// Whether a value is like a pattern. Variables of the pattern get their values.
    fn matches(&mut self, pattern: &'c Pattern, value: &Value) -> Evaluated<bool> {
        let depth = self.depth;
        let found = match pattern {
            Pattern::Any => true,
            Pattern::Bind(slot) => {
                self.bind(*slot, value.clone(), depth);
                true
            }
            Pattern::Equals(Term::Const(other)) => other == value,
            Pattern::Equals(Term::Slot(slot)) => self.slots.get(self.slot_at(*slot)) == Some(value),
            Pattern::Equals(term) => self.term(term)?.is_some_and(|other| other == *value),
            Pattern::Array(patterns) => {
                let Value::Array(items) = value else { return Ok(false) };
                if items.len() != patterns.len() {
                    return Ok(false);
                }
                for (pattern, item) in patterns.iter().zip(items.iter()) {
                    self.depth = depth;
                    if !self.matches(pattern, item)? {
                        return Ok(false);
                    }
                }
                true
            }
            Pattern::Object(patterns) => {
                let Value::Object(entries) = value else { return Ok(false) };
                if entries.len() != patterns.len() {
                    return Ok(false);
                }
                for (key, pattern) in patterns {
                    let Some(key) = self.term(key)? else { return Ok(false) };
                    let Some(item) = entries.get(&key) else { return Ok(false) };
                    self.depth = depth;
                    if !self.matches(pattern, item)? {
                        return Ok(false);
                    }
                }
                true
            }
        };
        self.depth = depth;
        Ok(found)
    }

    /// The value of a term; nothing where it is undefined.
    fn term(&mut self, term: &'c Term) -> Evaluated<Option<Value>> {
        match term {
            Term::Const(value) => {
                // Literals are nested no deeper than brackets may be.
                self.depth = u32::try_from(crate::lexer::MAX_NESTING).unwrap_or(u32::MAX).saturating_add(1);
                if !matches!(value, Value::Array(_) | Value::Object(_) | Value::Set(_)) {
                    self.depth = 1;
                }
                Ok(Some(value.clone()))
            }
            Term::Slot(slot) => Ok(Some(self.slot(*slot))),
            Term::Ref(made) => self.reference(made),
            Term::Array(items) => {
                let Some((values, depth)) = self.terms(items)? else { return Ok(None) };
                self.made(Value::from(values), depth)
            }
            Term::Set(items) => {
                let Some((values, depth)) = self.terms(items)? else { return Ok(None) };
                self.made(Value::from(values.into_iter().collect::<BTreeSet<_>>()), depth)
            }
            Term::Object(entries) => {
                let mut values = BTreeMap::new();
                let mut depth = 0;
                for (key, value) in entries {
                    let Some(key) = self.term(key)? else { return Ok(None) };
                    depth = self.depth.max(depth);
                    let Some(value) = self.term(value)? else { return Ok(None) };
                    depth = self.depth.max(depth);
                    if let Some(before) = values.get(&key)
                        && *before != value
                    {
                        return Err(EvalError::Failed("eval_conflict_error: object keys must be unique".to_owned()));
                    }
                    values.insert(key, value);
                }
                self.context.limits.allocate(values.len().saturating_mul(2 * ELEMENT))?;
                self.made(Value::from(values), depth)
            }
            Term::Record(known, entries) => {
                let Value::Object(known) = known else { return Ok(None) };
                self.context.limits.allocate(known.len().saturating_mul(2 * ELEMENT))?;
                let mut made = (**known).clone();
                let mut depth = 1;
                for (key, term) in entries {
                    let Some(value) = self.term(term)? else { return Ok(None) };
                    depth = self.depth.max(depth);
                    if let Some(place) = made.get_mut(key) {
                        *place = value;
                    }
                }
                self.made(Value::Object(Arc::new(made)), depth)
            }
            Term::Builtin(builtin, arguments) => self.builtin(builtin, arguments),
            Term::Function(node, arguments) => {
                let Some((values, depth)) = self.terms(arguments)? else { return Ok(None) };
                self.call_function(*node, values, depth)
            }
            Term::Compr(compr) => self.comprehension(compr).map(Some),
        }
    }

    /// Calls a builtin. Most have few arguments, which then need no memory of their own.
    fn builtin(&mut self, builtin: &'static Builtin, terms: &'c [Term]) -> Evaluated<Option<Value>> {
        let mut few = [const { Value::Undefined }; 3];
        let Some(arguments) = few.get_mut(..terms.len()) else {
            let Some((values, depth)) = self.terms(terms)? else { return Ok(None) };
            return self.call_builtin(builtin, &values, depth);
        };
        let mut depth = 0;
        for (argument, term) in arguments.iter_mut().zip(terms) {
            let Some(value) = self.term(term)? else { return Ok(None) };
            depth = self.depth.max(depth);
            *argument = value;
        }
        self.call_builtin(builtin, arguments, depth)
    }

    fn terms(&mut self, terms: &'c [Term]) -> Evaluated<Option<(Vec<Value>, u32)>> {
        let mut values = Vec::with_capacity(terms.len());
        let mut depth = 0;
        for term in terms {
            let Some(value) = self.term(term)? else { return Ok(None) };
            depth = self.depth.max(depth);
            values.push(value);
        }
        self.context.limits.allocate(values.len().saturating_mul(ELEMENT))?;
        Ok(Some((values, depth)))
    }

    /// Takes note that a value has one level more than what is in it.
    fn made(&mut self, value: Value, depth: u32) -> Evaluated<Option<Value>> {
        self.depth = self.checked_depth(&value, depth.saturating_add(1))?;
        Ok(Some(value))
    }

    /// A bound of how deep a value is nested. It is measured only where the bound is above the limit.
    fn checked_depth(&mut self, value: &Value, bound: u32) -> Evaluated<u32> {
        if bound <= MAX_DEPTH {
            return Ok(bound);
        }
        let depth = measure(value);
        if depth > MAX_DEPTH {
            return Err(EvalError::Failed(format!("a value is nested deeper than {MAX_DEPTH}")));
        }
        Ok(depth)
    }

    fn call_builtin(&mut self, builtin: &'static Builtin, arguments: &[Value], depth: u32) -> Evaluated<Option<Value>> {
        if !self.mocks.is_empty()
            && let Some((mock, value)) = self.mock_of(builtin.name)
        {
            return self.call_mock(mock, value, arguments.to_vec(), depth);
        }
        self.context.limits.step()?;
        match (builtin.run)(&mut self.context, arguments) {
            Ok(value) => {
                // A builtin may put the values of its arguments into each other.
                let bound = depth.saturating_mul(2).saturating_add(builtin.adds_depth);
                let bound = match value {
                    Value::Array(_) | Value::Object(_) | Value::Set(_) => bound,
                    _ => 1,
                };
                self.depth = self.checked_depth(&value, bound)?;
                Ok(Some(value))
            }
            Err(Stop::Undefined) => Ok(None),
            Err(Stop::Error(error)) => Err(error),
        }
    }

    fn mock_of(&self, name: &str) -> Option<(Mock, Value)> {
        self.mocks.iter().rev().find(|(of, ..)| of == name).map(|(_, mock, value)| (mock.clone(), value.clone()))
    }

    /// Calls what a function is replaced by. In there nothing is replaced.
    fn call_mock(&mut self, mock: Mock, value: Value, arguments: Vec<Value>, depth: u32) -> Evaluated<Option<Value>> {
        let mocks = std::mem::take(&mut self.mocks);
        let result = match mock {
            Mock::Value => {
                self.depth = MAX_DEPTH;
                Ok(Some(value))
            }
            Mock::Builtin(builtin) => self.call_builtin(builtin, &arguments, depth),
            Mock::Function(node) => self.call_function(node, arguments, depth),
        };
        self.mocks = mocks;
        result
    }

    fn comprehension(&mut self, compr: &'c Compr) -> Evaluated<Value> {
        self.context.limits.step()?;
        let mut deepest = 0;
        let value = match compr.kind {
            ComprKind::Array => {
                let mut items = Vec::new();
                self.run(&compr.body, &mut |machine| {
                    if let Some(value) = machine.term(&compr.head)? {
                        machine.context.limits.allocate(ELEMENT)?;
                        deepest = machine.depth.max(deepest);
                        items.push(value);
                    }
                    Ok(false)
                })?;
                Value::from(items)
            }
            ComprKind::Set => {
                let mut items = BTreeSet::new();
                self.run(&compr.body, &mut |machine| {
                    if let Some(value) = machine.term(&compr.head)? {
                        machine.context.limits.allocate(ELEMENT)?;
                        deepest = machine.depth.max(deepest);
                        items.insert(value);
                    }
                    Ok(false)
                })?;
                Value::from(items)
            }
            ComprKind::Object => {
                let mut entries = BTreeMap::new();
                self.run(&compr.body, &mut |machine| {
                    let Some(key) = compr.key.as_ref().map(|key| machine.term(key)).transpose()?.flatten() else {
                        return Ok(false);
                    };
                    deepest = machine.depth.max(deepest);
                    let Some(value) = machine.term(&compr.head)? else { return Ok(false) };
                    deepest = machine.depth.max(deepest);
                    machine.context.limits.allocate(2 * ELEMENT)?;
                    if let Some(before) = entries.get(&key)
                        && *before != value
                    {
                        return Err(EvalError::Failed("eval_conflict_error: object keys must be unique".to_owned()));
                    }
                    entries.insert(key, value);
                    Ok(false)
                })?;
                Value::from(entries)
            }
        };
        self.depth = self.checked_depth(&value, deepest.saturating_add(1))?;
        Ok(value)
    }
}

struct Saved<'c> {
    input: Value,
    input_depth: u32,
    data: Value,
    data_depth: u32,
    indexes: Option<&'c Indexes>,
    masks: Vec<Vec<Value>>,
    mocks: Vec<(String, Mock, Value)>,
    cache: Vec<Option<Cached>>,
}

/// Puts a value at a path, with objects where there are none.
fn put(root: &mut Value, path: &[Value], value: Value) {
    let mut at = root;
    for key in path {
        if !matches!(at, Value::Object(_)) {
            *at = Value::new_object();
        }
        let Value::Object(entries) = at else { return };
        at = Arc::make_mut(entries).get_or_insert_with(key.clone(), Value::new_object);
    }
    *at = value;
}

fn length(path: &[Value]) -> u32 {
    u32::try_from(path.len()).unwrap_or(u32::MAX)
}
