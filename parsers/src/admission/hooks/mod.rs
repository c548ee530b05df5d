//! Hooks: one document for each webhook, with its rules, what manifests say of it, its documentation and its tests.
//!
//! ```text
//! Node (document with places) -> compile -> Hook -> Hooks, found by the path that reviews are posted to
//!                                           Review -> rules and selectors -> validate -> decide -> mutate -> Outcome
//! ```
//!
//! # What cannot be read
//!
//! Whether a condition holds is yes, no, or unreadable: an image that is a number, containers that are no list, a label that
//! is no text. What denies takes unreadable for yes, what allows takes it for no, and `not` leaves it what it is. So
//! nothing is allowed for being malformed. Where an object is to be changed and cannot, `onError` says what becomes of it.
//!
//! # Cost
//!
//! Conditions look at the review where it stands; what is allowed builds no text and allocates nothing, but for regexes that
//! look at texts with escapes. The pod spec is found once for a review. What one review may cost is bounded by the entries
//! that are looked at; a review that would cost more is one that cannot be judged.

mod at;
mod compile;
mod conditions;
mod context;
mod decide;
mod equal;
mod fields;
mod found;
mod hook;
mod images;
mod items;
mod lints;
mod mutate;
mod podspec;
mod quantity;
mod rules;
mod selectors;
pub mod spec;
mod strings;
mod template;
pub mod testing;
#[cfg(test)]
mod tests;
mod truth;

use std::collections::HashMap;
use std::sync::Arc;

use portcullis_policy::{DocumentCompiler, Documents, Node, NodeError};

use super::callers::Callers;
pub use hook::Hook;

/// `apiVersion` and `kind` of the documents of hooks.
pub const KIND: (&str, &str) = ("portcullis.dev/v1", "AdmissionHook");

/// Compiles the documents of admission: hooks, and who may call them.
pub static COMPILER: AdmissionCompiler = AdmissionCompiler;

/// The compiler of the documents of admission.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionCompiler;

/// What the documents of admission say.
#[derive(Debug)]
pub struct Admission {
    /// The hooks.
    pub hooks: Hooks,
    /// Who may call them.
    pub callers: Callers,
}

impl DocumentCompiler for AdmissionCompiler {
    fn kinds(&self) -> &[(&str, &str)] {
        const { &[KIND, Callers::KIND] }
    }

    fn compile(&self, documents: &[Node]) -> Result<Documents, Vec<NodeError>> {
        let (hooks, others): (Vec<_>, Vec<_>) = documents.iter().partition(|node| compile::is_hook(node));
        let others: Vec<_> = others.into_iter().cloned().collect();
        let callers = Callers::compile(&others);
        match (Hooks::compile(hooks), callers) {
            (Ok((hooks, warnings)), Ok(callers)) => {
                let labels: Vec<_> = hooks.iter().map(|hook| Arc::clone(hook.label())).collect();
                Ok(Documents::new(Admission { hooks, callers }, warnings, labels))
            }
            (hooks, callers) => {
                let errors = [hooks.err(), callers.err()];
                Err(errors.into_iter().flatten().flatten().collect())
            }
        }
    }
}

/// All hooks that are in force, by the paths that reviews are posted to.
#[derive(Debug, Default)]
pub struct Hooks {
    by_path: HashMap<Box<str>, Arc<Hook>>,
    hooks: Vec<Arc<Hook>>,
}

impl Hooks {
    /// Compiles the documents of hooks together, and tells what is probably not meant in them.
    ///
    /// # Errors
    /// All that is wrong with them, each with its place: fields that are unknown or missing or not what they ought to be,
    /// names and paths that are there twice, rules that are never reached.
    pub fn compile<'n>(
        documents: impl IntoIterator<Item = &'n Node>,
    ) -> Result<(Self, Vec<NodeError>), Vec<NodeError>> {
        let mut faults = at::Faults::default();
        let mut hooks: Vec<Arc<Hook>> = Vec::new();
        for document in documents {
            if let Some(hook) = compile::read(document, &mut faults) {
                for known in &hooks {
                    faults.errors.extend(lints::check_unique(known, &hook));
                }
                hooks.push(Arc::new(hook));
            }
        }
        if !faults.errors.is_empty() {
            return Err(faults.errors);
        }
        let by_path = hooks.iter().map(|hook| (hook.uri().into(), Arc::clone(hook))).collect();
        Ok((Self { by_path, hooks }, faults.warnings))
    }

    /// The hook at a path, exactly.
    pub fn find(&self, path: &str) -> Option<&Arc<Hook>> {
        self.by_path.get(path)
    }

    /// All hooks, in the order of their documents.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Hook>> {
        self.hooks.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.hooks.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.hooks.is_empty()
    }
}
