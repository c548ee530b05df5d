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

pub(in crate::admission) mod at;
mod compile;
mod conditions;
pub(in crate::admission) mod context;
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
pub(in crate::admission) mod selectors;
pub mod spec;
mod strings;
mod template;
pub mod testing;
#[cfg(test)]
mod tests;
pub(in crate::admission) mod truth;

use std::collections::HashMap;
use std::sync::Arc;

use portcullis_policy::{DocumentCompiler, Documents, Node, NodeError};

use super::callers::Callers;
use super::engines::{self, Libraries};
pub use hook::Hook;

/// `apiVersion` and `kind` of the documents of hooks.
pub const KIND: (&str, &str) = ("portcullis.dev/v1", "AdmissionHook");

/// Compiles the documents of admission: hooks, who may call them, and what engines know.
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
    /// What their engines know.
    pub libraries: Libraries,
}

impl DocumentCompiler for AdmissionCompiler {
    fn kinds(&self) -> &[(&str, &str)] {
        &engines::KINDS
    }

    fn claims(&self, documents: &[Node]) -> Vec<(String, String)> {
        Libraries::claims(documents)
    }

    fn compile(&self, documents: &[Node]) -> Result<Documents, Vec<NodeError>> {
        let (hooks, others): (Vec<_>, Vec<_>) = documents.iter().partition(|node| compile::is_of(node, KIND));
        let (callers, others): (Vec<_>, Vec<_>) =
            others.into_iter().cloned().partition(|node| compile::is_of(node, Callers::KIND));
        let mut faults = at::Faults::default();
        let libraries = Libraries::compile(&others, &mut faults);
        let hooks = Hooks::compile_with(hooks, &libraries, &mut faults);
        libraries.warn_of_unnamed(&mut faults);
        let callers = Callers::compile(&callers).map_err(|errors| faults.errors.extend(errors)).unwrap_or_default();
        if !faults.errors.is_empty() {
            return Err(faults.errors);
        }
        let labels: Vec<_> = hooks.iter().map(|hook| Arc::clone(hook.label())).collect();
        Ok(Documents::new(Admission { hooks, callers, libraries }, faults.warnings, labels))
    }
}

fn add(hooks: &mut Vec<Arc<Hook>>, hook: Option<Hook>, faults: &mut at::Faults) {
    let Some(hook) = hook else { return };
    for known in hooks.iter() {
        faults.errors.extend(lints::check_unique(known, &hook));
    }
    hooks.push(Arc::new(hook));
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
        let hooks = Self::compile_with(documents, &Libraries::default(), &mut faults);
        if faults.errors.is_empty() { Ok((hooks, faults.warnings)) } else { Err(faults.errors) }
    }

    /// The same, with engines. What engines know and no hook asks is asked by a hook of its own.
    fn compile_with<'n>(
        documents: impl IntoIterator<Item = &'n Node>,
        libraries: &Libraries,
        faults: &mut at::Faults,
    ) -> Self {
        let mut hooks: Vec<Arc<Hook>> = Vec::new();
        for document in documents {
            add(&mut hooks, compile::read(document, libraries, faults), faults);
        }
        for (engine, text) in libraries.default_hooks() {
            if hooks.iter().any(|hook| hook.spec().engine == Some(engine)) {
                continue;
            }
            let mut own = at::Faults::default();
            match Node::load(&format!("the hook for `{engine}` that is there by default"), text.as_bytes()) {
                Ok(documents) => documents.iter().for_each(|document| {
                    let hook = compile::read(document, libraries, &mut own);
                    add(&mut hooks, hook, &mut own);
                }),
                Err(error) => own.errors.push(error),
            }
            faults.errors.extend(own.errors);
        }
        let by_path = hooks.iter().map(|hook| (hook.uri().into(), Arc::clone(hook))).collect();
        Self { by_path, hooks }
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
