//! Finds what bears on a connection without looking at all that does not.

use std::collections::HashMap;

use crate::identity::{Cidr, CidrMap, Identity, Labels, NAMESPACE_KEY, PeerName, Traffic};
use crate::l7::RuleId;
use crate::spec::selector::Selector;
use crate::spec::{Entity, Peer, Ports};

/// Values by selector, found through a label that whoever is selected must have.
#[derive(Debug)]
pub(crate) struct LabelIndex<T> {
    entries: Vec<(Selector, T)>,
    /// Key, value, and which entries demand it.
    by_label: HashMap<String, HashMap<String, Vec<u32>>>,
    /// Entries that demand no label.
    rest: Vec<u32>,
}

impl<T> Default for LabelIndex<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), by_label: HashMap::new(), rest: Vec::new() }
    }
}

impl<T> LabelIndex<T> {
    pub(crate) fn new(entries: Vec<(Selector, T)>) -> Self {
        let mut frequency: HashMap<(&str, &str), usize> = HashMap::new();
        for (selector, _) in &entries {
            for (key, value) in
                selector.anchors().flat_map(|(key, values)| values.iter().map(move |value| (key, value)))
            {
                let count = frequency.entry((key, value)).or_default();
                *count = count.saturating_add(1);
            }
        }
        let cost = |(key, values): &(&str, &[String])| -> usize {
            values.iter().filter_map(|value| frequency.get(&(*key, value.as_str()))).sum()
        };
        let mut by_label: HashMap<String, HashMap<String, Vec<u32>>> = HashMap::new();
        let mut rest = Vec::new();
        for (id, (selector, _)) in (0_u32..).zip(&entries) {
            // The rarest choice, so that a label which all selectors name does not make the lookup a scan.
            match selector.anchors().min_by_key(cost) {
                None => rest.push(id),
                Some((key, values)) => {
                    let values_of_key = by_label.entry(key.to_owned()).or_default();
                    for value in values {
                        values_of_key.entry(value.clone()).or_default().push(id);
                    }
                }
            }
        }
        Self { entries, by_label, rest }
    }

    /// Hands over the values of all selectors that match; one may come twice.
    pub(crate) fn for_each_match<'s>(&'s self, labels: &Labels, mut found: impl FnMut(&'s T)) {
        if self.entries.is_empty() {
            return;
        }
        let mut look = |ids: &[u32]| {
            for id in ids {
                if let Some((selector, value)) = self.entries.get(*id as usize)
                    && selector.matches(labels)
                {
                    found(value);
                }
            }
        };
        let implied = labels.namespace().filter(|_| labels.named_namespace().is_none());
        let named = labels.iter().map(|label| (label.key.as_str(), label.value.as_str()));
        for (key, value) in named.chain(implied.map(|namespace| (NAMESPACE_KEY, namespace))) {
            if let Some(ids) = self.by_label.get(key).and_then(|values| values.get(value)) {
                look(ids);
            }
        }
        look(&self.rest);
    }
}

/// All that is said of the endpoints that one selector selects.
#[derive(Debug, Default)]
pub(crate) struct Subject {
    ingress: SideIndex,
    egress: SideIndex,
}

impl Subject {
    pub(crate) const fn new(ingress: SideIndex, egress: SideIndex) -> Self {
        Self { ingress, egress }
    }

    pub(crate) const fn side(&self, traffic: Traffic) -> &SideIndex {
        match traffic {
            Traffic::Ingress => &self.ingress,
            Traffic::Egress => &self.egress,
        }
    }
}

/// One direction of it.
#[derive(Debug, Default)]
pub(crate) struct SideIndex {
    /// Whether any policy speaks of this direction.
    pub(crate) touched: bool,
    /// Whether what nothing admits is denied.
    pub(crate) default_deny: DefaultDeny,
    /// What peers must fulfil to be allowed by their labels.
    pub(crate) requires: Vec<Selector>,
    exact: HashMap<u16, PeerIndex>,
    ranges: Vec<((u16, u16), PeerIndex)>,
}

/// What policies say of requests that nothing admits. The strongest word of several counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DefaultDeny {
    /// They pass.
    #[default]
    Off,
    /// They pass, and are logged.
    Watched,
    /// They are denied.
    Enforced,
}

impl DefaultDeny {
    pub(crate) const fn of(audit: bool) -> Self {
        if audit { Self::Watched } else { Self::Enforced }
    }
}

/// What a group of rules does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Target {
    /// Closes the port.
    Deny(RuleId),
    /// Would close the port.
    WatchedDeny(RuleId),
    /// Opens the port.
    Open(RuleId),
    /// Leaves it to the rules of a block that allow.
    Judge(u32),
    /// Leaves it to the rules of a block that deny.
    Forbid(u32),
    /// Lets pass what nothing admits.
    Watch,
}

/// A group of rules on its way into the index.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) ports: Ports,
    pub(crate) peers: Vec<Peer>,
    pub(crate) target: Target,
}

impl SideIndex {
    pub(crate) fn new(touched: bool, default_deny: DefaultDeny, requires: Vec<Selector>, groups: Vec<Group>) -> Self {
        let mut by_range: HashMap<(u16, u16), Vec<(Peer, Target)>> = HashMap::new();
        for group in groups {
            for range in group.ports.ranges() {
                let peers = group.peers.iter().map(|peer| (peer.clone(), group.target));
                by_range.entry(*range).or_default().extend(peers);
            }
        }
        let (mut exact, mut ranges) = (HashMap::new(), Vec::new());
        for (range, peers) in by_range {
            let peers = PeerIndex::new(peers);
            match range {
                (first, last) if first == last => drop(exact.insert(first, peers)),
                _ => ranges.push((range, peers)),
            }
        }
        Self { touched, default_deny, requires, exact, ranges }
    }

    /// Hands over what bears on this port and peer.
    pub(crate) fn for_each_match(&self, port: u16, peer: &Remote<'_>, mut found: impl FnMut(Target)) {
        if let Some(peers) = self.exact.get(&port) {
            peers.for_each_match(peer, &mut found);
        }
        for ((first, last), peers) in &self.ranges {
            if (*first..=*last).contains(&port) {
                peers.for_each_match(peer, &mut found);
            }
        }
    }
}

/// The remote side while a view of it is made.
pub(crate) struct Remote<'a> {
    pub(crate) labels: &'a Labels,
    pub(crate) identity: &'a Identity,
    /// Whether the endpoint's `fromRequires` or `toRequires` are fulfilled.
    pub(crate) fit: bool,
}

impl Remote<'_> {
    /// "CIDR rules do not apply to traffic where both sides of the connection are managed by Cilium": that is, to
    /// whatever has a namespace or is a node of the cluster.
    fn in_cluster(&self) -> bool {
        let labels = self.labels;
        labels.named_namespace().is_some() || (labels.namespace().is_none() && !labels.is_world())
    }
}

/// Whether the remote side is one of some peers. `fit`: whether it fulfils the endpoint's requirements.
pub(crate) fn is_one_of(peers: &[Peer], labels: &Labels, identity: &Identity, fit: bool) -> bool {
    let index = PeerIndex::new(peers.iter().map(|peer| (peer.clone(), Target::Open(RuleId(0)))).collect());
    let mut found = false;
    index.for_each_match(&Remote { labels, identity, fit }, &mut |_| found = true);
    found
}

/// What a network leads to.
#[derive(Debug)]
struct Network {
    except: Vec<Cidr>,
    /// Also for peers in the cluster.
    everywhere: bool,
    target: Target,
}

#[derive(Debug, Default)]
struct PeerIndex {
    any: Vec<Target>,
    endpoints: LabelIndex<Target>,
    networks: CidrMap<Vec<Network>>,
    entities: Vec<(Entity, Target)>,
    names: HashMap<PeerName, Vec<Target>>,
}

impl PeerIndex {
    fn new(peers: Vec<(Peer, Target)>) -> Self {
        let mut index = Self::default();
        let mut endpoints = Vec::new();
        for (peer, target) in peers {
            match peer {
                Peer::Any => index.any.push(target),
                Peer::Endpoints(selector) => endpoints.push((selector, target)),
                Peer::Network { cidr, except, everywhere } => {
                    index.networks.entry(cidr, Vec::new).push(Network { except, everywhere, target });
                }
                Peer::Entity(entity) => index.entities.push((entity, target)),
                Peer::Named(name) => index.names.entry(name).or_default().push(target),
            }
        }
        index.endpoints = LabelIndex::new(endpoints);
        index
    }

    fn for_each_match(&self, peer: &Remote<'_>, found: &mut impl FnMut(Target)) {
        self.any.iter().for_each(|target| found(*target));
        self.endpoints.for_each_match(peer.labels, |target| {
            // What is not fulfilled narrows what is allowed, never what is denied.
            if peer.fit || matches!(target, Target::Deny(_) | Target::WatchedDeny(_) | Target::Forbid(_)) {
                found(*target);
            }
        });
        if let Some(address) = peer.identity.address {
            let in_cluster = peer.in_cluster();
            for Network { except, everywhere, target } in self.networks.covering(address).flatten() {
                if (*everywhere || !in_cluster) && !except.iter().any(|inner| inner.contains(address)) {
                    found(*target);
                }
            }
        }
        for (entity, target) in &self.entities {
            if entity.matches(peer.labels) {
                found(*target);
            }
        }
        if let Some(certificate) = peer.identity.certificate().filter(|_| !self.names.is_empty()) {
            let named = certificate.names().filter_map(|name| self.names.get(&name));
            named.flatten().for_each(|target| found(*target));
        }
    }
}
