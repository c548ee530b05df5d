//! The bodies of requests, read exactly as Cassandra's codecs read them. What they would not use up is refused.

use portcullis_proxylib::Reader;

use super::compress::Compression;
use super::frame::{Header, Version, flag};

/// Why a body was not read: what the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

type Read<T> = Result<T, Malformed>;

/// A body that can be read, from behind what the flags put in front of the message.
pub(super) fn open<'a>(header: &Header, body: &'a [u8]) -> Read<Reader<'a>> {
    if header.flags & !flag::ALL != 0 {
        return Err(Malformed("a flag that no version has"));
    }
    if header.version == Version::V5 && header.has(flag::USE_BETA) {
        // Cassandra 3.11 has a version 5 of its own, without segments.
        return Err(Malformed("Beta version of the protocol used (5/v5-beta), which is not supported"));
    }
    let mut body = Reader::new(body);
    if header.has(flag::CUSTOM_PAYLOAD) {
        if header.version < Version::V4 {
            return Err(Malformed("a custom payload, which version 3 does not have"));
        }
        let count = body.u16().ok_or(SHORT)?;
        for _ in 0..count {
            text(&mut body)?;
            bytes(&mut body)?;
        }
    }
    Ok(body)
}

/// Nothing may follow what was read.
pub(super) fn close(body: &Reader<'_>) -> Read<()> {
    if body.is_empty() { Ok(()) } else { Err(Malformed("bytes behind the end of the message")) }
}

/// What a client asks for when it begins: the compression, or nothing if servers do not have it.
pub(super) fn startup(mut body: Reader<'_>) -> Read<Option<Compression>> {
    let count = body.u16().ok_or(SHORT)?;
    let mut compression = None;
    for _ in 0..count {
        let key = text(&mut body)?;
        let value = text(&mut body)?;
        // Servers turn keys to upper case by the rules of Unicode, by which letters outside of ASCII become ASCII.
        if !key.is_ascii() {
            return Err(Malformed("an option whose name is not ASCII"));
        }
        if key.eq_ignore_ascii_case("COMPRESSION") {
            if compression.is_some() {
                return Err(Malformed("two compressions"));
            }
            compression = Some(value);
        }
    }
    close(&body)?;
    Ok(compression.map_or(Some(Compression::None), Compression::named))
}

/// What a REGISTER, an OPTIONS or an AUTH_RESPONSE must be like.
pub(super) fn register(mut body: Reader<'_>) -> Read<()> {
    let count = body.u16().ok_or(SHORT)?;
    for _ in 0..count {
        text(&mut body)?;
    }
    close(&body)
}

/// See [`register`]. What is in it is nobody's business.
pub(super) fn auth_response(mut body: Reader<'_>) -> Read<()> {
    bytes(&mut body)?;
    close(&body)
}

/// The text of a QUERY, and the keyspace that it names for itself.
pub(super) fn query<'a>(version: Version, mut body: Reader<'a>) -> Read<(&'a [u8], Option<&'a str>)> {
    let text = long_text(&mut body)?;
    let keyspace = options(version, &mut body)?;
    close(&body)?;
    Ok((text, keyspace))
}

/// The text of a PREPARE, and the keyspace that it names for itself.
pub(super) fn prepare<'a>(version: Version, mut body: Reader<'a>) -> Read<(&'a [u8], Option<&'a str>)> {
    const WITH_KEYSPACE: u32 = 1;
    let query = long_text(&mut body)?;
    let mut keyspace = None;
    if version >= Version::V5 {
        let flags = body.u32().ok_or(SHORT)?;
        if flags & !WITH_KEYSPACE != 0 {
            return Err(UNKNOWN_FLAG);
        }
        if flags & WITH_KEYSPACE != 0 {
            keyspace = Some(text(&mut body)?);
        }
    }
    close(&body)?;
    Ok((query, keyspace))
}

/// The id in an EXECUTE.
pub(super) fn execute<'a>(version: Version, mut body: Reader<'a>) -> Read<&'a [u8]> {
    let id = short_bytes(&mut body)?;
    if version >= Version::V5 {
        // The id of the metadata that the client knows says nothing of the statement.
        short_bytes(&mut body)?;
    }
    options(version, &mut body)?;
    close(&body)?;
    Ok(id)
}

/// One statement of a BATCH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Text(&'a [u8]),
    Id(&'a [u8]),
}

/// Hands each statement of a BATCH to `each`. Returns the keyspace that it names for itself.
pub(super) fn batch<'a>(
    version: Version,
    mut body: Reader<'a>,
    mut each: impl FnMut(Part<'a>),
) -> Read<Option<&'a str>> {
    if body.u8().ok_or(SHORT)? > 2 {
        return Err(Malformed("a kind of BATCH that there is not"));
    }
    let count = body.u16().ok_or(SHORT)?;
    for _ in 0..count {
        each(match body.u8().ok_or(SHORT)? {
            0 => Part::Text(long_text(&mut body)?),
            1 => Part::Id(short_bytes(&mut body)?),
            _ => return Err(Malformed("a kind of statement that there is not")),
        });
        let values = body.u16().ok_or(SHORT)?;
        for _ in 0..values {
            value(version, &mut body)?;
        }
    }
    let keyspace = options(version, &mut body)?;
    close(&body)?;
    Ok(keyspace)
}

/// The options of QUERY, EXECUTE and BATCH. Returns the keyspace among them.
fn options<'a>(version: Version, body: &mut Reader<'a>) -> Read<Option<&'a str>> {
    body.u16().ok_or(SHORT)?;
    let flags = match version {
        Version::V5 => body.u32(),
        Version::V3 | Version::V4 => body.u8().map(u32::from),
    };
    let flags = flags.ok_or(SHORT)?;
    // A keyspace in version 4 is read by Cassandra 4 and 5, and by none before them.
    let known = if version >= Version::V5 { 0x1ff } else { 0x7f };
    if flags & !known != 0 {
        return Err(UNKNOWN_FLAG);
    }
    let has = |bit: u32| flags & bit != 0;
    if has(0x01) {
        let count = body.u16().ok_or(SHORT)?;
        for _ in 0..count {
            if has(0x40) {
                text(body)?;
            }
            value(version, body)?;
        }
    }
    if has(0x04) {
        body.u32().ok_or(SHORT)?;
    }
    if has(0x08) {
        bytes(body)?;
    }
    if has(0x10) {
        body.u16().ok_or(SHORT)?;
    }
    if has(0x20) {
        body.u64().ok_or(SHORT)?;
    }
    let keyspace = if has(0x80) { Some(text(body)?) } else { None };
    if has(0x100) {
        body.u32().ok_or(SHORT)?;
    }
    Ok(keyspace)
}

/// A `[string]`.
fn text<'a>(body: &mut Reader<'a>) -> Read<&'a str> {
    let text = short_bytes(body)?;
    std::str::from_utf8(text).map_err(|_| Malformed("a text that is not UTF-8"))
}

/// A [long string], as bytes: whoever reads it looks at the encoding.
fn long_text<'a>(body: &mut Reader<'a>) -> Read<&'a [u8]> {
    let length = body.u32().ok_or(SHORT)?;
    take(body, length)
}

/// [short bytes].
fn short_bytes<'a>(body: &mut Reader<'a>) -> Read<&'a [u8]> {
    let length = body.u16().ok_or(SHORT)?;
    body.take(usize::from(length)).ok_or(SHORT)
}

/// [bytes], of which any negative length is a null.
fn bytes(body: &mut Reader<'_>) -> Read<()> {
    let length = body.u32().ok_or(SHORT)?;
    if is_negative(length) { Ok(()) } else { take(body, length).map(|_| ()) }
}

/// A [value].
fn value(version: Version, body: &mut Reader<'_>) -> Read<()> {
    const NULL: u32 = -1_i32 as u32;
    const UNSET: u32 = -2_i32 as u32;
    let length = body.u32().ok_or(SHORT)?;
    match length {
        NULL | UNSET => Ok(()),
        _ if is_negative(length) && version >= Version::V4 => Err(Malformed("a value of negative length")),
        _ if is_negative(length) => Ok(()),
        _ => take(body, length).map(|_| ()),
    }
}

const fn is_negative(length: u32) -> bool {
    length > i32::MAX as u32
}

fn take<'a>(body: &mut Reader<'a>, length: u32) -> Read<&'a [u8]> {
    usize::try_from(length).ok().and_then(|length| body.take(length)).ok_or(SHORT)
}

const SHORT: Malformed = Malformed("a length that goes beyond the end of the message");
const UNKNOWN_FLAG: Malformed = Malformed("a flag of options that this version does not have");

/// What policy must know of a RESULT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome<'a> {
    /// The connection is in this keyspace from now on.
    Keyspace(&'a str),
    /// The statement has this id from now on.
    Prepared(&'a [u8]),
    Other,
}

/// Reads a RESULT as far as policy must know it. Nothing if it is not like any.
pub(super) fn result<'a>(header: &Header, body: &'a [u8]) -> Option<Outcome<'a>> {
    let mut body = Reader::new(body);
    if header.has(flag::TRACING) {
        body.take(16)?;
    }
    if header.has(flag::WARNING) {
        let count = body.u16()?;
        for _ in 0..count {
            short_bytes(&mut body).ok()?;
        }
    }
    if header.has(flag::CUSTOM_PAYLOAD) {
        let count = body.u16()?;
        for _ in 0..count {
            short_bytes(&mut body).ok()?;
            bytes(&mut body).ok()?;
        }
    }
    match body.u32()? {
        KIND_SET_KEYSPACE => text(&mut body).ok().map(Outcome::Keyspace),
        4 => short_bytes(&mut body).ok().map(Outcome::Prepared),
        _ => Some(Outcome::Other),
    }
}

/// The kind of a RESULT that says that the keyspace is another one.
pub(super) const KIND_SET_KEYSPACE: u32 = 3;
