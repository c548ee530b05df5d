//! Networks, and maps from networks that answer by longest prefix.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::Deserialize;

/// A network. An IPv4 network that is written as mapped into IPv6 is the IPv4 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Cidr {
    family: Family,
    /// Left-aligned: the first bit of the address is the highest.
    bits: u128,
    length: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Family {
    V4,
    V6,
}

/// Bits before the IPv4 address in a mapped one, RFC 4291 section 2.5.5.2.
const MAPPED: u8 = 96;

impl Cidr {
    /// The network of this address alone.
    pub(crate) fn host(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self { family: Family::V4, bits: u128::from(v4.to_bits()) << MAPPED, length: 32 },
            IpAddr::V6(v6) => Self { family: Family::V6, bits: v6.to_bits(), length: 128 },
        }
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.covers(&Self::host(address))
    }

    /// Whether every address of the other network is in this one.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.family == other.family && self.length <= other.length && other.cut(self.length).bits == self.bits
    }

    fn cut(self, length: u8) -> Self {
        let mask = match length {
            0 => 0,
            n => u128::MAX.checked_shl(128_u32.saturating_sub(u32::from(n))).unwrap_or(0),
        };
        Self { bits: self.bits & mask, length, ..self }
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || {
            let text = crate::node::shorten(text);
            format!("`{text}` is not an address or a network; write `10.0.0.0/8`, `10.1.2.3` or `fd00::/8`")
        };
        let (address, length) = match text.split_once('/') {
            Some((address, length)) if !length.starts_with('+') => (address, Some(length)),
            Some(_) => return Err(fault()),
            None => (text, None),
        };
        let written: IpAddr = address.parse().map_err(|_| fault())?;
        let host = Self::host(written);
        let Some(length) = length else { return Ok(host) };
        let length: u8 = length.parse().map_err(|_| fault())?;
        match written {
            IpAddr::V4(_) if length <= 32 => Ok(host.cut(length)),
            IpAddr::V6(v6) if length <= 128 => Ok(match length.checked_sub(MAPPED) {
                Some(length) if host.family == Family::V4 => host.cut(length),
                _ => Self { family: Family::V6, bits: v6.to_bits(), length: 128 }.cut(length),
            }),
            _ => Err(fault()),
        }
    }
}

impl TryFrom<String> for Cidr {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.bits;
        match self.family {
            Family::V4 => write!(f, "{}", Ipv4Addr::from_bits(u32::try_from(bits >> MAPPED).unwrap_or_default()))?,
            Family::V6 => write!(f, "{}", Ipv6Addr::from_bits(bits))?,
        }
        write!(f, "/{}", self.length)
    }
}

/// Values by network. A lookup costs one probe for each length of prefix that occurs, however many networks there are.
#[derive(Clone, Debug)]
pub(crate) struct CidrMap<T> {
    networks: HashMap<Cidr, T>,
    /// The lengths that occur, longest first.
    lengths: Vec<(Family, u8)>,
}

impl<T> Default for CidrMap<T> {
    fn default() -> Self {
        Self { networks: HashMap::new(), lengths: Vec::new() }
    }
}

impl<T> CidrMap<T> {
    /// The value of exactly this network, made if there is none.
    pub(crate) fn entry(&mut self, network: Cidr, make: impl FnOnce() -> T) -> &mut T {
        let key = (network.family, network.length);
        if let Err(at) = self.lengths.binary_search_by(|have| key.cmp(have)) {
            self.lengths.insert(at, key);
        }
        self.networks.entry(network).or_insert_with(make)
    }

    /// The values of all networks that hold the address, longest prefix first.
    pub(crate) fn covering(&self, address: IpAddr) -> impl Iterator<Item = &T> {
        let host = Cidr::host(address);
        let lengths = self.lengths.iter().filter(move |(family, _)| *family == host.family);
        lengths.filter_map(move |&(_, length)| self.networks.get(&host.cut(length)))
    }

    pub(crate) fn len(&self) -> usize {
        self.networks.len()
    }
}
