//! Entries as the encoder writes them and an independent decoder reads them.

use std::net::SocketAddr;

use proptest::prelude::*;
use prost::Message;

use super::super::entry::{MAX_PACKET, write, write_connection};
use super::super::sheet::Sheet;
use super::reader::{EntryType, LogEntry};
use super::*;

fn encode(entry: &Entry<'_>, policy_name: &str, time: u64) -> LogEntry {
    let mut connection = Sheet::new(MAX_PACKET);
    write_connection(entry.meta, policy_name, &mut connection);
    let mut sheet = Sheet::new(MAX_PACKET);
    write(entry, connection.written(), time, &mut sheet);
    LogEntry::decode(sheet.written()).unwrap()
}

fn fields(request: &Request) -> Vec<(String, String)> {
    let meta = meta();
    encode(&entry(&meta, Status::Forwarded, Some(request)), "", 1).fields().clone().into_iter().collect()
}

#[test]
fn an_entry_says_who_what_and_by_which_rule() {
    let (meta, rule) = (meta(), rule("default/db/ingress[0]"));
    let request = Request(vec![("cmd", vec![b"READ".to_vec()]), ("file", vec![b"/public/x".to_vec()])]);
    let entry = Entry { rule: Some(&rule), reason: "allowed", ..entry(&meta, Status::Forwarded, Some(&request)) };
    let read = encode(&entry, "10.0.0.1", 1_740_700_799_042_000_001);
    assert_eq!((read.timestamp, read.entry_type()), (1_740_700_799_042_000_001, EntryType::Request));
    assert_eq!((read.policy_name.as_str(), read.cilium_rule_ref.as_str()), ("10.0.0.1", "default/db/ingress[0]"));
    assert_eq!((read.source_security_id, read.destination_security_id, read.is_ingress), (111, 222, true));
    assert_eq!(read.source_address, "10.1.2.3:45678");
    assert_eq!(read.destination_address, "[2001:db8::1]:4040");
    assert_eq!(read.generic_l7.as_ref().unwrap().proto, "r2d2");
    assert_eq!(
        read.fields().iter().map(|(k, v)| (&**k, &**v)).collect::<Vec<_>>(),
        [("cmd", "READ"), ("file", "/public/x")]
    );
}

#[test]
fn on_egress_the_endpoint_is_the_source() {
    let meta = Meta { traffic: Traffic::Egress, ..meta() };
    let read = encode(&entry(&meta, Status::Forwarded, None), "10.0.0.1", 1);
    assert_eq!((read.source_security_id, read.destination_security_id, read.is_ingress), (222, 111, false));
}

#[test]
fn each_outcome_has_its_kind_and_says_why() {
    let meta = meta();
    for (status, reason, kind, said) in [
        (Status::Forwarded, "allowed", EntryType::Request, &[][..]),
        (Status::Audited, "no rule", EntryType::Request, &[("reason", "no rule"), ("verdict", "audit")]),
        (Status::Denied, "no rule", EntryType::Denied, &[("reason", "no rule")]),
        (Status::Reply, "", EntryType::Response, &[]),
        (Status::Error, "not a line", EntryType::Denied, &[("status", "not a line")]),
        (Status::Error, "panic: at the disco", EntryType::Denied, &[("status", "Panic: at the disco")]),
    ] {
        let read = encode(&Entry { reason, ..entry(&meta, status, None) }, "p", 1);
        assert_eq!(read.entry_type(), kind, "{status:?}");
        assert_eq!(read.fields().iter().map(|(k, v)| (&**k, &**v)).collect::<Vec<_>>(), said, "{status:?}");
    }
}

#[test]
fn what_is_no_text_is_escaped_and_what_is_stays() {
    for (sent, shown) in [
        (&b"/p\xc3\xbcblic/\xe2\x82\xac"[..], "/p\u{fc}blic/\u{20ac}"),
        (b"\xff\xfe", r"\xff\xfe"),
        (b"a\xc3", r"a\xc3"),
        (br"\xff", r"\\xff"),
        (b"a\r\n\0\x1b[31m", r"a\x0d\x0a\x00\x1b[31m"),
        ("\u{202e}\u{85}\u{e0041}".as_bytes(), r"\u{202e}\u{85}\u{e0041}"),
        (b"", ""),
    ] {
        assert_eq!(fields(&Request::text("key", sent)), [("key".to_owned(), shown.to_owned())]);
    }
}

#[test]
fn lists_are_joined_and_what_is_cut_is_told() {
    let keys = |count: usize, len: usize| Request(vec![("keys", vec![vec![b'k'; len]; count])]);
    assert_eq!(fields(&keys(3, 2)), [("keys".to_owned(), "kk, kk, kk".to_owned())]);
    assert_eq!(fields(&keys(0, 0)), [("keys".to_owned(), String::new())]);
    let many = fields(&keys(10_000, 250));
    let [(_, shown), (cut, what)] = &many[..] else { panic!("{many:?}") };
    assert_eq!((cut.as_str(), what.as_str()), ("truncated", "keys"));
    let (shown, hidden) = shown.rsplit_once(", ... ").unwrap();
    assert_eq!(shown.split(", ").count() + hidden.strip_suffix(" more").unwrap().parse::<usize>().unwrap(), 10_000);
    let long = fields(&Request::text("file", vec![b'/'; 4090]));
    let [(_, shown), (_, what)] = &long[..] else { panic!("{long:?}") };
    assert_eq!((what.as_str(), &shown[shown.len() - 4..]), ("file", "/..."));
}

#[test]
fn a_field_without_room_is_named() {
    let fields = fields(&Request(
        ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"].map(|name| (name, vec![vec![0xff; 1000]])).to_vec(),
    ));
    let (_, cut) = fields.iter().find(|(name, _)| name == "truncated").unwrap();
    assert!(cut.starts_with("a, b, c"), "{cut}");
}

/// What an escaped text was, or nothing if it was cut.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (bytes, len) = match rest.get(..2) {
            Some(r"\\") => (vec![b'\\'], 2),
            Some(r"\x") => (vec![u8::from_str_radix(&rest[2..4], 16).unwrap()], 4),
            Some(r"\u") => {
                let end = rest.find('}').unwrap();
                let point = u32::from_str_radix(&rest[3..end], 16).unwrap();
                (char::from_u32(point).unwrap().to_string().into_bytes(), end + 1)
            }
            _ => (first.to_string().into_bytes(), first.len_utf8()),
        };
        out.extend(bytes);
        rest = &rest[len..];
    }
    out
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        "[ -~]{0,100}".prop_map(String::into_bytes),
        any::<String>().prop_map(String::into_bytes),
        (any::<u8>(), 0..6000_usize).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

fn any_status() -> impl Strategy<Value = Status> {
    proptest::sample::select(vec![Status::Forwarded, Status::Audited, Status::Denied, Status::Reply, Status::Error])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_is_recorded_can_be_read(
        status in any_status(),
        (time, endpoint_id, remote_id, ingress) in any::<(u64, u32, u32, bool)>(),
        (source, destination) in any::<(Option<SocketAddr>, Option<SocketAddr>)>(),
        (policy_name, rule_name) in any::<(String, Option<String>)>(),
        reason in "[ -~]{0,3000}",
        values in proptest::collection::vec(proptest::collection::vec(any_bytes(), 0..20), 0..6),
    ) {
        let mut meta = meta();
        (meta.endpoint_id, meta.remote.id, meta.source, meta.destination) = (endpoint_id, remote_id, source, destination);
        meta.traffic = if ingress { Traffic::Ingress } else { Traffic::Egress };
        let names = ["cmd", "file", "keys", "query_action", "query_table", "topic"];
        let request = Request(names.into_iter().zip(values).collect());
        let rule = rule_name.map(rule);
        let read = encode(
            &Entry { rule: rule.as_ref(), reason: &reason, ..entry(&meta, status, Some(&request)) },
            &policy_name,
            time,
        );
        prop_assert_eq!(read.timestamp, time);
        prop_assert_eq!(read.is_ingress, ingress);
        let ids = [read.source_security_id, read.destination_security_id];
        prop_assert_eq!(ids, if ingress { [remote_id, endpoint_id] } else { [endpoint_id, remote_id] });
        let address = |address: Option<SocketAddr>| address.map(|address| address.to_string()).unwrap_or_default();
        prop_assert_eq!(&read.source_address, &address(source));
        prop_assert_eq!(&read.destination_address, &address(destination));
        let shown = read.fields();
        let cut: Vec<&str> = shown.get("truncated").map(|cut| cut.split(", ").collect()).unwrap_or_default();
        for (name, values) in &request.0 {
            if !cut.contains(name) {
                prop_assert_eq!(unescape(&shown[*name]), values.join(&b", "[..]));
            }
        }
    }
}
