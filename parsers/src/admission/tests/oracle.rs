//! The reader of the fuzz targets, slow and strict, and the parser: all that the parser takes for a request is one there, too,
//! and ends at the same byte.

use portcullis_proxylib::testing::{Bytes, Step};
use proptest::prelude::*;

use super::super::http::{Body, Expect, Head, HeadEnd, MAX_HEAD, Progress};
use super::*;

#[path = "../../../../fuzz/src/book.rs"]
mod book;

use book::{Found, by_the_book};

/// What the parser's own reader makes of a stream that comes in pieces of `step` bytes: requests, whether one of them is the
/// last by its own words, and whether the stream is refused.
fn ours(stream: &[u8], step: usize) -> (Vec<Found>, bool) {
    let mut found = Vec::new();
    let (mut start, mut there) = (0, 0);
    let (mut end, mut body): (HeadEnd, Option<Body>) = (HeadEnd::default(), None);
    let mut blank = false;
    loop {
        let input = &stream[start..there];
        if body.is_none()
            && input.starts_with(b"\r")
            && !(blank && input.len() >= 2)
            && !matches!(input.get(1), Some(byte) if *byte != b'\n')
        {
            if input.len() >= 2 {
                (start, blank) = (start + 2, true);
                continue;
            }
        } else if body.is_none() {
            match end.find(input, MAX_HEAD) {
                Err(_) => return (found, true),
                Ok(Some(len)) => match Head::read(&input[..len]) {
                    Err(_) => return (found, true),
                    Ok(head) => body = Some(Body::new(len, head.framing, 1 << 20)),
                },
                Ok(None) => {}
            }
        }
        if let Some(reading) = &mut body {
            match reading.advance(input, 1 << 20) {
                Err(_) => return (found, true),
                Ok(Progress::Done(total)) => {
                    let frame = &input[..usize::try_from(total).unwrap()];
                    let head = Head::read(&frame[..reading.head]).unwrap();
                    let mut room = Vec::new();
                    let body_bytes = reading.bytes(frame, &mut room).to_vec();
                    let target = head.query.map_or(head.path.to_owned(), |query| format!("{}?{query}", head.path));
                    start += frame.len();
                    found.push(Found {
                        method: head.method.into(),
                        target: target.into(),
                        body: body_bytes,
                        end: start,
                    });
                    (end, body, blank) = (HeadEnd::default(), None, false);
                    continue;
                }
                Ok(Progress::More(more)) => assert!(more > 0),
            }
        }
        if there == stream.len() {
            return (found, false);
        }
        there = (there + step).min(stream.len());
    }
}

/// What an upstream gets where all requests pass.
fn passed(stream: &[u8], cut: Cut) -> (Vec<u8>, bool) {
    let mut scenario = scenario(json!({"callers": "anonymous", "mode": "shadow", "maxBodyBytes": 1 << 20}), json!([]));
    scenario.steps = vec![Step::Client(Bytes(stream.to_vec()))];
    let seen = testing::CoreHost::new(REGISTRY).play(&scenario, cut).unwrap();
    (seen.to_server, seen.closed.is_some())
}

/// Whether the parser has reasons of its own not to pass a request that is one.
fn is_plain(stream: &[u8], from: usize) -> bool {
    let mut end = HeadEnd::default();
    let from = if stream[from..].starts_with(b"\r\n") { from + 2 } else { from };
    let len = end.find(&stream[from..], MAX_HEAD).unwrap().unwrap();
    let head = Head::read(&stream[from..from + len]).unwrap();
    !head.close && !head.is_for_this_hop && head.expect == Expect::Nothing && !head.path.starts_with("/healthz")
}

fn check(stream: &[u8]) {
    let book = by_the_book(stream);
    let (found, refused) = ours(stream, stream.len().max(1));
    assert!(
        found.len() <= book.len() && found[..] == book[..found.len()],
        "{}\n{found:?}\n{book:?}",
        stream.escape_ascii()
    );
    for step in [1, 3, 17] {
        assert_eq!(ours(stream, step), (found.clone(), refused), "{}", stream.escape_ascii());
    }
    let mut start = 0;
    let mut expected = Vec::new();
    for request in &found {
        if !is_plain(stream, start) {
            return;
        }
        let skipped = if stream[start..].starts_with(b"\r\n") { 2 } else { 0 };
        expected.extend_from_slice(&stream[start + skipped..request.end]);
        start = request.end;
    }
    for cut in [Cut::Whole, Cut::Random(3)] {
        let (to_server, closed) = passed(stream, cut);
        assert_eq!(to_server.escape_ascii().to_string(), expected.escape_ascii().to_string());
        // Where replies are owed the close waits for them.
        assert!(closed == refused || !expected.is_empty(), "{}", stream.escape_ascii());
    }
}

/// Lines that heads consist of, good and bad.
const LINES: [&str; 34] = [
    "Host: h",
    "Host: h",
    "Host: h",
    "host:h",
    "Host : h",
    "Content-Length: 5",
    "Content-Length: 5",
    "content-length:\t5 ",
    "Content-Length: 05",
    "Content-Length: 5, 5",
    "Content-Length: +5",
    "Content-Length: 5 5",
    "Content-Length: 0x5",
    "Content-Length:",
    "Content-Length : 5",
    "Content-Length: 99999999999999999999",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: chunked",
    "transfer-encoding:chunked",
    "Transfer-Encoding: Chunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding:\tchunked\t",
    "Transfer_Encoding: chunked",
    "X: y",
    "X: \u{e4}",
    " folded",
    "\tfolded",
    ": nameless",
    "X",
    "X: a\rb",
    "X: a\nContent-Length: 5",
    "X: a\0b",
];

const FIRST: [&str; 8] = [
    "POST /a HTTP/1.1",
    "POST /a HTTP/1.1",
    "POST /a HTTP/1.1",
    "POST /a?b HTTP/1.0",
    "GET / HTTP/1.1",
    "GET  / HTTP/1.1",
    "GET / HTTP/1.1 ",
    "GET /a",
];

const BODIES: [&str; 14] = [
    "",
    "hello",
    "5\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello\r\n0\r\nA: b\r\n\r\n",
    "2;x\r\nhe\r\n03\r\nllo\r\n0;a=b\r\n\r\n",
    "5\r\nhello0\r\n\r\n",
    "5 \r\nhello\r\n0\r\n\r\n",
    "5\nhello\r\n0\r\n\r\n",
    "0\r\n\r\n",
    "0\r\nContent-Length: 5\r\n\r\n",
    "FFFFFFFFFFFFFFFFF\r\n",
    "5;a=\"b\"\r\nhello\r\n0\r\n\r\n",
    "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
];

fn message() -> impl Strategy<Value = Vec<u8>> {
    let lines = prop::collection::vec(prop::sample::select(&LINES[..]), 0..4);
    let first = prop::sample::select(&FIRST[..]);
    (first, lines, prop::sample::select(&BODIES[..]), any::<bool>()).prop_map(|(first, mut lines, body, host)| {
        if host && !lines.iter().any(|line| line.to_ascii_lowercase().starts_with("host")) {
            lines.insert(0, "Host: h");
        }
        let mut text = first.to_owned() + "\r\n";
        for line in lines {
            text.extend([line, "\r\n"]);
        }
        text.extend(["\r\n", body]);
        text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
    })
}

/// What a byte is changed to, or to what between bytes.
const BYTES: &[u8] = b"\r\n\r\n \t:;,=0159afAF%\0\x0b\x7f\xff-_+x/\"";

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), prop::sample::select(BYTES), 0..3_u8);
    (prop::collection::vec(message(), 1..4), prop::collection::vec(change, 0..3)).prop_map(|(messages, changes)| {
        let mut stream = messages.concat();
        for (at, byte, how) in changes {
            let at = at.index(stream.len().max(1)).min(stream.len().saturating_sub(1));
            match how {
                0 => stream.insert(at, byte),
                1 => stream[at] = byte,
                _ => drop(stream.remove(at)),
            }
        }
        stream
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_readers_agree_on_every_request(stream in stream()) {
        check(&stream);
    }
}

#[test]
fn two_readers_agree_on_what_is_good() {
    let good = [
        "GET /a HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
        "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2;a;b=c\r\nhe\r\n003\r\nllo\r\n00\r\n\r\n",
        "\r\nPOST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
    ]
    .concat();
    let (found, refused) = ours(good.as_bytes(), 1);
    assert_eq!((found.len(), refused, &found), (5, false, &by_the_book(good.as_bytes())));
    assert_eq!(found.iter().filter(|request| request.body == b"hello").count(), 3);
    check(good.as_bytes());
}
