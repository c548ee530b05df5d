//! References: into the input, into documents and rules, and into values.

use std::collections::BTreeSet;

use regorus::Value;

use super::{ELEMENT, Evaluated, Machine, Then};
use crate::EvalError;
use crate::code::{Key, NodeId, Pattern, Ref, Root, Term};

impl<'c> Machine<'c> {
    /// The value of a reference that has one at most.
    pub(super) fn reference(&mut self, made: &'c Ref) -> Evaluated<Option<Value>> {
        self.context.limits.step()?;
        match &made.root {
            Root::Data => {
                let mut path = Vec::with_capacity(made.keys.len());
                for key in &made.keys {
                    let Some(key) = self.key(key)? else { return Ok(None) };
                    path.push(key);
                }
                self.data_value(&path)
            }
            root => {
                let simple = made.keys.iter().all(|key| matches!(key, Key::Const(_) | Key::Slot(_)));
                if simple {
                    return Ok(self.look_up(root, &made.keys));
                }
                let mut path = Vec::with_capacity(made.keys.len());
                for key in &made.keys {
                    let Some(key) = self.key(key)? else { return Ok(None) };
                    path.push(key);
                }
                let (root, depth) = self.root(root);
                self.depth = depth;
                Ok(path.iter().try_fold(&root, |at, key| find(at, key)).cloned())
            }
        }
    }

    /// Looks keys up that are literals or variables, without a copy of anything on the way.
    fn look_up(&mut self, root: &Root, keys: &[Key]) -> Option<Value> {
        let (mut at, depth) = match root {
            Root::Input => (&self.input, self.input_depth),
            Root::Slot(slot) => {
                let place = self.slot_at(*slot);
                (self.slots.get(place)?, self.depths.get(place).copied().unwrap_or(0))
            }
            Root::Data => return None,
        };
        for key in keys {
            at = match key {
                Key::Const(key) => find(at, key)?,
                Key::Slot(slot) => find(at, self.slots.get(self.slot_at(*slot))?)?,
                _ => return None,
            };
        }
        let value = match at {
            Value::Undefined => return None,
            value => value.clone(),
        };
        self.depth = depth;
        Some(value)
    }

    fn root(&mut self, root: &Root) -> (Value, u32) {
        match root {
            Root::Input => (self.input.clone(), self.input_depth),
            Root::Data => (self.data.clone(), self.data_depth),
            Root::Slot(slot) => {
                let value = self.slot(*slot);
                (value, self.depth)
            }
        }
    }

    fn key(&mut self, key: &'c Key) -> Evaluated<Option<Value>> {
        match key {
            Key::Const(value) => Ok(Some(value.clone())),
            Key::Slot(slot) => Ok(Some(self.slot(*slot))),
            Key::Term(term) => self.term(term),
            Key::Any(_) => Ok(None),
        }
    }

    /// The value of a path below `data`: of rules, and of documents where there are none.
    pub(super) fn data_value(&mut self, path: &[Value]) -> Evaluated<Option<Value>> {
        let (node, used) = self.find_node(path);
        let masked = self.is_masked(path.get(..used).unwrap_or_default());
        let has_rules = self.code.node(node).is_some_and(|node| !node.rules.is_empty() || node.default.is_some());
        let rest = path.get(used..).unwrap_or_default();
        if masked || !has_rules && !rest.is_empty() {
            return self.document(path);
        }
        if has_rules && self.is_function(node) {
            return Ok(None);
        }
        let Some(value) = self.node_value(node)? else {
            return if has_rules { Ok(None) } else { self.document(path) };
        };
        Ok(rest.iter().try_fold(&value, |at, key| find(at, key)).cloned())
    }

    fn document(&mut self, path: &[Value]) -> Evaluated<Option<Value>> {
        self.depth = self.data_depth;
        Ok(path.iter().try_fold(&self.data, |at, key| find_document(at, key)).cloned())
    }

    fn is_function(&self, node: NodeId) -> bool {
        self.code.node(node).is_some_and(|node| node.kind == crate::code::NodeKind::Function)
    }

    /// The node of a path as far as there are rules, but not into what `with` has replaced.
    fn find_node(&self, path: &[Value]) -> (NodeId, usize) {
        let (node, used) = self.code.find(path.iter());
        if self.masks.is_empty() {
            return (node, used);
        }
        for mask in &self.masks {
            if mask.len() <= used && path.starts_with(mask) {
                let (node, used) = self.code.find(mask.iter());
                return (node, used);
            }
        }
        (node, used)
    }

    fn is_masked(&self, path: &[Value]) -> bool {
        !self.masks.is_empty() && self.masks.iter().any(|mask| path.starts_with(mask))
    }

    /// Each value of a reference in turn.
    pub(super) fn scan(&mut self, made: &'c Ref, pattern: &'c Pattern, then: Then<'_, 'c>) -> Evaluated<bool> {
        match &made.root {
            Root::Data => self.scan_data(&mut Vec::new(), &made.keys, pattern, then),
            root => {
                let (value, depth) = self.root(root);
                self.scan_value(&value, depth, &made.keys, pattern, then)
            }
        }
    }

    /// Goes on below `data`, where rules and documents are.
    fn scan_data(
        &mut self,
        path: &mut Vec<Value>,
        keys: &'c [Key],
        pattern: &'c Pattern,
        then: Then<'_, 'c>,
    ) -> Evaluated<bool> {
        self.context.limits.check_stack()?;
        self.context.limits.step()?;
        let Some((key, rest)) = keys.split_first() else {
            let Some(value) = self.data_value(path)? else { return Ok(false) };
            return if self.matches(pattern, &value)? { then(self) } else { Ok(false) };
        };
        let (node, used) = self.find_node(path);
        let inner = self.code.node(node).filter(|node| node.rules.is_empty() && node.default.is_none());
        let Some(inner) = inner.filter(|_| used == path.len() && !self.is_masked(path)) else {
            // Within the value of a rule, or within documents.
            let Some(value) = self.data_value(path)? else { return Ok(false) };
            let depth = self.depth;
            return self.scan_value(&value, depth, keys, pattern, then);
        };
        let Key::Any(wanted) = key else {
            let Some(key) = self.key(key)? else { return Ok(false) };
            path.push(key);
            let result = self.scan_data(path, rest, pattern, then);
            path.pop();
            return result;
        };
        if inner.children.is_empty() {
            let Some(value) = self.document(path)? else { return Ok(false) };
            let depth = self.depth;
            return self.scan_value(&value, depth, keys, pattern, then);
        }
        let mut names: BTreeSet<Value> = inner.children.keys().cloned().collect();
        if let Some(Value::Object(entries)) = self.document(path)? {
            names.extend(entries.keys().cloned());
        }
        for name in names {
            self.depth = 1;
            if !self.matches(wanted, &name)? {
                continue;
            }
            path.push(name);
            let result = self.scan_data(path, rest, pattern, then);
            path.pop();
            if result? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Goes on within a value.
    pub(super) fn scan_value(
        &mut self,
        value: &Value,
        depth: u32,
        keys: &'c [Key],
        pattern: &'c Pattern,
        then: Then<'_, 'c>,
    ) -> Evaluated<bool> {
        self.context.limits.check_stack()?;
        let mut at = value;
        let mut keys = keys;
        loop {
            self.context.limits.step()?;
            let Some((key, rest)) = keys.split_first() else {
                self.depth = depth;
                return if self.matches(pattern, at)? { then(self) } else { Ok(false) };
            };
            keys = rest;
            let wanted = match key {
                Key::Const(key) => {
                    let Some(next) = find(at, key) else { return Ok(false) };
                    at = next;
                    continue;
                }
                Key::Slot(_) | Key::Term(_) => {
                    let Some(key) = self.key(key)? else { return Ok(false) };
                    let Some(next) = find(at, &key) else { return Ok(false) };
                    at = next;
                    continue;
                }
                Key::Any(wanted) => wanted,
            };
            match at {
                Value::Array(items) => {
                    for (index, item) in items.iter().enumerate() {
                        self.context.limits.step()?;
                        if !matches!(wanted, Pattern::Any) {
                            self.depth = 1;
                            if !self.matches(wanted, &Value::from(index))? {
                                continue;
                            }
                        }
                        if self.scan_value(item, depth, keys, pattern, then)? {
                            return Ok(true);
                        }
                    }
                }
                Value::Object(entries) => {
                    for (name, item) in entries.iter() {
                        self.context.limits.step()?;
                        self.depth = depth;
                        if self.matches(wanted, name)? && self.scan_value(item, depth, keys, pattern, then)? {
                            return Ok(true);
                        }
                    }
                }
                Value::Set(items) => {
                    for item in items.iter() {
                        self.context.limits.step()?;
                        self.depth = depth;
                        if self.matches(wanted, item)? && self.scan_value(item, depth, keys, pattern, then)? {
                            return Ok(true);
                        }
                    }
                }
                _ => {}
            }
            return Ok(false);
        }
    }

    /// Each part of a document with its path, the whole first.
    pub(super) fn walk(&mut self, value: Value, pattern: &'c Pattern, then: Then<'_, 'c>) -> Evaluated<bool> {
        let depth = self.depth.saturating_add(2);
        // What is below comes after it, in order.
        let mut pending = vec![(Vec::new(), value)];
        while let Some((path, value)) = pending.pop() {
            self.context.limits.step()?;
            self.context.limits.allocate(path.len().saturating_mul(ELEMENT).saturating_add(4 * ELEMENT))?;
            let mut below: Vec<(Vec<Value>, Value)> = Vec::new();
            let extend = |key: &Value| {
                let mut longer = path.clone();
                longer.push(key.clone());
                longer
            };
            match &value {
                Value::Array(items) => {
                    below.extend(items.iter().enumerate().map(|(at, item)| (extend(&Value::from(at)), item.clone())));
                }
                Value::Object(entries) => below.extend(entries.iter().map(|(key, item)| (extend(key), item.clone()))),
                Value::Set(items) => below.extend(items.iter().map(|item| (extend(item), item.clone()))),
                _ => {}
            }
            self.context
                .limits
                .allocate(below.len().saturating_mul(path.len().saturating_add(4)).saturating_mul(ELEMENT))?;
            pending.extend(below.into_iter().rev());
            let found = match pattern {
                Pattern::Any => true,
                Pattern::Array(patterns) => match patterns.as_slice() {
                    [of_path, of_value] => {
                        self.depth = depth;
                        let path = Value::from(path);
                        self.matches(of_path, &path)? && {
                            self.depth = depth;
                            self.matches(of_value, &value)?
                        }
                    }
                    _ => false,
                },
                pattern => {
                    let pair = Value::from(vec![Value::from(path), value]);
                    self.depth = depth;
                    self.checked_depth(&pair, depth)?;
                    self.matches(pattern, &pair)?
                }
            };
            if found && then(self)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The term of a rule's suffix or key.
    pub(super) fn part(&mut self, term: &'c Term) -> Evaluated<Option<Value>> {
        self.term(term)
    }
}

/// What a key leads to.
pub(super) fn find<'v>(value: &'v Value, key: &Value) -> Option<&'v Value> {
    match value {
        Value::Object(entries) => entries.get(key),
        Value::Array(items) => match key {
            Value::Number(at) => items.get(usize::try_from(at.as_u64()?).ok()?),
            _ => None,
        },
        Value::Set(items) => items.get(key),
        _ => None,
    }
}

/// What a key leads to in a document. Its paths are of texts, so that `data.ports[80]` is `data.ports["80"]`.
fn find_document<'v>(value: &'v Value, key: &Value) -> Option<&'v Value> {
    match (value, key) {
        (Value::Object(entries), Value::Number(_)) => {
            entries.get(key).or_else(|| entries.get(&Value::from(key.to_string())))
        }
        (Value::Array(items), Value::String(at)) => items.get(at.parse::<usize>().ok()?),
        _ => find(value, key),
    }
}

/// What OPA calls an error in the values of rules.
pub(super) fn conflict(file: &str, row: u32, message: &str) -> EvalError {
    EvalError::Failed(format!("{file}:{row}: eval_conflict_error: {message}"))
}
