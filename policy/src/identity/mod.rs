//! Who the two sides of a connection are.

mod certificate;
mod cidr;
mod file;
mod labels;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

pub use certificate::Certificate;
pub(crate) use certificate::PeerName;
pub(crate) use cidr::{Cidr, CidrMap};
pub use file::Identities;
pub(crate) use labels::{DEFAULT_NAMESPACE, NAMESPACE_KEY, NAMESPACE_LABELS_PREFIX, RESERVED, split_key};
pub use labels::{Label, LabelError, Labels};

/// How an identity came to be known: the strongest evidence there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KnownBy {
    /// Nothing names it: it is `reserved:world`.
    #[default]
    Nothing,
    /// An entry of the identities file for its address or its network.
    Address,
    /// A certificate that was verified.
    Tls(Arc<Certificate>),
}

impl KnownBy {
    /// The word for it in logs.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Address => "address",
            Self::Tls(_) => "tls",
        }
    }
}

/// The remote side of a connection, as policy sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its labels; without any it is `reserved:world`.
    pub labels: Labels,
    /// Its address, where it has one.
    pub address: Option<IpAddr>,
    /// How it came to be known.
    pub known_by: KnownBy,
    /// Its security id, where the host has such numbers; 0 is none.
    pub id: u32,
}

impl Identity {
    /// A peer of whom nothing is known but the address: `reserved:world`.
    pub fn unknown(address: Option<IpAddr>) -> Self {
        Self { labels: Labels::world(), address, ..Self::default() }
    }

    /// The same peer, who has shown a certificate that was verified. Its labels are those of its address still.
    #[must_use]
    pub fn with_certificate(self, certificate: Certificate) -> Self {
        Self { known_by: KnownBy::Tls(Arc::new(certificate)), ..self }
    }

    /// The verified certificate, where it has shown one.
    pub fn certificate(&self) -> Option<&Certificate> {
        match &self.known_by {
            KnownBy::Tls(certificate) => Some(certificate),
            KnownBy::Nothing | KnownBy::Address => None,
        }
    }
}

/// Which way a connection goes, seen from the endpoint that the policy protects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Traffic {
    /// Towards the endpoint: the peer opened the connection.
    Ingress,
    /// From the endpoint: the endpoint opened the connection.
    Egress,
}

/// What of a connection policy looks at before any request is read.
#[derive(Clone, Copy, Debug)]
pub struct Flow<'a> {
    /// Which way it goes.
    pub traffic: Traffic,
    /// The labels of the endpoint that the policy protects.
    pub endpoint: &'a Labels,
    /// The destination port, as policies name it.
    pub port: u16,
    /// The other side.
    pub remote: &'a Identity,
}
