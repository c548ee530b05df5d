//! Meta commands: `mg ms md ma me mn`.

use super::line::{
    BAD_FORMAT, ERROR, Expect, Few, Length, Line, MAX_KEY, Refusal, Scratch, block, is_i32, read_length, unsigned,
};
use super::reply::Shape;
use crate::memcache::commands::Commands;
#[cfg(feature = "mutants")]
use crate::memcache::mutants::{self, Mutant};
use crate::memcache::request::{Keys, Request};

/// Reads the words after a meta command.
pub(super) fn parse<'a>(command: &[u8], rest: &'a [u8], scratch: &'a mut Scratch) -> Result<Line<'a>, Refusal> {
    let words = Few::read(rest);
    match (command, words.all()) {
        (b"mn", []) => Ok(line("mn", Commands::NOOP, Keys::None, Expect::Reply(Shape::Noop))),
        (b"me", words) => debug(words, scratch),
        (b"ms", words) => store(words, scratch),
        (b"mg", [key, flags @ ..]) => simple("mg", key, flags, scratch, |flags| Ok(flags.get_needs())),
        (b"md", [key, flags @ ..]) => simple("md", key, flags, scratch, |flags| Ok(flags.delete_needs())),
        (b"ma", [key, flags @ ..]) => simple("ma", key, flags, scratch, Flags::arithmetic_needs),
        _ => Err(Refusal::go_on(ERROR)),
    }
}

fn line<'a>(name: &'static str, needs: Commands, keys: Keys<'a>, answer: Expect) -> Line<'a> {
    Line { request: Request { name, needs, keys }, block: 0, answer }
}

/// `<key> <flags>*`
fn simple<'a>(
    name: &'static str,
    key: &'a [u8],
    flags: &[&[u8]],
    scratch: &'a mut Scratch,
    needs: impl Fn(&Flags) -> Result<Commands, &'static [u8]>,
) -> Result<Line<'a>, Refusal> {
    if key.len() > MAX_KEY {
        return Err(Refusal::go_on(BAD_FORMAT));
    }
    if flags.len() > MAX_FLAGS {
        return Err(Refusal::go_on(TOO_MANY_FLAGS));
    }
    let flags = Flags::read(flags).map_err(Refusal::go_on)?;
    let needs = needs(&flags).map_err(Refusal::go_on)?;
    let key = flags.key(key, scratch).map_err(Refusal::go_on)?;
    Ok(line(name, needs, Keys::One(key), flags.answer()))
}

/// `<key> <datalen> <flags>*`
fn store<'a>(words: &[&'a [u8]], scratch: &'a mut Scratch) -> Result<Line<'a>, Refusal> {
    let &[key, length, ref flags @ ..] = words else { return Err(Refusal::go_on(BAD_FORMAT)) };
    let block = match read_length(length) {
        Length::Good(length) => block(length),
        Length::Refused => return Err(Refusal::go_on(BAD_FORMAT)),
        Length::Doubtful => return Err(Refusal::close(BAD_FORMAT)),
    };
    // The older parser does not swallow the value after these; nor does the newer one where a flag is no letter or digit.
    let odd = |flag: &&[u8]| !flag.first().is_some_and(u8::is_ascii_alphanumeric);
    // With the length there is one word more than in the other commands.
    if key.len() > MAX_KEY || flags.len() >= MAX_FLAGS || flags.iter().any(odd) {
        return Err(Refusal::close(BAD_FORMAT));
    }
    let skip = |answer| Refusal::skip(answer, block);
    #[cfg(feature = "mutants")]
    let skip = |answer| if mutants::is(Mutant::RefusedValue) { Refusal::go_on(answer) } else { skip(answer) };
    let flags = Flags::read(flags).map_err(skip)?;
    let needs = flags.store_needs().map_err(skip)?;
    let key = flags.key(key, scratch).map_err(skip)?;
    Ok(Line { block, ..line("ms", needs, Keys::One(key), flags.answer()) })
}

/// `<key> [b]`, and flags that change nothing.
fn debug<'a>(words: &[&'a [u8]], scratch: &'a mut Scratch) -> Result<Line<'a>, Refusal> {
    let keys = match *words {
        // Up to 1.6.39 the key is then decoded, from 1.6.40 only with another flag behind it.
        [key, b"b", ..] if key.len() <= MAX_KEY => match decode(key, scratch) {
            Some(decoded) => Keys::Either(decoded, key),
            None => return Err(Refusal::go_on(BAD_FORMAT)),
        },
        [key, ..] if key.len() <= MAX_KEY && words.len() <= MAX_FLAGS => Keys::One(key),
        _ => return Err(Refusal::go_on(BAD_FORMAT)),
    };
    Ok(line("me", Commands::GET, keys, Expect::Reply(Shape::Meta)))
}

/// The flags of one command.
#[derive(Default)]
struct Flags {
    /// Which were given: bit n is the character n.
    seen: u128,
    mode: Option<u8>,
}

impl Flags {
    /// Reads flags as `_meta_flag_preparse` does; numbers may have no sign but a minus where one makes sense.
    fn read(words: &[&[u8]]) -> Result<Self, &'static [u8]> {
        let mut flags = Self::default();
        for word in words {
            let (&flag, argument) = word.split_first().ok_or(INVALID_FLAG)?;
            if !flag.is_ascii_alphanumeric() {
                return Err(INVALID_FLAG);
            }
            if flags.has(flag) {
                return Err(DUPLICATE_FLAG);
            }
            flags.seen |= 1 << flag;
            match flag {
                b'N' | b'T' | b'R' if !is_i32(argument) => return Err(BAD_TOKEN),
                b'C' | b'E' if unsigned(argument, 20).is_none() => return Err(BAD_TOKEN),
                b'F' if unsigned(argument, 10).is_none_or(|flags| flags > u64::from(u32::MAX)) => {
                    return Err(BAD_FORMAT);
                }
                b'J' if unsigned(argument, 20).is_none() => return Err(BAD_INITIAL),
                b'D' if unsigned(argument, 20).is_none() => return Err(BAD_DELTA),
                b'O' if word.len() > MAX_OPAQUE => return Err(LONG_OPAQUE),
                b'M' => match *argument {
                    [mode] => flags.mode = Some(mode),
                    _ => return Err(BAD_MODE_LENGTH),
                },
                // For proxies before memcached, which ignores them.
                b'P' | b'L' | b'N' | b'T' | b'R' | b'C' | b'E' | b'F' | b'J' | b'D' | b'O' => {}
                b'b' | b'k' | b's' | b't' | b'c' | b'f' | b'v' | b'h' | b'l' | b'u' | b'q' | b'x' | b'I'
                    if argument.is_empty() => {}
                _ => return Err(INVALID_FLAG),
            }
        }
        Ok(flags)
    }

    const fn has(&self, flag: u8) -> bool {
        self.seen & (1 << flag) != 0
    }

    fn answer(&self) -> Expect {
        if self.has(b'q') { Expect::Quiet(Shape::Meta) } else { Expect::Reply(Shape::Meta) }
    }

    /// The key as memcached stores it.
    fn key<'a>(&self, key: &'a [u8], scratch: &'a mut Scratch) -> Result<&'a [u8], &'static [u8]> {
        #[cfg(feature = "mutants")]
        if mutants::is(Mutant::Base64) {
            return Ok(key);
        }
        if self.has(b'b') { decode(key, scratch).ok_or(BAD_KEY) } else { Ok(key) }
    }

    fn when(&self, flag: u8, needs: Commands) -> Commands {
        if self.has(flag) { needs } else { Commands::NONE }
    }

    /// `T` sets the time to live, as `gat` does. `N` creates what is not there.
    fn get_needs(&self) -> Commands {
        let read = if self.has(b'T') { Commands::GAT } else { Commands::GET };
        read | self.when(b'N', Commands::ADD)
    }

    /// `I` keeps the item and marks it stale, with a new time to live by `T`. `x` puts an empty one in its place.
    fn delete_needs(&self) -> Commands {
        Commands::DELETE | self.when(b'T', Commands::TOUCH) | self.when(b'x', Commands::SET)
    }

    fn arithmetic_needs(&self) -> Result<Commands, &'static [u8]> {
        let change = match self.mode {
            None | Some(b'I' | b'+') => Commands::INCR,
            Some(b'D' | b'-') => Commands::DECR,
            Some(_) => return Err(BAD_ARITHMETIC_MODE),
        };
        Ok(change | self.when(b'N', Commands::ADD) | self.when(b'T', Commands::TOUCH))
    }

    /// With `C` a set or replace is a compare-and-swap; with `I` too, one that also replaces an item with a newer unique.
    fn store_needs(&self) -> Result<Commands, &'static [u8]> {
        let swap = self.has(b'C');
        let needs = match self.mode {
            None | Some(b'S') if swap => Commands::CAS | self.when(b'I', Commands::SET),
            None | Some(b'S') => Commands::SET,
            Some(b'R') => Commands::REPLACE | self.when(b'C', Commands::CAS),
            Some(b'E') => Commands::ADD,
            Some(b'A') => Commands::APPEND | self.when(b'N', Commands::ADD),
            Some(b'P') => Commands::PREPEND | self.when(b'N', Commands::ADD),
            Some(_) => return Err(BAD_STORE_MODE),
        };
        Ok(needs)
    }
}

/// Decodes base64 with its padding (RFC 4648, section 4). What memcached would skip is refused.
fn decode<'a>(key: &[u8], scratch: &'a mut Scratch) -> Option<&'a [u8]> {
    let padding = match key {
        [.., b'=', b'='] => 2,
        [.., b'='] => 1,
        _ => 0,
    };
    let (digits, _) = key.split_at_checked(key.len().checked_sub(padding)?)?;
    if key.is_empty() || !key.len().is_multiple_of(4) {
        return None;
    }
    let mut room = scratch.iter_mut();
    for chunk in digits.chunks(4) {
        let mut bits = 0_u32;
        for &digit in chunk {
            bits = bits << 6 | u32::from(sextet(digit)?);
        }
        // Of 2, 3 or 4 digits come 1, 2 or 3 bytes; bits left over are ignored.
        let missing = 4_usize.checked_sub(chunk.len())?;
        let [_, bytes @ ..] = (bits << missing.checked_mul(6)?).to_be_bytes();
        for byte in bytes.iter().take(3_usize.checked_sub(missing)?) {
            *room.next()? = *byte;
        }
    }
    let unused = room.len();
    scratch.get(..MAX_KEY.checked_sub(unused)?)
}

fn sextet(digit: u8) -> Option<u8> {
    let from = |first: u8, value: u8| digit.checked_sub(first)?.checked_add(value);
    match digit {
        b'A'..=b'Z' => from(b'A', 0),
        b'a'..=b'z' => from(b'a', 26),
        b'0'..=b'9' => from(b'0', 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// Flags after the key: `MFLAG_MAX_OPT_LENGTH` (20) counts the command, the key and an end mark.
const MAX_FLAGS: usize = 17;

/// An opaque with its flag (`MFLAG_MAX_OPAQUE_LENGTH`).
const MAX_OPAQUE: usize = 32;

const TOO_MANY_FLAGS: &[u8] = b"CLIENT_ERROR options flags are too long\r\n";
const INVALID_FLAG: &[u8] = b"CLIENT_ERROR invalid flag\r\n";
const DUPLICATE_FLAG: &[u8] = b"CLIENT_ERROR duplicate flag\r\n";
const BAD_TOKEN: &[u8] = b"CLIENT_ERROR bad token in command line format\r\n";
const BAD_INITIAL: &[u8] = b"CLIENT_ERROR invalid numeric initial value\r\n";
const BAD_DELTA: &[u8] = b"CLIENT_ERROR invalid numeric delta value\r\n";
const BAD_KEY: &[u8] = b"CLIENT_ERROR error decoding key\r\n";
const LONG_OPAQUE: &[u8] = b"CLIENT_ERROR opaque token too long\r\n";
const BAD_MODE_LENGTH: &[u8] = b"CLIENT_ERROR incorrect length for M token\r\n";
const BAD_STORE_MODE: &[u8] = b"CLIENT_ERROR invalid mode for ms M token\r\n";
const BAD_ARITHMETIC_MODE: &[u8] = b"CLIENT_ERROR invalid mode for ma M token\r\n";
