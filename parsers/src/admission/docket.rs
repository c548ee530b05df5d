//! Where the parser finds who judges, and who may call.

use std::sync::Arc;

use super::callers::Callers;
use super::hooks::{Admission, Hook};
use super::judge::Judge;

/// The judges of a listener by path, and its callers: compiled from the documents beside policies.
pub trait Docket: Send + Sync + 'static {
    /// Who judges.
    type Judge: Judge + 'static;

    /// The judge of a path, which is compared as it is written.
    fn find(&self, path: &str) -> Option<&Arc<Self::Judge>>;

    /// The name by which a judge is logged and counted.
    fn label(judge: &Self::Judge) -> &Arc<str>;

    /// The paths that there are.
    fn paths(&self) -> impl Iterator<Item = &str>;

    /// Who is known by a token.
    fn callers(&self) -> &Callers;
}

impl Docket for Admission {
    type Judge = Hook;

    fn find(&self, path: &str) -> Option<&Arc<Hook>> {
        self.hooks.find(path)
    }

    fn label(hook: &Hook) -> &Arc<str> {
        hook.label()
    }

    fn paths(&self) -> impl Iterator<Item = &str> {
        self.hooks.iter().map(|hook| hook.uri())
    }

    fn callers(&self) -> &Callers {
        &self.callers
    }
}
