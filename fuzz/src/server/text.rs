//! memcached's text protocol, from the server's end.

use super::super::rig::{Listener, Servers};
use super::{Dice, Heard, State, admits};

/// What a line must end within, but for `get` and `gets` (`try_read_command_ascii`).
const MAX_LINE: usize = 2048;

pub(super) fn hear(bytes: &[u8], dice: &mut Dice, listener: Listener, state: State) -> Heard {
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else { return Heard::Part };
    let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
    let shown = line.escape_ascii();
    assert!(!line.contains(&0) && line.first() != Some(&b' '), "a doubtful line: `{shown}`");
    let words: Vec<_> = line.split(|&byte| byte == b' ').filter(|word| !word.is_empty()).collect();
    let &[command, ref rest @ ..] = &words[..] else { panic!("an empty line") };
    assert!(end <= MAX_LINE || matches!(command, b"get" | b"gets"), "a long line: `{shown}`");
    let meta = matches!(command, b"mg" | b"ms" | b"md" | b"ma" | b"me" | b"mn");
    assert!(!meta || listener.servers != Servers::Old, "a meta command for an old server: `{shown}`");
    let after = end + 1;
    // The client may ask it too. Which of them are the library's own depends on when replies came.
    if line == b"mn" {
        return Heard::Question { len: after, reply: b"MN\r\n".to_vec() };
    }
    let block = match (command, rest) {
        (b"set" | b"add" | b"replace" | b"append" | b"prepend" | b"cas", [_, _, _, len, ..])
        | (b"ms", [_, len, ..]) => {
            let len = std::str::from_utf8(len).ok().and_then(|len| len.parse::<usize>().ok());
            len.unwrap_or_else(|| panic!("no length: `{shown}`")) + 2
        }
        _ => 0,
    };
    if state == State::WantsCredentials {
        assert!(command == b"set" && block <= 16_386 && words.len() == 5, "without credentials: `{shown}`");
        if bytes.len() < after + block {
            return Heard::Part;
        }
        let (reply, then) = match dice.roll(4) {
            0 => (&b"CLIENT_ERROR authentication failure\r\n"[..], State::WantsCredentials),
            _ => (&b"STORED\r\n"[..], State::Reads),
        };
        return Heard::Request { len: after + block, reply: reply.to_vec(), then };
    }
    let keys = keys(command, rest);
    assert!(keys.iter().all(|key| key.len() <= 250), "a key that is too long: `{shown}`");
    let reads = matches!(command, b"get" | b"gets" | b"mg" | b"me");
    let changes = meta && rest.iter().skip(1).any(|flag| matches!(flag[0], b'N' | b'T'));
    assert!(
        admits(listener.rules, reads && !(changes && command == b"mg"), keys.iter().map(Vec::as_slice)),
        "policy does not admit `{shown}`"
    );
    if bytes.len() < after + block {
        return Heard::Part;
    }
    let (reply, then) = reply(command, rest, dice);
    Heard::Request { len: after + block, reply, then }
}

fn keys(command: &[u8], rest: &[&[u8]]) -> Vec<Vec<u8>> {
    let keys = match command {
        b"get" | b"gets" => rest,
        b"gat" | b"gats" => &rest[1..],
        b"set" | b"add" | b"replace" | b"append" | b"prepend" | b"cas" | b"incr" | b"decr" | b"touch" | b"delete"
        | b"mg" | b"ms" | b"md" | b"ma" | b"me" => &rest[..1],
        _ => &[],
    };
    let encoded = command.starts_with(b"m") && command.len() == 2 && rest.iter().skip(1).any(|&flag| flag == b"b");
    let mut keys: Vec<_> = keys.iter().map(|key| if encoded { decode(key) } else { key.to_vec() }).collect();
    if command == b"me" && encoded {
        keys.push(rest[0].to_vec());
    }
    keys
}

/// Base64 as memcached decodes it: what is not of its alphabet is skipped over.
fn decode(key: &[u8]) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut held, mut out) = (0_u32, 0, Vec::new());
    for digit in key.iter().filter_map(|byte| alphabet.iter().position(|digit| digit == byte)) {
        bits = bits << 6 | digit as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    out
}

fn reply(command: &[u8], rest: &[&[u8]], dice: &mut Dice) -> (Vec<u8>, State) {
    let silent = rest.last().is_some_and(|&last| last == b"noreply");
    let quiet = rest.iter().skip(1).any(|&flag| flag == b"q");
    let reply = match command {
        b"get" | b"gets" | b"gat" | b"gats" => values(command, rest, dice),
        b"mg" | b"ms" | b"md" | b"ma" | b"me" if quiet && command != b"me" && dice.roll(2) == 0 => Vec::new(),
        b"mg" | b"ma" if dice.roll(2) == 0 => [b"VA 7 s7 q\r\n", &b"EN\r\nMN\n"[..], b"\r\n"].concat(),
        b"mg" | b"me" => dice.pick(&[b"EN\r\n", b"HD c1\r\n", b"CLIENT_ERROR bad command line format\r\n"]).to_vec(),
        b"ms" | b"md" | b"ma" => dice.pick(&[b"HD\r\n", b"NS Oq\r\n", b"EX\r\n", b"NF\r\n"]).to_vec(),
        b"mn" => b"MN\r\n".to_vec(),
        b"stats" => dice.pick(&[b"STAT pid 1\r\nSTAT END 2\r\nEND\r\n", b"END\r\n", b"RESET\r\n", b"OK\r\n"]).to_vec(),
        b"version" => b"VERSION 1.6.18\r\n".to_vec(),
        b"watch" if dice.roll(4) == 0 => b"CLIENT_ERROR watch commands not allowed\r\n".to_vec(),
        // What it says next would race with what the client must not send.
        b"watch" => return (b"OK\r\n".to_vec(), State::Streams),
        b"quit" => return (Vec::new(), State::Left),
        b"lru_crawler" if rest.first() == Some(&&b"metadump"[..]) => dice
            .pick(&[b"key=a exp=-1\r\nEND\r\n", b"OK\r\nkey=b\r\nEND\r\n", b"BUSY currently processing\r\n"])
            .to_vec(),
        b"lru_crawler" if rest.first() == Some(&&b"mgdump"[..]) => b"mg a\r\nmg b\r\nEN\r\n".to_vec(),
        _ if silent => Vec::new(),
        b"set" | b"add" | b"replace" | b"append" | b"prepend" | b"cas" => dice
            .pick(&[b"STORED\r\n", b"NOT_STORED\r\n", b"EXISTS\r\n", b"SERVER_ERROR out of memory storing object\r\n"])
            .to_vec(),
        b"incr" | b"decr" => dice.pick(&[b"5\r\n", b"NOT_FOUND\r\n"]).to_vec(),
        b"delete" | b"touch" => dice.pick(&[b"DELETED\r\n", b"NOT_FOUND\r\n", b"TOUCHED\r\n"]).to_vec(),
        b"verbosity" | b"flush_all" | b"cache_memlimit" | b"slabs" | b"lru" | b"lru_crawler" | b"misbehave"
        | b"shutdown" | b"refresh_certs" | b"extstore" => dice.pick(&[b"OK\r\n", b"ERROR\r\n"]).to_vec(),
        other => panic!("no command of memcached: `{}`", other.escape_ascii()),
    };
    (reply, State::Reads)
}

fn values(command: &[u8], rest: &[&[u8]], dice: &mut Dice) -> Vec<u8> {
    let keys = if command.starts_with(b"gat") { &rest[1..] } else { rest };
    if dice.roll(16) == 0 {
        return b"SERVER_ERROR out of memory writing get response\r\n".to_vec();
    }
    let mut reply = Vec::new();
    for key in keys {
        if dice.roll(2) == 0 {
            let value = dice.pick(&[b"", b"1", b"END\r\n", b"VALUE a 0 9\r\n", b"\n\n\n\nMN\r\n"]);
            let unique: &[u8] = if command.ends_with(b"s") { b" 77" } else { b"" };
            reply.extend([b"VALUE ", *key, b" 0 ", value.len().to_string().as_bytes(), unique, b"\r\n"].concat());
            reply.extend([value, b"\r\n"].concat());
        }
    }
    reply.extend(b"END\r\n");
    reply
}
