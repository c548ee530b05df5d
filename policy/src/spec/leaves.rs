//! The smallest parts of rules: ports, networks, entities.

use serde::Deserialize;
use serde::de::{self, IgnoredAny};

use super::{Entity, Peer, fields};
use crate::identity::{Cidr, PeerName};
use crate::node::shorten;
use crate::order;

/// A port or a range of ports, and whether TCP is meant, too.
#[derive(Deserialize)]
#[serde(try_from = "WrittenPort")]
pub(super) struct Port {
    pub(super) range: (u16, u16),
    pub(super) tcp: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenPort {
    port: String,
    end_port: Option<i64>,
    protocol: Option<Protocol>,
}

#[derive(Deserialize, PartialEq)]
enum Protocol {
    #[serde(rename = "TCP", alias = "tcp")]
    Tcp,
    #[serde(rename = "UDP", alias = "udp")]
    Udp,
    #[serde(rename = "SCTP", alias = "sctp")]
    Sctp,
    #[serde(rename = "ANY", alias = "any", alias = "")]
    Any,
}

impl TryFrom<WrittenPort> for Port {
    type Error = String;

    fn try_from(WrittenPort { port, end_port, protocol }: WrittenPort) -> Result<Self, String> {
        let shown = shorten(&port);
        if port.is_empty() || port.chars().any(|c| !c.is_ascii_digit()) {
            return Err(format!("the port `{shown}` is not a number; {}", fields::NAMED_PORT));
        }
        let first: u16 = port.parse().map_err(|_| format!("the port `{shown}` is larger than 65535"))?;
        let range = match (first, end_port) {
            (0, None | Some(0)) => (0, u16::MAX),
            (0, Some(_)) => return Err("a range of ports cannot begin at `0`, which is every port".to_owned()),
            (_, None | Some(0)) => (first, first),
            (_, Some(last)) => match u16::try_from(last) {
                Ok(last) if last >= first => (first, last),
                _ => return Err(format!("endPort `{last}` is not between `{first}` and 65535")),
            },
        };
        let tcp = matches!(protocol, None | Some(Protocol::Tcp | Protocol::Any));
        Ok(Self { range, tcp })
    }
}

/// A network without some of the networks in it.
#[derive(Deserialize)]
#[serde(try_from = "WrittenCidrSet")]
pub(super) struct CidrSet {
    pub(super) cidr: Cidr,
    pub(super) except: Vec<Cidr>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenCidrSet {
    cidr: Option<Cidr>,
    except: Option<Vec<Cidr>>,
    cidr_group_ref: Option<IgnoredAny>,
    cidr_group_selector: Option<IgnoredAny>,
}

impl TryFrom<WrittenCidrSet> for CidrSet {
    type Error = String;

    fn try_from(written: WrittenCidrSet) -> Result<Self, String> {
        for (name, group) in
            [("cidrGroupRef", written.cidr_group_ref), ("cidrGroupSelector", written.cidr_group_selector)]
        {
            if group.is_some() {
                return Err(format!("`{name}` cannot be enforced: {}", fields::CIDR_GROUPS));
            }
        }
        let cidr = written.cidr.ok_or("the field `cidr` is missing")?;
        let mut except = written.except.unwrap_or_default();
        order::sort(&mut except);
        except.dedup();
        match except.iter().find(|inner| !cidr.covers(inner)) {
            Some(outside) => Err(format!("the exception `{outside}` is not in `{cidr}`")),
            None => Ok(Self { cidr, except }),
        }
    }
}

/// A peer by a name in its certificate.
#[derive(Deserialize)]
#[serde(try_from = "WrittenPeer")]
pub(super) struct NamedPeer(pub(super) PeerName);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenPeer {
    spiffe: Option<String>,
    dns_name: Option<String>,
    subject: Option<String>,
}

impl TryFrom<WrittenPeer> for NamedPeer {
    type Error = String;

    fn try_from(WrittenPeer { spiffe, dns_name, subject }: WrittenPeer) -> Result<Self, String> {
        match (spiffe, dns_name, subject) {
            (Some(id), None, None) => PeerName::spiffe(&id),
            (None, Some(name), None) => PeerName::dns(&name),
            (None, None, Some(subject)) => PeerName::subject(&subject),
            _ => Err("wanted one of `spiffe`, `dnsName`, `subject`; make several items of several names".to_owned()),
        }
        .map(Self)
    }
}

/// Whether what is denied passes, and is only logged.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    Enforce,
    Audit,
}

/// A peer, or nobody.
pub(super) struct NamedEntity(pub(super) Option<Peer>);

/// Entities that are told by a reserved label alone.
const RESERVED_ENTITIES: &[&str] = &["host", "remote-node", "kube-apiserver", "ingress", "init", "health", "unmanaged"];

impl<'de> Deserialize<'de> for NamedEntity {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let entity = match name.as_str() {
            "all" => Peer::Any,
            "none" => return Ok(Self(None)),
            "world" => Peer::Entity(Entity::World),
            "cluster" => Peer::Entity(Entity::Cluster),
            other => match RESERVED_ENTITIES.iter().find(|known| **known == other) {
                Some(known) => Peer::Entity(Entity::Reserved(known)),
                None => {
                    let known = crate::node::list_allowed(RESERVED_ENTITIES);
                    let name = shorten(other);
                    return Err(de::Error::custom(format!(
                        "there is no entity `{name}`; {known}, `world`, `cluster`, `all`, `none`"
                    )));
                }
            },
        };
        Ok(Self(Some(entity)))
    }
}
