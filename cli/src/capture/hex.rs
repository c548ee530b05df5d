//! Hex dumps: packets as `tcpdump -x` and `-xx` print them, one stream as `xxd`, `xxd -p` and `hexdump -C` do.

use std::io::{BufRead, BufReader, Read};

use pcap_parser::Linktype;

use super::file::{Broken, Packet};

/// One line of a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    /// Bytes, at an offset where one is given.
    Bytes(Option<u64>, Vec<u8>),
    /// The offset where the dump ends; or, where there are no offsets, four more bytes.
    End(Vec<u8>),
    Empty,
    Other,
}

/// Whether text begins like a hex dump.
pub(super) fn is_dump(head: &[u8]) -> bool {
    let mut lines = whole_lines(head).map(read_line).filter(|line| *line != Line::Empty);
    match lines.next() {
        Some(Line::Bytes(Some(offset), _)) => offset == 0,
        // Without offsets a dump could be words that happen to be hex: it is long.
        Some(Line::Bytes(None, bytes)) => {
            bytes.len() >= 8 && lines.all(|line| matches!(line, Line::Bytes(None, _) | Line::End(_)))
        }
        // tcpdump says what a packet is before it dumps it.
        Some(Line::Other) => {
            let starts =
                |line: &&[u8]| line.starts_with(b"\t0x0000:") || line.trim_ascii_start().starts_with(b"0x0000:");
            whole_lines(head).take(8).any(|line| starts(&line))
        }
        _ => false,
    }
}

/// Whether it is a dump of packets.
pub(super) fn has_packets(head: &[u8]) -> bool {
    whole_lines(head).any(|line| line.trim_ascii_start().starts_with(b"0x0000:"))
}

/// The lines of which the end is there; the last one where there is no other.
fn whole_lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let end = memchr::memrchr(b'\n', head).unwrap_or(head.len());
    head.get(..end).unwrap_or_default().split(|byte| *byte == b'\n')
}

/// Hands on the packets of a dump.
pub(super) fn read_packets(reader: impl Read, on_packet: &mut dyn FnMut(Packet<'_>)) -> Result<(), Broken> {
    let mut packet = Vec::new();
    let mut give = |packet: &mut Vec<u8>| {
        if !packet.is_empty() {
            on_packet(Packet { time: None, link: link_of(packet), data: packet });
            packet.clear();
        }
    };
    let done = read_lines(reader, |line, _| {
        match line {
            Line::Bytes(Some(0), bytes) => {
                give(&mut packet);
                packet = bytes;
            }
            Line::Bytes(Some(offset), bytes) if offset == packet.len() as u64 => {
                if packet.len().saturating_add(bytes.len()) > MAX_PACKET {
                    return Err(format!("a packet of more than {MAX_PACKET} bytes"));
                }
                packet.extend_from_slice(&bytes);
            }
            Line::Bytes(..) => return Err("the offset is not where the last line ended".to_owned()),
            Line::End(_) | Line::Empty | Line::Other => {}
        }
        Ok(())
    });
    give(&mut packet);
    done
}

/// Hands on the bytes of a dump.
pub(super) fn read_bytes(reader: impl Read, on_bytes: &mut dyn FnMut(&[u8])) -> Result<(), Broken> {
    let mut has_offsets = false;
    read_lines(reader, |line, at| match line {
        Line::Bytes(Some(offset), _) if offset != at => Err("the offset is not where the last line ended".to_owned()),
        Line::Bytes(offset, bytes) => {
            has_offsets |= offset.is_some();
            on_bytes(&bytes);
            Ok(())
        }
        Line::End(bytes) if !has_offsets => {
            on_bytes(&bytes);
            Ok(())
        }
        Line::End(_) | Line::Empty => Ok(()),
        Line::Other => Err("this is no line of a hex dump; a `*` of `hexdump` goes away with `-v`".to_owned()),
    })
}

fn read_lines(reader: impl Read, mut on_line: impl FnMut(Line, u64) -> Result<(), String>) -> Result<(), Broken> {
    let mut reader = BufReader::new(reader);
    let mut at = 0_u64;
    let mut text = Vec::new();
    for number in 1_u64.. {
        let broken = |why: String| Broken { at, why: format!("line {number}: {why}") };
        text.clear();
        let read = reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut text);
        if read.map_err(|error| broken(error.to_string()))? == 0 {
            break;
        }
        if text.len() as u64 >= MAX_LINE {
            return Err(broken(format!("more than {MAX_LINE} bytes")));
        }
        let line = read_line(&text);
        let len = if let Line::Bytes(_, bytes) | Line::End(bytes) = &line { bytes.len() as u64 } else { 0 };
        on_line(line, at).map_err(broken)?;
        at = at.saturating_add(len);
    }
    Ok(())
}

fn read_line(line: &[u8]) -> Line {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Line::Empty;
    }
    if let Some(colon) = line.iter().position(|byte| *byte == b':')
        && let Some((offset, rest)) = line.split_at_checked(colon)
        && let Some(offset) = number(offset.strip_prefix(b"0x").unwrap_or(offset))
    {
        let rest = rest.get(1..).unwrap_or_default().trim_ascii_start();
        // Two spaces end the bytes: then comes the same as text, which may look like hex.
        let end = rest.windows(2).position(|pair| pair == b"  ").unwrap_or(rest.len());
        return match digits(rest.get(..end).unwrap_or_default()) {
            Some(bytes) if !bytes.is_empty() => Line::Bytes(Some(offset), bytes),
            _ => Line::Other,
        };
    }
    if let Some((offset, rest)) = line.split_at_checked(8)
        && let Some(offset) = number(offset)
    {
        if rest.is_empty() && line.len() == 8 {
            return digits(line).map_or(Line::Other, Line::End);
        }
        if rest.starts_with(b"  ") {
            let end = rest.iter().position(|byte| *byte == b'|').unwrap_or(rest.len());
            return match digits(rest.get(..end).unwrap_or_default()) {
                Some(bytes) => Line::Bytes(Some(offset), bytes),
                None => Line::Other,
            };
        }
    }
    match digits(line) {
        Some(bytes) if !line.contains(&b' ') => Line::Bytes(None, bytes),
        _ => Line::Other,
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok().filter(|text| !text.is_empty() && text.len() <= 16)?;
    text.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

/// Pairs of hex digits, with spaces anywhere between them.
fn digits(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 2);
    for group in text.split(|byte| *byte == b' ') {
        for pair in group.chunks(2) {
            let [high, low] = pair else { return None };
            let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            bytes.push(digit(high)? << 4 | digit(low)?);
        }
    }
    Some(bytes)
}

/// With `-x` tcpdump leaves the link layer out, with `-xx` not; it does not say which it was.
fn link_of(packet: &[u8]) -> Linktype {
    let pair =
        |at: usize| packet.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |pair| u16::from_be_bytes(*pair));
    let padded = packet.len() <= 46;
    let is_ip = match packet.first() {
        Some(0x45..=0x4f) => usize::from(pair(2)) >= packet.len() || padded,
        Some(0x60..=0x6f) => usize::from(pair(4)).saturating_add(40) >= packet.len() || padded,
        _ => false,
    };
    if is_ip { Linktype::RAW } else { Linktype::ETHERNET }
}

/// Bytes of a line at most: eight times what the widest of these dumps has.
const MAX_LINE: u64 = 4096;

/// Bytes of a packet at most: what IP can have, and a link layer.
const MAX_PACKET: usize = 66_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(dump: &str) -> Result<Vec<u8>, Broken> {
        let mut out = Vec::new();
        read_bytes(dump.as_bytes(), &mut |bytes| out.extend_from_slice(bytes)).map(|()| out)
    }

    #[test]
    fn each_form_of_dump_is_read() {
        for dump in [
            "00000000: 6765 7420 6162 0d0a                      get ab..\n",
            "00000000: 67 65 74 20 61 62 0d 0a                  ab cd ef\n",
            "00000000  67 65 74 20 61 62 0d 0a                           |get ab..|\n00000008\n",
            "6765742061\n620d0a\n",
            "67657420\n61620d0a\n",
            "0x0000:  6765 7420 6162\n\t0x0006:  0d0a  ..",
        ] {
            assert_eq!(bytes(dump).as_deref(), Ok(&b"get ab\r\n"[..]), "{dump}");
            assert!(is_dump(dump.as_bytes()) || dump.starts_with('6'), "{dump}");
        }
    }

    #[test]
    fn what_is_no_dump_is_told_with_its_line() {
        for (dump, line) in [
            ("00000000: 6765\n00000004: 6765\n", "line 2"),
            ("00000000  67 65\n*\n00000010\n", "line 2"),
            ("00000000: 676\n", "line 1"),
            ("hello\n", "line 1"),
        ] {
            let error = bytes(dump).expect_err(dump);
            assert!(error.why.starts_with(line), "{error}");
        }
        for text in ["get a\r\n", "set beef 0 0 1\r\nx\r\n", "cafe\n", "deadbeef\nget a\r\n", "", "\n\n"] {
            assert!(!is_dump(text.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn packets_are_told_apart_by_their_offsets() {
        let dump = "12:00:00.000000 IP a > b: Flags [S]\n\t0x0000:  4500 0028 0000\n\t0x0006:  4000\n12:00:01 IP\n\t0x0000:  6000\n";
        assert!(is_dump(dump.as_bytes()) && has_packets(dump.as_bytes()));
        let mut packets = Vec::new();
        read_packets(dump.as_bytes(), &mut |packet| packets.push((packet.link, packet.data.to_vec()))).expect("a dump");
        let raw = Linktype::RAW;
        assert_eq!(packets, [(raw, vec![0x45, 0, 0, 0x28, 0, 0, 0x40, 0]), (raw, vec![0x60, 0])]);
    }
}
