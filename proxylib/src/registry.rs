//! The protocols of a library: a list you can read.

use portcullis_policy::{DocumentCompiler, Protocols, RuleCompiler};

use crate::parser::ErasedProtocol;

/// The protocols that a library speaks. Make one with [`protocols!`](crate::protocols).
#[derive(Clone, Copy)]
pub struct Registry(&'static [&'static dyn ErasedProtocol]);

impl Registry {
    /// A registry of the given protocols.
    pub const fn new(protocols: &'static [&'static dyn ErasedProtocol]) -> Self {
        Self(protocols)
    }

    /// The protocol of that name.
    pub fn find(&self, name: &str) -> Option<&'static dyn ErasedProtocol> {
        self.iter().find(|protocol| protocol.name() == name)
    }

    /// All protocols, in the order of the list.
    pub fn iter(&self) -> impl Iterator<Item = &'static dyn ErasedProtocol> + use<> {
        self.0.iter().copied()
    }
}

impl Protocols for Registry {
    fn documents(&self) -> Vec<&dyn DocumentCompiler> {
        let known = self.iter().filter_map(ErasedProtocol::documents);
        known.map(|documents| documents as &dyn DocumentCompiler).collect()
    }

    fn compiler(&self, l7proto: &str) -> Option<&dyn RuleCompiler> {
        self.find(l7proto).map(ErasedProtocol::rules)
    }

    fn names(&self) -> Vec<&str> {
        self.iter().map(ErasedProtocol::name).collect()
    }
}

/// Lists protocols: `pub static REGISTRY: Registry = protocols![r2d2::R2d2, memcache::Memcache];`
#[macro_export]
macro_rules! protocols {
    ($($protocol:expr),* $(,)?) => { $crate::Registry::new(&[$(&$protocol),*]) };
}
