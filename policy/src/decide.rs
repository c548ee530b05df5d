//! Snapshots, the view a connection has of one, and the decision on a request.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::compile::index::{LabelIndex, Subject};
use crate::identity::Labels;
use crate::l7::{Documents, ErasedRules, L7Decision, Mismatch, RuleId, RuleSet};
use crate::node::Place;
use crate::numbered::NumberedIndex;

/// A policy in force: compiled whole, immutable, numbered. The default one knows no policy and denies everything.
///
/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(crate) generation: u64,
    /// Whether all denials are only watched.
    break_glass: bool,
    content: Arc<Content>,
}

/// What policies were compiled to.
#[derive(Debug, Default)]
pub(crate) struct Content {
    /// Whether there ever were policies.
    pub(crate) in_force: bool,
    pub(crate) rules: Vec<RuleInfo>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) subjects: LabelIndex<Subject>,
    /// What is said of the one endpoint whose policy this is, where policy goes by numbers; the rest is then empty.
    pub(crate) numbered: Option<Box<NumberedIndex>>,
    pub(crate) default: DefaultVerdict,
    /// What protocols bring along beside policies.
    pub(crate) documents: Vec<Documents>,
    /// Namespaces of which no good policy was ever read, and a bad one stands in the files.
    pub(crate) held: BTreeSet<String>,
}

impl Content {
    pub(crate) fn is_held(&self, endpoint: &Labels) -> bool {
        !self.held.is_empty() && endpoint.namespace().is_some_and(|namespace| self.held.contains(namespace))
    }
}

/// What becomes of connections of endpoints that no policy selects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DefaultVerdict {
    /// All their requests are denied.
    #[default]
    Deny,
    /// All their requests pass.
    Allow,
}

/// What operators see of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleInfo {
    /// The id in logs: `namespace/policy/specs[0].ingress[1].toPorts[0].rules.l7[2]`.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// Whether it is only watched: what it denies, or does not admit, passes and is logged as such.
    pub audit: bool,
}

/// Rules of one protocol that apply to the same endpoints, ports and peers.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) rules: ErasedRules,
    /// Whether any rule of the block can deny, so that it must be asked even where the port is open.
    pub(crate) has_deny: bool,
    /// Whether what it denies is only watched.
    pub(crate) audit: bool,
}

/// The part of one snapshot that bears on one connection. To be computed anew when the generation changes.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub(crate) generation: u64,
    pub(crate) stance: Stance,
    /// Indexes into the blocks of the snapshot.
    pub(crate) blocks: Vec<u32>,
    /// What is asked before all this. Behind a pointer, as few connections have it.
    pub(crate) higher: Option<Box<Higher>>,
    /// The rule without an L7 part that would close the port.
    pub(crate) watched_deny: Option<RuleId>,
    /// Whether what nothing admits passes, and is logged.
    pub(crate) default_watched: bool,
}

/// Rules that take precedence.
#[derive(Clone, Debug)]
pub(crate) struct Higher {
    /// Blocks of one precedence each, the highest first. What one allows or denies, the next is not asked about.
    pub(crate) tiers: Vec<Vec<u32>>,
}

/// What L3 and L4 say before any request is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stance {
    /// No request can pass.
    Closed(Reason, Option<RuleId>),
    /// Every request passes that no L7 rule denies: a rule without an L7 part selects the peer and the port.
    Open(Reason, Option<RuleId>),
    /// The L7 rules decide.
    Judged,
}

impl Default for Stance {
    fn default() -> Self {
        // Only the view of a snapshot that was never put in force is this one.
        Self::Closed(Reason::NotInForce, None)
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It passes.
    Allow,
    /// It would be denied, but what denies it is only watched (or the glass is broken): it passes.
    Audit,
    /// It is denied.
    Deny,
}

/// Why a decision fell as it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The rule named in the decision.
    Rule,
    /// No rule matches.
    NoRule,
    /// No policy restricts the endpoint in this direction.
    NoPolicy,
    /// Rules of another protocol apply to this port.
    ForeignRules,
    /// The connection's view is of another snapshot: a fault of the host.
    StaleView,
    /// No policy was ever put in force.
    NotInForce,
    /// A policy of the endpoint's namespace cannot be used, and none was in force before.
    Held,
    /// A parser refuses it by itself: policy was not asked.
    Malformed,
}

impl Reason {
    /// The reason as it stands in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::NoRule => "no rule matches",
            Self::NoPolicy => "no policy restricts the endpoint in this direction",
            Self::ForeignRules => "the rules of this port are for another protocol",
            Self::StaleView => "policy view is stale",
            Self::NotInForce => "no policy in force",
            Self::Held => "the policies of the namespace cannot be used",
            Self::Malformed => "not a request of the protocol",
        }
    }
}

/// The answer to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What becomes of the request.
    pub outcome: Outcome,
    /// The rule that decided, where one did.
    pub rule: Option<RuleId>,
    /// Why.
    pub reason: Reason,
}

impl Snapshot {
    pub(crate) fn new(content: Content) -> Self {
        Self { generation: 0, break_glass: false, content: Arc::new(Content { in_force: true, ..content }) }
    }

    /// The same, with all denials by policy only watched or not: as a break-glass file asks for, and for tools that follow
    /// traffic which has passed.
    #[must_use]
    pub fn with_glass(self, broken: bool) -> Self {
        Self { break_glass: broken, ..self }
    }

    /// Whether policies are in force: before the first ones were read, nothing passes.
    pub fn is_in_force(&self) -> bool {
        self.content.in_force
    }

    /// The documents that protocols bring along beside policies, by protocol.
    pub fn documents(&self) -> &[Documents] {
        &self.content.documents
    }

    pub(crate) fn content(&self) -> &Content {
        &self.content
    }

    /// The number of this snapshot: each one put in force has a higher one.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether all denials by policy pass, as a break-glass file asks for.
    pub const fn is_glass_broken(&self) -> bool {
        self.break_glass
    }

    /// What is known of a rule.
    pub fn rule(&self, id: RuleId) -> Option<&RuleInfo> {
        self.content.rules.get(id.index())
    }

    /// Judges a request of a connection that has the given view of this snapshot. Deny beats allow.
    pub fn judge<R: RuleSet>(&self, view: &View, request: &R::Request<'_>) -> Decision {
        const STALE: Decision = Decision { outcome: Outcome::Deny, rule: None, reason: Reason::StaleView };
        if view.generation != self.generation {
            return STALE;
        }
        let mut reason = Reason::NoRule;
        for blocks in view.higher.iter().flat_map(|higher| &higher.tiers) {
            if let Some(decision) = self.judge_tier::<R>(blocks, request, &mut reason) {
                return decision;
            }
        }
        let mut allowed = match view.stance {
            Stance::Closed(reason, rule) => return self.deny(reason, rule),
            Stance::Open(reason, rule) => Some((reason, rule)),
            Stance::Judged => None,
        };
        let opened = allowed.is_some();
        let mut watched = view.watched_deny.map(|rule| (Reason::Rule, Some(rule)));
        for &index in &view.blocks {
            let Some(block) = self.content.blocks.get(index as usize) else {
                return STALE;
            };
            if opened && !block.has_deny {
                continue;
            }
            let denial = match block.rules.downcast_ref::<R>().map(|rules| rules.decide(request)) {
                Some(L7Decision::Deny(rule)) => (Reason::Rule, Some(rule)),
                // What they forbid cannot be told.
                None if block.has_deny => (Reason::ForeignRules, None),
                None => {
                    reason = Reason::ForeignRules;
                    continue;
                }
                Some(L7Decision::Allow(rule)) => {
                    allowed = allowed.or(Some((Reason::Rule, Some(rule))));
                    continue;
                }
                Some(L7Decision::NoMatch) => continue,
            };
            if !block.audit {
                return self.deny(denial.0, denial.1);
            }
            watched = watched.or(Some(denial));
        }
        match (allowed, watched) {
            (Some((reason, rule)), None) => Decision { outcome: Outcome::Allow, rule, reason },
            // Without the rule that is only watched it would be denied all the same.
            (None, _) if !view.default_watched => self.deny(reason, None),
            (_, watched) => {
                let (reason, rule) = watched.unwrap_or((reason, None));
                Decision { outcome: Outcome::Audit, rule, reason }
            }
        }
    }

    /// What the blocks of one precedence say, if anything. Deny beats allow.
    fn judge_tier<R: RuleSet>(
        &self,
        blocks: &[u32],
        request: &R::Request<'_>,
        reason: &mut Reason,
    ) -> Option<Decision> {
        let mut allowed = None;
        for &index in blocks {
            let Some(block) = self.content.blocks.get(index as usize) else {
                return Some(self.deny(Reason::StaleView, None));
            };
            match block.rules.downcast_ref::<R>().map(|rules| rules.decide(request)) {
                Some(L7Decision::Deny(rule)) => return Some(self.deny(Reason::Rule, Some(rule))),
                None if block.has_deny => return Some(self.deny(Reason::ForeignRules, None)),
                None => *reason = Reason::ForeignRules,
                Some(L7Decision::Allow(rule)) => allowed = allowed.or(Some(rule)),
                Some(L7Decision::NoMatch) => {}
            }
        }
        allowed.map(|rule| Decision { outcome: Outcome::Allow, rule: Some(rule), reason: Reason::Rule })
    }

    /// A view of all rules, as if each bore on the connection: to ask which of them speak of a request.
    pub fn whole_view(&self) -> View {
        let blocks = u32::try_from(self.content.blocks.len()).unwrap_or(u32::MAX);
        let stance = Stance::Judged;
        View { generation: self.generation, stance, blocks: (0..blocks).collect(), ..View::default() }
    }

    /// Why the rules that were asked about a request did not match, block by block, the nearest miss of each first. For tools.
    pub fn explain<R: RuleSet>(&self, view: &View, request: &R::Request<'_>) -> Vec<Mismatch> {
        let blocks = view.blocks.iter().filter_map(|&index| self.content.blocks.get(index as usize));
        let rules = blocks.filter_map(|block| block.rules.downcast_ref::<R>());
        rules.flat_map(|rules| rules.explain(request)).collect()
    }

    fn deny(&self, reason: Reason, rule: Option<RuleId>) -> Decision {
        let outcome = if self.break_glass { Outcome::Audit } else { Outcome::Deny };
        Decision { outcome, rule, reason }
    }
}

impl View {
    /// The generation of the snapshot that this is a view of.
    pub const fn generation(&self) -> u64 {
        self.generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RuleCompiler;
    use crate::l7::{Dialect, Effect, Located, TypedCompiler};
    use crate::list::RuleList;
    use crate::node::Node;
    use crate::testing::{Kv, KvRequest, Other};

    fn block<T: crate::ListedRule>(effects: &[Effect]) -> Block {
        let place = Place::whole("test");
        let items = effects.iter().enumerate().map(|(n, effect)| {
            let node = Node::from_pairs(&place, [("keyPrefix", if *effect == Effect::Deny { "secret" } else { "" })]);
            Located { id: RuleId(u32::try_from(n).unwrap_or_default()), effect: *effect, rule: node }
        });
        let items: Vec<_> = items.collect();
        let rules = TypedCompiler::<RuleList<T>>::new().compile(&items, Dialect::Strict);
        let has_deny = effects.contains(&Effect::Deny);
        Block { rules: rules.unwrap_or_else(|error| unreachable!("{error}")), has_deny, audit: false }
    }

    fn judge(stance: Stance, blocks: Vec<Block>, key: &str) -> (Outcome, Reason, Option<RuleId>) {
        let view = View { stance, blocks: (0..).take(blocks.len()).collect(), ..View::default() };
        let snapshot = Snapshot::new(Content { blocks, ..Content::default() });
        let Decision { outcome, rule, reason } =
            snapshot.judge::<RuleList<Kv>>(&view, &KvRequest { command: "get", key });
        (outcome, reason, rule)
    }

    #[test]
    fn an_item_that_denies_beats_whatever_allows() {
        let both = || vec![block::<Kv>(&[Effect::Allow]), block::<Kv>(&[Effect::Allow, Effect::Deny])];
        let open = Stance::Open(Reason::Rule, Some(RuleId(7)));
        assert_eq!(judge(Stance::Judged, both(), "secret/1"), (Outcome::Deny, Reason::Rule, Some(RuleId(1))));
        assert_eq!(judge(open, both(), "secret/1"), (Outcome::Deny, Reason::Rule, Some(RuleId(1))));
        assert_eq!(judge(Stance::Judged, both(), "public"), (Outcome::Allow, Reason::Rule, Some(RuleId(0))));
        assert_eq!(judge(open, both(), "public"), (Outcome::Allow, Reason::Rule, Some(RuleId(7))));
    }

    #[test]
    fn what_another_protocol_denies_cannot_be_told_and_is_denied() {
        let foreign = vec![block::<Kv>(&[Effect::Allow]), block::<Other>(&[Effect::Deny])];
        assert_eq!(judge(Stance::Judged, foreign, "x"), (Outcome::Deny, Reason::ForeignRules, None));
        let foreign = vec![block::<Kv>(&[Effect::Allow]), block::<Other>(&[Effect::Allow])];
        assert_eq!(judge(Stance::Judged, foreign, "x").0, Outcome::Allow);
    }

    #[test]
    fn a_view_of_another_snapshot_denies() {
        let blocks = vec![block::<Kv>(&[Effect::Allow])];
        let mut snapshot = Snapshot::new(Content { blocks, ..Content::default() });
        let view = View { stance: Stance::Judged, blocks: vec![0], ..View::default() };
        let request = KvRequest { command: "get", key: "x" };
        assert_eq!(snapshot.judge::<RuleList<Kv>>(&view, &request).outcome, Outcome::Allow);
        snapshot.generation = 1;
        assert_eq!(snapshot.judge::<RuleList<Kv>>(&view, &request).reason, Reason::StaleView);
        assert_eq!(snapshot.judge::<RuleList<Kv>>(&View::default(), &request).outcome, Outcome::Deny);
    }
}
