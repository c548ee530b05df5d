//! Hooks and the policies beside them, loaded as a listener loads them.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::anyhow;
use portcullis_parsers::REGISTRY;
use portcullis_parsers::admission::hooks::spec::Spec;
use portcullis_parsers::admission::hooks::{Admission, Hook};
use portcullis_policy::{
    CompileOptions, DefaultVerdict, Documents, Entry, Node, Place, PolicyErrors, Snapshot, Source, Value, Warning,
};

use crate::output::Output;

/// What was loaded.
pub(super) struct Loaded {
    pub(super) sources: Vec<Source>,
    warnings: Vec<Warning>,
    hooks: Vec<Arc<Hook>>,
    has_tokens: bool,
}

/// As a listener for hooks compiles them.
pub(super) const OPTIONS: CompileOptions<'static> =
    CompileOptions { default: DefaultVerdict::Deny, l7proto: Some("admission") };

/// Loads files, and directories of them. What cannot be read is one error, and what a listener would refuse is another.
pub(super) fn load(paths: &[PathBuf]) -> anyhow::Result<Result<Loaded, PolicyErrors>> {
    let sources = Source::load(paths).map_err(|errors| anyhow!("{errors}"))?;
    Ok(Loaded::compile(sources))
}

impl Loaded {
    pub(super) fn compile(sources: Vec<Source>) -> Result<Self, PolicyErrors> {
        let compiled = Snapshot::compile(&sources, &REGISTRY, &OPTIONS)?;
        let known = || compiled.snapshot.documents().iter().filter_map(Documents::downcast_ref::<Admission>);
        let has_tokens = known().any(|admission| !admission.callers.is_empty());
        let mut hooks: Vec<_> = known().flat_map(|admission| admission.hooks.iter()).cloned().collect();
        hooks.sort_by(|a, b| a.name().cmp(b.name()));
        Ok(Self { sources, warnings: compiled.warnings, hooks, has_tokens })
    }

    /// The hooks, in the order of their names.
    pub(super) fn hooks(&self) -> &[Arc<Hook>] {
        &self.hooks
    }

    /// What they say of themselves, in the same order.
    pub(super) fn specs(&self) -> impl Iterator<Item = &Spec> {
        self.hooks.iter().map(|hook| hook.spec())
    }

    /// Whether any token of a caller is known.
    pub(super) fn has_tokens(&self) -> bool {
        self.has_tokens
    }

    /// What to tell where there are no hooks: a directory may be the wrong one.
    pub(super) fn miss_hooks(&self, paths: &[PathBuf]) -> Option<String> {
        let shown: Vec<_> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
        self.hooks.is_empty().then(|| {
            format!(
                "there is no hook in {}: hooks are documents of kind `AdmissionHook`, and constraints, policies and modules with `data.system.main` have one by default; of a directory .yaml, .yml, .json, .rego and .js files are read, and no further directories",
                shown.join(", ")
            )
        })
    }

    /// Says what is probably not meant, apart from the results.
    pub(super) fn note_warnings(&self, out: &Output) {
        self.warnings.iter().for_each(|warning| out.note(warning));
    }

    /// Where a rule of a hook stands: `decide[2]`, as outcomes name it.
    pub(super) fn place_of(&self, hook: &Hook, rule: &str) -> Option<Place> {
        let source = self.sources.iter().find(|source| *source.name == *hook.place().file)?;
        let documents = Node::load(&source.name, &source.text).ok()?;
        let document = documents.iter().find_map(|document| find_hook(document, hook.name()))?;
        let (list, index) = rule.strip_suffix(']')?.split_once('[')?;
        match &entry(entry(document, "spec")?, list)?.value {
            Value::List(items) => items.get(index.parse::<usize>().ok()?).map(|item| item.place.clone()),
            _ => None,
        }
    }
}

/// The document of a hook: by itself, or in a `List`.
fn find_hook<'n>(document: &'n Node, name: &str) -> Option<&'n Node> {
    let is = |value: Option<&Node>, wanted: &str| matches!(value, Some(Node { value: Value::Text(text), .. }) if text == wanted);
    if is(entry(document, "kind"), "AdmissionHook") {
        return is(entry(document, "metadata").and_then(|metadata| entry(metadata, "name")), name).then_some(document);
    }
    match &entry(document, "items")?.value {
        Value::List(items) => items.iter().find_map(|item| find_hook(item, name)),
        _ => None,
    }
}

fn entry<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    match &node.value {
        Value::Map(entries) => entries.iter().find(|entry: &&Entry| entry.key == key).map(|entry| &entry.value),
        _ => None,
    }
}
