//! Envelopes: a header of nine bytes and a body, the same in versions 3, 4 and 5.

use portcullis_proxylib::Reader;

/// Bytes of a header.
pub(super) const HEADER: usize = 9;

/// The versions of the protocol that are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    V3 = 3,
    V4 = 4,
    V5 = 5,
}

impl Version {
    pub(super) const fn of(number: u8) -> Option<Self> {
        match number {
            3 => Some(Self::V3),
            4 => Some(Self::V4),
            5 => Some(Self::V5),
            _ => None,
        }
    }
}

/// What stands before a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: Version,
    pub(super) flags: u8,
    pub(super) stream: i16,
    pub(super) opcode: u8,
    /// Bytes of the body.
    pub(super) body: u32,
}

impl Header {
    /// Reads a header whose first byte has been looked at.
    pub(super) fn read(version: Version, bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        reader.u8()?;
        Some(Self {
            version,
            flags: reader.u8()?,
            stream: i16::from_be_bytes(reader.take_array()?),
            opcode: reader.u8()?,
            body: reader.u32()?,
        })
    }

    /// Bytes of the whole envelope.
    pub(super) fn total(&self) -> u64 {
        u64::from(self.body).saturating_add(to_u64(HEADER))
    }

    pub(super) const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// The first byte of an envelope: the version, and the bit that says which way it goes.
pub(super) const RESPONSE: u8 = 0x80;

/// Flags of a header.
pub(super) mod flag {
    pub(in crate::cassandra) const COMPRESSED: u8 = 0x01;
    pub(in crate::cassandra) const TRACING: u8 = 0x02;
    pub(in crate::cassandra) const CUSTOM_PAYLOAD: u8 = 0x04;
    pub(in crate::cassandra) const WARNING: u8 = 0x08;
    pub(in crate::cassandra) const USE_BETA: u8 = 0x10;
    /// What requests may have.
    pub(in crate::cassandra) const ALL: u8 = COMPRESSED | TRACING | CUSTOM_PAYLOAD | WARNING | USE_BETA;
}

/// What an envelope is.
pub(super) mod opcode {
    pub(in crate::cassandra) const ERROR: u8 = 0x00;
    pub(in crate::cassandra) const STARTUP: u8 = 0x01;
    pub(in crate::cassandra) const READY: u8 = 0x02;
    pub(in crate::cassandra) const AUTHENTICATE: u8 = 0x03;
    pub(in crate::cassandra) const OPTIONS: u8 = 0x05;
    pub(in crate::cassandra) const SUPPORTED: u8 = 0x06;
    pub(in crate::cassandra) const QUERY: u8 = 0x07;
    pub(in crate::cassandra) const RESULT: u8 = 0x08;
    pub(in crate::cassandra) const PREPARE: u8 = 0x09;
    pub(in crate::cassandra) const EXECUTE: u8 = 0x0a;
    pub(in crate::cassandra) const REGISTER: u8 = 0x0b;
    pub(in crate::cassandra) const EVENT: u8 = 0x0c;
    pub(in crate::cassandra) const BATCH: u8 = 0x0d;
    pub(in crate::cassandra) const AUTH_CHALLENGE: u8 = 0x0e;
    pub(in crate::cassandra) const AUTH_RESPONSE: u8 = 0x0f;
    pub(in crate::cassandra) const AUTH_SUCCESS: u8 = 0x10;

    /// As the access log writes it.
    pub(in crate::cassandra) const fn name(opcode: u8) -> &'static str {
        match opcode {
            ERROR => "error",
            STARTUP => "startup",
            READY => "ready",
            AUTHENTICATE => "authenticate",
            OPTIONS => "options",
            SUPPORTED => "supported",
            QUERY => "query",
            RESULT => "result",
            PREPARE => "prepare",
            EXECUTE => "execute",
            REGISTER => "register",
            EVENT => "event",
            BATCH => "batch",
            AUTH_CHALLENGE => "auth_challenge",
            AUTH_RESPONSE => "auth_response",
            AUTH_SUCCESS => "auth_success",
            _ => "unknown",
        }
    }
}

pub(super) fn to_u64(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// A length from the wire as a length in memory: what is not addressable is as good as endless.
pub(super) fn to_usize(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
