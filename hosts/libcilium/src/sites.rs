//! What connections have in common that go to one server, under one policy, with one protocol.
//!
//! Servers do not share what a protocol learns of one of them (prepared statements), so each destination has its own.

use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use papaya::{Equivalent, HashMap};
use portcullis_policy::{Identity, Labels, Traffic};
use portcullis_proxylib::{Instance, Limits, Meta, OnParseError};

use crate::abi::FilterResult;
use crate::address::{Compact, port_of};
use crate::modules::{self, Module};

/// See above.
pub(crate) struct Site {
    pub(crate) instance: Arc<Instance>,
    module: Arc<Module>,
    traffic: Traffic,
    port: u16,
    destination: Option<SocketAddr>,
}

/// What `OnNewConnection` says of a connection, its own numbers and buffers aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Route<'a> {
    pub(crate) module: u64,
    pub(crate) ingress: bool,
    pub(crate) protocol: &'a [u8],
    pub(crate) policy_name: &'a [u8],
    pub(crate) destination: &'a [u8],
}

/// The two sides of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sides {
    pub(crate) source: Compact,
    pub(crate) source_id: u32,
    pub(crate) destination_id: u32,
}

/// Sites by what tells them apart. Those that no connection uses are kept, up to a number, for the next one.
///
/// Clients choose destinations, so the hash has a seed that they do not know.
static SITES: LazyLock<HashMap<Key, Arc<Site>, foldhash::fast::RandomState>> = LazyLock::new(HashMap::default);

/// Above this many sites, unused ones are looked for and let go. A node has fewer servers than that.
const MANY_SITES: usize = 1024;

/// When the next look is due.
static SWEEP_AT: AtomicUsize = AtomicUsize::new(MANY_SITES);

/// Bytes of a name or an address that is kept at most. Real ones are far shorter; a host that has others pays for them each
/// time.
const MAX_PART: usize = 256;

/// The site of a new connection.
///
/// # Errors
/// In this order: the instance is not open, the protocol is unknown, the destination is no address.
pub(crate) fn find(route: &Route<'_>) -> Result<Arc<Site>, FilterResult> {
    let sites = SITES.pin();
    if let Some(site) = sites.get(route) {
        return if site.module.is_closed() { Err(FilterResult::InvalidInstance) } else { Ok(Arc::clone(site)) };
    }
    let site = Arc::new(Site::new(route)?);
    let long = [route.protocol, route.policy_name, route.destination].into_iter().any(|part| part.len() > MAX_PART);
    if long {
        return Ok(site);
    }
    // Of two threads that are here at once, one's site is used by both.
    let site = Arc::clone(sites.get_or_insert(Key::from(route), site));
    if sites.len() > SWEEP_AT.load(Ordering::Relaxed) {
        sites.retain(|_, site| Arc::strong_count(site) > 1);
        // In proportion to what is left, so that the looks cost a fixed share of each connection.
        SWEEP_AT.store(sites.len().saturating_mul(2).max(MANY_SITES), Ordering::Relaxed);
    }
    Ok(site)
}

/// Lets go of the sites of an instance; connections keep theirs.
pub(crate) fn forget(module: u64) {
    SITES.pin().retain(|_, site| site.module.id != module);
}

/// How many sites are kept.
#[cfg(feature = "testing")]
pub(crate) fn count() -> usize {
    SITES.pin().len()
}

impl Site {
    fn new(route: &Route<'_>) -> Result<Self, FilterResult> {
        let module = modules::find(route.module).ok_or(FilterResult::InvalidInstance)?;
        let protocol = str::from_utf8(route.protocol).ok().and_then(|name| module.registry.find(name));
        let protocol = protocol.ok_or(FilterResult::UnknownParser)?;
        let port = str::from_utf8(route.destination).ok().and_then(port_of).ok_or(FilterResult::InvalidAddress)?;
        let policy_name = String::from_utf8_lossy(route.policy_name);
        let config = serde_json::Value::Null;
        #[cfg(feature = "testing")]
        let config = module.overrides.get().map_or(config, |overrides| overrides.config.clone());
        let listen = protocol.listen(&config).map_err(|_unreadable| FilterResult::UnknownError)?;
        let instance = Instance {
            protocol: listen,
            policy: module.policies.of(&policy_name),
            log: module.log(protocol.name(), &policy_name),
            on_parse_error: OnParseError::Close,
            limits: Limits::default(),
            budget: Arc::clone(&module.budget),
            clock: None,
            executor: None,
        };
        #[cfg(feature = "testing")]
        let instance = match module.overrides.get() {
            Some(overrides) => overrides.apply(instance, protocol.name()),
            None => instance,
        };
        Ok(Self {
            instance: Arc::new(instance),
            module,
            traffic: if route.ingress { Traffic::Ingress } else { Traffic::Egress },
            port,
            destination: Compact::read(route.destination).get(),
        })
    }

    /// A connection as policies see it.
    pub(crate) fn describe(&self, id: u64, sides: &Sides) -> Meta {
        let source = sides.source.get();
        let (endpoint_id, remote_id, remote) = match self.traffic {
            Traffic::Ingress => (sides.destination_id, sides.source_id, source),
            Traffic::Egress => (sides.source_id, sides.destination_id, self.destination),
        };
        let remote = Identity { address: remote.map(|address| address.ip()), id: remote_id, ..Identity::default() };
        let meta = Meta {
            id,
            traffic: self.traffic,
            endpoint: Labels::default(),
            endpoint_id,
            remote,
            port: self.port,
            source,
            destination: self.destination,
        };
        #[cfg(feature = "testing")]
        let meta = match self.module.overrides.get() {
            Some(overrides) => overrides.describe(meta),
            None => meta,
        };
        meta
    }
}

/// What tells sites apart, kept.
struct Key {
    module: u64,
    ingress: bool,
    protocol: Box<[u8]>,
    policy_name: Box<[u8]>,
    destination: Box<[u8]>,
}

impl Key {
    const fn route(&self) -> Route<'_> {
        Route {
            module: self.module,
            ingress: self.ingress,
            protocol: &self.protocol,
            policy_name: &self.policy_name,
            destination: &self.destination,
        }
    }
}

impl From<&Route<'_>> for Key {
    fn from(route: &Route<'_>) -> Self {
        Self {
            module: route.module,
            ingress: route.ingress,
            protocol: route.protocol.into(),
            policy_name: route.policy_name.into(),
            destination: route.destination.into(),
        }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.route().hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.route() == other.route()
    }
}

impl Eq for Key {}

impl Equivalent<Key> for Route<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self == key.route()
    }
}
