//! The seam between policy and protocols: what a protocol tells the policy engine of its rules, and nothing of its wire.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::lint::Outline;
use crate::node::{Node, NodeError};

/// Which objects a rule came from, and so what its words mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `cilium.io/v2`: what Cilium up to 1.18 documented. Regexes search; a null value is the empty string.
    Cilium,
    /// `portcullis.dev/v1`: strict. Regexes match the whole; nothing is implied.
    Strict,
}

/// What a matching rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// The request may pass, unless another rule denies it.
    Allow,
    /// The request may not pass, whatever else allows it.
    Deny,
}

/// One rule of one snapshot: an index into [`Snapshot::rule`](crate::Snapshot::rule).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(pub(crate) u32);

impl RuleId {
    /// The `n`th rule. Snapshots number their own; this is for tests of a [`RuleSet`] alone.
    pub const fn nth(n: u32) -> Self {
        Self(n)
    }

    /// The index into the rules of the snapshot.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A rule with its id and its effect, ready to be compiled with its neighbours.
#[derive(Clone, Debug)]
pub struct Located<T> {
    /// The id that decisions of this rule report.
    pub id: RuleId,
    /// What the rule does when it matches.
    pub effect: Effect,
    /// The rule as the protocol reads it.
    pub rule: T,
}

/// What the rules of one block say of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum L7Decision {
    /// This rule admits the request.
    Allow(RuleId),
    /// This rule forbids the request.
    Deny(RuleId),
    /// No rule of the block speaks of the request.
    NoMatch,
}

/// Why a rule that was looked at did not match: for `explain`, never on the data path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The rule that did not match.
    pub rule: RuleId,
    /// The field of the rule that did not match, as it is spelt in policies.
    pub field: &'static str,
}

/// Rules that cannot be compiled together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RuleError {
    /// The rule at fault, where it is one.
    pub rule: Option<RuleId>,
    /// What is wrong and what would be right: lower case, the thing at fault in backticks.
    pub message: String,
}

impl RuleError {
    /// An error of one rule.
    pub fn new(rule: RuleId, message: impl Into<String>) -> Self {
        Self { rule: Some(rule), message: message.into() }
    }
}

/// All `l7` items of one protocol that apply together, compiled as a set.
///
/// A decision must not cost more for more exact or prefix rules: compile into sets, tries and regex sets
/// ([`matcher`](crate::matcher) has them), or use [`RuleList`](crate::RuleList) where a plain list will do.
pub trait RuleSet: Sized + Send + Sync + 'static {
    /// One `l7` item. Refuse unknown fields (`#[serde(deny_unknown_fields)]`): a rule that deserialized must be one
    /// that can be enforced.
    type Rule: DeserializeOwned;
    /// A request, borrowing from the wire.
    type Request<'a>: Describe;

    /// Compiles the rules into a set.
    ///
    /// # Errors
    /// A rule that cannot be enforced as written; the whole policy is then refused.
    fn compile(rules: Vec<Located<Self::Rule>>, dialect: Dialect) -> Result<Self, RuleError>;

    /// Judges one request. Deny beats allow.
    fn decide(&self, request: &Self::Request<'_>) -> L7Decision;

    /// Why each rule did not match, nearest miss first. Not on the data path; may be slow.
    fn explain(&self, _request: &Self::Request<'_>) -> Vec<Mismatch> {
        Vec::new()
    }

    /// What a rule demands, for tools that compare rules; nothing if the protocol does not say.
    fn outline(_rule: &Self::Rule) -> Option<Outline> {
        None
    }
}

/// What the access log and `explain` may show of a request: names and keys, never values or secrets.
pub trait Describe {
    /// Hands each field to `fields`, in the order people should read them.
    fn describe(&self, fields: &mut dyn Fields);
}

/// Receives the fields of a request. Bytes may be anything: the receiver escapes and truncates.
pub trait Fields {
    /// A field with one value.
    fn text(&mut self, name: &'static str, value: &[u8]);
    /// A field with several values, such as the keys of one retrieval.
    fn list(&mut self, name: &'static str, values: &mut dyn Iterator<Item = &[u8]>);
}

/// Compiled rules of some protocol, type erased. Requests never are, so that they may borrow.
#[derive(Clone)]
pub struct ErasedRules(Arc<dyn Any + Send + Sync>);

impl ErasedRules {
    /// Erases a compiled set.
    pub fn new<R: RuleSet>(rules: R) -> Self {
        Self(Arc::new(rules))
    }

    /// The set as its protocol knows it, or nothing if it is another protocol's.
    pub fn downcast_ref<R: RuleSet>(&self) -> Option<&R> {
        self.0.downcast_ref()
    }

    /// Shares the set as its protocol knows it: for judgements that outlive a call.
    pub fn downcast<R: RuleSet>(&self) -> Option<Arc<R>> {
        Arc::clone(&self.0).downcast().ok()
    }
}

impl fmt::Debug for ErasedRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ErasedRules")
    }
}

/// Compiles `l7` items for one protocol: a [`RuleSet`] behind a type-erased face.
pub trait RuleCompiler: Send + Sync {
    /// Reads each item and compiles them all together.
    ///
    /// # Errors
    /// The items that are not rules, with their places, or rules that do not compile.
    fn compile(&self, items: &[Located<Node>], dialect: Dialect) -> Result<ErasedRules, CompileError>;

    /// What an item demands, for tools that compare rules; nothing if the protocol does not say, or it is no rule.
    fn outline(&self, _item: &Node, _dialect: Dialect) -> Option<Outline> {
        None
    }
}

/// Compiles documents of kinds that a protocol brings along beside policies. They stand in the same files, and come into
/// force and are refused together with them.
pub trait DocumentCompiler: Send + Sync {
    /// The kinds, each as `apiVersion` and `kind`. A kind `*` is any kind, and a version that ends in `/*` any of the group.
    fn kinds(&self) -> &[(&str, &str)];

    /// Further kinds that these documents speak of, each as `apiVersion` and `kind`, and that are compiled with them: objects
    /// as data. What nobody speaks of is refused.
    fn claims(&self, _documents: &[Node]) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Compiles all documents of these kinds together, in the order of the files. There may be none.
    ///
    /// # Errors
    /// What is wrong with them, each with its place.
    fn compile(&self, documents: &[Node]) -> Result<Documents, Vec<NodeError>>;
}

/// Compiled documents of one protocol, type erased.
#[derive(Clone)]
pub struct Documents {
    value: Arc<dyn Any + Send + Sync>,
    warnings: Vec<NodeError>,
    labels: Arc<[Arc<str>]>,
}

impl Documents {
    /// Erases what documents were compiled to. `labels` are the names by which what happens is counted.
    pub fn new<T: Send + Sync + 'static>(
        value: T,
        warnings: Vec<NodeError>,
        labels: impl IntoIterator<Item = Arc<str>>,
    ) -> Self {
        Self { value: Arc::new(value), warnings, labels: labels.into_iter().collect() }
    }

    /// The value as its protocol knows it, or nothing if it is another protocol's.
    pub fn downcast_ref<T: 'static>(&self) -> Option<&T> {
        self.value.downcast_ref()
    }

    /// Shares the value: for judgements that outlive a call.
    pub fn downcast<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        Arc::clone(&self.value).downcast().ok()
    }

    /// What is probably not meant as it is written.
    pub fn warnings(&self) -> &[NodeError] {
        &self.warnings
    }

    /// The names by which what happens is counted.
    pub fn labels(&self) -> &[Arc<str>] {
        &self.labels
    }
}

impl fmt::Debug for Documents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Documents")
    }
}

/// Why `l7` items were refused.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// Items that do not read as rules of the protocol, with the ids of the rules they would have been.
    #[error("{}", .0.iter().map(|(_, error)| error.to_string()).collect::<Vec<_>>().join("\n"))]
    Items(Vec<(RuleId, NodeError)>),
    /// The rules read, but cannot be enforced.
    #[error(transparent)]
    Rules(#[from] RuleError),
}

/// The [`RuleCompiler`] of a [`RuleSet`].
pub struct TypedCompiler<R>(PhantomData<fn() -> R>);

impl<R> TypedCompiler<R> {
    /// The one value of this type.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<R> Default for TypedCompiler<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: RuleSet> RuleCompiler for TypedCompiler<R> {
    fn compile(&self, items: &[Located<Node>], dialect: Dialect) -> Result<ErasedRules, CompileError> {
        let mut rules = Vec::with_capacity(items.len());
        let mut faults = Vec::new();
        for Located { id, effect, rule } in items {
            match rule.read(dialect) {
                Ok(rule) => rules.push(Located { id: *id, effect: *effect, rule }),
                Err(error) => faults.push((*id, error)),
            }
        }
        if !faults.is_empty() {
            return Err(CompileError::Items(faults));
        }
        Ok(ErasedRules::new(R::compile(rules, dialect)?))
    }

    fn outline(&self, item: &Node, dialect: Dialect) -> Option<Outline> {
        R::outline(&item.read(dialect).ok()?)
    }
}

/// The protocols that policies may name as `l7proto`.
pub trait Protocols: Send + Sync {
    /// What compiles the documents that protocols bring along beside policies.
    fn documents(&self) -> Vec<&dyn DocumentCompiler> {
        Vec::new()
    }
    /// The rule compiler of a protocol, or nothing if there is no such protocol.
    fn compiler(&self, l7proto: &str) -> Option<&dyn RuleCompiler>;
    /// All names, for error messages.
    fn names(&self) -> Vec<&str>;
}
