//! Packets within packets: what networks of clusters put around those of their endpoints.

use etherparse::{EtherType, IpNumber, LaxSlicedPacket, TransportSlice, ether_type, ip_number};

/// What is within a packet.
#[expect(clippy::large_enum_variant, reason = "made for each packet and looked at once: no memory is taken for it")]
pub(super) enum Inner<'a> {
    /// Another packet.
    Packet(LaxSlicedPacket<'a>),
    /// Something that cannot be looked into: encrypted, or of a kind that is not known here.
    Closed,
    /// No packet.
    Nothing,
}

/// Opens a tunnel.
pub(super) fn open<'a>(packet: &LaxSlicedPacket<'a>) -> Inner<'a> {
    let Some(ip) = packet.ip_payload() else {
        return match packet.ether_payload().map(|payload| payload.ether_type) {
            Some(MPLS | MPLS_MULTICAST | PPPOE) => Inner::Closed,
            _ => Inner::Nothing,
        };
    };
    if ip.fragmented {
        return Inner::Nothing;
    }
    match ip.ip_number {
        ip_number::IPV4 | ip_number::IPV6 => within(LaxSlicedPacket::from_ip(ip.payload).ok()),
        ip_number::GRE => gre(ip.payload),
        ip_number::UDP => match &packet.transport {
            Some(TransportSlice::Udp(udp)) => match udp.destination_port() {
                VXLAN | VXLAN_OF_LINUX => vxlan(udp.payload()),
                GENEVE => geneve(udp.payload()),
                VXLAN_GPE | IPSEC | L2TP | WIREGUARD | WIREGUARD_OF_CILIUM => Inner::Closed,
                _ => Inner::Nothing,
            },
            _ => Inner::Nothing,
        },
        ip_number::ENCAP_SEC | L2TP_IN_IP | ip_number::ETHER_IP | ip_number::MPLS_IN_IP => Inner::Closed,
        _ => Inner::Nothing,
    }
}

/// Whether pieces of such a packet would be of interest, were they put together.
pub(super) fn matters(number: IpNumber) -> bool {
    [ip_number::TCP, ip_number::UDP, ip_number::IPV4, ip_number::IPV6, ip_number::GRE].contains(&number)
}

fn within(packet: Option<LaxSlicedPacket<'_>>) -> Inner<'_> {
    packet.map_or(Inner::Nothing, Inner::Packet)
}

fn of_type(kind: u16, data: Option<&[u8]>) -> Inner<'_> {
    let Some(data) = data else { return Inner::Nothing };
    match EtherType(kind) {
        TRANSPARENT_ETHERNET => within(LaxSlicedPacket::from_ethernet(data).ok()),
        kind @ (ether_type::IPV4 | ether_type::IPV6) => within(Some(LaxSlicedPacket::from_ether_type(kind, data))),
        _ => Inner::Closed,
    }
}

/// RFC 2784 with the fields of RFC 2890: flags say which of checksum, key and sequence number are there, four bytes each.
fn gre(data: &[u8]) -> Inner<'_> {
    let Some((&[a, b, c, d], _)) = data.split_first_chunk() else { return Inner::Nothing };
    let flags = u16::from_be_bytes([a, b]);
    // Other versions (PPTP) and source routes of RFC 1701 are not read.
    if flags & 0x4007 != 0 {
        return Inner::Closed;
    }
    let fields = (flags & 0xb000).count_ones() as usize;
    of_type(u16::from_be_bytes([c, d]), data.get(fields.saturating_mul(4).saturating_add(4)..))
}

/// RFC 7348, section 5: eight bytes, of which the first has the flag that there is an identifier.
fn vxlan(data: &[u8]) -> Inner<'_> {
    let Some((&[flags, ..], inner)) = data.split_first_chunk::<8>() else { return Inner::Nothing };
    if flags & 0x08 == 0 { Inner::Nothing } else { within(LaxSlicedPacket::from_ethernet(inner).ok()) }
}

/// RFC 8926, section 3.4: two bits of version, six of the length of options in four bytes, and a type.
fn geneve(data: &[u8]) -> Inner<'_> {
    let Some((&[first, _, c, d, ..], rest)) = data.split_first_chunk::<8>() else { return Inner::Nothing };
    if first >> 6 != 0 {
        return Inner::Nothing;
    }
    of_type(u16::from_be_bytes([c, d]), rest.get(usize::from(first & 0x3f).saturating_mul(4)..))
}

/// Ports that IANA has assigned, and one that Linux had before.
const VXLAN: u16 = 4789;
const VXLAN_OF_LINUX: u16 = 8472;
const GENEVE: u16 = 6081;
const VXLAN_GPE: u16 = 4790;
const L2TP: u16 = 1701;
const L2TP_IN_IP: IpNumber = IpNumber(115);
/// IPsec through NAT, RFC 3948.
const IPSEC: u16 = 4500;
/// WireGuard has no port of its own: what its tools and what Cilium take.
const WIREGUARD: u16 = 51820;
const WIREGUARD_OF_CILIUM: u16 = 51871;

const TRANSPARENT_ETHERNET: EtherType = EtherType(0x6558);
const PPPOE: EtherType = EtherType(0x8864);
const MPLS: EtherType = EtherType(0x8847);
const MPLS_MULTICAST: EtherType = EtherType(0x8848);
