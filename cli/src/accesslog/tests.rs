use super::*;

const LINE: &str = r#"{"v":1,"time":"2026-11-22T02:41:59.243Z","type":"request","verdict":"denied","protocol":"memcache","direction":"ingress","connection":1,"source":"127.0.0.11:40392","destination":"127.0.0.1:45463","port":11211,"remote":{"knownBy":"address","labels":{"function":"fleet-maintenance"}},"generation":1,"reason":"no rule matches","fields":{"command":"set","keys":["empire/\u0007"],"keysNotShown":2}}"#;

fn read_all(text: &str) -> (Vec<String>, Lines) {
    let mut seen = Vec::new();
    let lines = read(text.as_bytes(), |record| seen.push(format!("{} {}", record.who(), record.command())));
    (seen, lines.expect("readable"))
}

#[test]
fn a_record_is_read_whole() {
    let mut seen = 0;
    let lines = read(LINE.as_bytes(), |record| {
        seen += 1;
        assert_eq!(
            (record.verdict, &*record.protocol, record.port, record.generation),
            (Verdict::Denied, "memcache", 11211, 1)
        );
        assert_eq!(record.time().map(|time| time.as_millisecond()), Some(1_795_315_319_243));
        let field =
            |wanted: &str| record.fields.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.clone());
        assert_eq!(field("keys"), Some(Value::List(vec!["empire/\u{7}".into()])));
        assert_eq!(field("keysNotShown"), Some(Value::Number(2)));
        assert_eq!((record.who().as_str(), record.command()), ("function=fleet-maintenance", "set"));
    });
    assert_eq!((seen, lines.expect("readable").unreadable), (1, 0));
}

#[test]
fn who_is_unknown_is_named_by_the_address() {
    let unknown = LINE
        .replace("\"address\"", "\"nothing\"")
        .replace(r#""function":"fleet-maintenance""#, r#""reserved:world":"""#);
    assert_eq!(read_all(&unknown).0, ["127.0.0.11 (reserved:world) set"]);
    let named = LINE.replace(r#""labels":{"#, r#""name":"spiffe://a/b","labels":{"#);
    assert_eq!(read_all(&named).0, ["spiffe://a/b set"]);
    assert_eq!((address_of("[fd00::1]:80"), address_of("10.0.0.1:80")), ("fd00::1", "10.0.0.1"));
}

#[test]
fn lines_that_are_no_records_are_counted_and_told() {
    let long = format!("{{\"x\":\"{}\"}}", "x".repeat(100_000));
    let other = LINE.replace("\"v\":1", "\"v\":2");
    let text = format!("hello\n\n{LINE}\n{{\"v\":1}}\n{other}\n{long}\n\u{feff}{LINE}\n{LINE}");
    let (seen, lines) = read_all(&text);
    assert_eq!((seen.len(), lines.lines, lines.unreadable, lines.other_version), (2, 7, 4, 1));
    assert_eq!(lines.first_unreadable, Some(1));
    assert_eq!(
        lines.remark().as_deref(),
        Some(
            "4 of 7 lines are no records of an access log, the first of them line 1; 1 records are of another version of the log than 1, and were left out"
        )
    );
    let bytes = [b"\xff\xfe\n".as_slice(), &[b'['; 50_000], b"\n"].concat();
    assert_eq!(read(&bytes[..], |_| {}).expect("readable").unreadable, 2);
}
