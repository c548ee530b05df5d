//! The part of a snapshot that bears on one connection.

use super::index::{DefaultDeny, Remote, SideIndex, Target};
use crate::decide::{DefaultVerdict, Reason, Snapshot, Stance, View};
use crate::identity::{Flow, Labels, Traffic};
use crate::l7::RuleId;

impl Snapshot {
    /// Looks up what bears on a connection. Costs as much as there are rules for its endpoint, port and peer, however
    /// many others there are; to be kept with the connection until the generation changes.
    pub fn view(&self, flow: &Flow<'_>) -> View {
        let content = self.content();
        if let Some(numbered) = &content.numbered {
            return View { generation: self.generation(), ..numbered.view(flow) };
        }
        let closed = |reason| View { stance: Stance::Closed(reason, None), ..View::default() };
        let sides = self.sides(flow.endpoint, flow.traffic);
        let view = match sides.iter().map(|side| side.default_deny).max() {
            _ if !content.in_force => closed(Reason::NotInForce),
            _ if content.is_held(flow.endpoint) => closed(Reason::Held),
            Some(DefaultDeny::Enforced) => Self::collect(&sides, flow, Stance::Judged),
            Some(DefaultDeny::Watched) => View { default_watched: true, ..Self::collect(&sides, flow, Stance::Judged) },
            // A policy that does not turn the default to deny leaves open what it does not deny.
            Some(DefaultDeny::Off) => Self::collect(&sides, flow, Stance::Open(Reason::NoPolicy, None)),
            None => match content.default {
                DefaultVerdict::Deny => closed(Reason::NoPolicy),
                DefaultVerdict::Allow => View { stance: Stance::Open(Reason::NoPolicy, None), ..View::default() },
            },
        };
        View { generation: self.generation(), ..view }
    }

    /// Whether any policy speaks of an endpoint with these labels: without one, the default verdict holds.
    pub fn selects(&self, endpoint: &Labels, traffic: Traffic) -> bool {
        !self.sides(endpoint, traffic).is_empty()
    }

    fn sides(&self, endpoint: &Labels, traffic: Traffic) -> Vec<&SideIndex> {
        let mut sides = Vec::new();
        self.content().subjects.for_each_match(endpoint, |subject| sides.push(subject.side(traffic)));
        sides.retain(|side| side.touched);
        sides
    }

    fn collect(sides: &[&SideIndex], flow: &Flow<'_>, otherwise: Stance) -> View {
        let world;
        let labels = if flow.remote.labels.is_empty() {
            world = Labels::world();
            &world
        } else {
            &flow.remote.labels
        };
        let fit = sides.iter().flat_map(|side| &side.requires).all(|selector| selector.matches(labels));
        let remote = Remote { labels, identity: flow.remote, fit };

        let (mut denied, mut opened): (Option<RuleId>, Option<RuleId>) = (None, None);
        let mut view = View::default();
        for side in sides {
            // The first rule in the order of the files is the one that is named.
            let first = |known: Option<RuleId>, id: RuleId| Some(known.map_or(id, |known| known.min(id)));
            side.for_each_match(flow.port, &remote, |target| match target {
                Target::Deny(id) => denied = first(denied, id),
                Target::WatchedDeny(id) => view.watched_deny = first(view.watched_deny, id),
                Target::Open(id) => opened = first(opened, id),
                Target::Judge(block) | Target::Forbid(block) => view.blocks.push(block),
                Target::Watch => view.default_watched = true,
            });
        }
        view.blocks.sort_unstable();
        view.blocks.dedup();
        view.stance = match (denied, opened) {
            (Some(rule), _) => Stance::Closed(Reason::Rule, Some(rule)),
            (None, Some(rule)) => Stance::Open(Reason::Rule, Some(rule)),
            (None, None) => otherwise,
        };
        view
    }
}
