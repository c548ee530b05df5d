//! Fuzzed bytes as binary requests that fit together, more often than bytes at random do.

use super::script::{Script, Step};

/// Records are five bytes: opcode, bytes of the key, bytes of the value, what the key begins with, what is wrong.
const RECORD: usize = 5;

/// In the place of an opcode: the server answers now.
const CUE: u8 = 0xfe;

/// In the place of an opcode: the other four bytes are sent as they are.
const RAW: u8 = 0xff;

pub(super) fn read(data: &[u8]) -> Option<Script> {
    let (&[settings, seed], rest) = data.split_first_chunk()?;
    let mut steps = Vec::new();
    let mut sent = Vec::new();
    for record in rest.chunks(RECORD) {
        match *record {
            [CUE, ..] => steps.extend([Step::Client(std::mem::take(&mut sent)), Step::Server(Vec::new())]),
            [RAW, ref bytes @ ..] => sent.extend_from_slice(bytes),
            [opcode, key, value, first, wrong] => packet(opcode, key, value, first, wrong, &mut sent),
            _ => break,
        }
    }
    steps.push(Step::Client(sent));
    Some(Script { settings, seed, steps })
}

fn packet(opcode: u8, key: u8, value: u8, first: u8, wrong: u8, out: &mut Vec<u8>) {
    let extras: u8 = match opcode {
        0x01..=0x03 | 0x11..=0x13 => 8,
        0x05 | 0x06 | 0x15 | 0x16 => 20,
        0x08 | 0x18 => value & 4,
        0x1c..=0x1e | 0x23 | 0x24 => 4,
        _ => 0,
    };
    let has_key = !matches!(opcode, 0x07 | 0x08 | 0x0a | 0x0b | 0x17 | 0x18 | 0x20);
    let has_value = matches!(opcode, 0x01..=0x03 | 0x0e | 0x0f | 0x11..=0x13 | 0x19 | 0x1a | 0x21 | 0x22);
    let mut key_len = if has_key { usize::from(key).max(1) } else { 0 };
    let mut value_len = if has_value { usize::from(value) } else { 0 };
    let mut extras_len = usize::from(extras);
    let mut body = None;
    // Mostly nothing is wrong.
    match wrong {
        0xf0 => key_len = usize::from(key),
        0xf1 => value_len = usize::from(value),
        0xf2 => extras_len = usize::from(value),
        0xf3 => body = Some(u32::from(value)),
        0xf4 => body = Some(u32::MAX - u32::from(value)),
        0xf5 => body = Some((1 << 30) + u32::from(value)),
        _ => {}
    }
    let sum = key_len + value_len + extras_len;
    let body = body.unwrap_or(sum as u32);
    out.extend([0x80, opcode]);
    out.extend((key_len as u16).to_be_bytes());
    out.extend([extras_len as u8, 0, 0, 0]);
    out.extend(body.to_be_bytes());
    out.extend([wrong, first, key, value]);
    out.extend([0; 8]);
    out.extend(std::iter::repeat_n(0, extras_len));
    let prefix: &[u8] = [&b"a"[..], b"no", b"n", b"\n"][usize::from(first & 3)];
    out.extend(prefix.iter().copied().chain(std::iter::repeat(first)).take(key_len));
    out.extend(std::iter::repeat_n(0x80, value_len));
}
