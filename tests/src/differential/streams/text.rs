//! Lines of the text protocol, classic and meta, with the values that follow them.

use fastrand::Rng;

use super::words::{CANARY, exptime, flags, key, number, odd_number, pick, rewritten, smuggled, value};

/// A request: words, what stands between them, and the value.
#[derive(Clone, Debug)]
pub(super) struct Line {
    words: Vec<Vec<u8>>,
    /// Which word is the length of the value.
    length: usize,
    before: &'static [u8],
    gap: &'static [u8],
    after: &'static [u8],
    end: &'static [u8],
    value: Option<Vec<u8>>,
    value_end: &'static [u8],
}

impl Line {
    fn new(words: Vec<Vec<u8>>) -> Self {
        Self { words, length: 0, before: b"", gap: b" ", after: b"", end: b"\r\n", value: None, value_end: b"\r\n" }
    }

    fn with_value(words: Vec<Vec<u8>>, length: usize, value: Vec<u8>) -> Self {
        Self { length, value: Some(value), ..Self::new(words) }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = [self.before, &self.words.join(self.gap), self.after, self.end].concat();
        if let Some(value) = &self.value {
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(self.value_end);
        }
        bytes
    }

    pub(super) fn mutate(&mut self, rng: &mut Rng) {
        for _ in 0..1 + rng.usize(..2) {
            self.mutate_once(rng);
        }
    }

    fn mutate_once(&mut self, rng: &mut Rng) {
        let at = rng.usize(..self.words.len().max(1));
        let has_value = self.value.is_some() && self.length < self.words.len();
        match rng.u8(..24) {
            0..5 if has_value => {
                let len = self.value.as_ref().map_or(0, Vec::len);
                self.words[self.length] = rewritten(rng, u64::try_from(len).unwrap_or(0));
            }
            5..8 if has_value => self.value = Some(smuggled(rng)),
            8 if has_value => {
                self.value_end = pick(rng, &[&b""[..], b"\n", b"\r", b"xx", b"\r\r\n", b"\r\n\r\n", b"\n\r"])
            }
            9 | 10 => {
                self.end =
                    pick(rng, &[&b"\n"[..], b"\n", b"\r", b"\r\r\n", b"\n\r", b"", b"\0\r\n", b"\r\n\r\n", b" \r\n"])
            }
            11 => self.before = pick(rng, &[&b" "[..], b"  ", b"\t", b"\r", b"\0", b"\n", b"\xff"]),
            12 => self.gap = pick(rng, &[&b"  "[..], b"\t", b"   ", b" \t", b"\x0b", b"\0", b"\xa0"]),
            13 => {
                self.after =
                    pick(rng, &[&b" "[..], b"  ", b"\t", b" noreply", b" noreply ", b" noreply x", b"\0", b" 0", b" x"])
            }
            14 if !self.words.is_empty() => drop(self.words.remove(at)),
            15 if !self.words.is_empty() => self.words.insert(at, self.words[at].clone()),
            16 if !self.words.is_empty() => {
                let other = rng.usize(..self.words.len());
                self.words.swap(at, other);
            }
            17 | 18 if !self.words.is_empty() => self.words[at] = odd_number(rng),
            19 if !self.words.is_empty() => self.words[at] = key(rng),
            20 => {
                self.words.insert(at, pick(rng, &["noreply", "0", "b", "q", "k", "v", "HTTP/1.1", "", CANARY]).into())
            }
            21 if !self.words.is_empty() => misspell(&mut self.words[0], rng),
            22 if !self.words.is_empty() => {
                let word = &mut self.words[at];
                if !word.is_empty() {
                    let byte = rng.usize(..word.len());
                    word[byte] ^= 1 << rng.u8(..8);
                }
            }
            _ => {
                // Up to where lines become too long for the server.
                let wanted = pick(rng, &[&1023_usize, &1024, &2040, &2046, &2047, &2048, &2049, &2050]);
                let missing = wanted.saturating_sub(self.bytes().len());
                match rng.u8(..3) {
                    0 => self.words.extend(std::iter::repeat_n(b"pub/a".to_vec(), missing / 6)),
                    1 => self.words.push(vec![b'k'; missing]),
                    _ => self.words.extend(std::iter::repeat_n(Vec::new(), missing)),
                }
            }
        }
    }
}

fn misspell(command: &mut Vec<u8>, rng: &mut Rng) {
    match rng.u8(..5) {
        0 => command.push(pick(rng, &[&b's', &b'q', &b'x', &b'1', &b'\r']).to_owned()),
        1 => drop(command.pop()),
        2 => command.make_ascii_uppercase(),
        3 => command.insert(0, b'x'),
        _ => {
            *command = pick(
                rng,
                &["bget", "gats", "getq", "sets", "deletes", "incrs", "touchx", "mgx", "msx", "m", "mq", "quit1"],
            )
            .into()
        }
    }
}

fn words(list: &[&str]) -> Vec<Vec<u8>> {
    list.iter().map(|word| word.as_bytes().to_vec()).collect()
}

pub(super) fn classic(rng: &mut Rng) -> Line {
    let noreply = rng.u8(..6) == 0;
    let add_noreply = |mut words: Vec<Vec<u8>>| {
        if noreply {
            words.push(b"noreply".to_vec());
        }
        words
    };
    match rng.u8(..40) {
        0..9 => {
            let count = if rng.u8(..20) == 0 { 40 } else { 1 + rng.usize(..4) };
            let name = pick(rng, &["get", "gets"]).into();
            Line::new(std::iter::once(name).chain((0..count).map(|_| key(rng))).collect())
        }
        9..12 => {
            let name = pick(rng, &["gat", "gats"]).into();
            let mut words = vec![name, exptime(rng)];
            words.extend((0..1 + rng.usize(..3)).map(|_| key(rng)));
            Line::new(words)
        }
        12..24 => {
            let name = pick(rng, &["set", "set", "set", "add", "replace", "append", "prepend"]).into();
            let value = value(rng);
            let words = vec![name, key(rng), flags(rng), exptime(rng), value.len().to_string().into()];
            Line::with_value(add_noreply(words), 4, value)
        }
        24..27 => {
            let value = value(rng);
            let unique = rng.u8(..12).to_string().into();
            let words =
                vec![b"cas".to_vec(), key(rng), flags(rng), exptime(rng), value.len().to_string().into(), unique];
            Line::with_value(add_noreply(words), 4, value)
        }
        27..30 => Line::new(add_noreply(vec![pick(rng, &["incr", "decr"]).into(), key(rng), number(rng)])),
        30..32 => Line::new(add_noreply(vec![b"touch".to_vec(), key(rng), exptime(rng)])),
        32..35 => {
            let mut words = vec![b"delete".to_vec(), key(rng)];
            if rng.u8(..4) == 0 {
                words.push(pick(rng, &["0", "0", "10", "-1"]).into());
            }
            Line::new(add_noreply(words))
        }
        _ => admin(rng),
    }
}

fn admin(rng: &mut Rng) -> Line {
    let lists: &[&[&str]] = &[
        &["version"],
        &["version", "x"],
        &["version", "noreply"],
        &["stats"],
        &["stats", "settings"],
        &["stats", "items"],
        &["stats", "slabs"],
        &["stats", "sizes"],
        &["stats", "conns"],
        &["stats", "reset"],
        &["stats", "detail", "on"],
        &["stats", "detail", "dump"],
        &["stats", "detail", "off"],
        &["stats", "cachedump", "1", "10"],
        &["stats", "nosuch"],
        &["stats", "cachedump"],
        &["stats", "noreply"],
        &["flush_all"],
        &["flush_all", "0"],
        &["flush_all", "noreply"],
        &["flush_all", "0", "noreply"],
        &["flush_all", "x"],
        &["flush_all", "3000"],
        &["flush_all", "-1"],
        &["verbosity", "0"],
        &["verbosity", "1", "noreply"],
        &["verbosity"],
        &["verbosity", "x"],
        &["cache_memlimit", "64"],
        &["cache_memlimit", "100", "noreply"],
        &["cache_memlimit"],
        &["cache_memlimit", "1"],
        &["slabs", "reassign", "1", "2"],
        &["slabs", "automove", "0"],
        &["slabs"],
        &["slabs", "automove", "x"],
        &["slabs", "automove", "ratio", "0.8"],
        &["lru", "mode", "flat"],
        &["lru", "temp_ttl", "60"],
        &["lru", "tune", "10", "25", "0.1", "2.0"],
        &["lru"],
        &["lru_crawler", "enable"],
        &["lru_crawler", "sleep", "100"],
        &["lru_crawler", "crawl", "all"],
        &["lru_crawler", "metadump", "all"],
        &["lru_crawler", "metadump", "hash"],
        &["lru_crawler"],
        &["lru_crawler", "mgdump", "all"],
        &["lru_crawler", "tocrawl", "5"],
        &["watch"],
        &["watch", "fetchers"],
        &["watch", "nosuch"],
        &["shutdown"],
        &["shutdown", "now"],
        &["refresh_certs"],
        &["extstore", "item_size", "512"],
        &["quit"],
        &["quit", "x"],
        &["quit", "noreply"],
        &["misbehave"],
        &["mn"],
        &[""],
        &["bget", "pub/a"],
        &["GET", "pub/a"],
    ];
    // `misbehave` starts a program, and `quit` and `watch` end the stream: seldom.
    let mut list = pick(rng, lists);
    if matches!(list[0], "misbehave" | "quit" | "watch") && rng.u8(..4) > 0 {
        list = &["version"];
    }
    Line::new(words(list))
}

pub(super) fn meta(rng: &mut Rng) -> Line {
    let name = pick(rng, &["mg", "mg", "mg", "ms", "ms", "ms", "md", "md", "ma", "ma", "me", "mn"]);
    let mut words = words(&[name]);
    if name == "mn" {
        return Line::new(words);
    }
    let mut flags = meta_flags(name, rng);
    let key = if rng.u8(..5) == 0 {
        flags.push(b"b".to_vec());
        base64(rng)
    } else {
        key(rng)
    };
    words.push(key);
    if name == "ms" {
        let value = value(rng);
        words.push(value.len().to_string().into());
        words.extend(flags);
        return Line::with_value(words, 2, value);
    }
    words.extend(flags);
    Line::new(words)
}

fn meta_flags(name: &str, rng: &mut Rng) -> Vec<Vec<u8>> {
    let mine: &[&str] = match name {
        "mg" => {
            &["v", "v", "v", "k", "s", "t", "c", "f", "h", "l", "u", "q", "O123", "N100", "T100", "R30", "E77", "t"]
        }
        "ms" => &[
            "k", "c", "q", "O9", "F5", "T0", "T100", "I", "C1", "C2", "MS", "ME", "MA", "MP", "MR", "Ms", "N100", "E9",
            "s", "S3",
        ],
        "md" => &["q", "k", "O1", "C1", "I", "T30", "x", "E5"],
        "ma" => {
            &["q", "k", "v", "t", "c", "O5", "N100", "J13", "D5", "MI", "MD", "M+", "M-", "T100", "C3", "E8", "Mincr"]
        }
        _ => &["b", "v"],
    };
    let mut flags: Vec<Vec<u8>> = Vec::new();
    for _ in 0..rng.usize(..5) {
        let flag = pick(rng, mine).as_bytes().to_vec();
        // A flag given twice is an error, which comes often enough by mutation.
        if flags.iter().all(|other| other[0] != flag[0]) {
            flags.push(flag);
        }
    }
    if rng.u8(..12) == 0 {
        let odd = [
            "!",
            "Z",
            "qq",
            "T",
            "T-1",
            "Tx",
            "T+5",
            "MX",
            "M",
            "MSS",
            "Fx",
            "F4294967296",
            "J-1",
            "D-1",
            "C-1",
            "Cx",
            "O",
            "\t",
            "1",
            "v\0",
            "\x7f",
        ];
        flags.push(pick(rng, &odd).into());
        if rng.bool() {
            let long = format!("O{}", "o".repeat(29 + rng.usize(..5)));
            flags.push(long.into());
        }
    }
    flags
}

/// A key in base64: of a key, or something that looks like one.
fn base64(rng: &mut Rng) -> Vec<u8> {
    match rng.u8(..8) {
        0..3 => encode(CANARY.as_bytes()),
        3 | 4 => encode(&key(rng)),
        // What can be read as a key under `pub/` as it stands is another one when it is decoded.
        5 => [b"pub/".to_vec(), encode(&key(rng))].concat(),
        6 => pick(
            rng,
            &["pub/", "pub/YWFh", "=", "====", "YQ=", "YQ", "Y", "YR==", "Y Q==", "YWE\t", "Y=Q=", "\u{e9}AAA", "AAAA"],
        )
        .into(),
        _ => key(rng),
    }
}

fn encode(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = usize::try_from(bits >> (18 - 6 * place) & 63).unwrap_or(0);
            out.push(if place <= chunk.len() { DIGITS[digit] } else { b'=' });
        }
    }
    out
}
