//! What is known of a connection before its first byte.

use std::net::SocketAddr;

use portcullis_policy::{Flow, Identity, Labels, Traffic};

/// A connection as its host describes it. Fixed for its whole life.
#[derive(Clone, Debug)]
pub struct Meta {
    /// The host's number for the connection: unique while it lives.
    pub id: u64,
    /// Which way it goes, seen from the endpoint that the policy protects.
    pub traffic: Traffic,
    /// The labels of that endpoint.
    pub endpoint: Labels,
    /// The security id of that endpoint, where the host has such numbers; 0 is none.
    pub endpoint_id: u32,
    /// The other side.
    pub remote: Identity,
    /// The destination port, as policies name it.
    pub port: u16,
    /// Who opened the connection, where it has an IP address.
    pub source: Option<SocketAddr>,
    /// Whom it was opened to.
    pub destination: Option<SocketAddr>,
}

impl Meta {
    /// What policy looks at.
    pub const fn flow(&self) -> Flow<'_> {
        Flow { traffic: self.traffic, endpoint: &self.endpoint, port: self.port, remote: &self.remote }
    }
}
