//! The functions of a program: how many arguments each takes, and what a call leads to.

use std::collections::HashMap;

use regorus::Value;

use super::tree::show_path;
use crate::ast::{self, TermKind};
use crate::builtins;
use crate::code::{Mock, NodeId};

/// The functions of a program.
pub(crate) struct Signatures {
    pub(crate) functions: Functions,
}

/// The full names of functions of a program, for messages and calls.
pub(crate) fn function_name(path: &[Value]) -> String {
    show_path(path)
}

/// The node of each function.
pub(crate) type Functions = HashMap<String, (NodeId, usize)>;

impl Signatures {
    /// The name that a call has once names are resolved.
    pub(crate) fn full_name(&self, call: &ast::Call) -> Option<String> {
        let (head, rest) = call.operator.split_first()?;
        let head = head.as_var()?;
        if &**head == "data" {
            let path: Option<Vec<Value>> = rest
                .iter()
                .map(|part| match &part.kind {
                    TermKind::Scalar(value) => Some(value.clone()),
                    _ => None,
                })
                .collect();
            return path.map(|path| show_path(&path));
        }
        call.name()
    }

    /// How many arguments a function takes.
    pub(crate) fn of(&self, name: &str) -> Option<usize> {
        if let Some((_, arity)) = self.functions.get(name) {
            return Some(*arity);
        }
        match name {
            "print" | "trace" => Some(1),
            "walk" => Some(1),
            "eq" | "assign" => Some(2),
            _ => builtins::find(name).map(|builtin| builtin.arity),
        }
    }

    pub(crate) fn arity(&self, call: &ast::Call) -> Option<usize> {
        self.of(&self.full_name(call)?)
    }

    pub(crate) fn callee(&self, name: &str) -> Option<Mock> {
        if let Some((node, _)) = self.functions.get(name) {
            return Some(Mock::Function(*node));
        }
        builtins::find(name).map(Mock::Builtin)
    }
}
