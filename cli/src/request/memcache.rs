//! `memcache`: a line of the text protocol; a packet of the binary one for what only that has, or where it is asked for.

use super::{Asked, sent};
use crate::judge::Conversation;

pub(super) fn compose(fields: &Asked) -> Result<Conversation, String> {
    fields.check(&["command", "key", "keys", "value", "wire"])?;
    let command = fields.one(&["command"])?.ok_or("`command` is missing, as in `get`, `set`, `stats`")?;
    let command = std::str::from_utf8(command).map_err(|_| "`command` is no text".to_owned())?;
    let keys = fields.all(&["key", "keys"]);
    let value = fields.one(&["value"])?.unwrap_or(b"value");
    let binary = match fields.one(&["wire"])? {
        None => !is_text(command),
        Some(b"text") => false,
        Some(b"binary") => true,
        Some(_) => return Err("`wire` is `text` or `binary`".to_owned()),
    };
    if binary { packet(command, &keys, value) } else { line(command, &keys, value) }.map(sent)
}

/// Whether the text protocol has the command.
fn is_text(command: &str) -> bool {
    BARE.iter().any(|(name, _)| *name == command) || KEYED.iter().any(|(name, ..)| *name == command)
}

fn line(command: &str, keys: &[&[u8]], value: &[u8]) -> Result<Vec<u8>, String> {
    if let Some(bad) = keys.iter().find(|key| key.is_empty() || key.iter().any(|b| *b <= b' ' || *b == 0x7f)) {
        let shown = bad.escape_ascii();
        return Err(format!("no key of the text protocol is `{shown}`: use `wire=binary`"));
    }
    if let Some((_, words)) = BARE.iter().find(|(name, _)| *name == command) {
        if !keys.is_empty() {
            return Err(format!("`{command}` has no key"));
        }
        let space = if words.is_empty() { "" } else { " " };
        return Ok(format!("{command}{space}{words}\r\n").into_bytes());
    }
    let Some((_, before, after, has_value)) = KEYED.iter().find(|(name, ..)| *name == command) else {
        return Err(unknown(command));
    };
    let many = matches!(command, "get" | "gets" | "gat" | "gats");
    let keys = match keys {
        [] => return Err(format!("`{command}` needs a `key`")),
        [_, _, ..] if !many => return Err(format!("`{command}` has one key; make several requests of several keys")),
        keys => keys.join(&b" "[..]),
    };
    let mut line = format!("{command} {before}").into_bytes();
    line.extend_from_slice(&keys);
    line.extend_from_slice(after.replace('#', &value.len().to_string()).as_bytes());
    line.extend_from_slice(b"\r\n");
    if *has_value {
        line.extend_from_slice(value);
        line.extend_from_slice(b"\r\n");
    }
    Ok(line)
}

fn packet(command: &str, keys: &[&[u8]], value: &[u8]) -> Result<Vec<u8>, String> {
    let Some((_, opcode, extras, has_key, has_value)) = OPCODES.iter().find(|(name, ..)| *name == command) else {
        return Err(unknown(command));
    };
    let key = match keys {
        [] if *has_key => return Err(format!("`{command}` needs a `key`")),
        [] => &b""[..],
        [key] if *has_key => key,
        [_] => return Err(format!("`{command}` has no key")),
        _ => return Err("a request of the binary protocol has one key".to_owned()),
    };
    let value = if *has_value { value } else { b"" };
    let too_long = |_| "a key or a value that is longer than the protocol allows".to_owned();
    let key_len = u16::try_from(key.len()).map_err(too_long)?;
    let body = u32::try_from(usize::from(*extras) + key.len() + value.len()).map_err(too_long)?;
    let mut packet = vec![0x80, *opcode];
    packet.extend_from_slice(&key_len.to_be_bytes());
    packet.extend_from_slice(&[*extras, 0, 0, 0]);
    packet.extend_from_slice(&body.to_be_bytes());
    packet.extend_from_slice(&[0; 12]);
    packet.extend(std::iter::repeat_n(0, usize::from(*extras)));
    packet.extend_from_slice(key);
    packet.extend_from_slice(value);
    Ok(packet)
}

fn unknown(command: &str) -> String {
    let groups = ["storage", "writeGroup"];
    if groups.contains(&command) {
        return format!("`{command}` is a group of commands in rules; name one of them, as in `set`");
    }
    let text = BARE.iter().map(|(name, _)| *name).chain(KEYED.iter().map(|(name, ..)| *name));
    let names: Vec<_> = text.collect();
    format!(
        "no request is called `{command}`; there are `{}`, those of the binary protocol as in `getq`, and bytes",
        names.join("`, `")
    )
}

/// Commands without a key, with the words that must follow.
const BARE: &[(&str, &str)] = &[
    ("version", ""),
    ("stats", ""),
    ("flush_all", ""),
    ("quit", ""),
    ("mn", ""),
    ("verbosity", "1"),
    ("slabs", "automove 0"),
    ("lru", "mode flat"),
    ("lru_crawler", "enable"),
    ("watch", "fetchers"),
    ("cache_memlimit", "64"),
    ("misbehave", ""),
    ("shutdown", ""),
    ("refresh_certs", ""),
    ("extstore", "free_memchunks 1 1"),
];

/// Commands with a key: what stands before it and behind it (`#`: the length of the value), and whether a value follows.
const KEYED: &[(&str, &str, &str, bool)] = &[
    ("get", "", "", false),
    ("gets", "", "", false),
    ("gat", "0 ", "", false),
    ("gats", "0 ", "", false),
    ("set", "", " 0 0 #", true),
    ("add", "", " 0 0 #", true),
    ("replace", "", " 0 0 #", true),
    ("append", "", " 0 0 #", true),
    ("prepend", "", " 0 0 #", true),
    ("cas", "", " 0 0 # 1", true),
    ("incr", "", " 1", false),
    ("decr", "", " 1", false),
    ("touch", "", " 0", false),
    ("delete", "", "", false),
    ("mg", "", " v", false),
    ("ms", "", " #", true),
    ("md", "", "", false),
    ("ma", "", "", false),
    ("me", "", "", false),
];

/// Opcodes of the binary protocol: bytes of extras, whether there is a key, and a value.
const OPCODES: &[(&str, u8, u8, bool, bool)] = &[
    ("get", 0x00, 0, true, false),
    ("set", 0x01, 8, true, true),
    ("add", 0x02, 8, true, true),
    ("replace", 0x03, 8, true, true),
    ("delete", 0x04, 0, true, false),
    ("incr", 0x05, 20, true, false),
    ("decr", 0x06, 20, true, false),
    ("quit", 0x07, 0, false, false),
    ("flush_all", 0x08, 0, false, false),
    ("getq", 0x09, 0, true, false),
    ("noop", 0x0a, 0, false, false),
    ("version", 0x0b, 0, false, false),
    ("getk", 0x0c, 0, true, false),
    ("getkq", 0x0d, 0, true, false),
    ("append", 0x0e, 0, true, true),
    ("prepend", 0x0f, 0, true, true),
    ("stats", 0x10, 0, false, false),
    ("setq", 0x11, 8, true, true),
    ("addq", 0x12, 8, true, true),
    ("replaceq", 0x13, 8, true, true),
    ("deleteq", 0x14, 0, true, false),
    ("incrq", 0x15, 20, true, false),
    ("decrq", 0x16, 20, true, false),
    ("quitq", 0x17, 0, false, false),
    ("flush_allq", 0x18, 0, false, false),
    ("appendq", 0x19, 0, true, true),
    ("prependq", 0x1a, 0, true, true),
    ("touch", 0x1c, 4, true, false),
    ("gat", 0x1d, 4, true, false),
    ("gatq", 0x1e, 4, true, false),
    ("sasl-list-mechs", 0x20, 0, false, false),
    ("sasl-auth", 0x21, 0, true, true),
    ("sasl-step", 0x22, 0, true, true),
    ("gatk", 0x23, 4, true, false),
    ("gatkq", 0x24, 4, true, false),
];
