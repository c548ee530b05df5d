//! What the corpus does not show: hosts that refuse, configurations that change, and connections that are closed from outside.

mod common;

use common::{ROOT, configure, connect, delete, send, start, tick, world};
use serde_json::{Value, json};

const CONNECTION: u32 = 2;

fn config(commands: &[&str]) -> Value {
    let rules: Vec<Value> = commands.iter().map(|cmd| json!({"cmd": cmd})).collect();
    let port = json!({"ports": [{"port": "4040"}], "rules": {"l7proto": "r2d2", "l7": rules}});
    let policy = json!({
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNetworkPolicy",
        "metadata": {"name": "p"},
        "spec": {"endpointSelector": {}, "ingress": [{"toPorts": [port]}]},
    });
    json!({
        "protocol": "r2d2",
        "policy": {"inline": policy.to_string()},
        "endpoint": {"labels": {"app": "r2d2"}},
        "direction": "ingress",
        "port": 4040,
        "accessLog": {"level": "requests"},
        "limits": {"frameTimeoutSeconds": 10},
    })
}

fn open() {
    assert!(start(&config(&["READ"]).to_string()));
    assert_eq!(connect(CONNECTION), 0);
}

fn is_closed() -> bool {
    world(|world| world.closed.contains(&CONNECTION))
}

#[test]
fn a_configuration_anew_is_a_new_policy_for_open_connections_and_a_bad_one_changes_nothing() {
    open();
    assert_eq!(send(CONNECTION, false, b"READ a\r\n", false).0, b"READ a\r\n");
    assert!(!configure("{}"));
    assert_eq!(send(CONNECTION, false, b"READ b\r\n", false).0, b"READ b\r\n");
    assert!(configure(&config(&["HALT"]).to_string()));
    // Replies are owed: the denial has its turn behind them.
    assert_eq!(send(CONNECTION, false, b"READ c\r\nHALT\r\n", false).0, b"HALT\r\n");
    assert_eq!(send(CONNECTION, true, b"a\r\nb\r\n", false).0, b"a\r\nb\r\nERROR\r\n");
    assert_eq!(world(|world| world.metric("portcullis.r2d2.policy_generation")), 2);
}

#[test]
fn whatever_the_host_refuses_nothing_passes() {
    for broken in ["proxy_get_buffer_bytes", "proxy_set_buffer_bytes"] {
        for close in [None, Some("proxy_close_stream")] {
            open();
            world(|world| world.broken = [Some(broken), close].into_iter().flatten().collect());
            // The second one would be rewritten: the denied line is dropped.
            let sent = send(CONNECTION, false, b"READ a\r\nHALT\r\n", false);
            assert_eq!(sent, (Vec::new(), false), "{broken}");
            assert_eq!(send(CONNECTION, false, b"READ b\r\n", false).0, b"", "{broken}");
            assert_eq!(send(CONNECTION, true, b"a\r\n", false).0, b"", "{broken}");
            // A close that was refused is asked for again.
            world(|world| world.broken.clear());
            tick(1);
            assert!(is_closed(), "{broken}");
            assert_eq!(send(CONNECTION, false, b"READ c\r\n", false).0, b"", "{broken}");
        }
    }
}

#[test]
fn without_metrics_ticks_or_a_configuration_there_is_no_listener() {
    for broken in ["proxy_define_metric", "proxy_set_tick_period_milliseconds", "proxy_get_buffer_bytes"] {
        start("");
        world(|world| world.broken = vec![broken]);
        assert!(!configure(&config(&["READ"]).to_string()), "{broken}");
        connect(CONNECTION);
        assert_eq!(send(CONNECTION, false, b"READ a\r\n", false).0, b"", "{broken}");
        assert!(is_closed(), "{broken}");
    }
}

#[test]
fn an_unfinished_request_is_closed_in_time() {
    open();
    send(CONNECTION, false, b"READ", false);
    tick(9);
    assert!(!is_closed());
    tick(2);
    assert!(is_closed());
    assert_eq!(world(|world| world.metric("portcullis.r2d2.errors")), 1);
    // A clock that is set back closes nothing, and stops nothing.
    open();
    world(|world| world.nanoseconds = 0);
    send(CONNECTION, false, b"READ", false);
    tick(5);
    assert!(!is_closed());
}

#[test]
fn nobodys_numbers_get_nothing() {
    open();
    assert_eq!(send(77, false, b"READ a\r\n", false).0, b"");
    assert_eq!(send(ROOT, false, b"READ a\r\n", false).0, b"");
    delete(CONNECTION);
    assert_eq!(send(CONNECTION, false, b"READ a\r\n", false).0, b"");
    delete(CONNECTION);
    assert_eq!(world(|world| world.metric("portcullis.r2d2.connections_active")), 0);
}

#[test]
fn as_an_http_filter_it_answers_with_an_error() {
    open();
    assert_eq!(common::request(CONNECTION, &[(":method", "GET"), (":path", "/")], true), 1);
    assert_eq!(common::answer(CONNECTION).map(|answer| answer.status), Some(500));
    assert_eq!(common::body(CONNECTION, b"READ a\r\n", true).0, 3);
    assert_eq!(common::trailers(CONNECTION), 1);
}

fn open_protocol(protocol: &str, item: &Value) {
    open_with(protocol, item, &Value::Null);
}

fn open_with(protocol: &str, item: &Value, protocol_config: &Value) {
    open_limited(protocol, item, protocol_config, 1 << 20);
}

fn open_limited(protocol: &str, item: &Value, protocol_config: &Value, held_bytes: usize) {
    let port = json!({"ports": [{"port": "4040"}], "rules": {"l7proto": protocol, "l7": [item]}});
    let policy = json!({
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNetworkPolicy",
        "metadata": {"name": "p"},
        "spec": {"endpointSelector": {}, "ingress": [{"toPorts": [port]}]},
    });
    let mut config = config(&[]);
    config["protocol"] = json!(protocol);
    config["protocolConfig"] = protocol_config.clone();
    config["limits"]["heldBytes"] = json!(held_bytes);
    config["policy"] = json!({"inline": policy.to_string()});
    assert!(start(&config.to_string()));
    connect(CONNECTION);
}

/// What answers a request that stood in for another is exactly that answer: anything else closes, and reaches nobody.
#[test]
fn a_server_that_answers_a_stand_in_in_another_way_is_closed() {
    let denied = b"CLIENT_ERROR access denied\r\n";
    for (answer, reaches) in [
        (&b"MN\r\n"[..], Some(&denied[..])),
        (b"MN\r\nMN\r\n", None),
        (b"mn\r\n", None),
        (b"MN \r\n", None),
        (b"END\r\n", None),
        (b"VALUE secret 0 2\r\nMN\r\nEND\r\n", None),
        (b"ERROR\r\n", None),
        (b"CLIENT_ERROR unauthenticated\r\n", None),
        (b"VERSION 1.6.40\r\n", None),
        (b"HD\r\nMN\r\n", None),
    ] {
        open_protocol("memcache", &json!({"command": "get", "keyPrefix": "public/"}));
        assert_eq!(send(CONNECTION, false, b"get secret\r\n", false).0, b"mn\r\n");
        let (got, _) = send(CONNECTION, true, answer, false);
        tick(1);
        assert_eq!(is_closed(), reaches.is_none(), "{}", answer.escape_ascii());
        // A server that turns out to want credentials is the reason that the client is told.
        let allowed: &[&[u8]] = &[reaches.unwrap_or_default(), denied, b"CLIENT_ERROR unauthenticated\r\n"];
        assert!(got.is_empty() || allowed.contains(&&got[..]), "{}: {}", answer.escape_ascii(), got.escape_ascii());
    }
}

/// A denial waits behind the replies that are owed, and those behind it.
#[test]
fn a_stand_in_has_its_turn() {
    open_protocol("memcache", &json!({"command": "get", "keyPrefix": "public/"}));
    let sent = send(CONNECTION, false, b"get secret\r\nget public/a\r\nget other\r\nmn\r\n", false).0;
    assert_eq!(sent, b"mn\r\nget public/a\r\n");
    assert_eq!(send(CONNECTION, true, b"MN", false).0, b"");
    assert_eq!(send(CONNECTION, true, b"\r\n", false).0, b"CLIENT_ERROR access denied\r\n");
    let reply = b"VALUE public/a 0 4\r\nMN\r\n\r\nEND\r\n";
    let denials = b"CLIENT_ERROR access denied\r\n".repeat(2);
    assert_eq!(send(CONNECTION, true, reply, false).0, [&reply[..], &denials].concat());
    assert!(!is_closed());
}

/// A server that wants credentials answers all questions with that: a connection that is given up has its last words all the same.
#[test]
fn who_has_not_said_credentials_is_told_why_the_connection_ends() {
    open_with("memcache", &json!({"command": "get"}), &json!({"authentication": true}));
    assert_eq!(send(CONNECTION, false, b"get a\r\n", false).0, b"mn\r\n");
    let refusal = b"CLIENT_ERROR unauthenticated\r\n";
    assert_eq!(send(CONNECTION, true, refusal, false).0, refusal);
    assert_eq!(send(CONNECTION, false, &[b'x'; 5000], false).0, b"mn\r\n");
    assert_eq!(send(CONNECTION, true, refusal, false).0, b"ERROR\r\n");
    tick(1);
    assert!(is_closed());
    assert_eq!(world(|world| world.metric("portcullis.memcache.errors")), 1);
}

/// Opaques are the client's own, and quiet requests may have no answer: neither says what belongs to what.
#[test]
fn a_binary_stand_in_has_its_turn_whatever_the_opaques_say() {
    let packet = |magic: u8, opcode: u8, opaque: &[u8; 4], key: &[u8], value: &[u8]| {
        let (key_len, body) = (u8::try_from(key.len()).unwrap(), u8::try_from(key.len() + value.len()).unwrap());
        let head = [magic, opcode, 0, key_len, 0, 0, 0, 0, 0, 0, 0, body];
        [&head[..], opaque, &[0; 8], key, value].concat()
    };
    let ask = |opcode, opaque, key| packet(0x80, opcode, opaque, key, b"");
    let question = ask(0x0b, b"\n\n\n\n", b"");
    let version = packet(0x81, 0x0b, b"\n\n\n\n", b"", b"1.6.40");
    let one = packet(0x81, 0x00, b"\n\n\n\n", b"", b"\0\0\0\0one");
    let begin = || {
        open_protocol("memcache", &json!({"command": "get", "keyPrefix": "public/"}));
        // A quiet get that passes, one that is denied, a denied get, one that passes, and a version of the client's own.
        let sent = [
            ask(0x09, b"\n\n\n\n", b"public/a"),
            ask(0x09, b"\n\n\n\n", b"secret"),
            ask(0x00, b"same", b"secret"),
            ask(0x00, b"\n\n\n\n", b"public/b"),
            ask(0x0b, b"\n\n\n\n", b""),
        ];
        let passed = [sent[0].clone(), question.clone(), sent[3].clone()].concat();
        assert_eq!(send(CONNECTION, false, &sent.concat(), false).0, passed);
    };
    begin();
    let (head, rest) = version.split_at(24);
    assert_eq!(send(CONNECTION, true, head, false).0, b"");
    let (denials, _) = send(CONNECTION, true, rest, false);
    let denied = |bytes: &[u8], opcode, opaque: &[u8]| {
        bytes.len() == 37 && bytes[..2] == [0x81, opcode] && bytes[6..8] == [0, 8] && bytes[12..16] == *opaque
    };
    assert!(denied(&denials[..37], 0x09, b"\n\n\n\n") && denied(&denials[37..], 0x00, b"same"));
    let (last, _) = send(CONNECTION, true, &one, false);
    assert!(last.starts_with(&one) && denied(&last[one.len()..], 0x0b, b"\n\n\n\n"));
    assert!(!is_closed());
    // In the place of the question's answer: that to a later request, one to nothing, and text.
    for answer in [&one[..], &packet(0x81, 0x0a, b"\n\n\n\n", b"", b""), b"ERROR\r\n"] {
        begin();
        assert_eq!(send(CONNECTION, true, answer, false).0, b"", "{}", answer.escape_ascii());
        tick(1);
        assert!(is_closed(), "{}", answer.escape_ascii());
    }
}

#[test]
fn a_cassandra_that_answers_options_with_rows_is_closed() {
    let envelope = |first: u8, stream: u8, opcode: u8, body: &[u8]| {
        [&[first, 0, 0, stream, opcode, 0, 0, 0, u8::try_from(body.len()).unwrap()][..], body].concat()
    };
    let startup = envelope(4, 0, 1, b"\0\x01\0\x0bCQL_VERSION\0\x053.0.0");
    let text = b"SELECT a FROM ks.t";
    let query = envelope(4, 7, 7, &[&[0, 0, 0, u8::try_from(text.len()).unwrap()], &text[..], &[0, 1, 0]].concat());
    for (answer, denied) in [
        (envelope(0x84, 7, 6, b"\0\0"), true),
        (envelope(0x84, 7, 0, b"\0\0\0\0\0\0"), true),
        (envelope(0x84, 7, 8, b"\0\0\0\x01"), false),
        (envelope(0x84, 7, 2, b""), false),
        (envelope(0x84, 8, 6, b"\0\0"), false),
        ([envelope(0x84, 7, 6, b"\0\0"), envelope(0x84, 7, 6, b"\0\0")].concat(), false),
    ] {
        open_protocol("cassandra", &json!({"query_action": "insert"}));
        assert_eq!(send(CONNECTION, false, &startup, false).0, startup);
        let ready = envelope(0x84, 0, 2, b"");
        assert_eq!(send(CONNECTION, true, &ready, false).0, ready);
        assert_eq!(send(CONNECTION, false, &query, false).0, envelope(4, 7, 5, b""));
        let (got, _) = send(CONNECTION, true, &answer, false);
        tick(1);
        assert_eq!(is_closed(), !denied, "{answer:?}");
        // An error of ours on that stream, or nothing.
        assert!(if denied { got.get(3..5) == Some(&[7, 0]) } else { got.is_empty() || got[4] == 0 }, "{got:?}");
        // The stream is free again, and what stood on it once is forgotten.
        if denied {
            assert_eq!(send(CONNECTION, false, &query, false).0, envelope(4, 7, 5, b""));
        }
    }
}

/// Denials that the client hears only when the server has answered count as held: past the limit the connection closes.
#[test]
fn denials_that_wait_count_as_held_and_the_limit_closes() {
    let envelope = |first: u8, stream: u8, opcode: u8, body: &[u8]| {
        [&[first, 0, 0, stream, opcode, 0, 0, 0, u8::try_from(body.len()).unwrap()][..], body].concat()
    };
    let text = b"SELECT a FROM ks.t";
    let query = [&[0, 0, 0, u8::try_from(text.len()).unwrap()], &text[..], &[0, 1, 0]].concat();
    let get = b"\x80\0\0\x06\0\0\0\0\0\0\0\x06same\0\0\0\0\0\0\0\0secret".to_vec();
    let version = b"\x81\x0b\0\0\0\0\0\0\0\0\0\x06\n\n\n\n\0\0\0\0\0\0\0\x001.6.40".to_vec();
    let memcache = json!({"command": "get", "keyPrefix": "public/"});
    let many = |bytes: &[u8]| vec![bytes.to_vec(); 30];
    let cases = [
        ("memcache", &memcache, many(b"get secret\r\n"), many(b"MN\r\n"), b"CLIENT_ERROR access denied\r\n".len(), 1),
        ("memcache", &memcache, many(&get), many(&version), 24 + b"access denied".len(), 1),
        (
            "cassandra",
            &json!({"query_action": "insert"}),
            (0..30).map(|stream| envelope(4, stream, 7, &query)).collect(),
            (0..30).map(|stream| envelope(0x84, stream, 6, b"\0\0")).collect(),
            0,
            30,
        ),
    ];
    for (protocol, item, requests, answers, size, stand_ins) in cases {
        let held =
            || usize::try_from(world(|world| world.metric(&format!("portcullis.{protocol}.held_bytes")))).unwrap();
        let open = |held_bytes| {
            open_limited(protocol, item, &Value::Null, held_bytes);
            if protocol == "cassandra" {
                send(CONNECTION, false, &envelope(4, 0, 1, b"\0\x01\0\x0bCQL_VERSION\0\x053.0.0"), false);
                send(CONNECTION, true, &envelope(0x84, 0, 2, b""), false);
            }
        };
        open(1 << 20);
        send(CONNECTION, false, &requests.concat(), false);
        let all = held();
        // In Cassandra's each has its own stream, and its place in a table.
        assert!(if size > 0 { all == 30 * size } else { all > 30 * 64 }, "{protocol}: {all}");
        let (denials, _) = send(CONNECTION, true, &answers[..stand_ins].concat(), false);
        assert!(denials.len() >= 30 * 28 && held() == 0 && !is_closed(), "{protocol}: {}", held());

        open(all - 1);
        for request in &requests[..29] {
            send(CONNECTION, false, request, false);
            assert!(!is_closed() && held() < all, "{protocol}");
        }
        // The question that stands in for the last one may have gone, and changes nothing.
        let (sent, _) = send(CONNECTION, false, &requests[29], false);
        assert!(sent.is_empty() || sent == envelope(4, 29, 5, b""), "{protocol}: {sent:?}");
        tick(1);
        assert!(is_closed(), "{protocol}");
        assert_eq!((held(), world(|world| world.reason(CONNECTION)).as_deref()), (0, Some("portcullis_memory")));
        assert_eq!(world(|world| world.metric(&format!("portcullis.{protocol}.errors"))), 1);
        assert_eq!(send(CONNECTION, true, &answers.concat(), false).0, b"", "{protocol}");
    }
}
