//! Addresses and networks, by the grammar of Go's `net/netip`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address(pub(crate) IpAddr);

/// An address and how many of its bits name the network; the others may be anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) address: IpAddr,
    pub(crate) bits: u8,
}

/// Why a text is no address or network, as Kubernetes says it, without the text itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddressError {
    Unreadable,
    Zone,
    Mapped,
    NoSlash,
    PrefixLength,
}

impl Address {
    /// Reads one, without a zone, and not an IPv4 address written as an IPv6 one.
    ///
    /// # Errors
    ///
    /// It is none.
    pub(crate) fn parse(text: &str) -> Result<Self, AddressError> {
        // What has a point before any colon is an IPv4 address or nothing.
        let (address, zone) = text.split_once('%').map_or((text, None), |(address, zone)| (address, Some(zone)));
        match (parse_address(address)?, zone) {
            (IpAddr::V6(_), Some(zone)) if !zone.is_empty() => Err(AddressError::Zone),
            (_, Some(_)) => Err(AddressError::Unreadable),
            (IpAddr::V6(address), None) if address.to_ipv4_mapped().is_some() => Err(AddressError::Mapped),
            (address, None) => Ok(Self(address)),
        }
    }

    /// As it is written in short.
    pub(crate) fn text(self) -> String {
        self.0.to_string()
    }

    pub(crate) fn is_link_local_multicast(self) -> bool {
        match self.0 {
            IpAddr::V4(address) => address.octets().starts_with(&[224, 0, 0]),
            IpAddr::V6(address) => address.segments().first().is_some_and(|first| first & 0xff0f == 0xff02),
        }
    }

    pub(crate) fn is_link_local_unicast(self) -> bool {
        match self.0 {
            IpAddr::V4(address) => address.is_link_local(),
            IpAddr::V6(address) => address.is_unicast_link_local(),
        }
    }

    /// As Go has it: private addresses are global too.
    pub(crate) fn is_global_unicast(self) -> bool {
        let apart = match self.0 {
            IpAddr::V4(address) => address.is_unspecified() || address.is_broadcast(),
            IpAddr::V6(address) => address.is_unspecified(),
        };
        !(apart || self.0.is_loopback() || self.0.is_multicast() || self.is_link_local_unicast())
    }
}

impl Network {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// It is none.
    pub(crate) fn parse(text: &str) -> Result<Self, AddressError> {
        let (address, bits) = text.rsplit_once('/').ok_or(AddressError::NoSlash)?;
        let address = parse_address(address)?;
        let plain = bits.len() <= 3
            && bits.bytes().all(|byte| byte.is_ascii_digit())
            && (bits.len() == 1 || !bits.starts_with('0'));
        let bits = if plain { bits.parse().ok() } else { None };
        let bits: u8 = bits.filter(|bits| *bits <= width(address)).ok_or(AddressError::PrefixLength)?;
        match address {
            IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => Err(AddressError::Mapped),
            _ => Ok(Self { address, bits }),
        }
    }

    /// As it is written in short.
    pub(crate) fn text(self) -> String {
        format!("{}/{}", self.address, self.bits)
    }

    /// The same network by its first address.
    pub(crate) fn masked(self) -> Self {
        Self { address: mask(self.address, self.bits), bits: self.bits }
    }

    pub(crate) fn contains_address(self, address: Address) -> bool {
        self.address.is_ipv4() == address.0.is_ipv4() && mask(address.0, self.bits) == self.masked().address
    }

    pub(crate) fn contains_network(self, other: Self) -> bool {
        self.bits <= other.bits && self.contains_address(Address(other.address))
    }

    /// How many bytes its bits take.
    pub(crate) fn size(self) -> u64 {
        u64::from(self.bits.div_ceil(8))
    }
}

impl AddressError {
    /// What Kubernetes says of an address.
    pub(crate) fn of_address(self) -> &'static str {
        match self {
            Self::Zone => "IP address with zone value is not allowed",
            Self::Mapped => "IPv4-mapped IPv6 address is not allowed",
            _ => "IP Address parse error during conversion from string: unable to parse IP",
        }
    }

    /// What Kubernetes says of a network, its doubling included.
    pub(crate) fn of_network(self) -> &'static str {
        match self {
            Self::Mapped => {
                "network address parse error during conversion from string: IPv4-mapped IPv6 address is not allowed"
            }
            Self::NoSlash => {
                "network address parse error during conversion from string: network address parse error during conversion from string: no '/'"
            }
            Self::PrefixLength => {
                "network address parse error during conversion from string: network address parse error during conversion from string: bad bits after slash"
            }
            Self::Unreadable | Self::Zone => {
                "network address parse error during conversion from string: network address parse error during conversion from string: unable to parse IP"
            }
        }
    }
}

fn parse_address(text: &str) -> Result<IpAddr, AddressError> {
    text.parse().map_err(|_| AddressError::Unreadable)
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn mask(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let surplus = 32u32.saturating_sub(u32::from(bits));
            let mask = u32::MAX.checked_shl(surplus).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
        }
        IpAddr::V6(address) => {
            let surplus = 128u32.saturating_sub(u32::from(bits));
            let mask = u128::MAX.checked_shl(surplus).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    }
}
