//! memcached's binary protocol, from the server's end.

use super::super::rig::Rules;
use super::{Dice, Heard, State, admits};

/// Bytes of a header.
const HEADER: usize = 24;

/// `version`, as the library asks it.
pub(crate) const QUESTION: [u8; HEADER] =
    [0x80, 0x0b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b'\n', b'\n', b'\n', b'\n', 0, 0, 0, 0, 0, 0, 0, 0];

pub(super) fn hear(bytes: &[u8], dice: &mut Dice, rules: Rules) -> Heard {
    assert_eq!(bytes[0], 0x80, "no request: `{}`", bytes[..bytes.len().min(HEADER)].escape_ascii());
    let Some(header) = bytes.first_chunk::<HEADER>() else { return Heard::Part };
    let shown = header.escape_ascii();
    let opcode = header[1];
    let key = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let extras = usize::from(header[4]);
    let body = u32::from_be_bytes([header[8], header[9], header[10], header[11]]) as usize;
    assert!(key + extras <= body && key <= 250 && body <= 1 << 30, "lengths that contradict each other: `{shown}`");
    // The client may ask it too.
    if *header == QUESTION {
        return Heard::Question { len: HEADER, reply: packet(header, 0, b"", b"1.6.18") };
    }
    let value = body - key - extras;
    let (fits, keyed) = match opcode {
        0x00 | 0x04 | 0x09 | 0x0c | 0x0d | 0x14 => (key > 0 && extras == 0 && value == 0, true),
        0x01..=0x03 | 0x11..=0x13 => (key > 0 && extras == 8, true),
        0x05 | 0x06 | 0x15 | 0x16 => (key > 0 && extras == 20 && value == 0, true),
        0x07 | 0x17 | 0x0a | 0x0b | 0x20 => (body == 0, false),
        0x08 | 0x18 => (key == 0 && value == 0 && matches!(extras, 0 | 4), false),
        0x0e | 0x0f | 0x19 | 0x1a => (key > 0 && extras == 0, true),
        0x10 => (extras == 0 && value == 0, false),
        0x1c..=0x1e | 0x23 | 0x24 => (key > 0 && extras == 4 && value == 0, true),
        0x21 | 0x22 => (key > 0 && extras == 0, false),
        _ => (false, false),
    };
    assert!(fits, "no request of memcached: `{shown}`");
    let start = HEADER + extras;
    let Some(name) = bytes.get(start..start + key) else { return Heard::Part };
    let keys = if keyed { vec![name] } else { Vec::new() };
    assert!(
        admits(rules, matches!(opcode, 0x00 | 0x09 | 0x0c | 0x0d), keys),
        "policy does not admit `{shown}` of `{}`",
        name.escape_ascii()
    );
    let len = HEADER + body;
    if bytes.len() < len {
        return Heard::Part;
    }
    let quiet = matches!(opcode, 0x09 | 0x0d | 0x11..=0x16 | 0x18..=0x1a | 0x1e | 0x24);
    let (reply, then) = match opcode {
        0x07 => (packet(header, 0, b"", b""), State::Left),
        0x17 => (Vec::new(), State::Left),
        0x10 if dice.roll(4) == 0 => (packet(header, 1, b"", b"Not found"), State::Reads),
        0x10 => {
            let lines = (0..dice.roll(3)).map(|_| packet(header, 0, b"pid", b"1"));
            (lines.chain([packet(header, 0, b"", b"")]).collect::<Vec<_>>().concat(), State::Reads)
        }
        _ if quiet && dice.roll(2) == 0 => (Vec::new(), State::Reads),
        _ if dice.roll(2) == 0 => (packet(header, 1, b"", b"Not found"), State::Reads),
        _ => (packet(header, 0, name, dice.pick(&[b"", b"v", &QUESTION])), State::Reads),
    };
    Heard::Request { len, reply, then }
}

fn packet(request: &[u8; HEADER], status: u16, key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut packet = *request;
    packet[0] = 0x81;
    packet[2..4].copy_from_slice(&(key.len() as u16).to_be_bytes());
    packet[4..6].copy_from_slice(&[0, 0]);
    packet[6..8].copy_from_slice(&status.to_be_bytes());
    packet[8..12].copy_from_slice(&((key.len() + value.len()) as u32).to_be_bytes());
    [&packet, key, value].concat()
}
