//! Where scripts come from.

use std::sync::atomic::{AtomicBool, Ordering};

use portcullis_policy::{FILE, Node, NodeError, Value};

use crate::admission::hooks::at::{At, shorten};

/// The scripts among some documents: files, and entries of ConfigMaps, whose names end in `.js`.
#[derive(Debug, Default)]
pub struct Scripts(Vec<Found>);

#[derive(Debug)]
struct Found {
    name: String,
    text: Node,
    is_named: AtomicBool,
}

impl Found {
    fn new(name: &str, text: &At<'_>) -> Self {
        Self { name: name.to_owned(), text: text.node.clone(), is_named: AtomicBool::new(false) }
    }
}

impl Scripts {
    /// Finds scripts. They are compiled where a hook names them.
    pub(in crate::admission) fn find(documents: &[Node]) -> Self {
        let mut found = Vec::new();
        for document in documents {
            let at = At { node: document, path: String::new() };
            match (read_text(&at, "apiVersion"), read_text(&at, "kind")) {
                (Some(FILE), Some("js")) => {
                    if let (Some(name), Some(text)) = (read_text(&at, "name"), at.field("text")) {
                        found.push(Found::new(name, &text));
                    }
                }
                (Some("v1"), Some("ConfigMap")) => {
                    let entries = at.field("data").map(|data| data.entries()).unwrap_or_default();
                    let scripts = entries.into_iter().filter(|(name, _)| name.ends_with(".js"));
                    found.extend(scripts.map(|(name, text)| Found::new(name, &text)));
                }
                _ => {}
            }
        }
        Self(found)
    }

    /// What is told of scripts that no hook has named: they judge nothing.
    pub(in crate::admission) fn unnamed(&self) -> impl Iterator<Item = NodeError> {
        let unnamed = self.0.iter().filter(|found| !found.is_named.load(Ordering::Relaxed));
        unnamed.map(|found| {
            let name = shorten(&found.name);
            let message = format!("no hook names the script `{name}`: add one with `javascript: {{file: {name}}}`");
            NodeError::new(&found.text.place, "", message)
        })
    }

    /// The script of a name.
    pub(super) fn find_one(&self, name: &str) -> Result<&Node, String> {
        let mut of_name = self.0.iter().filter(|found| found.name == name);
        match (of_name.next(), of_name.next()) {
            (Some(only), None) => {
                only.is_named.store(true, Ordering::Relaxed);
                Ok(&only.text)
            }
            (Some(first), Some(second)) => Err(format!(
                "there are two scripts `{}`, at {} and {}; rename one",
                shorten(name),
                first.text.place,
                second.text.place
            )),
            (None, _) => {
                let known: Vec<_> = self.0.iter().map(|found| shorten(&found.name)).collect();
                Err(match known.as_slice() {
                    [] => format!(
                        "there is no script `{}` beside the hook; add the file, or a ConfigMap with it",
                        shorten(name)
                    ),
                    known => format!("there is no script `{}`; there are `{}`", shorten(name), known.join("`, `")),
                })
            }
        }
    }
}

fn read_text<'n>(at: &At<'n>, name: &str) -> Option<&'n str> {
    match &at.field(name)?.node.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}
