//! What other protocols say, what nothing says, and several protocols in one stream.

use fastrand::Rng;

use super::words::{CANARY, pick, smuggled};
use super::{binary, text};

pub(super) fn bytes(rng: &mut Rng) -> Vec<u8> {
    match rng.u8(..16) {
        0 => pick(
            rng,
            &[
                "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                "POST /get HTTP/1.0\r\n\r\nget secret/canary\r\n",
                "get pub/a HTTP/1.1\r\n",
            ],
        )
        .into(),
        1 => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        2 => pick(rng, &["*2\r\n$3\r\nGET\r\n$1\r\na\r\n", "PING\r\n", "$-1\r\n"]).into(),
        3 => (0..rng.usize(1..300)).map(|_| rng.u8(..)).collect(),
        4 => (0..rng.usize(1..200))
            .map(|_| pick(rng, &[&b' ', &b'\r', &b'\n', &b'\t', &0, &b'g', &b'e', &b't', &0x80]).to_owned())
            .collect(),
        5 => {
            pick(rng, &["\r\n", "\n", "\r", "\0", "\0\r\n", " \r\n", "\r\r\n", "\n\r", "\r\n\r\n\r\n", "  ", "\t\r\n"])
                .into()
        }
        6 => {
            let word = pick(rng, &["get ", "gets ", "set ", "", " ", "mg ", "gat 0 "]);
            let filler = pick(rng, &["k", " ", "a ", "\r", "\0"]);
            let end = pick(rng, &["", "\n", "\r\n"]);
            format!("{word}{}{end}", filler.repeat(rng.usize(500..9000))).into()
        }
        7 => {
            // The data of one request, the start of another, and no request at all.
            let mut bytes = text::classic(rng).bytes();
            bytes.truncate(rng.usize(..=bytes.len()));
            bytes
        }
        8 => pick(
            rng,
            &[
                "VALUE pub/a 0 2\r\nhi\r\nEND\r\n",
                "STORED\r\n",
                "END\r\n",
                "MN\r\n",
                "HD\r\n",
                "ERROR\r\n",
                "VA 2\r\nhi\r\n",
            ],
        )
        .into(),
        9 => smuggled(rng),
        10 => binary::packet(rng).bytes(),
        11 => {
            let mut packet = binary::packet(rng).bytes();
            packet.truncate(rng.usize(1..=packet.len()));
            packet
        }
        12 => format!("version \n get {CANARY}\nversion\r get {CANARY}\r\n").into(),
        13 => {
            let mut bytes = text::meta(rng).bytes();
            for _ in 0..1 + rng.usize(..3) {
                let at = rng.usize(..bytes.len());
                bytes[at] = rng.u8(..);
            }
            bytes
        }
        14 => {
            let mut bytes = text::classic(rng).bytes();
            for _ in 0..1 + rng.usize(..3) {
                let at = rng.usize(..bytes.len());
                bytes[at] = rng.u8(..);
            }
            bytes
        }
        _ => text::classic(rng).bytes(),
    }
}
