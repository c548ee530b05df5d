//! Policies as their files have them, checked: what stands here can be enforced.

mod at;
pub(crate) mod fields;
mod leaves;
mod read;
mod rules;
pub(crate) mod selector;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::identity::{Cidr, Labels, PeerName};
use crate::l7::{Dialect, Effect};
use crate::node::{Node, NodeError, Place};
use selector::Selector;

pub(crate) use read::{STRICT_GROUP, STRICT_KIND, STRICT_VERSION, is_of, namespaces_of, read_objects};

/// What stands in some files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objects {
    pub(crate) policies: Vec<Policy>,
    /// What protocols bring along, not looked into yet.
    pub(crate) documents: Vec<Node>,
    /// What is refused unless a document speaks of its kind, and why.
    pub(crate) others: Vec<(Node, NodeError)>,
}

/// The kinds that protocols bring along, as `apiVersion` and `kind`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kinds<'a> {
    Of(&'a [(&'a str, &'a str)]),
    /// For those who look at policies alone, after all was found to be good.
    Any,
}

/// One object.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// `namespace/name`, or the name alone where the object names no namespace.
    pub(crate) name: String,
    /// What makes the object unique: its kind, its namespace and its name.
    pub(crate) key: (&'static str, String, String),
    pub(crate) place: Place,
    pub(crate) dialect: Dialect,
    pub(crate) specs: Vec<Spec>,
}

/// What it says about some endpoints.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) subject: Selector,
    pub(crate) ingress: Option<Side>,
    pub(crate) egress: Option<Side>,
}

/// One direction.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    /// Whether what no rule admits is denied.
    pub(crate) default_deny: bool,
    /// Whether that is only watched.
    pub(crate) audit: bool,
    pub(crate) rules: Vec<Rule>,
}

/// One rule: whom it speaks of, on which ports.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) effect: Effect,
    /// Whether what it denies, or its L7 part does not admit, is only watched.
    pub(crate) audit: bool,
    /// Any of them; none at all if it is empty.
    pub(crate) peers: Vec<Peer>,
    /// Conditions on peers that hold for all allow rules for these endpoints.
    pub(crate) requires: Vec<Selector>,
    /// Any of them; none at all if it is empty, as in a rule for UDP.
    pub(crate) ports: Vec<PortRule>,
}

/// Ports, and what requests may pass there.
#[derive(Clone, Debug)]
pub(crate) struct PortRule {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) ports: Ports,
    pub(crate) l7: Option<L7>,
}

/// The L7 part: at least one item.
#[derive(Clone, Debug)]
pub(crate) struct L7 {
    pub(crate) l7proto: String,
    /// Where the name of the protocol stands.
    pub(crate) place: Place,
    pub(crate) items: Vec<Item>,
}

#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) effect: Effect,
    pub(crate) audit: bool,
    pub(crate) name: String,
    pub(crate) node: Node,
}

/// Ranges of ports with both ends in them, sorted, apart from each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Ports(Vec<(u16, u16)>);

impl Ports {
    pub(crate) fn all() -> Self {
        Self(vec![(0, u16::MAX)])
    }

    pub(crate) fn new(mut ranges: Vec<(u16, u16)>) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<(u16, u16)> = Vec::new();
        for (first, last) in ranges {
            match merged.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }

    /// Whether it is one of them.
    pub(crate) fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&port))
    }

    pub(crate) fn ranges(&self) -> &[(u16, u16)] {
        &self.0
    }

    /// Whether every port of the other is one of these.
    pub(crate) fn cover(&self, other: &Self) -> bool {
        other.0.iter().all(|(first, last)| self.0.iter().any(|(from, to)| from <= first && last <= to))
    }

    pub(crate) fn overlap(&self, other: &Self) -> bool {
        self.0.iter().any(|(first, last)| other.0.iter().any(|(from, to)| first <= to && from <= last))
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (first, last)) in self.0.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            match (first, last) {
                (0, &u16::MAX) => f.write_str("all")?,
                (first, last) if first == last => write!(f, "{comma}{first}")?,
                (first, last) => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

/// A kind of peer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Peer {
    Any,
    Endpoints(Selector),
    Network {
        cidr: Cidr,
        except: Vec<Cidr>,
        /// Also those who are known to be in the cluster.
        everywhere: bool,
    },
    Entity(Entity),
    /// Who has shown a certificate with this name.
    Named(PeerName),
}

/// Peers by what they are, not by their labels. `all` is [`Peer::Any`], and `none` is no peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Entity {
    /// What is in no cluster.
    World,
    /// All that something names and that is not the world.
    Cluster,
    /// Those with the label `reserved:` and this name.
    Reserved(&'static str),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("everybody"),
            Self::Endpoints(selector) => selector.fmt(f),
            Self::Network { cidr, except, .. } if except.is_empty() => cidr.fmt(f),
            Self::Network { cidr, except, .. } => write!(f, "{cidr} without {} networks", except.len()),
            Self::Entity(Entity::World) => f.write_str("world"),
            Self::Entity(Entity::Cluster) => f.write_str("cluster"),
            Self::Entity(Entity::Reserved(name)) => f.write_str(name),
            Self::Named(name) => name.fmt(f),
        }
    }
}

impl Peer {
    /// Whether whoever the other means is meant by this, as far as can be told.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Endpoints(wide), Self::Endpoints(narrow)) => wide.covers(narrow),
            (Self::Network { cidr, except, everywhere }, Self::Network { cidr: inner, everywhere: also, .. }) => {
                cidr.covers(inner) && (*everywhere || !also) && (except.is_empty() || self == other)
            }
            (Self::Entity(Entity::Cluster), Self::Endpoints(selector)) => selector.is_of_endpoints(),
            _ => self == other,
        }
    }

    /// Why nobody is meant, where that can be told.
    pub(crate) fn means_nobody(&self) -> Option<&'static str> {
        match self {
            Self::Endpoints(selector) if selector.is_contradictory() => Some("its selector contradicts itself"),
            Self::Network { cidr, except, .. } if except.contains(cidr) => {
                Some("the whole network is among its exceptions")
            }
            _ => None,
        }
    }
}

impl Entity {
    pub(crate) fn matches(self, labels: &Labels) -> bool {
        match self {
            Self::World => labels.is_world(),
            Self::Cluster => !labels.is_world(),
            Self::Reserved(name) => labels.has_reserved(name),
        }
    }
}
