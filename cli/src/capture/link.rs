//! From a packet to its TCP segment: link layer and IP off.

use std::net::{IpAddr, SocketAddr};

use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TransportSlice, ip_number};
use pcap_parser::Linktype;

use super::tunnel::{self, Inner};

/// A TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment<'a> {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) seq: u32,
    /// What it says was received, if it says so.
    pub(crate) ack: Option<u32>,
    pub(crate) syn: bool,
    pub(crate) fin: bool,
    pub(crate) rst: bool,
    pub(crate) payload: &'a [u8],
    /// Bytes of the payload at its end that were not captured.
    pub(crate) missing: u32,
}

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decoded<'a> {
    Segment(Segment<'a>),
    /// A piece of an IP packet. Pieces are not put together.
    Fragment,
    /// TCP whose header was cut off or is none.
    Unreadable,
    /// Within a tunnel that is not looked into.
    Tunnel,
    /// Neither: another protocol, or what is no packet at all.
    Other,
    /// A link layer that is not known here.
    UnknownLink,
}

/// Reads one packet of a link type of libpcap's list (`LINKTYPE_…`).
pub(crate) fn decode(link: Linktype, data: &[u8]) -> Decoded<'_> {
    let tagged = |header: usize, at: usize| {
        let kind = data.get(at..at.saturating_add(2))?;
        let kind = EtherType(u16::from_be_bytes([*kind.first()?, *kind.get(1)?]));
        Some(LaxSlicedPacket::from_ether_type(kind, data.get(header..)?))
    };
    let sliced = match link.0 {
        ETHERNET => LaxSlicedPacket::from_ethernet(data).ok(),
        // The family comes in the byte order of whoever captured; the version of IP says the same.
        NULL | LOOP => data.get(4..).and_then(|ip| LaxSlicedPacket::from_ip(ip).ok()),
        RAW | RAW_BSD | RAW_OPENBSD | IPV4 | IPV6 => LaxSlicedPacket::from_ip(data).ok(),
        SLL => tagged(16, 14),
        SLL2 => tagged(20, 0),
        _ => return Decoded::UnknownLink,
    };
    let Some(mut packet) = sliced else { return Decoded::Other };
    for _ in 0..MAX_TUNNELS {
        match tunnel::open(&packet) {
            Inner::Packet(inner) => packet = inner,
            Inner::Closed => return Decoded::Tunnel,
            Inner::Nothing => return segment(&packet),
        }
    }
    Decoded::Tunnel
}

fn segment<'a>(packet: &LaxSlicedPacket<'a>) -> Decoded<'a> {
    let (source, destination, claimed, there): (IpAddr, IpAddr, usize, usize) = match &packet.net {
        Some(LaxNetSlice::Ipv4(ip)) => {
            let header = ip.header();
            let extensions = ip.extensions().auth.map_or(0, |auth| auth.slice().len());
            let there = header.slice().len().saturating_add(extensions).saturating_add(ip.payload().payload.len());
            (header.source_addr().into(), header.destination_addr().into(), header.total_len().into(), there)
        }
        Some(LaxNetSlice::Ipv6(ip)) => {
            let header = ip.header();
            let there = ip.extensions().slice().len().saturating_add(ip.payload().payload.len());
            (header.source_addr().into(), header.destination_addr().into(), header.payload_length().into(), there)
        }
        Some(LaxNetSlice::Arp(_)) | None => return Decoded::Other,
    };
    let Some(ip) = packet.ip_payload() else { return Decoded::Other };
    if ip.fragmented {
        return if tunnel::matters(ip.ip_number) { Decoded::Fragment } else { Decoded::Other };
    }
    let Some(TransportSlice::Tcp(tcp)) = &packet.transport else {
        return if ip.ip_number == ip_number::TCP { Decoded::Unreadable } else { Decoded::Other };
    };
    // Where the length is not filled in yet (the network card was to do it), there is as much as was captured.
    let missing = if ip.incomplete { claimed.saturating_sub(there) } else { 0 };
    Decoded::Segment(Segment {
        source: SocketAddr::new(source, tcp.source_port()),
        destination: SocketAddr::new(destination, tcp.destination_port()),
        seq: tcp.sequence_number(),
        ack: tcp.ack().then(|| tcp.acknowledgment_number()),
        syn: tcp.syn(),
        fin: tcp.fin(),
        rst: tcp.rst(),
        payload: tcp.payload(),
        missing: u32::try_from(missing).unwrap_or(u32::MAX),
    })
}

/// Tunnels within each other at most. A cloud's around a cluster's around one of its own are three.
const MAX_TUNNELS: usize = 4;

const NULL: i32 = 0;
const ETHERNET: i32 = 1;
/// `LINKTYPE_RAW`, and the two numbers that systems have used for it in files.
const RAW: i32 = 101;
const RAW_BSD: i32 = 12;
const RAW_OPENBSD: i32 = 14;
const LOOP: i32 = 108;
const SLL: i32 = 113;
const IPV4: i32 = 228;
const IPV6: i32 = 229;
const SLL2: i32 = 276;
