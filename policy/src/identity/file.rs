//! The identities file: which address has which labels.

use std::net::IpAddr;

use serde::Deserialize;

use super::{Cidr, CidrMap, Identity, KnownBy, Labels};
use crate::l7::Dialect;
use crate::node::{Node, NodeError, Place, Value};
use crate::problems::{PolicyErrors, Problems};

/// Labels by address and network; the longest prefix counts. A lookup does not cost more for more entries.
#[derive(Clone, Debug, Default)]
pub struct Identities {
    networks: CidrMap<(Labels, Place)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    address: Option<Cidr>,
    cidr: Option<Cidr>,
    labels: Labels,
}

impl Identities {
    /// Reads a file: `{identities: [{address | cidr: …, labels: {key: value}}]}` in YAML or JSON.
    ///
    /// # Errors
    /// All entries that cannot be used: unknown fields, no or two addresses, no labels, the same network twice.
    pub fn load(file: &str, text: &[u8]) -> Result<Self, PolicyErrors> {
        let mut problems = Problems::default();
        let mut identities = Self::default();
        match Node::load(file, text) {
            Ok(documents) => documents.iter().for_each(|node| identities.add_document(node, &mut problems)),
            Err(error) => problems.add(error),
        }
        problems.finish().map(|()| identities)
    }

    /// Who has this address.
    pub fn identify(&self, address: IpAddr) -> Identity {
        match self.networks.covering(address).next() {
            Some((labels, _)) => {
                Identity { labels: labels.clone(), address: Some(address), known_by: KnownBy::Address, id: 0 }
            }
            None => Identity::unknown(Some(address)),
        }
    }

    /// How many networks and addresses are named.
    pub fn len(&self) -> usize {
        self.networks.len()
    }

    /// Whether none is named: everybody is `reserved:world`.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn add_document(&mut self, document: &Node, problems: &mut Problems) {
        if let Value::Map(entries) = &document.value {
            for unknown in entries.iter().filter(|entry| entry.key != "identities") {
                let message =
                    format!("unknown field `{}`; allowed is `identities`", crate::node::shorten(&unknown.key));
                problems.add(NodeError::new(&unknown.place, "", message));
            }
        }
        match document.entry("identities").map(|node| (&node.value, node)) {
            Some((Value::List(items), _)) => {
                for (n, item) in items.iter().enumerate() {
                    if let Err(error) = self.add(item) {
                        problems.add(error.within(&format!("identities[{n}]")));
                    }
                }
            }
            Some((_, node)) => problems.add(NodeError::new(&node.place, "identities", "wanted a list of identities")),
            None => problems.add(NodeError::new(&document.place, "", "wanted `identities:` with a list")),
        }
    }

    fn add(&mut self, item: &Node) -> Result<(), NodeError> {
        let fault = |message: String| Err(NodeError::new(&item.place, "", message));
        let Entry { address, cidr, labels } = item.read(Dialect::Strict)?;
        let network = match (address, cidr) {
            (Some(address), None) if item.entry("address").is_some_and(names_network) => {
                return fault(format!("`address` is one address; write `cidr: {address}` for a network"));
            }
            (Some(network), None) | (None, Some(network)) => network,
            (None, None) => return fault("neither `address` nor `cidr` says whose labels these are".to_owned()),
            (Some(_), Some(_)) => return fault("both `address` and `cidr`; make two entries of it".to_owned()),
        };
        if labels.is_empty() {
            return fault(
                "`labels` is empty; name a label, or leave the entry out: it is `reserved:world` then".to_owned(),
            );
        }
        let (_, first) = self.networks.entry(network, || (labels, item.place.clone()));
        if *first != item.place {
            return fault(format!("`{network}` has labels already, given at {first}; remove one"));
        }
        Ok(())
    }
}

fn names_network(node: &Node) -> bool {
    matches!(&node.value, Value::Text(text) if text.contains('/'))
}
