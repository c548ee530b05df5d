//! The tree of rules, and what may not be in it: conflicts and recursion.

use std::collections::{BTreeMap, BTreeSet};

use regorus::Value;

use super::Faults;
use crate::ast::{Call, Expr, ExprKind, File, Place, Rule, RuleKind, Term, TermKind};
use crate::code::NodeId;

/// How many rules the compiler looks at where references may lead to them: half a second. A thousand references to a package
/// of a thousand rules need a fifth of it.
const MAX_WORK: usize = 5_000_000;

#[derive(Default)]
pub(crate) struct Tree {
    pub(crate) nodes: Vec<TreeNode>,
}

#[derive(Default)]
pub(crate) struct TreeNode {
    pub(crate) children: BTreeMap<Value, NodeId>,
    /// Which file, and which rule of it.
    pub(crate) rules: Vec<(usize, usize)>,
    pub(crate) path: Vec<Value>,
    pub(crate) is_package: bool,
}

impl Tree {
    pub(crate) fn of(files: &[File]) -> Self {
        let mut tree = Self { nodes: vec![TreeNode::default()] };
        for (file_at, file) in files.iter().enumerate() {
            let package: Vec<Value> = file.package.iter().map(|part| Value::from(&**part)).collect();
            let node = tree.reach(&package);
            if let Some(node) = tree.node_mut(node) {
                node.is_package = true;
            }
            for (rule_at, rule) in file.rules.iter().enumerate() {
                let mut path = package.clone();
                path.extend(ground_prefix(rule));
                let node = tree.reach(&path);
                if let Some(node) = tree.node_mut(node) {
                    node.rules.push((file_at, rule_at));
                }
            }
        }
        tree
    }

    pub(crate) fn node(&self, id: NodeId) -> Option<&TreeNode> {
        self.nodes.get(usize::try_from(id).ok()?)
    }

    fn node_mut(&mut self, id: NodeId) -> Option<&mut TreeNode> {
        self.nodes.get_mut(usize::try_from(id).ok()?)
    }

    fn reach(&mut self, path: &[Value]) -> NodeId {
        let mut at: NodeId = 0;
        for (depth, key) in path.iter().enumerate() {
            if let Some(next) = self.node(at).and_then(|node| node.children.get(key)) {
                at = *next;
                continue;
            }
            let id = NodeId::try_from(self.nodes.len()).unwrap_or(NodeId::MAX);
            let path = path.get(..depth.saturating_add(1)).unwrap_or_default().to_vec();
            self.nodes.push(TreeNode { path, ..TreeNode::default() });
            if let Some(node) = self.node_mut(at) {
                node.children.insert(key.clone(), id);
            }
            at = id;
        }
        at
    }

    /// The node that a path of terms below `data` leads to, as far as the terms are known.
    pub(crate) fn find(&self, path: &[Term]) -> (NodeId, usize) {
        let mut at: NodeId = 0;
        let mut used = 0_usize;
        for part in path {
            let TermKind::Scalar(key) = &part.kind else { break };
            let Some(next) = self.node(at).and_then(|node| node.children.get(key)) else { break };
            at = *next;
            used = used.saturating_add(1);
        }
        (at, used)
    }

    pub(crate) fn check_conflicts(&self, files: &[File], faults: &mut Faults) {
        for node in &self.nodes {
            let rules: Vec<(&File, &Rule)> = node
                .rules
                .iter()
                .filter_map(|(file, rule)| {
                    let file = files.get(*file)?;
                    Some((file, file.rules.get(*rule)?))
                })
                .collect();
            let Some((file, first)) = rules.first() else { continue };
            let name = show_path(&node.path);
            let mut kinds = BTreeSet::new();
            let mut defaults = Vec::new();
            for (file, rule) in &rules {
                if rule.default {
                    defaults.push(format!("{}:{}", file.name, rule.place.row));
                }
                let has_suffix = rule.name.len() > ground_prefix(rule).len();
                kinds.insert(match rule.kind {
                    _ if rule.default && rule.arguments.is_empty() && rule.kind == RuleKind::Complete => (0, 0),
                    RuleKind::Complete if has_suffix => (1, 0),
                    RuleKind::Complete => (0, 0),
                    RuleKind::Set if has_suffix => (1, 0),
                    RuleKind::Set => (2, 0),
                    RuleKind::Function => (3, rule.arguments.len()),
                });
            }
            faults.file(&file.name);
            if kinds.len() > 1 {
                faults.add(first.place, "rego_type_error", format!("conflicting rules {name} found"));
            } else if defaults.len() > 1 {
                faults.add(
                    first.place,
                    "rego_type_error",
                    format!("multiple default rules {name} found at {}", defaults.join(", ")),
                );
            } else if !node.children.is_empty() && matches!(kinds.first(), Some((0 | 2 | 3, _))) {
                let package = node.children.values().any(|child| self.holds_package(*child));
                if package {
                    faults.add(
                        file.package_place,
                        "rego_type_error",
                        format!("package conflicts with rule {name} defined at {}:{}", file.name, first.place.row),
                    );
                } else {
                    let below = node
                        .children
                        .values()
                        .filter_map(|child| self.node(*child))
                        .map(|child| show_path(&child.path))
                        .collect::<Vec<_>>();
                    faults.add(
                        first.place,
                        "rego_type_error",
                        format!("rule {name} conflicts with [{}]", below.join(" ")),
                    );
                }
            }
        }
    }

    /// Rules such as `p.b` become rules of `p` where there are rules such as `p[x]`: what they say may be of the same part.
    pub(crate) fn gather_partials(&mut self, files: &[File], faults: &mut Faults) {
        for at in 0..self.nodes.len() {
            let Some(node) = self.nodes.get(at) else { continue };
            let rule_of = |(file, rule): &(usize, usize)| files.get(*file)?.rules.get(*rule);
            let is_partial = node
                .rules
                .iter()
                .filter_map(rule_of)
                .any(|rule| rule.kind != RuleKind::Function && rule.name.len() > ground_prefix(rule).len());
            if !is_partial || node.children.is_empty() {
                continue;
            }
            let mut pending: Vec<NodeId> = node.children.values().copied().collect();
            let mut gathered = Vec::new();
            let mut is_plain = true;
            while let Some(id) = pending.pop() {
                let Some(node) = self.node(id) else { continue };
                pending.extend(node.children.values());
                is_plain &= !node.is_package;
                for place in &node.rules {
                    let Some(rule) = rule_of(place) else { continue };
                    is_plain &= !rule.default && rule.kind != RuleKind::Function;
                    gathered.push(*place);
                }
            }
            if !is_plain {
                let Some((file, rule)) = self.nodes.get(at).and_then(|node| node.rules.first()) else { continue };
                let Some(file) = files.get(*file) else { continue };
                faults.file(&file.name);
                let name = self.nodes.get(at).map(|node| show_path(&node.path)).unwrap_or_default();
                faults.add(
                    file.rules.get(*rule).map(|rule| rule.place).unwrap_or_default(),
                    "rego_type_error",
                    format!("rule {name} has variables in its name, and a package, a function or a default below it: not supported"),
                );
                continue;
            }
            gathered.sort_unstable();
            if let Some(node) = self.nodes.get_mut(at) {
                node.children.clear();
                node.rules.append(&mut gathered);
            }
        }
        // What has been moved is no longer reached by its own path.
        let mut reached = vec![false; self.nodes.len()];
        let mut pending: Vec<NodeId> = vec![0];
        while let Some(id) = pending.pop() {
            let Some(node) = self.node(id) else { continue };
            pending.extend(node.children.values());
            if let Some(flag) = usize::try_from(id).ok().and_then(|id| reached.get_mut(id)) {
                *flag = true;
            }
        }
        for (node, reached) in self.nodes.iter_mut().zip(reached) {
            if !reached {
                node.rules.clear();
            }
        }
    }

    fn holds_package(&self, id: NodeId) -> bool {
        let mut pending = vec![id];
        while let Some(id) = pending.pop() {
            let Some(node) = self.node(id) else { continue };
            if node.is_package {
                return true;
            }
            pending.extend(node.children.values());
        }
        false
    }

    /// Finds rules that depend on themselves, however far around.
    pub(crate) fn check_recursion(&self, files: &[File], faults: &mut Faults) {
        let count = self.nodes.len();
        let mut work = 0_usize;
        let mut edges: Vec<Vec<usize>> = vec![Vec::new(); count];
        for (at, node) in self.nodes.iter().enumerate() {
            let mut targets = BTreeSet::new();
            for (file, rule) in &node.rules {
                if let Some(rule) = files.get(*file).and_then(|file| file.rules.get(*rule)) {
                    self.rule_targets(rule, &mut targets, &mut work);
                }
            }
            if let Some(edges) = edges.get_mut(at) {
                edges.extend(targets.into_iter().filter_map(|id| usize::try_from(id).ok()));
            }
        }
        if work > MAX_WORK {
            faults.add(
                Place::default(),
                "rego_compile_error",
                "the program is too large: its references may lead to too many rules".to_owned(),
            );
            return;
        }
        // 0: not seen, 1: on the way, 2: done.
        let mut state = vec![0_u8; count];
        for start in 0..count {
            if state.get(start) != Some(&0) {
                continue;
            }
            let mut way: Vec<(usize, usize)> = vec![(start, 0)];
            set(&mut state, start, 1);
            while let Some((at, next)) = way.last_mut() {
                let at = *at;
                let Some(target) = edges.get(at).and_then(|edges| edges.get(*next)).copied() else {
                    set(&mut state, at, 2);
                    way.pop();
                    continue;
                };
                *next = next.saturating_add(1);
                match state.get(target) {
                    Some(0) => {
                        set(&mut state, target, 1);
                        way.push((target, 0));
                    }
                    Some(1) => {
                        let from = way.iter().position(|(node, _)| *node == target).unwrap_or(0);
                        let around = way.get(from..).unwrap_or_default().iter().map(|(node, _)| *node);
                        let names: Vec<String> = around
                            .chain([target])
                            .filter_map(|node| self.nodes.get(node))
                            .map(|node| show_path(&node.path))
                            .collect();
                        let Some((file, rule)) = self.nodes.get(target).and_then(|node| node.rules.first()) else {
                            continue;
                        };
                        let Some(file) = files.get(*file) else { continue };
                        let place = file.rules.get(*rule).map(|rule| rule.place).unwrap_or_default();
                        faults.file(&file.name);
                        let name = names.first().cloned().unwrap_or_default();
                        faults.add(
                            place,
                            "rego_recursion_error",
                            format!("rule {name} is recursive: {}", names.join(" -> ")),
                        );
                        return;
                    }
                    _ => {}
                }
            }
        }
    }

    fn rule_targets(&self, rule: &Rule, targets: &mut BTreeSet<NodeId>, work: &mut usize) {
        let mut next = Some(rule);
        while let Some(rule) = next {
            let mut visitor = |path: &[Term]| self.ref_targets(path, targets, work);
            visit_rule(rule, &mut visitor);
            next = rule.otherwise.as_deref();
        }
    }

    /// All nodes with rules that a reference below `data` may come to.
    fn ref_targets(&self, path: &[Term], targets: &mut BTreeSet<NodeId>, work: &mut usize) {
        let mut pending: Vec<(NodeId, usize)> = vec![(0, 0)];
        while let Some((id, used)) = pending.pop() {
            *work = work.saturating_add(1);
            if *work > MAX_WORK {
                return;
            }
            let Some(node) = self.node(id) else { continue };
            if !node.rules.is_empty() {
                targets.insert(id);
            }
            match path.get(used).map(|part| &part.kind) {
                Some(TermKind::Scalar(key)) => {
                    pending.extend(node.children.get(key).map(|child| (*child, used.saturating_add(1))));
                }
                _ => pending.extend(node.children.values().map(|child| (*child, used.saturating_add(1)))),
            }
        }
    }
}

fn set(state: &mut [u8], at: usize, to: u8) {
    if let Some(slot) = state.get_mut(at) {
        *slot = to;
    }
}

/// The parts of a rule's name up to the first that is not known.
pub(crate) fn ground_prefix(rule: &Rule) -> Vec<Value> {
    let mut prefix = Vec::new();
    for (at, part) in rule.name.iter().enumerate() {
        match &part.kind {
            TermKind::Var(name) if at == 0 => prefix.push(Value::from(&**name)),
            TermKind::Scalar(value) if at > 0 => prefix.push(value.clone()),
            _ => break,
        }
    }
    prefix
}

/// `data.a["b-c"]`, as OPA shows it.
pub(crate) fn show_path(path: &[Value]) -> String {
    let mut text = String::from("data");
    for part in path {
        match part {
            Value::String(name) if is_name(name) => {
                text.push('.');
                text.push_str(name);
            }
            other => text.push_str(&format!("[{other}]")),
        }
    }
    text
}

fn is_name(text: &str) -> bool {
    text.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_')
        && text.chars().all(|it| it.is_ascii_alphanumeric() || it == '_')
}

/// Shows each path below `data` that a rule refers to, functions that it calls too.
pub(crate) fn visit_rule(rule: &Rule, visit: &mut dyn FnMut(&[Term])) {
    for term in rule.name.iter().skip(1).chain(&rule.arguments).chain(&rule.key).chain(&rule.value) {
        visit_term(term, visit);
    }
    visit_body(&rule.body, visit);
}

fn visit_body(body: &[Expr], visit: &mut dyn FnMut(&[Term])) {
    for expr in body {
        for with in &expr.with {
            visit_term(&with.value, visit);
        }
        match &expr.kind {
            ExprKind::Term(term) => visit_term(term, visit),
            ExprKind::Call(call) => visit_call(call, visit),
            ExprKind::Some(_) => {}
            ExprKind::SomeIn(key, value, collection) => {
                key.iter().chain([value, collection]).for_each(|term| visit_term(term, visit));
            }
            ExprKind::Every(every) => {
                visit_term(&every.domain, visit);
                visit_body(&every.body, visit);
            }
        }
    }
}

fn visit_call(call: &Call, visit: &mut dyn FnMut(&[Term])) {
    if call.operator.first().and_then(Term::as_var).is_some_and(|name| &**name == "data") {
        visit(call.operator.get(1..).unwrap_or_default());
    }
    call.arguments.iter().for_each(|argument| visit_term(argument, visit));
}

fn visit_term(term: &Term, visit: &mut dyn FnMut(&[Term])) {
    match &term.kind {
        TermKind::Scalar(_) | TermKind::Var(_) => {}
        TermKind::Ref(parts) => {
            if parts.first().and_then(Term::as_var).is_some_and(|name| &**name == "data") {
                visit(parts.get(1..).unwrap_or_default());
            }
            parts.iter().for_each(|part| visit_term(part, visit));
        }
        TermKind::Array(items) | TermKind::Set(items) => items.iter().for_each(|item| visit_term(item, visit)),
        TermKind::Object(entries) => entries.iter().for_each(|(key, value)| {
            visit_term(key, visit);
            visit_term(value, visit);
        }),
        TermKind::ArrayCompr(head, body) | TermKind::SetCompr(head, body) => {
            visit_term(head, visit);
            visit_body(body, visit);
        }
        TermKind::ObjectCompr(head, body) => {
            visit_term(&head.0, visit);
            visit_term(&head.1, visit);
            visit_body(body, visit);
        }
        TermKind::Call(call) => visit_call(call, visit),
    }
}
