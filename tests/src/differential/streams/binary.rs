//! Packets of the binary protocol.

use fastrand::Rng;

use super::words::{CANARY, key, pick, value};

/// A packet whose header may say something else than what follows it.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    magic: u8,
    opcode: u8,
    key_len: u16,
    extras_len: u8,
    data_type: u8,
    vbucket: u16,
    body_len: u32,
    opaque: u32,
    unique: u64,
    body: Vec<u8>,
}

impl Packet {
    fn new(opcode: u8, extras: &[u8], key: &[u8], value: &[u8]) -> Self {
        let body = [extras, key, value].concat();
        Self {
            magic: 0x80,
            opcode,
            key_len: u16::try_from(key.len()).unwrap_or(u16::MAX),
            extras_len: u8::try_from(extras.len()).unwrap_or(u8::MAX),
            data_type: 0,
            vbucket: 0,
            body_len: u32::try_from(body.len()).unwrap_or(u32::MAX),
            opaque: 0,
            unique: 0,
            body,
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.magic, self.opcode];
        bytes.extend_from_slice(&self.key_len.to_be_bytes());
        bytes.extend_from_slice(&[self.extras_len, self.data_type]);
        bytes.extend_from_slice(&self.vbucket.to_be_bytes());
        bytes.extend_from_slice(&self.body_len.to_be_bytes());
        bytes.extend_from_slice(&self.opaque.to_be_bytes());
        bytes.extend_from_slice(&self.unique.to_be_bytes());
        bytes.extend_from_slice(&self.body);
        bytes
    }

    pub(super) fn mutate(&mut self, rng: &mut Rng) {
        let near = |n: u32, rng: &mut Rng| match rng.u8(..6) {
            0 => 0,
            1 => n.wrapping_add(1),
            2 => n.wrapping_sub(1),
            3 => n.wrapping_add(24),
            4 => n.wrapping_add(8),
            _ => rng.u32(..300),
        };
        match rng.u8(..18) {
            16 | 17 => {
                // A request as the value of another, for a server that does not swallow it.
                self.body.extend(
                    Packet::new(pick(rng, &[&0_u8, &0x0c, &4]).to_owned(), b"", CANARY.as_bytes(), b"").bytes(),
                );
                self.body_len = u32::try_from(self.body.len()).unwrap_or(0);
            }
            0..3 => self.key_len = u16::try_from(near(self.key_len.into(), rng) & 0xffff).unwrap_or(0),
            3..5 => self.extras_len = u8::try_from(near(self.extras_len.into(), rng) & 0xff).unwrap_or(0),
            5..9 => self.body_len = near(self.body_len, rng),
            9 => self.opcode = rng.u8(..),
            10 => self.magic = pick(rng, &[&0x81_u8, &0, &0x7f, &0xff, &b'g', &b'\n']).to_owned(),
            11 => self.data_type = rng.u8(..),
            12 => self.vbucket = rng.u16(..),
            13 => {
                self.body_len = pick(
                    rng,
                    &[
                        &0x7fff_ffff_u32,
                        &0x8000_0000,
                        &0xffff_ffff,
                        &0xffff_ffe8,
                        &(1 << 30),
                        &((1 << 30) + 1),
                        &(1 << 21),
                    ],
                )
                .to_owned()
            }
            14 => drop(self.body.pop()),
            _ => {
                self.opcode = pick(rng, &[&0x09_u8, &0x0d, &0x11, &0x1b, &0x1f, &0x30, &0x3d, &0x40, &0x25]).to_owned()
            }
        }
    }
}

pub(super) fn noop(opaque: u32) -> Vec<u8> {
    Packet { opaque, ..Packet::new(0x0a, b"", b"", b"") }.bytes()
}

pub(super) fn packet(rng: &mut Rng) -> Packet {
    let key = key(rng);
    let expiry = pick(rng, &[&0_u32, &0, &100, &3600, &0xffff_ffff]).to_be_bytes();
    let mut packet = match rng.u8(..40) {
        0..10 => Packet::new(pick(rng, &[&0_u8, &9, &0x0c, &0x0d]).to_owned(), b"", &key, b""),
        10..18 => {
            let opcode = pick(rng, &[&1_u8, &1, &1, &2, &3, &0x11, &0x12, &0x13]).to_owned();
            let extras = [rng.u32(..9).to_be_bytes(), expiry].concat();
            Packet::new(opcode, &extras, &key, &value(rng))
        }
        18..21 => Packet::new(pick(rng, &[&0x0e_u8, &0x0f, &0x19, &0x1a]).to_owned(), b"", &key, &value(rng)),
        21..25 => {
            let delta = pick(rng, &[&0_u64, &1, &5, &u64::MAX]).to_be_bytes();
            let initial = rng.u64(..50).to_be_bytes();
            let extras = [&delta[..], &initial, &expiry].concat();
            Packet::new(pick(rng, &[&5_u8, &6, &0x15, &0x16]).to_owned(), &extras, &key, b"")
        }
        25..28 => Packet::new(pick(rng, &[&4_u8, &0x14]).to_owned(), b"", &key, b""),
        28..33 => Packet::new(pick(rng, &[&0x1c_u8, &0x1d, &0x1e, &0x23, &0x24]).to_owned(), &expiry, &key, b""),
        33..36 => Packet::new(pick(rng, &[&0x0a_u8, &0x0b]).to_owned(), b"", b"", b""),
        36 => {
            let extras = if rng.bool() { &expiry[..] } else { b"" };
            Packet::new(pick(rng, &[&8_u8, &0x18]).to_owned(), extras, b"", b"")
        }
        37 => Packet::new(
            0x10,
            b"",
            pick(rng, &["", "settings", "items", "reset", "nosuch", "detail on", "detail dump"]).as_bytes(),
            b"",
        ),
        38 => {
            Packet::new(pick(rng, &[&0x20_u8, &0x21, &0x22]).to_owned(), b"", pick(rng, &["", "PLAIN"]).as_bytes(), b"")
        }
        _ => Packet::new(pick(rng, &[&7_u8, &0x17, &0x1b, &0x1f, &0x30, &0x41]).to_owned(), b"", b"", b""),
    };
    packet.opaque = rng.u32(..);
    if rng.u8(..6) == 0 {
        packet.unique = rng.u64(..12);
    }
    packet
}
