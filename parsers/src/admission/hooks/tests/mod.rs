//! Hooks as a whole: what shipped ones decide, what is refused, what is hostile.

mod errors;
mod hostile;
mod outcomes;

use portcullis_policy::{Node, NodeError};

use super::Hooks;

/// Hooks from the text of a file, with the warnings.
pub(super) fn load(text: &str) -> Result<(Hooks, Vec<NodeError>), Vec<NodeError>> {
    let documents = Node::load("hooks.yaml", text.as_bytes()).map_err(|error| vec![error])?;
    Hooks::compile(&documents)
}
