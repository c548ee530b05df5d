//! The HTTP filter where the corpus does not look: hosts that refuse, heads that no proxy should let through, certificates,
//! configurations that change.

mod common;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use common::{
    Answer, ROOT, answer, body, configure, connect, delete, marshal, reply, request, send, start, tick, trailers, world,
};
use serde_json::{Value, json};

const REQUEST: u32 = 2;

fn hook(decide: &Value) -> Value {
    json!({
        "apiVersion": "portcullis.dev/v1",
        "kind": "AdmissionHook",
        "metadata": {"name": "droids"},
        "spec": {
            "uri": "/droids",
            "doc": "Shows what becomes of a review.",
            "rules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}],
            "decide": decide,
        },
    })
}

fn policy(peers: &Value) -> Value {
    let ports = json!([{"ports": [{"port": "8443"}], "rules": {"l7proto": "admission", "l7": [{"pathPrefix": "/"}]}}]);
    let mut rule = json!({"toPorts": ports});
    rule.as_object_mut().unwrap().extend(peers.as_object().unwrap().clone());
    json!({
        "apiVersion": "portcullis.dev/v1",
        "kind": "L7Policy",
        "metadata": {"name": "p"},
        "spec": {"endpointSelector": {}, "ingress": [rule]},
    })
}

fn denies_bad() -> Value {
    json!([{"deny": {"names": ["bad"], "message": "these are not the droids"}}])
}

fn config(mode: &str, documents: &[Value]) -> Value {
    let text: String = documents.iter().map(|document| format!("---\n{document}\n")).collect();
    json!({
        "protocol": "admission",
        "protocolConfig": {"mode": mode, "callers": "anonymous"},
        "policy": {"inline": text},
        "endpoint": {"labels": {}},
        "direction": "ingress",
        "port": 8443,
        "accessLog": {"level": "requests"},
        "limits": {"frameTimeoutSeconds": 10},
    })
}

fn open(mode: &str) {
    open_with(&config(mode, &[policy(&json!({})), hook(&denies_bad())]));
}

fn open_with(config: &Value) {
    let started = start(&config.to_string());
    assert!(started, "{:?}", world(|world| world.log.clone()));
}

fn review(name: &str) -> Vec<u8> {
    let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}});
    let kind = json!({"group": "", "version": "v1", "kind": "Pod"});
    let resource = json!({"group": "", "version": "v1", "resource": "pods"});
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u", "kind": kind, "resource": resource, "name": name, "operation": "CREATE",
            "userInfo": {"username": "luke"}, "object": object,
        },
    })
    .to_string()
    .into_bytes()
}

const HEAD: [(&str, &str); 5] = [
    (":method", "POST"),
    (":path", "/droids"),
    (":scheme", "https"),
    (":authority", "h"),
    ("content-type", "application/json"),
];

/// A whole request of the usual head. Returns what the module wants done in the end, and what it leaves of the body.
fn post(bytes: &[u8]) -> (u32, Vec<u8>) {
    assert_eq!(request(REQUEST, &HEAD, false), 1);
    body(REQUEST, bytes, true)
}

fn status() -> u32 {
    answer(REQUEST).map_or(0, |answer| answer.status)
}

fn metric(name: &str) -> i64 {
    world(|world| world.metric(&format!("portcullis.admission.{name}")))
}

#[test]
fn a_review_is_answered_once_and_counted_by_its_hook() {
    for (name, allowed) in [("r2d2", true), ("bad", false)] {
        open("answer");
        assert_eq!(post(&review(name)).0, 3);
        let Answer { status, fields, body, .. } = answer(REQUEST).unwrap();
        assert_eq!((status, fields), (200, vec![("Content-Type".to_owned(), "application/json".to_owned())]));
        let told: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&told["response"]["uid"], &told["response"]["allowed"]), (&json!("u"), &json!(allowed)));
        let outcome = if allowed { "forwarded" } else { "denied" };
        assert_eq!(metric(&format!("judged.droids.{outcome}")), 1);
        assert_eq!((metric("connections"), metric("connections_active")), (1, 1));
        // The host's own account of the answer changes nothing.
        reply(REQUEST, &[(":status", "200")], &[&body], false);
        assert_eq!(common::body(REQUEST, b"more", true).0, 3);
        delete(REQUEST);
        assert_eq!((metric("connections_active"), metric("held_bytes")), (0, 0));
    }
}

#[test]
fn whatever_the_host_refuses_nothing_passes() {
    let functions = ["proxy_get_header_map_pairs", "proxy_get_buffer_bytes", "proxy_set_buffer_bytes"];
    for broken in functions {
        for more in [&[][..], &["proxy_send_local_response"], &["proxy_send_local_response", "proxy_close_stream"]] {
            open("guard");
            world(|world| world.broken = [&[broken], more].concat());
            assert_eq!(request(REQUEST, &HEAD, false), 1, "{broken}");
            assert_eq!(body(REQUEST, &review("r2d2"), true).0, 3, "{broken}");
            assert_eq!(trailers(REQUEST), 1, "{broken}");
            assert_eq!(status(), if more.is_empty() { 500 } else { 0 }, "{broken}");
            // What was refused is asked for again.
            world(|world| world.broken.clear());
            tick(1);
            assert_eq!(world(|world| world.reset.len()), usize::from(!more.is_empty()), "{broken} {more:?}");
            assert_eq!(body(REQUEST, b"more", true).0, 3);
            delete(REQUEST);
            assert_eq!((metric("connections_active"), metric("held_bytes")), (0, 0));
        }
    }
    open("answer");
    world(|world| world.broken = vec!["proxy_send_local_response"]);
    assert_eq!(post(&review("r2d2")).0, 3);
    assert_eq!(world(|world| world.reset.clone()), [REQUEST]);
}

#[test]
fn a_head_that_would_be_read_as_something_else_is_refused() {
    for (name, value) in [
        ("x\r\ncontent-length", "5"),
        ("content-length: 5\r\nx", "5"),
        ("x:y", "1"),
        ("x y", "1"),
        ("", "1"),
        (":protocol", "websocket"),
        ("x", "1\r\n\r\nPOST /droids HTTP/1.1"),
        ("x", "1\n"),
        ("x", "\0"),
        (":method", "POST /droids HTTP/1.1\r\nX: "),
        (":method", "GET /healthz HTTP/1.1\r\n\r\n"),
        (":method", "PO ST"),
        (":method", ""),
        (":path", "/droids HTTP/1.1\r\nX:"),
        (":path", "/droids HTTP/1.0"),
        (":path", "*"),
        (":path", "http://h/droids"),
        (":path", ""),
        (":authority", "h\r\nX: y"),
        ("host", "other"),
        ("content-length", "+5"),
        ("content-length", ""),
        ("content-length", "99999999999999999999999"),
        ("content_length", "5"),
        ("transfer_encoding", "chunked"),
        ("content-type", "application/json"),
    ] {
        open("shadow");
        let mut fields: Vec<_> = HEAD.iter().filter(|(known, _)| !known.starts_with(':') || *known != name).collect();
        let field = (name, value);
        fields.insert(0, &field);
        let fields: Vec<_> = fields.into_iter().copied().collect();
        let first = request(REQUEST, &fields, false);
        let then = body(REQUEST, &review("r2d2"), true).0;
        assert_eq!((first, then, status()), (1, 3, 400), "{name:?}: {value:?}");
    }
    // Two lengths, and a body that is longer or shorter than its length.
    for (lengths, sent) in [(&["5", "6"][..], "12345"), (&["5"], "123456"), (&["5"], "1234"), (&["5"], "")] {
        open("shadow");
        let mut fields = HEAD.to_vec();
        fields.extend(lengths.iter().map(|length| ("content-length", *length)));
        assert_eq!(request(REQUEST, &fields, false), 1);
        assert_eq!(body(REQUEST, sent.as_bytes(), true), (3, sent.as_bytes().to_vec()));
        assert_eq!(status(), 400, "{lengths:?} {sent}");
    }
}

#[test]
fn fields_that_cannot_be_read_are_refused() {
    let good = marshal(&HEAD);
    for cut in 0..good.len() {
        open("shadow");
        request(REQUEST, &HEAD, false);
        delete(REQUEST);
        world(|world| world.request_fields = good[..cut].to_vec());
        common::proxy_on_context_create(3, ROOT);
        world(|world| world.current = 3);
        assert_eq!(common::proxy_on_request_headers(3, 5, 1), 1, "{cut}");
        assert_eq!(answer(3).map(|answer| answer.status), Some(500), "{cut}");
    }
    for bytes in [&[255; 4][..], &[255; 64], &[1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]] {
        open("shadow");
        world(|world| world.request_fields = bytes.to_vec());
        common::proxy_on_context_create(REQUEST, ROOT);
        world(|world| world.current = REQUEST);
        assert_eq!(common::proxy_on_request_headers(REQUEST, 1, 1), 1);
        assert_eq!(status(), 500);
    }
}

#[test]
fn a_request_that_does_not_come_is_answered_in_time() {
    open("answer");
    assert_eq!(request(REQUEST, &HEAD, false), 1);
    tick(9);
    assert_eq!(status(), 0);
    tick(2);
    assert_eq!(status(), 408);
    let told = world(|world| world.log.iter().any(|(_, line)| line.contains("allow_on_headers_stop_iteration")));
    assert!(told, "a host that keeps bodies back is told of");
    assert_eq!(metric("errors"), 1);
    // As soon as anything of the body came, that is not the reason.
    open("answer");
    request(REQUEST, &HEAD, false);
    body(REQUEST, b"{", false);
    tick(11);
    assert_eq!(status(), 408);
    assert!(!world(|world| world.log.iter().any(|(_, line)| line.contains("allow_on_headers_stop_iteration"))));
}

#[test]
fn a_refusal_waits_for_the_body_but_not_for_long() {
    let mut fields = HEAD.to_vec();
    fields[1] = (":path", "/nowhere");
    for lingers in [false, true] {
        open("answer");
        assert_eq!(request(REQUEST, &fields, false), 1);
        assert_eq!(body(REQUEST, b"some", false).0, 3);
        assert_eq!(status(), 0);
        if lingers {
            tick(2);
        } else {
            assert_eq!(body(REQUEST, b"", true).0, 3);
        }
        let text = answer(REQUEST).unwrap().text();
        assert_eq!((status(), &*text), (404, "no hook at `/nowhere`; there are: /droids /healthz /readyz\n"));
        assert_eq!(metric("denied.requests"), 1);
    }
    // Nothing is gained by a body that is too large.
    open("answer");
    fields.push(("content-length", "8388609"));
    fields[1] = (":path", "/droids");
    assert_eq!(request(REQUEST, &fields, false), 1);
    assert_eq!((status(), answer(REQUEST).unwrap().text()), (413, "the body is too large\n".to_owned()));
    // Nor by one that does not say how large it is.
    open("answer");
    assert_eq!(request(REQUEST, &HEAD, false), 1);
    let piece = vec![b' '; 1 << 20];
    let sent = (0..20).take_while(|_| {
        body(REQUEST, &piece, false);
        status() == 0
    });
    assert_eq!((sent.count(), status()), (8, 413));
}

#[test]
fn what_is_held_altogether_is_bounded() {
    let mut config = config("answer", &[policy(&json!({})), hook(&denies_bad())]);
    config["limits"]["heldBytes"] = json!(100_000);
    open_with(&config);
    for context in 10..40 {
        request(context, &HEAD, false);
        body(context, &[b' '; 10_000], false);
        assert!(metric("held_bytes") <= 100_000);
    }
    let refused = (10..40).filter(|context| answer(*context).is_some_and(|answer| answer.status == 503)).count();
    assert!((20..30).contains(&refused), "{refused}");
    (10..40).for_each(delete);
    assert_eq!((metric("held_bytes"), metric("connections_active")), (0, 0));
}

#[test]
fn guard_lets_on_what_it_does_not_deny_and_nothing_else() {
    open("guard");
    assert_eq!(post(&review("r2d2")), (0, review("r2d2")));
    // An upstream has the last word, whatever it says, and however it says it.
    reply(REQUEST, &[(":status", "503"), ("transfer-encoding", "identity")], &[b"", b"no"], true);
    delete(REQUEST);
    assert_eq!(post(&review("bad")).0, 3);
    assert_eq!(status(), 200);
    assert!(answer(REQUEST).unwrap().text().contains("these are not the droids"));
}

#[test]
fn shadow_compares_the_reply_as_it_passes() {
    let allows = br#"{"response":{"uid":"u","allowed":true}}"#;
    let (first, rest) = allows.split_at(10);
    for (name, fields, pieces, reason) in [
        ("r2d2", &[(":status", "200")][..], &[first, b"", rest][..], None),
        ("bad", &[(":status", "200")], &[allows], Some("shadow: the upstream decides otherwise")),
        ("bad", &[(":status", "500")], &[allows], Some("shadow: the upstream failed")),
        ("bad", &[(":status", "503")], &[], Some("shadow: the upstream failed")),
        ("bad", &[(":status", "200"), ("content-encoding", "gzip")], &[b"\x1f\x8b"], Some("compressed")),
        ("r2d2", &[(":status", "200")], &[b"<html>"], Some("no AdmissionReview")),
    ] {
        for has_trailers in [false, true] {
            open("shadow");
            assert_eq!(post(&review(name)), (0, review(name)));
            reply(REQUEST, fields, pieces, has_trailers);
            let log = world(|world| world.access_log());
            let audits: Vec<_> = log.iter().filter(|line| line["verdict"] == "audit").collect();
            assert_eq!(audits.len(), usize::from(reason.is_some()), "{log:?}");
            if let Some(reason) = reason {
                assert!(audits[0]["reason"].as_str().unwrap().contains(reason), "{log:?}");
            }
            assert_eq!(metric("audit.requests"), i64::from(reason.is_some()));
        }
    }
    // A reply that cannot be read is not looked at, and passes.
    for broken in ["proxy_get_header_map_pairs", "proxy_get_buffer_bytes"] {
        open("shadow");
        post(&review("bad"));
        world(|world| world.broken = vec![broken]);
        reply(REQUEST, &[(":status", "200")], &[allows], false);
        assert_eq!(metric("audit.requests"), 0);
    }
}

#[test]
fn a_configuration_anew_is_judged_by_at_once_and_a_bad_one_changes_nothing() {
    open("answer");
    let stricter = hook(&json!([{"deny": {"message": "nobody gets in"}}]));
    assert_eq!(request(REQUEST, &HEAD, false), 1);
    let bytes = config("answer", &[policy(&json!({})), stricter]).to_string();
    assert!(!configure("{}"));
    assert!(configure(&bytes));
    // It was not judged yet.
    body(REQUEST, &review("r2d2"), true);
    assert!(answer(REQUEST).unwrap().text().contains("nobody gets in"));
    request(3, &HEAD, false);
    body(3, &review("r2d2"), true);
    assert!(answer(3).unwrap().text().contains("nobody gets in"));
    assert_eq!(metric("policy_generation"), 2);
}

#[test]
fn filters_in_the_wrong_place_let_nothing_pass() {
    open("answer");
    assert_eq!(connect(REQUEST), 1);
    assert_eq!(world(|world| world.closed.clone()), [REQUEST]);
    assert_eq!(send(REQUEST, false, b"POST /droids HTTP/1.1\r\n\r\n", false), (Vec::new(), false));
    // Numbers that nobody knows.
    assert_eq!(body(77, b"x", true).0, 3);
    assert_eq!(trailers(77), 1);
    assert_eq!(body(ROOT, b"x", true).0, 3);
}

/// DER: a tag, a length, and what is in it.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let inside = parts.concat();
    let mut out = vec![tag];
    match u8::try_from(inside.len()) {
        Ok(short @ 0..=0x7f) => out.push(short),
        _ => out.extend([0x82, (inside.len() >> 8) as u8, inside.len() as u8]),
    }
    [out, inside].concat()
}

/// A certificate with alternative names, as far as anybody reads it here, as hosts show it.
fn certificate(names: &[(u8, &str)], is_critical: bool) -> Vec<u8> {
    let names: Vec<u8> = names.iter().flat_map(|(tag, name)| der(*tag, &[name.as_bytes()])).collect();
    let critical = if is_critical { der(1, &[&[255]]) } else { Vec::new() };
    let names = der(4, &[&der(0x30, &[&names])]);
    let extension = der(0x30, &[&der(6, &[&[0x55, 0x1d, 0x11]]), &critical, &names]);
    let other = der(0x30, &[&der(6, &[&[0x55, 0x1d, 0x0f]]), &der(4, &[b"\x03\x02\x05\xa0"])]);
    let fields = der(0x30, &[&der(2, &[b"\x01"]), &der(0xa3, &[&der(0x30, &[&other, &extension])])]);
    let text = BASE64_STANDARD.encode(der(0x30, &[&fields, &der(3, &[b"\0"])]));
    let text = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    text.replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3D")
        .replace(' ', "%20")
        .replace('\n', "%0A")
        .into_bytes()
}

/// The names and the subject of a certificate.
type Shown<'a> = (&'a [(u8, &'a str)], &'a str);

const DNS: u8 = 0x82;
const URI: u8 = 0x86;

#[test]
fn a_caller_is_known_by_its_certificate() {
    let named = |peer: &Value| policy(&json!({"fromPeers": [peer]}));
    let spiffe = json!({"spiffe": "spiffe://galaxy/api"});
    let dns = json!({"dnsName": "api.galaxy"});
    let subject = json!({"subject": "CN=api"});
    let api = (URI, "spiffe://galaxy/api");
    // The policy, the certificate with its subject, and what the client gets.
    let cases: [(&Value, Option<Shown<'_>>, u32); 12] = [
        (&spiffe, Some((&[api], "")), 200),
        (&spiffe, Some((&[(DNS, "x"), api], "CN=other")), 200),
        (&spiffe, Some((&[api, (URI, "spiffe://galaxy/other")], "")), 403),
        (&spiffe, Some((&[(DNS, "spiffe://galaxy/api")], "")), 403),
        (&spiffe, Some((&[], "spiffe://galaxy/api")), 403),
        (&dns, Some((&[(DNS, "x"), (DNS, "API.galaxy")], "")), 200),
        (&dns, Some((&[(URI, "api.galaxy")], "")), 403),
        (&subject, Some((&[], "CN=api")), 200),
        (&subject, Some((&[api], "CN=api2")), 403),
        (&spiffe, Some((&[], "")), 401),
        (&spiffe, None, 401),
        (&json!({"spiffe": "spiffe://galaxy/*"}), Some((&[api], "")), 200),
    ];
    for (peer, shown, expected) in cases {
        for is_critical in [false, true] {
            let mut config = config("answer", &[named(peer), hook(&denies_bad())]);
            config["protocolConfig"]["callers"] = json!("authenticated");
            config["tlsIdentity"] = json!("optional");
            open_with(&config);
            world(|world| {
                world.properties.insert("connection.mtls".to_owned(), vec![shown.is_some().into()]);
                let Some((names, subject)) = shown else { return };
                let pem = certificate(names, is_critical);
                world.properties.insert("connection.peer_certificate".to_owned(), pem);
                world.properties.insert("connection.subject_peer_certificate".to_owned(), subject.into());
            });
            post(&review("r2d2"));
            assert_eq!(status(), expected, "{peer} {shown:?}");
        }
    }
}

#[test]
fn a_certificate_that_cannot_be_seen_lets_nobody_in() {
    let required = json!(true);
    let optional = json!("optional");
    let mtls = ("connection.mtls", vec![1]);
    let garbage = |text: &str| ("connection.peer_certificate", text.as_bytes().to_vec());
    let good = ("connection.peer_certificate", certificate(&[(DNS, "api.galaxy")], false));
    let mut cut = good.1.clone();
    cut.truncate(60);
    cut.extend(b"%0A-----END%20CERTIFICATE-----");
    for (identity, properties, expected) in [
        (&required, vec![mtls.clone(), good.clone()], 200),
        (&required, vec![("connection.mtls", vec![0]), good.clone()], 403),
        (&required, vec![mtls.clone()], 403),
        (&required, vec![good.clone()], 403),
        (&optional, vec![("connection.mtls", vec![0])], 200),
        (&optional, vec![], 403),
        (&optional, vec![mtls.clone(), garbage("nonsense")], 403),
        (&optional, vec![mtls.clone(), garbage("%")], 403),
        (&optional, vec![mtls.clone(), ("connection.peer_certificate", cut)], 403),
        (&json!(false), vec![], 200),
    ] {
        let mut config = config("answer", &[policy(&json!({})), hook(&denies_bad())]);
        config["tlsIdentity"] = identity.clone();
        open_with(&config);
        world(|world| {
            for (name, value) in &properties {
                world.properties.insert((*name).to_owned(), value.clone());
            }
        });
        assert_eq!(request(REQUEST, &HEAD, false), 1);
        body(REQUEST, &review("r2d2"), true);
        assert_eq!(status(), expected, "{identity} {properties:?}");
        assert_eq!(metric("errors"), i64::from(expected == 403), "{identity} {properties:?}");
    }
    for (identity, words) in [(json!("yes"), "optional"), (json!(7), "optional")] {
        let mut config = config("answer", &[policy(&json!({})), hook(&denies_bad())]);
        config["tlsIdentity"] = identity;
        assert!(!start(&config.to_string()));
        assert!(world(|world| world.log.iter().any(|(_, line)| line.contains(words))));
    }
}
