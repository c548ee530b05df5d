//! The values of rules, and calls of functions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use regorus::Value;

use super::references::{conflict, find};
use super::{ELEMENT, Evaluated, Machine};
use crate::EvalError;
use crate::code::{Node, NodeId, NodeKind, Pattern, Rule, Term};

impl<'c> Machine<'c> {
    /// The value of a node of the tree: of its rules, or an object of what is below it.
    pub(super) fn node_value(&mut self, id: NodeId) -> Evaluated<Option<Value>> {
        let at = usize::try_from(id).unwrap_or(usize::MAX);
        if let Some(Some(known)) = self.cache.get(at) {
            let known = known.clone();
            return Ok(known.map(|(value, depth)| {
                self.depth = depth;
                value
            }));
        }
        self.context.limits.check_stack()?;
        self.context.limits.step()?;
        let Some(node) = self.code.node(id) else { return Ok(None) };
        let value = match node.kind {
            NodeKind::Complete => self.complete_value(node)?,
            NodeKind::Partial => self.partial_value(node)?,
            NodeKind::Function => None,
            NodeKind::Inner => self.inner_value(node)?,
        };
        let known = value.clone().map(|value| (value, self.depth));
        if let Some(place) = self.cache.get_mut(at) {
            *place = Some(known);
        }
        Ok(value)
    }

    /// All that is below a package, rules before documents.
    fn inner_value(&mut self, node: &'c Node) -> Evaluated<Option<Value>> {
        let mut entries = BTreeMap::new();
        let mut depth = self.data_depth;
        let mut found = node.rules.is_empty();
        let document = {
            let path = &node.path;
            path.iter().try_fold(&self.data, |at, key| super::references::find(at, key)).cloned()
        };
        match document {
            Some(Value::Object(documents)) => {
                entries.extend(documents.iter().map(|(key, value)| (key.clone(), value.clone())));
            }
            Some(other) if node.children.is_empty() => {
                self.depth = depth;
                return Ok(Some(other));
            }
            Some(_) => {}
            None => found = node.is_package || !node.children.is_empty() || node.path.is_empty(),
        }
        for (key, child) in &node.children {
            let path: Vec<Value> = node.path.iter().chain([key]).cloned().collect();
            if let Some(value) = self.data_value(&path)? {
                depth = self.depth.max(depth);
                // Where both are there, a document comes before the value of a rule.
                let is_inner = self.code.node(*child).is_some_and(|child| child.kind == NodeKind::Inner);
                if is_inner || !entries.contains_key(key) {
                    entries.insert(key.clone(), value);
                }
            } else if self.code.node(*child).is_some_and(|child| child.kind == NodeKind::Function) {
                continue;
            }
        }
        if !found {
            return Ok(None);
        }
        let value = Value::from(entries);
        self.depth = self.checked_depth(&value, depth.saturating_add(1))?;
        Ok(Some(value))
    }

    fn complete_value(&mut self, node: &'c Node) -> Evaluated<Option<Value>> {
        let mut result: Option<(Value, u32)> = None;
        for rule in &node.rules {
            let base = self.enter(rule);
            let found = self.rule_value(rule, &[], "complete rules must not produce multiple outputs");
            self.leave(base);
            let Some(value) = found? else { continue };
            match &result {
                Some((before, _)) if *before != value => {
                    return Err(self.conflict(rule, "complete rules must not produce multiple outputs"));
                }
                Some(_) => {}
                None => result = Some((value, self.depth)),
            }
        }
        if let Some((value, depth)) = result {
            self.depth = depth;
            return Ok(Some(value));
        }
        self.default_value(node)
    }

    fn default_value(&mut self, node: &'c Node) -> Evaluated<Option<Value>> {
        let Some(default) = &node.default else { return Ok(None) };
        let base = self.enter(default);
        // Its body makes the comprehensions of the value.
        let value = self.rule_value(default, &[], "default rules must not produce multiple outputs");
        self.leave(base);
        value
    }

    fn conflict(&self, rule: &Rule, message: &str) -> EvalError {
        let file = self.code.files.get(usize::try_from(rule.file).unwrap_or(usize::MAX)).map_or("", String::as_str);
        conflict(file, rule.place.row, message)
    }

    /// Makes room for the variables of a rule.
    fn enter(&mut self, rule: &Rule) -> usize {
        let before = self.base;
        self.base = self.slots.len();
        let size = self.base.saturating_add(usize::try_from(rule.slots).unwrap_or(0));
        self.slots.resize(size, Value::Undefined);
        self.depths.resize(size, 0);
        before
    }

    fn leave(&mut self, base: usize) {
        self.slots.truncate(self.base);
        self.depths.truncate(self.base);
        self.base = base;
    }

    /// The value of the first branch of a rule that holds. Its frame is there already.
    fn rule_value(&mut self, rule: &'c Rule, arguments: &[(Value, u32)], message: &str) -> Evaluated<Option<Value>> {
        let mut next = Some(rule);
        while let Some(branch) = next {
            if self.bind_arguments(branch, arguments)? {
                let mut result: Option<(Value, u32)> = None;
                let is_fixed = matches!(branch.value, Term::Const(_));
                self.run(&branch.body, &mut |machine| {
                    let Some(value) = machine.term(&branch.value)? else { return Ok(false) };
                    match &result {
                        Some((before, _)) if *before != value => return Err(machine.conflict(branch, message)),
                        Some(_) => {}
                        None => result = Some((value, machine.depth)),
                    }
                    Ok(is_fixed)
                })?;
                if let Some((value, depth)) = result {
                    self.depth = depth;
                    return Ok(Some(value));
                }
            }
            next = branch.otherwise.as_deref();
        }
        Ok(None)
    }

    fn bind_arguments(&mut self, rule: &'c Rule, arguments: &[(Value, u32)]) -> Evaluated<bool> {
        for (pattern, (value, depth)) in rule.arguments.iter().zip(arguments) {
            if matches!(pattern, Pattern::Any) {
                continue;
            }
            self.depth = *depth;
            if !self.matches(pattern, value)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn call_function(&mut self, id: NodeId, arguments: Vec<Value>, depth: u32) -> Evaluated<Option<Value>> {
        self.context.limits.check_stack()?;
        self.context.limits.step()?;
        let Some(node) = self.code.node(id) else { return Ok(None) };
        if !self.mocks.is_empty()
            && let Some((mock, value)) = self.mock_of(&node.name)
        {
            return self.call_mock(mock, value, arguments, depth);
        }
        let message = "functions must not produce multiple outputs for same inputs";
        let arguments: Vec<(Value, u32)> = arguments.into_iter().map(|value| (value, depth)).collect();
        let mut result: Option<(Value, u32)> = None;
        for rule in &node.rules {
            let base = self.enter(rule);
            let found = self.rule_value(rule, &arguments, message);
            self.leave(base);
            let Some(value) = found? else { continue };
            match &result {
                Some((before, _)) if *before != value => return Err(self.conflict(rule, message)),
                Some(_) => {}
                None => result = Some((value, self.depth)),
            }
        }
        if let Some((value, depth)) = result {
            self.depth = depth;
            return Ok(Some(value));
        }
        self.default_value(node)
    }

    /// A set, an object, or objects of them.
    fn partial_value(&mut self, node: &'c Node) -> Evaluated<Option<Value>> {
        let is_set = node.rules.iter().any(|rule| rule.key.is_some() && rule.suffix.is_empty());
        let mut whole = if is_set { Value::new_set() } else { Value::new_object() };
        let mut depth = 0;
        let lengths = |pick: fn(usize, usize) -> usize| node.rules.iter().map(|rule| rule.suffix.len()).reduce(pick);
        let overlap = lengths(usize::max) != lengths(usize::min);
        let mut leaves = overlap.then(BTreeSet::new);
        for rule in &node.rules {
            let base = self.enter(rule);
            let mut next = Some(rule);
            let mut outcome = Ok(false);
            while let Some(branch) = next {
                let mut found = false;
                outcome = self.run(&branch.body, &mut |machine| {
                    found |= machine.add_part(branch, &mut whole, &mut leaves, &mut depth)?;
                    Ok(false)
                });
                if outcome.is_err() || found {
                    break;
                }
                next = branch.otherwise.as_deref();
            }
            self.leave(base);
            outcome?;
        }
        let longest = node.rules.iter().map(|rule| rule.suffix.len()).max().unwrap_or(0).saturating_add(1);
        let bound = depth.saturating_add(u32::try_from(longest).unwrap_or(u32::MAX));
        self.depth = self.checked_depth(&whole, bound)?;
        Ok(Some(whole))
    }

    /// Adds what a rule says. Where rules have names of several lengths, the leaves are kept: nothing is put into a value.
    fn add_part(
        &mut self,
        rule: &'c Rule,
        whole: &mut Value,
        leaves: &mut Option<BTreeSet<Vec<Value>>>,
        depth: &mut u32,
    ) -> Evaluated<bool> {
        let mut path = Vec::with_capacity(rule.suffix.len());
        for part in &rule.suffix {
            let Some(key) = self.part(part)? else { return Ok(false) };
            *depth = self.depth.max(*depth);
            path.push(key);
        }
        let Some(value) = self.part(rule.key.as_ref().unwrap_or(&rule.value))? else { return Ok(false) };
        *depth = self.depth.max(*depth);
        self.context.limits.allocate(ELEMENT.saturating_mul(path.len().saturating_add(1)))?;
        if let Some(leaves) = leaves {
            let is_within = (1..path.len()).any(|length| path.get(..length).is_some_and(|part| leaves.contains(part)));
            let is_leaf = leaves.contains(&path);
            if is_within || !is_leaf && rule.key.is_none() && find_path(whole, &path).is_some() {
                return Err(self.conflict(rule, "object keys must be unique"));
            }
            if rule.key.is_none() {
                self.context.limits.allocate(ELEMENT.saturating_mul(path.len()))?;
                leaves.insert(path.clone());
            }
        }
        let mut at = whole;
        let count = path.len();
        for (depth, key) in path.into_iter().enumerate() {
            let is_last = depth.saturating_add(1) == count;
            let Value::Object(entries) = at else {
                return Err(self.conflict(rule, "object keys must be unique"));
            };
            let entries = Arc::make_mut(entries);
            if is_last && rule.key.is_none() {
                match entries.get(&key) {
                    Some(before) if *before != value => return Err(self.conflict(rule, "object keys must be unique")),
                    Some(_) => {}
                    None => {
                        entries.insert(key, value);
                    }
                }
                return Ok(true);
            }
            let is_set = is_last && rule.key.is_some();
            at = entries.get_or_insert_with(key, if is_set { Value::new_set } else { Value::new_object });
        }
        match at {
            Value::Set(items) => {
                Arc::make_mut(items).insert(value);
                Ok(true)
            }
            _ => Err(self.conflict(rule, "object keys must be unique")),
        }
    }
}

fn find_path<'v>(whole: &'v Value, path: &[Value]) -> Option<&'v Value> {
    path.iter().try_fold(whole, |at, key| find(at, key))
}
