//! Protocol-blind L7 policy: CiliumNetworkPolicy rules, compiled whole into a [`Snapshot`] that answers who may do what.
//!
//! ```text
//! Source (text) -> Node (tree with places) -> policies (checked) -> Snapshot::compile -> PolicyStore (swap)
//!                                             Flow (who, where) -> Snapshot::view -> View, kept with the connection
//!                                                       request -> Snapshot::judge -> Decision with the deciding rule
//! ```
//!
//! Loading is all or nothing: what is unknown, malformed or cannot be enforced is refused with its place and what to do
//! instead, and nothing is ignored. The crate knows no protocol: those bring a [`RuleSet`] each, and are handed the `l7`
//! items that apply together. [`matcher`] has what their rules are made of.
//!
//! Two kinds of objects are read. Those of `cilium.io/v2` mean what Cilium up to 1.18 documented, and what is easily
//! misread in them is warned of. `portcullis.dev/v1`, `L7Policy` has the same shape and is strict: what the other warns of
//! it refuses, regexes match the whole, networks mean addresses whoever has them, `deny` items may stand beside `l7`, rules
//! have names and modes, and peers may be known by their certificates. [`schema`] has its schemas.
//!
//! # Which rule decides
//!
//! For a connection, the policies count whose `endpointSelector` selects the endpoint and that have a section for the
//! direction. Of their rules, those count that name the port (by number, in a range, or by `0`, which are all alike) and
//! the remote side. The first row that applies decides; `compile::tests::precedence` and the scenarios have a case for each.
//!
//! | | what there is | outcome | reason |
//! |---|---|---|---|
//! | 0 | no policy was ever in force, or that of the namespace is bad and never was good | denied | not in force, held |
//! | 1 | no policy for the endpoint and the direction | the listener's default: deny, unless it says `default: allow` | no policy |
//! | 2 | a deny rule for the port and the peer | denied, whatever allows it | the deny rule |
//! | 3 | an L7 item that denies the request (strict kind) | denied, whatever allows it | the item |
//! | 4 | a rule without an L7 part for the port and the peer | allowed: it makes L7 rules ineffective | the rule |
//! | 5 | all policies for the endpoint say `enableDefaultDeny: false` | allowed | no policy |
//! | 6 | an L7 item of the listener's protocol that matches the request | allowed | the item |
//! | 7 | L7 rules of another protocol only | denied | foreign rules |
//! | 8 | anything else | denied | no rule |
//!
//! # Audit
//!
//! Rules, and whole policies, of the strict kind may be only watched (`mode: audit`). A request is allowed exactly where it
//! would be if all were enforced. Of the others, these pass as [`Outcome::Audit`], and are denied if none of this is so:
//!
//! - the only rules and items that deny it are watched, and something allows it: the first of them is named;
//! - no rule or item that is enforced denies it, and it is denied by default, where all policies that deny by default for
//!   the endpoint are watched, or a watched rule for the port and the peer has `l7` items;
//! - the glass is broken: a [`Reloader`] was told so by a file, for a time.
//!
//! # Policy by numbers
//!
//! A host may be handed its policies by an agent, for one endpoint at a time, with ports and peers as numbers and rules with
//! precedence: [`Snapshot::compile_ports`] takes those. What decides there, [`NumberedPolicy`] says; the table above is not
//! about it.
//!
//! # Whom a rule names
//!
//! The labels of the remote side come from the [`Identities`] file or another source the host knows; who has none is
//! `reserved:world`. A [`Certificate`] that the host has verified adds names to it. An endpoint without a namespace label is in the namespace `default`, as is a policy without one, and a
//! selector that names no namespace means the policy's own. `fromCIDR` and its like do not speak of what is known to be
//! in the cluster: that has a namespace label, or a `reserved:` one other than `world`. `fromRequires` grants nothing, and
//! narrows whom all `fromEndpoints` of the policies that select the endpoint allow, never whom they deny.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod compile;
mod decide;
mod identity;
mod l7;
pub mod lint;
mod list;
pub mod matcher;
mod node;
mod numbered;
pub mod order;
mod problems;
mod reload;
pub mod schema;
mod spec;
mod store;
mod survey;
#[cfg(test)]
mod testing;

pub use compile::{CompileOptions, Compiled, FILE, Source};
pub use decide::{Decision, DefaultVerdict, Outcome, Reason, RuleInfo, Snapshot, View};
pub use identity::{Certificate, Flow, Identities, Identity, KnownBy, Label, LabelError, Labels, Traffic};
pub use l7::{
    CompileError, Describe, Dialect, DocumentCompiler, Documents, Effect, ErasedRules, Fields, L7Decision, Located,
    Mismatch, Protocols, RuleCompiler, RuleError, RuleId, RuleSet, TypedCompiler,
};
pub use lint::Outline;
pub use list::{ListedRule, RuleList};
pub use node::{Entry, Node, NodeError, Place, Value};
pub use numbered::{NumberedItems, NumberedPolicy, NumberedRule, PortEntry, PortVerdict};
pub use problems::{PolicyErrors, Warning};
pub use reload::{BreakGlass, Change, Reload, Reloader, Status, Watch};
pub use store::PolicyStore;
pub use survey::{Miss, Surveyed, survey};
