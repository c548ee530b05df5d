//! Files: pcap, pcapng, hex dumps of either packets or one stream, and raw bytes.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

use anyhow::Context;
use clap::ValueEnum;
use indicatif::ProgressBar;
use jiff::{SignedDuration, Timestamp};
use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader};

use super::hex;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Packets: pcap or pcapng.
    Pcap,
    /// A hex dump: packets as `tcpdump -x` and `-xx` print them, or a client's bytes as `xxd` and `hexdump -C` do.
    Hex,
    /// The bytes that a client sent.
    Raw,
}

/// A file that is being read.
pub(crate) struct Input {
    /// What it holds.
    pub(crate) kind: Kind,
    reader: Box<dyn Read + Send>,
}

/// One packet, as it was captured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet<'a> {
    pub(crate) time: Option<Timestamp>,
    pub(crate) link: Linktype,
    pub(crate) data: &'a [u8],
}

/// Why a file cannot be read to its end. What was read before still counts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("after {at} bytes: {why}")]
pub(crate) struct Broken {
    /// The bytes that were understood.
    pub(crate) at: u64,
    /// What is wrong then.
    pub(crate) why: String,
}

impl Input {
    /// Opens a file, or the standard input for `-`, and looks what it holds unless it was said. The bar follows the reading.
    pub(crate) fn open(path: &Path, kind: Option<Kind>, bar: &ProgressBar) -> anyhow::Result<Self> {
        let mut reader: Box<dyn Read + Send> = if path.as_os_str() == "-" {
            Box::new(io::stdin())
        } else {
            let file = File::open(path).with_context(|| format!("`{}` cannot be read", path.display()))?;
            if let Ok(meta) = file.metadata() {
                anyhow::ensure!(!meta.is_dir(), "`{}` is a directory; name one file", path.display());
                bar.set_length(meta.len());
            }
            Box::new(bar.wrap_read(file))
        };
        let mut head = Vec::new();
        let context = || format!("`{}` cannot be read", path.display());
        reader.by_ref().take(HEAD).read_to_end(&mut head).with_context(context)?;
        let kind = match kind.map_or_else(|| guess(&head), Ok) {
            Ok(kind) => kind,
            Err(what) => anyhow::bail!("`{}` {what}", path.display()),
        };
        Ok(Self { kind, reader: Box::new(Cursor::new(head).chain(reader)) })
    }

    /// Hands on each packet of a capture, or of a hex dump of packets.
    pub(crate) fn packets(self, mut on_packet: impl FnMut(Packet<'_>)) -> Result<(), Broken> {
        match self.kind {
            Kind::Pcap => read_pcap(self.reader, &mut on_packet),
            Kind::Hex => hex::read_packets(self.reader, &mut on_packet),
            Kind::Raw => Err(Broken { at: 0, why: "raw bytes have no packets".to_owned() }),
        }
    }

    /// Hands on the bytes of one stream, as raw bytes or a hex dump have them.
    pub(crate) fn bytes(self, mut on_bytes: impl FnMut(&[u8])) -> Result<(), Broken> {
        if self.kind == Kind::Hex {
            return hex::read_bytes(self.reader, &mut on_bytes);
        }
        let mut reader = self.reader;
        let mut buffer = vec![0; PIECE];
        let mut at = 0_u64;
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => {
                    on_bytes(buffer.get(..read).unwrap_or_default());
                    at = at.saturating_add(read as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Broken { at, why: error.to_string() }),
            }
        }
    }

    /// Whether a hex dump is one of packets, by its first lines.
    pub(crate) fn has_packets(&mut self) -> anyhow::Result<bool> {
        match self.kind {
            Kind::Pcap => Ok(true),
            Kind::Raw => Ok(false),
            Kind::Hex => {
                let mut head = Vec::new();
                self.reader.by_ref().take(HEAD).read_to_end(&mut head)?;
                let packets = hex::has_packets(&head);
                let rest = std::mem::replace(&mut self.reader, Box::new(io::empty()));
                self.reader = Box::new(Cursor::new(head).chain(rest));
                Ok(packets)
            }
        }
    }
}

/// What a file holds, by how it begins.
fn guess(head: &[u8]) -> Result<Kind, &'static str> {
    let magic = head.get(..4).unwrap_or_default();
    match magic {
        b"\xa1\xb2\xc3\xd4" | b"\xd4\xc3\xb2\xa1" | b"\xa1\xb2\x3c\x4d" | b"\x4d\x3c\xb2\xa1" | b"\x0a\x0d\x0d\x0a" => {
            Ok(Kind::Pcap)
        }
        [0x1f, 0x8b, ..] => Err("is compressed: unpack it with `gunzip` first"),
        b"\x28\xb5\x2f\xfd" => Err("is compressed: unpack it with `unzstd` first"),
        _ if head.is_empty() => Err("is empty"),
        _ if hex::is_dump(head) => Ok(Kind::Hex),
        _ => Ok(Kind::Raw),
    }
}

/// What is known of the interface that a packet was captured on.
#[derive(Clone, Copy)]
struct Interface {
    link: Linktype,
    /// Units of time in a second.
    units: u64,
    /// Seconds to be added.
    offset: i64,
}

fn read_pcap(reader: impl Read + Send, on_packet: &mut dyn FnMut(Packet<'_>)) -> Result<(), Broken> {
    let mut at = 0_u64;
    let mut reader = create_reader(BUFFER, reader)
        .map_err(|error| Broken { at: 0, why: format!("not a capture: {}", tell(&error)) })?;
    let mut interfaces: Vec<Interface> = Vec::new();
    let mut room = BUFFER;
    loop {
        let offset = match reader.next() {
            Ok((offset, block)) => {
                read_block(block, &mut interfaces, on_packet).map_err(|why| Broken { at, why })?;
                offset
            }
            Err(PcapError::Eof) => return Ok(()),
            Err(PcapError::Incomplete(_)) => {
                reader.refill().map_err(|error| Broken { at, why: tell(&error) })?;
                continue;
            }
            Err(PcapError::BufferTooSmall) if room < MAX_BLOCK => {
                room = MAX_BLOCK;
                reader.grow(room);
                reader.refill().map_err(|error| Broken { at, why: tell(&error) })?;
                continue;
            }
            Err(error) => return Err(Broken { at, why: tell(&error) }),
        };
        reader.consume(offset);
        at = at.saturating_add(offset as u64);
    }
}

fn tell<T>(error: &PcapError<T>) -> String {
    match error {
        PcapError::BufferTooSmall => {
            format!("a packet claims more than {MAX_BLOCK} bytes, which none has: the file is corrupt from here on")
        }
        PcapError::UnexpectedEof | PcapError::Eof | PcapError::Incomplete(_) => {
            "the file ends in the middle of a packet: it was cut, is still being written, or is corrupt".to_owned()
        }
        PcapError::ReadError => "the file cannot be read any further".to_owned(),
        PcapError::HeaderNotRecognized => "neither pcap nor pcapng".to_owned(),
        PcapError::NomError(..) | PcapError::OwnedNomError(..) => {
            "what stands here is no packet: the file is corrupt from here on".to_owned()
        }
    }
}

fn read_block(
    block: PcapBlockOwned<'_>,
    interfaces: &mut Vec<Interface>,
    on_packet: &mut dyn FnMut(Packet<'_>),
) -> Result<(), String> {
    match block {
        PcapBlockOwned::LegacyHeader(header) => {
            let units = if header.is_nanosecond_precision() { 1_000_000_000 } else { 1_000_000 };
            // The upper bits say whether frames end in a checksum, which IP lengths leave out.
            let link = Linktype(header.network.0 & 0xffff);
            interfaces.push(Interface { link, units, offset: 0 });
        }
        PcapBlockOwned::Legacy(packet) => {
            if packet.caplen > MAX_SNAPLEN {
                return Err(format!(
                    "a packet claims {} bytes, which none has: the file is corrupt from here on",
                    packet.caplen
                ));
            }
            let Some(interface) = interfaces.first() else { return Ok(()) };
            let since = u64::from(packet.ts_sec).saturating_mul(interface.units).saturating_add(packet.ts_usec.into());
            on_packet(Packet { time: moment(since, *interface), link: interface.link, data: packet.data });
        }
        PcapBlockOwned::NG(Block::SectionHeader(_)) => interfaces.clear(),
        PcapBlockOwned::NG(Block::InterfaceDescription(described)) => {
            if interfaces.len() >= MAX_INTERFACES {
                return Err(format!("more than {MAX_INTERFACES} interfaces: the file is corrupt from here on"));
            }
            let units = match described.if_tsresol {
                binary if binary & 0x80 != 0 => 1_u64.checked_shl(u32::from(binary & 0x7f)),
                decimal => 10_u64.checked_pow(u32::from(decimal)),
            };
            let units = units.filter(|units| *units > 0).unwrap_or(1_000_000);
            interfaces.push(Interface { link: described.linktype, units, offset: described.if_tsoffset });
        }
        PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
            let Some(interface) = interfaces.get(packet.if_id as usize) else {
                return Err(format!("a packet of interface {}, which is not described", packet.if_id));
            };
            let since = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
            on_packet(Packet { time: moment(since, *interface), link: interface.link, data: packet.packet_data() });
        }
        PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
            let Some(interface) = interfaces.first() else {
                return Err("a packet before any interface is described".to_owned());
            };
            on_packet(Packet { time: None, link: interface.link, data: packet.packet_data() });
        }
        // Names, statistics, keys, what others put there.
        PcapBlockOwned::NG(_) => {}
    }
    Ok(())
}

/// When it was. Times that no calendar has are none.
fn moment(since: u64, interface: Interface) -> Option<Timestamp> {
    let seconds = i64::try_from(since.checked_div(interface.units)?).ok()?.checked_add(interface.offset)?;
    let part = u128::from(since.checked_rem(interface.units)?).saturating_mul(1_000_000_000);
    let nanos = i32::try_from(part.checked_div(interface.units.into())?).ok()?;
    let whole = Timestamp::from_second(seconds).ok()?;
    whole.checked_add(SignedDuration::new(0, nanos)).ok()
}

/// Bytes that are looked at to tell what a file holds, and where the first header of a capture must end.
const HEAD: u64 = 64 << 10;

/// Bytes of a capture that are held at a time.
const BUFFER: usize = 1 << 20;

/// Bytes of one block at most: libpcap's own bound for pcapng (`MAX_BLOCKSIZE`), and room for its header.
const MAX_BLOCK: usize = (16 << 20) + (64 << 10);

/// Bytes of a packet of a pcap file at most, as libpcap has it for the largest of its link types (`MAXIMUM_SNAPLEN` of USB).
const MAX_SNAPLEN: u32 = 128 << 20;

/// Interfaces of a section at most: more than a machine has.
const MAX_INTERFACES: usize = 4096;

/// Bytes of a stream that are handed on at a time.
const PIECE: usize = 64 << 10;
