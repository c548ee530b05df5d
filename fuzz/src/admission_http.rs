//! What an upstream and a client of admission must be able to make of what they get, whatever was sent.

use portcullis_parsers::admission::http::{HeadEnd, MAX_HEAD, ReplyHead};
use serde_json::Value;

use super::book::by_the_book;
use super::drive::Seen;
use super::rig::{Listener, Rules, Servers};

/// The upstream gets whole requests, as another reader of HTTP finds them, and none that is denied. Where there is none, the
/// client gets whole answers.
pub(super) fn check(listener: Listener, seen: &Seen) {
    let requests = by_the_book(&seen.to_server);
    let whole = requests.last().map_or(0, |last| last.end);
    assert_eq!(whole, seen.to_server.len(), "no whole requests: `{}`", seen.to_server.escape_ascii());
    if listener.servers == Servers::Usual {
        assert!(requests.is_empty(), "passed to nobody: `{}`", seen.to_server.escape_ascii());
        check_answers(&seen.to_client);
    }
    for request in requests {
        let path = request.target.split(|&byte| byte == b'?').next().unwrap_or_default();
        let admitted = match listener.rules {
            Rules::DenyAll => path == b"/",
            Rules::AllowAll => true,
            Rules::Reads => path.starts_with(b"/d"),
            Rules::NotNo => !path.starts_with(b"/no"),
        };
        assert!(admitted, "denied, and passed: `{}`", request.target.escape_ascii());
        if listener.servers == Servers::Guarded {
            assert!(matches!(path, b"/droids" | b"/label"), "no hook, and passed: `{}`", path.escape_ascii());
            let review: Value = serde_json::from_slice(&request.body).expect("a review that passes is JSON");
            assert!(review["request"]["uid"].is_string(), "no uid, and passed");
            assert_ne!(review["request"]["userInfo"]["username"], "vader", "denied, and passed");
        }
    }
}

fn check_answers(bytes: &[u8]) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let len = HeadEnd::default().find(rest, MAX_HEAD).expect("the head of an answer").expect("its end");
        let (head, after) = rest.split_at(len);
        assert!(ReplyHead::read(head).is_ok(), "no answer: `{}`", head.escape_ascii());
        let text = std::str::from_utf8(head).expect("an answer is text");
        let length = text.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length = length.map_or(0, |length| length.parse().expect("a length"));
        // The answer to a HEAD tells the length of what it leaves out.
        let is_head = after.is_empty() || after.starts_with(b"HTTP/1.1 ");
        rest = if is_head { after } else { after.get(length..).expect("an answer that ends early") };
    }
}
