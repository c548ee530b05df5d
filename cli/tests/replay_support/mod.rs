//! Makes captures for tests, packet by packet.
#![allow(dead_code, unreachable_pub, reason = "each test includes it, and uses a part of it")]

use std::net::{IpAddr, SocketAddr};

use etherparse::PacketBuilder;

/// Two who talk over TCP, and the packets of it.
pub struct Talk {
    client: SocketAddr,
    server: SocketAddr,
    /// The next sequence numbers of both.
    seq: [u32; 2],
    /// Bytes of a segment at most.
    pub mss: usize,
    /// Seconds since 2026-01-01T00:00:00Z.
    pub at: f64,
    /// Frames of Ethernet, with their time.
    pub packets: Vec<(f64, Vec<u8>)>,
}

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Client,
    Server,
}

impl Talk {
    pub fn new(client: &str, server: &str) -> Self {
        let parse = |text: &str| text.parse().expect("an address");
        Self {
            client: parse(client),
            server: parse(server),
            seq: [0xffff_ff00, 4_000_000_000],
            mss: 1448,
            at: 0.0,
            packets: Vec::new(),
        }
    }

    /// The three packets of the handshake.
    pub fn open(mut self) -> Self {
        self.push(Who::Client, "S", b"");
        self.seq[0] = self.seq[0].wrapping_add(1);
        self.push(Who::Server, "SA", b"");
        self.seq[1] = self.seq[1].wrapping_add(1);
        self.push(Who::Client, "A", b"");
        self
    }

    /// The client sends.
    pub fn ask(self, bytes: impl AsRef<[u8]>) -> Self {
        self.say(Who::Client, bytes.as_ref())
    }

    /// The server sends.
    pub fn reply(self, bytes: impl AsRef<[u8]>) -> Self {
        self.say(Who::Server, bytes.as_ref())
    }

    pub fn say(mut self, who: Who, bytes: &[u8]) -> Self {
        for piece in bytes.chunks(self.mss) {
            self.push(who, "A", piece);
            let side = usize::from(who == Who::Server);
            self.seq[side] = self.seq[side].wrapping_add(u32::try_from(piece.len()).expect("short"));
        }
        self
    }

    /// Both close.
    pub fn close(mut self) -> Self {
        self.push(Who::Client, "FA", b"");
        self.seq[0] = self.seq[0].wrapping_add(1);
        self.push(Who::Server, "FA", b"");
        self.seq[1] = self.seq[1].wrapping_add(1);
        self.push(Who::Client, "A", b"");
        self
    }

    /// Bytes that were sent and are not in the capture.
    pub fn lose(mut self, who: Who, len: u32) -> Self {
        let side = usize::from(who == Who::Server);
        self.seq[side] = self.seq[side].wrapping_add(len);
        self
    }

    fn push(&mut self, who: Who, flags: &str, payload: &[u8]) {
        let (from, to, seq, ack) = match who {
            Who::Client => (self.client, self.server, self.seq[0], self.seq[1]),
            Who::Server => (self.server, self.client, self.seq[1], self.seq[0]),
        };
        let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let ip = match (from.ip(), to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => ethernet.ipv4(from.octets(), to.octets(), 64),
            (IpAddr::V6(from), IpAddr::V6(to)) => ethernet.ipv6(from.octets(), to.octets(), 64),
            _ => panic!("both of one family"),
        };
        let mut tcp = ip.tcp(from.port(), to.port(), seq, 64_000);
        for flag in flags.chars() {
            tcp = match flag {
                'S' => tcp.syn(),
                'A' => tcp.ack(ack),
                'F' => tcp.fin(),
                _ => tcp.rst(),
            };
        }
        let mut packet = Vec::new();
        tcp.write(&mut packet, payload).expect("a packet");
        self.packets.push((self.at, packet));
        self.at += 0.001;
    }
}

/// Talks one packet at a time each, as they come.
pub fn merge(talks: Vec<Talk>) -> Vec<(f64, Vec<u8>)> {
    let mut packets: Vec<_> = talks.into_iter().flat_map(|talk| talk.packets).collect();
    packets.sort_by(|a, b| a.0.total_cmp(&b.0));
    packets
}

/// A pcap file of frames.
pub fn pcap(packets: &[(f64, Vec<u8>)]) -> Vec<u8> {
    pcap_of(1, usize::MAX, packets)
}

/// A pcap file of a link type, each packet cut to `snaplen`.
pub fn pcap_of(link: u32, snaplen: usize, packets: &[(f64, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut put = |number: u32| out.extend_from_slice(&number.to_le_bytes());
    put(0xa1b2_c3d4);
    put(0x0004_0002);
    put(0);
    put(0);
    put(262_144);
    put(link);
    for (at, packet) in packets {
        let shown = &packet[..packet.len().min(snaplen)];
        let (seconds, micros) = time(*at);
        for number in [seconds, micros, shown.len() as u32, packet.len() as u32] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(shown);
    }
    out
}

/// A pcapng file of frames, in big-endian, with nanoseconds.
pub fn pcapng(packets: &[(f64, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut block = |kind: u32, body: &[u8]| {
        let padded = body.len().div_ceil(4) * 4;
        let len = u32::try_from(padded + 12).expect("short");
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(body);
        out.resize(out.len() + padded - body.len(), 0);
        out.extend_from_slice(&len.to_be_bytes());
    };
    block(0x0a0d_0d0a, b"\x1a\x2b\x3c\x4d\x00\x01\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff");
    // Ethernet; if_tsresol: 10^-9.
    block(1, b"\x00\x01\x00\x00\x00\x04\x00\x00\x00\x09\x00\x01\x09\x00\x00\x00\x00\x00\x00\x00");
    for (at, packet) in packets {
        let (seconds, micros) = time(*at);
        let nanos = u64::from(seconds) * 1_000_000_000 + u64::from(micros) * 1000;
        let len = u32::try_from(packet.len()).expect("short").to_be_bytes();
        let body = [&[0; 4][..], &nanos.to_be_bytes(), &len, &len, packet].concat();
        block(6, &body);
    }
    out
}

fn time(at: f64) -> (u32, u32) {
    let micros = (at * 1e6).round() as u64;
    let start = 1_767_225_600;
    (start + (micros / 1_000_000) as u32, (micros % 1_000_000) as u32)
}
