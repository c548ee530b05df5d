//! What documents bring along for engines, compiled together, and the engines that hooks name.

use std::sync::Arc;

#[cfg(any(not(feature = "rego"), not(feature = "cel"), not(feature = "javascript")))]
use portcullis_policy::Value;
use portcullis_policy::{FILE, Node, NodeError};

use super::Engine;
#[cfg(feature = "rego")]
use super::gatekeeper::Gatekeeper;
#[cfg(feature = "javascript")]
use super::javascript::Scripts;
#[cfg(feature = "cel")]
use super::policies::Policies;
#[cfg(feature = "rego")]
use super::rego::Modules;
use crate::admission::callers::Callers;
use crate::admission::hooks;
use crate::admission::hooks::at::{At, Faults, Reader};

/// `apiVersion` and `kind` of all documents of admission: hooks, their callers, and what engines read.
pub(in crate::admission) static KINDS: [(&str, &str); 12] = [
    hooks::KIND,
    Callers::KIND,
    ("templates.gatekeeper.sh/*", "ConstraintTemplate"),
    ("constraints.gatekeeper.sh/*", "*"),
    ("config.gatekeeper.sh/*", "Config"),
    ("syncset.gatekeeper.sh/*", "SyncSet"),
    ("expansion.gatekeeper.sh/*", "ExpansionTemplate"),
    ("admissionregistration.k8s.io/*", "ValidatingAdmissionPolicy"),
    ("admissionregistration.k8s.io/*", "ValidatingAdmissionPolicyBinding"),
    ("v1", "ConfigMap"),
    (FILE, "rego"),
    (FILE, "js"),
];

/// The fields of a hook that name an engine, with the feature that each belongs to.
pub(in crate::admission) const NAMES: [(&str, &str); 4] =
    [("rego", "rego"), ("gatekeeper", "rego"), ("validatingAdmissionPolicies", "cel"), ("javascript", "javascript")];

/// What engines know: templates and constraints, policies, modules and data, scripts.
#[derive(Debug, Default)]
pub struct Libraries {
    #[cfg(feature = "rego")]
    modules: Modules,
    #[cfg(feature = "rego")]
    gatekeeper: Option<Arc<Gatekeeper>>,
    #[cfg(feature = "cel")]
    policies: Option<Arc<Policies>>,
    #[cfg(feature = "javascript")]
    scripts: Scripts,
}

/// An engine, as a hook names it.
pub(in crate::admission) struct Named {
    pub(in crate::admission) engine: Arc<dyn Engine>,
    /// Whether it may change objects.
    pub(in crate::admission) mutating: bool,
}

impl Libraries {
    /// Gatekeeper's templates and constraints, if there are any.
    #[cfg(feature = "rego")]
    pub fn gatekeeper(&self) -> Option<&Arc<Gatekeeper>> {
        self.gatekeeper.as_ref()
    }

    /// The kinds of objects that documents speak of, as `apiVersion` and `kind`.
    pub(in crate::admission) fn claims(documents: &[Node]) -> Vec<(String, String)> {
        let mut claims = Vec::new();
        #[cfg(feature = "rego")]
        claims.extend(Gatekeeper::claims(documents));
        #[cfg(feature = "cel")]
        claims.extend(Policies::claims(documents));
        let _ = (documents, &mut claims);
        claims
    }

    /// Compiles the documents of all engines. What is wrong is added to the faults; then they are not to be used.
    pub(in crate::admission) fn compile(documents: &[Node], faults: &mut Faults) -> Self {
        let mut libraries = Self::default();
        refuse_unbuilt(documents, faults);
        #[cfg(feature = "rego")]
        {
            if let Some(gauge) = portcullis_proxylib::memory_gauge() {
                portcullis_rego::set_memory_gauge(gauge);
            }
            libraries.modules = Modules::compile(documents, &Self::claims(documents), faults);
            if Gatekeeper::is_among(documents) {
                libraries.gatekeeper = note(Gatekeeper::compile(documents), faults);
            }
        }
        #[cfg(feature = "cel")]
        if Policies::are_in(documents) || Policies::bindings_are_in(documents) {
            // Bindings alone are compiled for what is told of them: there is nothing then that could be asked.
            let compiled = note(Policies::compile(documents), faults);
            libraries.policies = compiled.filter(|_| Policies::are_in(documents)).map(Arc::new);
        }
        #[cfg(feature = "javascript")]
        {
            libraries.scripts = Scripts::find(documents);
        }
        let _ = &mut libraries;
        libraries
    }

    /// The engine that a field of a hook names.
    pub(in crate::admission) fn engine(&self, name: &str, at: &At<'_>, reader: &mut Reader) -> Option<Named> {
        match name {
            #[cfg(feature = "rego")]
            "rego" => self.modules.engine(at, reader),
            #[cfg(feature = "rego")]
            "gatekeeper" => {
                let wanted = "there is no constraint and no template beside the hook; add some";
                name_engine(self.gatekeeper.as_ref(), wanted, at, reader)
            }
            #[cfg(feature = "cel")]
            "validatingAdmissionPolicies" => {
                let wanted = "there is no `ValidatingAdmissionPolicy` beside the hook; add one, with its binding";
                name_engine(self.policies.as_ref(), wanted, at, reader)
            }
            #[cfg(feature = "javascript")]
            "javascript" => self.scripts.engine(at, reader),
            _ => {
                let feature = NAMES.iter().find(|(known, _)| *known == name).map_or(name, |(_, feature)| feature);
                reader.refuse(at, miss(name, feature));
                None
            }
        }
    }

    /// Tells of what no hook has named, once all hooks are compiled.
    pub(in crate::admission) fn warn_of_unnamed(&self, faults: &mut Faults) {
        #[cfg(feature = "rego")]
        faults.warnings.extend(self.modules.unnamed());
        #[cfg(feature = "javascript")]
        faults.warnings.extend(self.scripts.unnamed());
        let _ = faults;
    }

    /// The hooks that are there for documents that no hook speaks of, as documents themselves.
    pub(in crate::admission) fn default_hooks(&self) -> Vec<(&'static str, &'static str)> {
        let mut hooks = Vec::new();
        #[cfg(feature = "rego")]
        {
            hooks.extend(self.modules.has_main().then_some(("rego", include_str!("defaults/rego.yaml"))));
            let gatekeeper = ("gatekeeper", include_str!("defaults/gatekeeper.yaml"));
            hooks.extend(self.gatekeeper.is_some().then_some(gatekeeper));
        }
        #[cfg(feature = "cel")]
        {
            let policies = ("validatingAdmissionPolicies", include_str!("defaults/policies.yaml"));
            hooks.extend(self.policies.is_some().then_some(policies));
        }
        let _ = &mut hooks;
        hooks
    }
}

/// Keeps what was compiled, and adds what is wrong or probably not meant to the faults.
#[cfg(any(feature = "rego", feature = "cel"))]
fn note<T>(compiled: Result<(T, Vec<NodeError>), Vec<NodeError>>, faults: &mut Faults) -> Option<T> {
    match compiled {
        Ok((value, warnings)) => {
            faults.warnings.extend(warnings);
            Some(value)
        }
        Err(errors) => {
            faults.errors.extend(errors);
            None
        }
    }
}

/// An engine that a hook says nothing more of.
#[cfg(any(feature = "rego", feature = "cel"))]
fn name_engine<E: Engine + 'static>(
    engine: Option<&Arc<E>>,
    wanted: &str,
    at: &At<'_>,
    reader: &mut Reader,
) -> Option<Named> {
    if !at.check_fields(&[], reader) {
        return None;
    }
    if engine.is_none() && reader.faults.errors.is_empty() {
        reader.refuse(at, wanted);
    }
    engine.map(|engine| Named { engine: Arc::<E>::clone(engine), mutating: false })
}

/// What is said of something whose engine is not there.
fn miss(name: &str, feature: &str) -> String {
    format!("this build has no engine for `{name}`: it needs the feature `{feature}`")
}

/// Refuses documents of engines that are not there: their policies would never be asked.
fn refuse_unbuilt(documents: &[Node], faults: &mut Faults) {
    #[cfg(not(all(feature = "rego", feature = "cel", feature = "javascript")))]
    for document in documents {
        let text = |wanted: &str| match &document.value {
            Value::Map(entries) => {
                entries.iter().find(|entry| entry.key == wanted).and_then(|entry| match &entry.value.value {
                    Value::Text(text) => Some(text.as_str()),
                    _ => None,
                })
            }
            _ => None,
        };
        let (Some(api), Some(kind)) = (text("apiVersion"), text("kind")) else { continue };
        let feature = match (api, kind) {
            (FILE, "js") => "javascript",
            _ if api.starts_with("admissionregistration.k8s.io/") => "cel",
            _ => "rego",
        };
        let is_there = match feature {
            _ if kind == "ConfigMap" => cfg!(any(feature = "rego", feature = "cel", feature = "javascript")),
            "rego" => cfg!(feature = "rego"),
            "cel" => cfg!(feature = "cel"),
            _ => cfg!(feature = "javascript"),
        };
        // A ConfigMap may hold anything, and claimed objects are there only with the engine that claims them.
        if !is_there {
            faults.errors.push(NodeError::new(&document.place, "", miss(kind, feature)));
        }
    }
    let _ = (documents, faults);
}
