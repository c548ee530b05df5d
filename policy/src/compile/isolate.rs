//! A bad file holds back its own namespaces and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{CompileOptions, Compiled, Source, compile_objects, find_duplicates, kinds_of};
use crate::decide::Snapshot;
use crate::l7::Protocols;
use crate::node::NodeError;
use crate::problems::{PolicyErrors, Problems};
use crate::spec::{self, Kinds, Objects, Policy};

/// The last good files of each namespace; clusterwide policies are in the namespace without a name.
#[derive(Debug, Default)]
pub(crate) struct Isolation {
    good: BTreeMap<String, Vec<Arc<Source>>>,
}

/// What compiling in isolation gives.
pub(crate) struct Isolated {
    pub(crate) compiled: Compiled,
    /// The namespaces that stay as they were, or in which nothing passes if they never were good.
    pub(crate) held: BTreeSet<String>,
    /// Why they are held back.
    pub(crate) errors: Option<PolicyErrors>,
}

impl Isolation {
    /// Compiles what is good, with the last good policies of the namespaces in which something is bad.
    ///
    /// # Errors
    /// Something is wrong that cannot be told to be of some namespaces: clusterwide policies, what is no policy, and new
    /// files that cannot be read at all.
    pub(crate) fn compile(
        &mut self,
        sources: &[Source],
        protocols: &dyn Protocols,
        options: &CompileOptions<'_>,
    ) -> Result<Isolated, PolicyErrors> {
        let mut problems = Problems::default();
        let objects = super::read_all(sources, protocols, &mut problems);
        let files = files_of(&objects.policies);
        let all = match compile_objects(objects, BTreeSet::new(), problems, protocols, options) {
            Ok(compiled) => {
                self.good = files.into_iter().map(|(namespace, files)| (namespace, copy(sources, &files))).collect();
                return Ok(Isolated { compiled, held: BTreeSet::new(), errors: None });
            }
            Err(all) => all,
        };
        let Some(Sorted { good: Objects { policies: good, documents, .. }, bad, errors }) =
            self.sort(sources, protocols, options)
        else {
            return Err(all);
        };

        let now = files_of(&good);
        let mut policies = good;
        let mut never = BTreeSet::new();
        for namespace in &bad {
            match self.good.get(namespace) {
                Some(files) => policies.extend(reread(files, namespace)),
                None => drop(never.insert(namespace.clone())),
            }
        }
        // What is wrong with documents is not of a namespace, and holds back everything.
        let objects = Objects { policies, documents, ..Objects::default() };
        let Ok(compiled) = compile_objects(objects, never, Problems::default(), protocols, options) else {
            return Err(all);
        };
        self.good.retain(|namespace, _| bad.contains(namespace));
        self.good.extend(now.into_iter().map(|(namespace, files)| (namespace, copy(sources, &files))));
        Ok(Isolated { compiled, held: bad, errors: errors.finish().err() })
    }

    /// Tells good policies from bad namespaces; nothing if that cannot be told.
    fn sort(&self, sources: &[Source], protocols: &dyn Protocols, options: &CompileOptions<'_>) -> Option<Sorted> {
        let (mut bad, mut errors) = (BTreeSet::new(), Problems::default());
        let mut good = Objects::default();
        let kinds = kinds_of(protocols);
        let all = super::read_objects(sources, Kinds::Of(&kinds), &mut Problems::default());
        let claims = super::claims_of(&all.documents, protocols);
        for source in sources {
            let mut problems = Problems::default();
            let documents = problems.note(source.documents());
            let readable = documents.is_some();
            let documents = documents.unwrap_or_default();
            let mut read = Objects::default();
            for document in &documents {
                spec::read_objects(document, Kinds::Of(&kinds), &mut problems, &mut read);
            }
            read.settle(&claims, &mut problems);
            if problems.is_empty() {
                good.policies.extend(read.policies);
                good.documents.extend(read.documents);
                continue;
            }
            let was = self.namespaces_of(&source.name);
            if !readable && was.is_empty() {
                return None;
            }
            bad.extend(was);
            for document in &documents {
                bad.extend(spec::namespaces_of(document)?);
            }
            errors.extend(problems);
        }
        let policies = &mut good.policies;
        for (duplicate, error) in find_duplicates(policies) {
            bad.insert(namespace(duplicate).to_owned());
            errors.add(error);
        }
        // Selectors of endpoints are bound to their namespaces, so that no policy depends on one of another.
        let mut by_namespace: BTreeMap<&str, Vec<Policy>> = BTreeMap::new();
        for policy in policies.iter() {
            by_namespace.entry(namespace(policy)).or_default().push(policy.clone());
        }
        for (namespace, own) in by_namespace {
            if bad.contains(namespace) {
                continue;
            }
            let own = Objects { policies: own, ..Objects::default() };
            if let Err(faults) = compile_objects(own, BTreeSet::new(), Problems::default(), protocols, options) {
                bad.insert(namespace.to_owned());
                faults.errors.into_iter().for_each(|fault: NodeError| errors.add(fault));
            }
        }
        if bad.contains(CLUSTERWIDE) || bad.is_empty() {
            return None;
        }
        policies.retain(|policy| !bad.contains(namespace(policy)));
        Some(Sorted { good, bad, errors })
    }

    fn namespaces_of(&self, file: &str) -> Vec<String> {
        let had = |files: &[Arc<Source>]| files.iter().any(|source| source.name == file);
        self.good.iter().filter(|(_, files)| had(files)).map(|(namespace, _)| namespace.clone()).collect()
    }
}

struct Sorted {
    good: Objects,
    bad: BTreeSet<String>,
    errors: Problems,
}

/// The namespace of clusterwide policies.
const CLUSTERWIDE: &str = "";

fn namespace(policy: &Policy) -> &str {
    let (_, namespace, _) = &policy.key;
    namespace
}

/// Which files speak of each namespace.
fn files_of(policies: &[Policy]) -> BTreeMap<String, BTreeSet<Arc<str>>> {
    let mut files: BTreeMap<String, BTreeSet<Arc<str>>> = BTreeMap::new();
    for policy in policies {
        files.entry(namespace(policy).to_owned()).or_default().insert(Arc::clone(&policy.place.file));
    }
    files
}

fn copy(sources: &[Source], files: &BTreeSet<Arc<str>>) -> Vec<Arc<Source>> {
    let meant = sources.iter().filter(|source| files.contains(source.name.as_str()));
    meant.map(|source| Arc::new(source.clone())).collect()
}

/// The policies of one namespace in files that were good. Other parts of a file may have been bad.
fn reread(files: &[Arc<Source>], of: &str) -> Vec<Policy> {
    let texts: Vec<_> = files.iter().map(|source| Source::clone(source)).collect();
    let mut policies = super::read_objects(&texts, Kinds::Any, &mut Problems::default()).policies;
    policies.retain(|policy| namespace(policy) == of);
    policies
}

impl Snapshot {
    /// The namespaces in which nothing passes, because a policy of theirs is bad and none was good before.
    pub fn closed_namespaces(&self) -> impl Iterator<Item = &str> {
        self.content().held.iter().map(String::as_str)
    }
}
