//! ValidatingAdmissionPolicies (`admissionregistration.k8s.io`) and their bindings, judged as the API server judges them.
//!
//! ```text
//! policy -> speaks of the request? -> binding -> speaks of it? -> parameters -> Program::judge -> denials, warnings, annotations
//! ```
//!
//! What cannot be told is never passed over: a namespace whose labels are asked for and that no document knows, an object in
//! another version than a policy asks for, an expression that fails. Each is for the policy's `failurePolicy`.

mod expressions;
mod matching;
mod namespaces;
#[cfg(any(feature = "rego", test))]
pub(in crate::admission) mod native;
mod params;
mod parts;
mod policy;
mod program;
mod read;
mod request;
mod ruling;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use portcullis_cel::POLICY_LIMIT;
use portcullis_policy::{Node, NodeError, Value};

use self::namespaces::Namespaces;
use self::params::{ParamKind, Params};
use self::policy::{Binding, Policy};
pub(in crate::admission) use self::program::Namespace;
use self::program::{Bindings, Late};
use self::request::Request;
use self::ruling::Findings;
use super::{Engine, EngineError, Ruling};
use crate::admission::hooks::at::{At, Reader, shorten};
use crate::admission::review::{Operation, Review};

/// The kind of policies.
const POLICY: &str = "ValidatingAdmissionPolicy";
/// The kind of bindings.
const BINDING: &str = "ValidatingAdmissionPolicyBinding";
/// The group of both.
const GROUP: &str = "admissionregistration.k8s.io/";
/// `apiVersion` and `kind` of namespaces.
const NAMESPACE: (&str, &str) = ("v1", "Namespace");

/// Policies that are in force, with all that documents say of what they need.
#[derive(Debug, Default)]
pub struct Policies {
    /// By name, each with a binding at least.
    policies: Vec<Policy>,
    params: Params,
    namespaces: Namespaces,
}

impl Policies {
    /// Whether documents hold policies.
    pub fn are_in(documents: &[Node]) -> bool {
        documents.iter().any(is_policy)
    }

    /// Whether documents hold bindings.
    pub(super) fn bindings_are_in(documents: &[Node]) -> bool {
        documents.iter().any(is_binding)
    }

    /// The kinds of objects that policies speak of, as `apiVersion` and `kind`: those of parameters, and namespaces where an
    /// expression or a selector asks for them.
    pub fn claims(documents: &[Node]) -> Vec<(String, String)> {
        let mut claims = BTreeSet::new();
        let own = documents.iter().filter(|document| is_policy(document) || is_binding(document));
        for document in own {
            let kind = read_param_kind(document);
            claims.extend(kind.map(|kind| (kind.api_version, kind.kind)));
            if mentions(document, &["namespaceSelector", "namespaceObject"]) {
                claims.insert((NAMESPACE.0.to_owned(), NAMESPACE.1.to_owned()));
            }
        }
        claims.into_iter().collect()
    }

    /// Compiles policies and bindings, and keeps the objects that they speak of. Gives warnings too.
    ///
    /// # Errors
    /// All that the API server would refuse, each with its place.
    pub fn compile(documents: &[Node]) -> Result<(Self, Vec<NodeError>), Vec<NodeError>> {
        let mut reader = Reader::default();
        let mut policies: BTreeMap<String, (Policy, &Node)> = BTreeMap::new();
        for document in documents.iter().filter(|document| is_policy(document)) {
            let Some(policy) = Policy::read(document, &mut reader) else { continue };
            let name = policy.name.clone();
            if let Some((_, first)) = policies.get(&name) {
                refuse_second(document, POLICY, &name, first, &mut reader);
                continue;
            }
            policies.insert(name, (policy, document));
        }
        let mut bindings: BTreeMap<String, (Binding, &Node)> = BTreeMap::new();
        for document in documents.iter().filter(|document| is_binding(document)) {
            let Some(binding) = Binding::read(document, &mut reader) else { continue };
            if let Some((_, first)) = bindings.get(&binding.name) {
                refuse_second(document, BINDING, &binding.name, first, &mut reader);
                continue;
            }
            bindings.insert(binding.name.clone(), (binding, document));
        }
        for (name, (binding, document)) in bindings {
            match policies.get_mut(&binding.policy) {
                Some((policy, _)) => policy.bindings.push(binding),
                None => {
                    let message =
                        format!("there is no policy `{}`, so that this binds nothing", shorten(&binding.policy));
                    reader.warn(&At { node: document, path: name }, message);
                }
            }
        }
        for (name, (_, document)) in policies.iter().filter(|(_, (policy, _))| policy.bindings.is_empty()) {
            let message = format!("no {BINDING} has this policy as its `policyName`, so that it is not in force");
            reader.warn(&At { node: document, path: name.clone() }, message);
        }
        let policies: Vec<_> =
            policies.into_values().map(|(policy, _)| policy).filter(|policy| !policy.bindings.is_empty()).collect();
        let compiled = Self {
            params: collect_params(&policies, documents, &mut reader),
            namespaces: collect_namespaces(documents, &mut reader),
            policies,
        };
        let faults = reader.faults;
        if faults.errors.is_empty() { Ok((compiled, faults.warnings)) } else { Err(faults.errors) }
    }

    fn judge(&self, review: &Review<'_>, until: Instant) -> Result<Ruling, EngineError> {
        let request = Request::new(review);
        let mut findings = Findings::default();
        if is_exempt(review) {
            return Ok(findings.rule());
        }
        for policy in &self.policies {
            match policy.matching.speaks_of(review, &self.namespaces) {
                Ok(false) => continue,
                Ok(true) => {}
                Err(why) => {
                    findings.refuse(policy, None, &why);
                    continue;
                }
            }
            for binding in &policy.bindings {
                if let Err(Late) = self.ask(policy, binding, &request, until, &mut findings) {
                    return findings.end_early(policy, binding);
                }
            }
        }
        Ok(findings.rule())
    }

    /// Evaluates a policy for one of its bindings.
    fn ask(
        &self,
        policy: &Policy,
        binding: &Binding,
        request: &Request<'_, '_>,
        until: Instant,
        findings: &mut Findings,
    ) -> Result<(), Late> {
        let review = request.review;
        let spoken_of =
            binding.matching.as_ref().map_or(Ok(true), |matching| matching.speaks_of(review, &self.namespaces));
        let params = match spoken_of {
            Ok(false) => return Ok(()),
            Ok(true) => self.params.collect(policy.param_kind.as_ref(), binding.params.as_ref(), &review.namespace),
            Err(why) => Err(why),
        };
        let params = match params {
            Ok(params) => params,
            Err(why) => {
                findings.refuse(policy, Some(binding), &why);
                return Ok(());
            }
        };
        for params in params {
            if Instant::now() >= until {
                return Err(Late);
            }
            let bindings = Bindings {
                object: review.object.filter(|_| review.operation != Operation::Delete),
                old_object: review.old_object,
                request,
                params: params.map(|document| document.root()),
                namespace: self.namespace_of(review),
            };
            findings.add(policy, binding, policy.program.judge(&bindings, POLICY_LIMIT, until)?);
        }
        Ok(())
    }

    /// "Special case, the namespace object has the namespace of itself [...] unset it if the incoming object is a namespace"
    fn namespace_of(&self, review: &Review<'_>) -> Namespace<'_> {
        let kind = &review.kind;
        if review.namespace.is_empty()
            || kind.group.is_empty() && kind.version == NAMESPACE.0 && kind.kind == NAMESPACE.1
        {
            return Namespace::None;
        }
        self.namespaces.find(&review.namespace).map_or(Namespace::Unknown, Namespace::Known)
    }
}

impl Engine for Policies {
    fn evaluate(&self, review: &Review<'_>, until: Instant) -> Result<Ruling, EngineError> {
        self.judge(review, until)
    }
}

/// Resources that the API server asks no policy about, so that nobody is locked out.
const EXEMPT: [(&str, &[&str]); 3] = [
    (
        "admissionregistration.k8s.io",
        &[
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
        ],
    ),
    ("authentication.k8s.io", &["selfsubjectreviews", "tokenreviews"]),
    (
        "authorization.k8s.io",
        &["localsubjectaccessreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews", "subjectaccessreviews"],
    ),
];

fn is_exempt(review: &Review<'_>) -> bool {
    let asked = review.request_resource.as_ref().unwrap_or(&review.resource);
    EXEMPT.iter().any(|(group, resources)| asked.group == *group && resources.contains(&&*asked.resource))
}

fn is_policy(document: &Node) -> bool {
    is_of(document, POLICY)
}

fn is_binding(document: &Node) -> bool {
    is_of(document, BINDING)
}

fn is_of(document: &Node, kind: &str) -> bool {
    text_of(document, "kind") == kind && text_of(document, "apiVersion").starts_with(GROUP)
}

fn text_of<'n>(document: &'n Node, field: &str) -> &'n str {
    let Value::Map(entries) = &document.value else { return "" };
    match entries.iter().find(|entry| entry.key == field).map(|entry| &entry.value.value) {
        Some(Value::Text(text)) => text,
        _ => "",
    }
}

fn read_param_kind(document: &Node) -> Option<ParamKind> {
    let spec = At { node: document, path: String::new() }.field("spec")?;
    ParamKind::read(&spec.field("paramKind")?, &mut Reader::default())
}

/// Whether a key or a text has one of these words in it. A document is no deeper than the reader of documents takes it.
fn mentions(node: &Node, words: &[&str]) -> bool {
    let has = |text: &str| words.iter().any(|word| text.contains(word));
    match &node.value {
        Value::Text(text) => has(text),
        Value::List(items) => items.iter().any(|item| mentions(item, words)),
        Value::Map(entries) => entries.iter().any(|entry| has(&entry.key) || mentions(&entry.value, words)),
        _ => false,
    }
}

fn collect_params(policies: &[Policy], documents: &[Node], reader: &mut Reader) -> Params {
    let mut params = Params::default();
    let kinds: BTreeSet<_> = policies.iter().filter_map(|policy| policy.param_kind.as_ref()).collect();
    for kind in kinds {
        let is_one = |document: &&Node| {
            text_of(document, "apiVersion") == kind.api_version && text_of(document, "kind") == kind.kind
        };
        let own: Vec<_> = documents.iter().filter(is_one).collect();
        params.add(kind, &own, reader);
    }
    params
}

fn collect_namespaces(documents: &[Node], reader: &mut Reader) -> Namespaces {
    let mut namespaces = Namespaces::default();
    for document in documents {
        if (text_of(document, "apiVersion"), text_of(document, "kind")) == NAMESPACE {
            namespaces.add(document, reader);
        }
    }
    namespaces
}

fn refuse_second(document: &Node, kind: &str, name: &str, first: &Node, reader: &mut Reader) {
    let message = format!("a {kind} of this name stands at {} already; rename or remove one", first.place);
    reader.refuse(&At { node: document, path: name.to_owned() }, message);
}
