//! Envelopes as clients and servers write them.

use crate::cassandra::segment;

/// Writes envelopes of one version.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wire(pub(super) u8);

impl Wire {
    pub(super) fn envelope(self, first: u8, stream: i16, opcode: u8, body: &[u8]) -> Vec<u8> {
        let [s0, s1] = stream.to_be_bytes();
        let length = u32::try_from(body.len()).unwrap();
        [&[first | self.0, 0, s0, s1, opcode][..], &length.to_be_bytes(), body].concat()
    }

    fn request(self, stream: i16, opcode: u8, parts: &[&[u8]]) -> Vec<u8> {
        self.envelope(0, stream, opcode, &parts.concat())
    }

    pub(super) fn reply(self, stream: i16, opcode: u8, parts: &[&[u8]]) -> Vec<u8> {
        self.envelope(0x80, stream, opcode, &parts.concat())
    }

    fn options(self) -> &'static [u8] {
        if self.0 >= 5 { &[0, 1, 0, 0, 0, 0] } else { &[0, 1, 0] }
    }

    pub(super) fn startup(self) -> Vec<u8> {
        self.request(0, 1, &[&[0, 1], &short(b"CQL_VERSION"), &short(b"3.0.0")])
    }

    pub(super) fn startup_lz4(self) -> Vec<u8> {
        let [version, compression] = [["CQL_VERSION", "3.0.0"], ["COMPRESSION", "lz4"]];
        let texts: Vec<u8> = [version, compression].concat().iter().flat_map(|text| short(text.as_bytes())).collect();
        self.request(0, 1, &[&[0, 2], &texts])
    }

    pub(super) fn ready(self, stream: i16) -> Vec<u8> {
        self.reply(stream, 2, &[])
    }

    pub(super) fn register(self, stream: i16) -> Vec<u8> {
        self.request(stream, 0x0b, &[&[0, 2], &short(b"SCHEMA_CHANGE"), &short(b"STATUS_CHANGE")])
    }

    pub(super) fn query(self, stream: i16, text: &str) -> Vec<u8> {
        self.request(stream, 7, &[&long(text), self.options()])
    }

    pub(super) fn prepare(self, stream: i16, text: &str) -> Vec<u8> {
        let flags: &[u8] = if self.0 >= 5 { &[0; 4] } else { &[] };
        self.request(stream, 9, &[&long(text), flags])
    }

    pub(super) fn execute(self, stream: i16, id: &[u8]) -> Vec<u8> {
        let metadata = if self.0 >= 5 { short(b"metadata") } else { Vec::new() };
        self.request(stream, 10, &[&short(id), &metadata, self.options()])
    }

    pub(super) fn batch(self, stream: i16, texts: &[&str]) -> Vec<u8> {
        let statements: Vec<u8> = texts.iter().flat_map(|text| [&[0][..], &long(text), &[0, 0]].concat()).collect();
        let [n0, n1] = u16::try_from(texts.len()).unwrap().to_be_bytes();
        self.request(stream, 13, &[&[0, n0, n1], &statements, self.options()])
    }

    pub(super) fn rows(self, stream: i16) -> Vec<u8> {
        self.reply(stream, 8, &[&[0, 0, 0, 2], b"rows"])
    }

    pub(super) fn set_keyspace(self, stream: i16, keyspace: &str) -> Vec<u8> {
        self.reply(stream, 8, &[&[0, 0, 0, 3], &short(keyspace.as_bytes())])
    }

    pub(super) fn prepared(self, stream: i16, id: &[u8]) -> Vec<u8> {
        let metadata = if self.0 >= 5 { short(b"metadata") } else { Vec::new() };
        self.reply(stream, 8, &[&[0, 0, 0, 4], &short(id), &metadata])
    }

    /// As it stands on a connection that is set up.
    pub(super) fn framed(self, envelopes: &[u8]) -> Vec<u8> {
        let mut framed = Vec::new();
        if self.0 < 5 {
            return envelopes.to_vec();
        }
        segment::write(false, true, &[envelopes], |part| framed.extend_from_slice(part));
        framed
    }

    /// The same in segments of this many bytes each.
    pub(super) fn parts(self, envelope: &[u8], size: usize) -> Vec<u8> {
        if self.0 < 5 {
            return envelope.to_vec();
        }
        let mut framed = Vec::new();
        for part in envelope.chunks(size) {
            segment::write(false, false, &[part], |part| framed.extend_from_slice(part));
        }
        framed
    }
}

fn short(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

fn long(text: &str) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}
