//! Takes out of replies what two servers may say differently about the same requests: times, figures, addresses.

use super::streams::Protocol;

/// A reply without what may differ.
pub(super) fn normalise(protocol: Protocol, reply: &[u8]) -> Vec<u8> {
    match protocol {
        Protocol::Text => text(reply),
        Protocol::Binary => binary(reply),
    }
}

fn text(reply: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(reply.len());
    let mut in_stats = false;
    for line in reply.split_inclusive(|&byte| byte == b'\n') {
        let is_stat = line.starts_with(b"STAT ");
        if is_stat {
            // Which there are depends on connections and threads.
            if !in_stats {
                out.extend_from_slice(b"STAT *\r\n");
            }
        } else if line.starts_with(b"BUSY ") {
            // Whether a crawl or a move of pages is over by now.
            out.extend_from_slice(b"OK\r\n");
        } else if META_ERRORS.iter().any(|error| line.strip_suffix(b"\r\n") == Some(error.as_bytes())) {
            out.extend_from_slice(b"CLIENT_ERROR *\r\n");
        } else if !line.starts_with(b"ts=") {
            line_of(line, &mut out);
        }
        in_stats = is_stat;
    }
    out
}

fn line_of(line: &[u8], out: &mut Vec<u8>) {
    let starts = |names: &[&[u8]]| names.iter().any(|name| line.starts_with(name));
    let meta = starts(&[b"HD ", b"VA ", b"EN ", b"NF ", b"NS ", b"EX "]);
    let described = starts(&[b"ME ", b"key=", b"ITEM "]);
    for (nth, word) in line.split(|&byte| byte == b' ').enumerate() {
        if nth > 0 {
            out.push(b' ');
        }
        let cut = if meta && matches!(word, [b't' | b'l', b'-' | b'0'..=b'9', ..]) {
            1
        } else if described {
            word.iter()
                .position(|&byte| byte == b'=')
                .filter(|at| matches!(&word[..*at], b"exp" | b"la"))
                .map_or(0, |at| at + 1)
        } else {
            0
        };
        let digits = |byte: &u8| byte.is_ascii_digit() || *byte == b'-';
        if cut > 0 {
            out.extend_from_slice(&word[..cut]);
            out.push(b'*');
            out.extend(word[cut..].iter().skip_while(|byte| digits(byte)));
        } else if line.starts_with(b"ITEM ") && nth == 4 {
            out.push(b'*');
        } else {
            out.extend_from_slice(word);
        }
    }
}

/// Which of several errors a meta command is answered, and in which words, differs from version to version.
const META_ERRORS: &[&str] = &[
    "CLIENT_ERROR bad command line format",
    "CLIENT_ERROR bad token in command line format",
    "CLIENT_ERROR duplicate flag",
    "CLIENT_ERROR error decoding key",
    "CLIENT_ERROR incorrect length for M token",
    "CLIENT_ERROR invalid flag",
    "CLIENT_ERROR invalid mode for ma M token",
    "CLIENT_ERROR invalid mode for ms M token",
    "CLIENT_ERROR invalid numeric delta value",
    "CLIENT_ERROR invalid numeric initial value",
    "CLIENT_ERROR invalid or duplicate flag",
    "CLIENT_ERROR opaque token too long",
    "CLIENT_ERROR options flags are too long",
    "CLIENT_ERROR options flags too long",
];

/// Packets of `stat` with a name are left out.
fn binary(mut reply: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(reply.len());
    while let [0x81, opcode, key_high, key_low, _, _, _, _, a, b, c, d, ..] = *reply {
        let len = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX).saturating_add(24);
        let (packet, rest) = reply.split_at_checked(len).unwrap_or((reply, b""));
        if opcode != 0x10 || (key_high, key_low) == (0, 0) {
            out.extend_from_slice(packet);
        }
        reply = rest;
    }
    out.extend_from_slice(reply);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_figures_are_taken_out_and_nothing_else() {
        for (reply, same) in [
            ("HD t100 s3 c7\r\n", "HD t* s3 c7\r\n"),
            ("HD t-1\r\n", "HD t*\r\n"),
            ("VALUE t1 0 2\r\nt1\r\nEND\r\n", "VALUE t1 0 2\r\nt1\r\nEND\r\n"),
            ("ME a exp=-1 la=0 cas=2 fetch=no cls=1 size=63\r\n", "ME a exp=* la=* cas=2 fetch=no cls=1 size=63\r\n"),
            ("STAT a 1\r\nSTAT b 2\r\nEND\r\nSTAT a 1\r\n", "STAT *\r\nEND\r\nSTAT *\r\n"),
            ("ITEM a [3 b; 17 s]\r\nEND\r\n", "ITEM a [3 b; * s]\r\nEND\r\n"),
        ] {
            let out = normalise(Protocol::Text, reply.as_bytes());
            assert_eq!(String::from_utf8_lossy(&out), same);
        }
    }
}
