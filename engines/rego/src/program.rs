//! A compiled program.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use regorus::Value;

use crate::code::{Code, NodeKind};
use crate::compile::{Compiled, OpenImport, compile};
use crate::machine::Machine;
use crate::{Data, Dialect, EvalError, Fault, Input, Module};

/// The stack that the compiler has, in bytes. Terms are nested at most some hundred levels of a few hundred bytes for each
/// bracket; a chain of operators is as deep as it is long.
const COMPILER_STACK: usize = 64 << 20;

/// Modules that were compiled together, and the documents under `data`. A clone costs two references.
#[derive(Clone)]
pub struct Program {
    shared: Arc<Shared>,
    data: Data,
}

struct Shared {
    code: Code,
    managed_fields: bool,
    open_imports: Vec<OpenImport>,
}

impl Program {
    /// Compiles modules, on a thread with a stack of its own.
    ///
    /// # Errors
    ///
    /// What OPA refuses, with its codes; functions that there are not; modules that are larger or nested deeper than they may be.
    pub fn compile(modules: &[Module<'_>], dialect: Dialect) -> Result<Self, Vec<Fault>> {
        let failed = |message: &str| {
            let file = modules.first().map(|module| module.name.to_owned()).unwrap_or_default();
            vec![Fault { file, row: 0, column: 0, code: "rego_compile_error", message: message.to_owned() }]
        };
        let compiled = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("rego-compiler".to_owned()).stack_size(COMPILER_STACK);
            match thread.spawn_scoped(scope, || compile(modules, dialect)) {
                Ok(handle) => handle
                    .join()
                    .unwrap_or_else(|_| Err(failed("the compiler failed: report the module that it fails for"))),
                Err(_) => Err(failed("there is no thread for the compiler")),
            }
        })?;
        let Compiled { code, managed_fields, open_imports } = compiled;
        Ok(Self { shared: Arc::new(Shared { code, managed_fields, open_imports }), data: Data::new() })
    }

    /// The same program over other documents.
    #[must_use]
    pub fn with_data(&self, data: &Data) -> Self {
        Self { shared: self.shared.clone(), data: data.clone() }
    }

    /// Whether there is a rule of this path, such as `data.system.main`. Functions are none.
    pub fn has_rule(&self, path: &str) -> bool {
        let Some(path) = read_path(path) else { return false };
        let (node, used) = self.shared.code.find(path.iter());
        let node = self.shared.code.node(node);
        node.is_some_and(|node| match node.kind {
            NodeKind::Complete => used == path.len(),
            // Its parts have no nodes of their own.
            NodeKind::Partial => true,
            NodeKind::Function | NodeKind::Inner => false,
        })
    }

    /// Whether a rule may look at managed fields; true where it is not certain that none does.
    pub fn mentions_managed_fields(&self) -> bool {
        self.shared.managed_fields
    }

    /// Imports of what is nowhere, neither a module nor one of the documents. OPA takes them, too: what needs them is undefined.
    pub fn open_imports(&self) -> impl Iterator<Item = &Fault> {
        let is_open = |import: &&OpenImport| {
            let path: Vec<&str> = import.path.iter().map(String::as_str).collect();
            self.data.find(&path).is_none()
        };
        self.shared.open_imports.iter().filter(is_open).map(|import| &import.fault)
    }

    /// The value of a rule such as `data.system.main`; nothing where it is undefined.
    ///
    /// # Errors
    ///
    /// The time or the memory is used up, or the evaluation fails as it would in OPA.
    pub fn evaluate(&self, rule: &str, input: &Input, until: Instant) -> Result<Option<Value>, EvalError> {
        let read;
        let path = match self.shared.code.find_named(rule) {
            Some(node) => &node.path,
            None => {
                let wrong = || EvalError::Failed(format!("`{rule:.100}` is no path of a rule"));
                read = read_path(rule).ok_or_else(wrong)?;
                &read
            }
        };
        let input = (input.value().clone(), input.depth());
        Machine::new(&self.shared.code, input, &self.data, until).evaluate(path)
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("files", &self.shared.code.files).finish_non_exhaustive()
    }
}

/// The parts of `data.a["b c"].d` after `data`.
fn read_path(path: &str) -> Option<Vec<Value>> {
    let mut rest = path.strip_prefix("data")?;
    let mut parts = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (name, after) = after.split_at(end);
            if name.is_empty() {
                return None;
            }
            parts.push(Value::from(name));
            rest = after;
        } else {
            let after = rest.strip_prefix("[\"")?;
            let (name, after) = after.split_once("\"]")?;
            parts.push(Value::from(name));
            rest = after;
        }
    }
    Some(parts)
}
