//! Headers of the binary protocol, as memcached's `protocol_binary.h` lays them out and `dispatch_bin_command` (`proto_bin.c`)
//! checks them.

use portcullis_proxylib::Reader;

use crate::memcache::commands::Commands;
#[cfg(feature = "mutants")]
use crate::memcache::mutants::{self, Mutant};

/// Bytes of a header, of requests and replies alike.
pub(super) const HEADER: usize = 24;

/// What every header begins with (`PROTOCOL_BINARY_REQ`, `PROTOCOL_BINARY_RES`).
pub(super) const REQUEST: u8 = 0x80;
pub(super) const RESPONSE: u8 = 0x81;

/// The fields of a header that frame a packet or are echoed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) opcode: u8,
    pub(super) key: u16,
    pub(super) extras: u8,
    /// Of a response.
    pub(super) status: u16,
    /// Bytes after the header: extras, key and value.
    pub(super) body: u32,
    pub(super) opaque: u32,
}

impl Header {
    /// Reads a header, if there is a whole one.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let [_magic, opcode] = reader.take_array()?;
        let (key, [extras, _data_type]) = (reader.u16()?, reader.take_array()?);
        let (status, body, opaque) = (reader.u16()?, reader.u32()?, reader.u32()?);
        let _unique = reader.u64()?;
        Some(Self { opcode, key, extras, status, body, opaque })
    }

    /// Bytes of the whole packet.
    pub(super) fn frame_len(&self) -> u64 {
        // 24, as in `HEADER`.
        u64::from(self.body).saturating_add(24)
    }

    /// Bytes up to the end of the key.
    pub(super) fn key_end(&self) -> usize {
        self.key_start().saturating_add(usize::from(self.key))
    }

    pub(super) fn key_start(&self) -> usize {
        HEADER.saturating_add(usize::from(self.extras))
    }

    /// Checks the header as the server does, and where it does not look: what it leaves of a body it reads as commands.
    pub(super) fn check(&self) -> Result<Op, Refusal> {
        let (key, extras, body) = (u32::from(self.key), u32::from(self.extras), self.body);
        let Some(value) = key.checked_add(extras).and_then(|before| body.checked_sub(before)) else {
            return Err(Refusal::Close(Status::UnknownCommand));
        };
        if body > MAX_BODY || key > MAX_KEY {
            return Err(Refusal::Close(Status::InvalidArguments));
        }
        let Some(op) = OPS.iter().find(|op| op.opcode == self.opcode) else {
            // The server swallows as many bytes as the whole body has, after the extras and the key.
            let exact = key == 0 && extras == 0;
            return Err(if exact { Refusal::GoOn } else { Refusal::Close(Status::UnknownCommand) });
        };
        let fits = match op.form {
            Form::Bare => body == 0,
            Form::Flush => key == 0 && value == 0 && matches!(extras, 0 | 4),
            Form::Topic => extras == 0 && value == 0,
            Form::Key { extras: wanted } => key > 0 && value == 0 && extras == wanted,
            Form::Value { extras: wanted } => key > 0 && extras == wanted,
        };
        #[cfg(feature = "mutants")]
        let fits = fits || (mutants::is(Mutant::ValueAfterKey) && matches!(op.form, Form::Key { .. }));
        if fits { Ok(*op) } else { Err(Refusal::Close(Status::InvalidArguments)) }
    }
}

/// A request that is answered with an error of the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// `Unknown command`; the body is swallowed.
    GoOn,
    /// The server closes, or goes on in the wrong place.
    Close(Status),
}

/// The statuses that we answer (`protocol_binary_response_status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    InvalidArguments,
    AccessDenied,
    UnknownCommand,
    TemporaryFailure,
}

/// An answer of ours, which echoes the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) opcode: u8,
    pub(super) opaque: u32,
    pub(super) status: Status,
}

impl Answer {
    /// The packet: its header, and the text that follows it.
    pub(super) fn packet(self) -> ([u8; HEADER], &'static [u8]) {
        let (code, text): (u16, &[u8]) = match self.status {
            Status::InvalidArguments => (0x04, b"Invalid arguments"),
            // As Cilium answered.
            Status::AccessDenied => (0x08, b"access denied"),
            Status::UnknownCommand => (0x81, b"Unknown command"),
            Status::TemporaryFailure => (0x86, b"Temporary failure"),
        };
        let [status, code] = code.to_be_bytes();
        let [a, b, c, d] = self.opaque.to_be_bytes();
        // Every text is shorter than 256 bytes.
        let len = u8::try_from(text.len()).unwrap_or(0);
        let op = self.opcode;
        let header = [RESPONSE, op, 0, 0, 0, 0, status, code, 0, 0, 0, len, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0];
        (header, text)
    }
}

/// `version`: a request that changes nothing, and is answered also before authentication. Its opaque is line feeds, so that a
/// server that takes it for text answers too.
pub(super) const QUESTION: [u8; HEADER] =
    [REQUEST, QUESTION_OPCODE, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b'\n', b'\n', b'\n', b'\n', 0, 0, 0, 0, 0, 0, 0, 0];
pub(super) const QUESTION_OPCODE: u8 = 0x0b;
pub(super) const STAT_OPCODE: u8 = 0x10;

/// A command that the server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Op {
    opcode: u8,
    pub(super) name: &'static str,
    pub(super) needs: Commands,
    pub(super) form: Form,
    pub(super) answer: Answers,
}

impl Op {
    pub(super) const fn has(&self, opcode: u8) -> bool {
        self.opcode == opcode
    }
}

/// What stands in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Bare,
    Flush,
    /// A word that is no key.
    Topic,
    Key {
        extras: u32,
    },
    Value {
        extras: u32,
    },
}

/// What the server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answers {
    /// One packet, or for `stat` several.
    Always,
    /// One packet, or none if there is nothing to tell.
    Sometimes,
    /// Nothing: it closes.
    Never,
}

const fn op(opcode: u8, name: &'static str, needs: Commands, form: Form, answer: Answers) -> Op {
    Op { opcode, name, needs, form, answer }
}

use Answers::{Always, Never, Sometimes};

const KEY: Form = Form::Key { extras: 0 };
const EXPIRY: Form = Form::Key { extras: 4 };
const DELTA: Form = Form::Key { extras: 20 };
const STORE: Form = Form::Value { extras: 8 };
const VALUE: Form = Form::Value { extras: 0 };

/// The commands of `dispatch_bin_command`. Those of `protocol_binary.h` that are not here the server does not know either.
pub(super) const OPS: &[Op] = &[
    op(0x00, "get", Commands::GET, KEY, Always),
    op(0x01, "set", Commands::SET, STORE, Always),
    op(0x02, "add", Commands::ADD, STORE, Always),
    op(0x03, "replace", Commands::REPLACE, STORE, Always),
    op(0x04, "delete", Commands::DELETE, KEY, Always),
    op(0x05, "incr", Commands::INCR, DELTA, Always),
    op(0x06, "decr", Commands::DECR, DELTA, Always),
    op(0x07, "quit", Commands::QUIT, Form::Bare, Always),
    op(0x08, "flush_all", Commands::FLUSH_ALL, Form::Flush, Always),
    op(0x09, "getq", Commands::GET, KEY, Sometimes),
    op(0x0a, "noop", Commands::NOOP, Form::Bare, Always),
    op(QUESTION_OPCODE, "version", Commands::VERSION, Form::Bare, Always),
    op(0x0c, "getk", Commands::GET, KEY, Always),
    op(0x0d, "getkq", Commands::GET, KEY, Sometimes),
    op(0x0e, "append", Commands::APPEND, VALUE, Always),
    op(0x0f, "prepend", Commands::PREPEND, VALUE, Always),
    op(STAT_OPCODE, "stats", Commands::STATS, Form::Topic, Always),
    op(0x11, "setq", Commands::SET, STORE, Sometimes),
    op(0x12, "addq", Commands::ADD, STORE, Sometimes),
    op(0x13, "replaceq", Commands::REPLACE, STORE, Sometimes),
    op(0x14, "deleteq", Commands::DELETE, KEY, Sometimes),
    op(0x15, "incrq", Commands::INCR, DELTA, Sometimes),
    op(0x16, "decrq", Commands::DECR, DELTA, Sometimes),
    op(0x17, "quitq", Commands::QUIT, Form::Bare, Never),
    op(0x18, "flush_allq", Commands::FLUSH_ALL, Form::Flush, Sometimes),
    op(0x19, "appendq", Commands::APPEND, VALUE, Sometimes),
    op(0x1a, "prependq", Commands::PREPEND, VALUE, Sometimes),
    op(0x1c, "touch", Commands::TOUCH, EXPIRY, Always),
    op(0x1d, "gat", Commands::GAT, EXPIRY, Always),
    op(0x1e, "gatq", Commands::GAT, EXPIRY, Sometimes),
    op(0x20, "sasl-list-mechs", Commands::SASL_LIST_MECHS, Form::Bare, Always),
    op(0x21, "sasl-auth", Commands::SASL_AUTH, VALUE, Always),
    op(0x22, "sasl-step", Commands::SASL_STEP, VALUE, Always),
    op(0x23, "gatk", Commands::GAT, EXPIRY, Always),
    op(0x24, "gatkq", Commands::GAT, EXPIRY, Sometimes),
];

/// Bytes of a body at most (`ITEM_SIZE_MAX_UPPER_LIMIT`, which versions before 1.6.40 do not check).
const MAX_BODY: u32 = 1 << 30;

/// Bytes of a key at most (`KEY_MAX_LENGTH`).
const MAX_KEY: u32 = 250;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_taken_only_where_the_server_would_use_up_their_whole_body() {
        let close = |status| Err(Refusal::Close(status));
        let (invalid, unknown) = (close(Status::InvalidArguments), close(Status::UnknownCommand));
        for (name, opcode, key, extras, body, expected) in [
            ("get", 0x00, 1, 0, 1, Ok("get")),
            ("get without a key", 0x00, 0, 0, 0, invalid),
            ("get with a value", 0x00, 1, 0, 2, invalid),
            ("get with extras", 0x00, 1, 4, 5, invalid),
            ("get of the longest key", 0x00, 250, 0, 250, Ok("get")),
            ("get of a longer key", 0x00, 251, 0, 251, invalid),
            ("a key longer than the body", 0x00, 2, 0, 1, unknown),
            ("extras longer than the body", 0x01, 1, 8, 8, unknown),
            ("set", 0x01, 1, 8, 9, Ok("set")),
            ("set of the largest value", 0x01, 1, 8, 1 << 30, Ok("set")),
            ("set of a larger value", 0x01, 1, 8, (1 << 30) + 1, invalid),
            ("set of a negative length", 0x01, 1, 8, u32::MAX, invalid),
            ("set without extras", 0x01, 1, 0, 9, invalid),
            ("append", 0x0e, 1, 0, 9, Ok("append")),
            ("append with extras", 0x0e, 1, 8, 9, invalid),
            ("delete with a value", 0x04, 1, 0, 9, invalid),
            ("incr", 0x05, 1, 20, 21, Ok("incr")),
            ("incr with a value", 0x05, 1, 20, 22, invalid),
            ("touch", 0x1c, 1, 4, 5, Ok("touch")),
            ("touch with a value, read as a command", 0x1c, 1, 4, 29, invalid),
            ("gat with a value, read as a command", 0x1d, 1, 4, 29, invalid),
            ("stat", 0x10, 0, 0, 0, Ok("stats")),
            ("stat of a topic", 0x10, 5, 0, 5, Ok("stats")),
            ("stat with a value, read as a command", 0x10, 5, 0, 29, invalid),
            ("flush", 0x08, 0, 0, 0, Ok("flush_all")),
            ("flush later", 0x08, 0, 4, 4, Ok("flush_all")),
            ("flush with other extras", 0x08, 0, 8, 8, invalid),
            ("noop with a body", 0x0a, 0, 0, 1, invalid),
            ("version", 0x0b, 0, 0, 0, Ok("version")),
            ("unknown", 0x30, 0, 0, 0, Err(Refusal::GoOn)),
            ("unknown with a value, swallowed", 0x30, 0, 0, 9, Err(Refusal::GoOn)),
            ("unknown with a key, swallowed too far", 0x30, 1, 0, 1, unknown),
            ("verbosity, unknown", 0x1b, 0, 4, 4, unknown),
        ] {
            let header = Header { opcode, key, extras, status: 0, body, opaque: 0 };
            assert_eq!(header.check().map(|op| op.name), expected, "{name}");
        }
    }

    #[test]
    fn opcodes_are_unique_and_only_quiet_ones_may_stay_silent() {
        for (i, op) in OPS.iter().enumerate() {
            assert!(OPS.iter().skip(i + 1).all(|other| other.opcode != op.opcode), "{}", op.name);
            assert_eq!(op.answer == Answers::Always, !op.name.ends_with('q'), "{}", op.name);
        }
    }

    #[test]
    fn answers_are_whole_packets() {
        for status in [Status::InvalidArguments, Status::AccessDenied, Status::UnknownCommand, Status::TemporaryFailure]
        {
            let (bytes, text) = Answer { opcode: 9, opaque: 0x0102_0304, status }.packet();
            let header = Header::read(&bytes);
            let body = u32::try_from(text.len()).unwrap_or(0);
            let read = header.map(|header| (header.opcode, header.key, header.extras, header.body, header.opaque));
            assert_eq!(read, Some((9, 0, 0, body, 0x0102_0304)));
        }
    }
}
