//! Which rules come near to a connection, and what of each does not fit: for people who ask why.

use crate::compile::{Source, read_objects};
use crate::identity::{Flow, Labels, Traffic};
use crate::l7::{Effect, RuleId};
use crate::node::{Node, Place};
use crate::problems::{PolicyErrors, Problems};
use crate::spec::selector::Selector;
use crate::spec::{Kinds, Peer, PortRule, Rule, Side};

/// A rule, and what of it does not fit a connection.
#[derive(Clone, Debug)]
pub struct Surveyed {
    /// The id that the rule has in a snapshot of the same sources.
    pub id: RuleId,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// What it does.
    pub effect: Effect,
    /// The protocol and the item, where it is one of an L7 part.
    pub item: Option<(String, Node)>,
    /// What keeps it from applying to the connection.
    pub misses: Vec<Miss>,
}

/// A field of a rule that does not fit a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miss {
    /// The field, as it is spelt in policies.
    pub field: &'static str,
    /// What the rule says there.
    pub wanted: String,
}

/// Looks at all rules for the direction of a connection, whatever endpoints they are for, in the order of the files.
///
/// # Errors
/// What is wrong with the policies, as far as it can be seen without their protocols.
pub fn survey(sources: &[Source], flow: &Flow<'_>) -> Result<Vec<Surveyed>, PolicyErrors> {
    let mut problems = Problems::default();
    let policies = read_objects(sources, Kinds::Any, &mut problems).policies;
    problems.finish()?;
    let specs = || policies.iter().flat_map(|policy| &policy.specs);
    let world;
    let labels = if flow.remote.labels.is_empty() {
        world = Labels::world();
        &world
    } else {
        &flow.remote.labels
    };
    let own = |side: &Option<Side>| side.iter().flat_map(|side| side.rules.clone()).collect::<Vec<_>>();
    let selecting = specs().filter(|spec| spec.subject.matches(flow.endpoint));
    let requires = selecting.flat_map(|spec| match flow.traffic {
        Traffic::Ingress => own(&spec.ingress),
        Traffic::Egress => own(&spec.egress),
    });
    let fit = requires.flat_map(|rule| rule.requires).all(|selector| selector.matches(labels));
    let mut survey = Survey { flow, labels, fit, next: 0, found: Vec::new() };
    for spec in specs() {
        // The order in which compiling numbers the rules.
        for (traffic, side) in [(Traffic::Ingress, &spec.ingress), (Traffic::Egress, &spec.egress)] {
            for rule in side.iter().flat_map(|side| &side.rules) {
                survey.rule(&spec.subject, rule, traffic);
            }
        }
    }
    Ok(survey.found)
}

struct Survey<'a> {
    flow: &'a Flow<'a>,
    labels: &'a Labels,
    /// Whether the remote side fulfils all requirements.
    fit: bool,
    next: u32,
    found: Vec<Surveyed>,
}

impl Survey<'_> {
    fn rule(&mut self, subject: &Selector, rule: &Rule, traffic: Traffic) {
        let Rule { effect, peers, ports, .. } = rule;
        for PortRule { name, place, ports, l7 } in ports {
            let mut elsewhere = Vec::new();
            let mut miss = |field, wanted| elsewhere.push(Miss { field, wanted });
            if !subject.matches(self.flow.endpoint) {
                miss("endpointSelector", subject.to_string());
            }
            if !ports.contains(self.flow.port) {
                miss("ports", ports.to_string());
            }
            let by_effect = [Effect::Allow, Effect::Deny].map(|effect| {
                let peer = self.peer_miss(peers, effect, traffic);
                let peer = peer.map(|field| Miss { field, wanted: describe(peers) });
                elsewhere.iter().cloned().chain(peer).collect::<Vec<_>>()
            });
            let mut add = |name: &String, place: &Place, effect, item| {
                let id = RuleId(self.next);
                self.next = self.next.saturating_add(1);
                // A requirement narrows what is allowed, never what is denied.
                let [allowed, denied] = &by_effect;
                let misses = if effect == Effect::Deny { denied } else { allowed };
                (traffic == self.flow.traffic).then(|| Surveyed {
                    id,
                    name: name.clone(),
                    place: place.clone(),
                    effect,
                    item,
                    misses: misses.clone(),
                })
            };
            let found: Vec<_> = match l7 {
                None => vec![add(name, place, *effect, None)],
                Some(l7) => l7
                    .items
                    .iter()
                    .map(|item| {
                        let node = (l7.l7proto.clone(), item.node.clone());
                        add(&item.name, &item.node.place, item.effect, Some(node))
                    })
                    .collect(),
            };
            self.found.extend(found.into_iter().flatten());
        }
    }

    /// The field of peers, if the remote side is none of them.
    fn peer_miss(&self, peers: &[Peer], effect: Effect, traffic: Traffic) -> Option<&'static str> {
        let remote = self.flow.remote;
        if crate::compile::index::is_one_of(peers, self.labels, remote, self.fit || effect == Effect::Deny) {
            return None;
        }
        let ingress = traffic == Traffic::Ingress;
        let one_of = crate::compile::index::is_one_of(peers, self.labels, remote, true);
        Some(match peers.first() {
            _ if one_of => {
                if ingress {
                    "fromRequires"
                } else {
                    "toRequires"
                }
            }
            Some(Peer::Network { .. }) => {
                if ingress {
                    "fromCIDR"
                } else {
                    "toCIDR"
                }
            }
            Some(Peer::Entity(_)) => {
                if ingress {
                    "fromEntities"
                } else {
                    "toEntities"
                }
            }
            Some(Peer::Named(_)) => {
                if ingress {
                    "fromPeers"
                } else {
                    "toPeers"
                }
            }
            _ => {
                if ingress {
                    "fromEndpoints"
                } else {
                    "toEndpoints"
                }
            }
        })
    }
}

fn describe(peers: &[Peer]) -> String {
    /// More are counted: it is to be read, and the place is told.
    const MAX_SHOWN: usize = 3;
    let shown: Vec<_> = peers.iter().take(MAX_SHOWN).map(ToString::to_string).collect();
    match peers.len().saturating_sub(shown.len()) {
        _ if peers.is_empty() => "nobody".to_owned(),
        0 => shown.join("; or "),
        more => format!("{}; or {more} others", shown.join("; or ")),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;
    use crate::testing::{compile, labels};
    use crate::{Identity, KnownBy};

    /// The numbers are those of the snapshot, and a rule without a miss is one that the connection's view is made of.
    #[test]
    fn rules_have_the_numbers_that_compiling_gives_them() {
        let fleet =
            include_str!("../../envoy-config/policies/rebel-alliance-memcache.yaml").replace("writeGroup", "set");
        let strict = "apiVersion: portcullis.dev/v1\nkind: L7Policy\nmetadata: {name: s}\nspec:\n  endpointSelector: {}\n  \
            egressDeny: [{}]\n  ingress: [{name: a, fromEntities: [all], toPorts: [{ports: [{port: '1'}]}]}]\n";
        let snapshot = compile(&[&fleet, strict]).snapshot;
        let sources = [Source::new("0.yaml", fleet), Source::new("1.yaml", strict)];
        let endpoint = labels("app=memcached");
        let of = |who: &str| Identity { labels: labels(who), known_by: KnownBy::Address, ..Identity::default() };
        for (traffic, who, port, fits) in [
            (Traffic::Ingress, "function=fleet-maintenance", 11211, true),
            (Traffic::Ingress, "role=sith", 11211, false),
            (Traffic::Ingress, "role=jedi", 11212, false),
            (Traffic::Egress, "role=sith", 5, true),
        ] {
            let remote = of(who);
            let found = survey(&sources, &Flow { traffic, endpoint: &endpoint, port, remote: &remote }).unwrap();
            for rule in &found {
                assert_eq!(snapshot.rule(rule.id).unwrap().name, rule.name);
                assert_eq!(snapshot.rule(rule.id).unwrap().place, rule.place);
            }
            assert_eq!(found.iter().any(|rule| rule.misses.is_empty()), fits, "{who} {found:?}");
        }
        let remote = of("role=sith");
        let flow = Flow { traffic: Traffic::Ingress, endpoint: &endpoint, port: 11211, remote: &remote };
        let first = survey(&sources, &flow).unwrap().remove(0);
        assert_eq!(first.misses.first().map(|miss| miss.field), Some("fromEndpoints"));
    }
}
