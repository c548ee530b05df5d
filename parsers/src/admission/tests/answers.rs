//! The filter answers.

use super::*;

const OK: &str =
    r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":"u-1","allowed":true}}"#;

#[test]
fn a_review_is_answered_and_the_connection_lives_on() {
    let two = post("/check", &review("good")) + &post("/check?timeout=10s", &review("bad"));
    let seen = ask(&two);
    let answers = answers(&seen);
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[0], (200, OK.to_owned()));
    assert_eq!(answers[1].0, 200);
    assert!(answers[1].1.contains(r#""allowed":false"#) && answers[1].1.contains("it is bad"), "{}", answers[1].1);
    assert_eq!(seen.closed, None);
    assert!(seen.to_server.is_empty());
    let text = std::str::from_utf8(&seen.to_client).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "), "{text}");
    let fields = |n: usize| &seen.log[n]["fields"];
    assert_eq!((&seen.log[0]["verdict"], &seen.log[1]["verdict"]), (&json!("forwarded"), &json!("denied")));
    assert_eq!(seen.log[1]["reason"], "decide[0]");
    for (name, value) in [
        ("hook", "check"),
        ("uid", "u-1"),
        ("operation", "CREATE"),
        ("kind", "Pod"),
        ("namespace", "ns"),
        ("name", "bad"),
        ("user", "luke"),
        ("verdict", "denied"),
        ("reasons", "it is bad"),
    ] {
        assert_eq!(fields(1)[name], value, "{name}");
    }
}

#[test]
fn chunks_are_put_together() {
    let body = review("good");
    let (a, b) = body.split_at(77);
    let chunked = format!(
        "POST /check HTTP/1.1\r\nHost: h\r\nContent-Type: application/json; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n{a}\r\n00{:X};name=value;other\r\n{b}\r\n0\r\nTrailer-Field: x\r\n\r\n",
        a.len(),
        b.len()
    );
    let seen = ask(&(chunked.clone() + &chunked));
    assert_eq!(answers(&seen), vec![(200, OK.to_owned()); 2]);
    assert_eq!(seen.closed, None);
}

#[test]
fn verdicts_that_let_go_are_answered_as_such_and_logged_as_audit() {
    for name in ["watched", "excused"] {
        let seen = ask(&post("/check", &review(name)));
        assert!(answers(&seen)[0].1.contains(r#""allowed":true"#));
        assert_eq!(seen.log[0]["verdict"], "audit");
    }
    let patched = ask(&post("/patch", &review("good")));
    assert!(answers(&patched)[0].1.contains(r#""patchType":"JSONPatch","patch":"WzFd""#));
}

#[test]
fn who_waits_for_100_gets_it_before_the_answer() {
    let seen = ask(&post_with("/check", "Expect: 100-Continue\r\n", &review("good")));
    let text = std::str::from_utf8(&seen.to_client).unwrap();
    assert!(text.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"), "{text}");
    let head = "POST /check HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(ask(head).to_client, b"HTTP/1.1 100 Continue\r\n\r\n");
    let refused = ask(&head.replace("/check", "/unknown"));
    assert_eq!((codes(&refused), refused.closed.as_deref()), (vec![404], Some("portcullis_finished")));
    assert_eq!(codes(&ask(&head.replace("100-continue", "200-ok"))), [417]);
    // Without a body there is nothing to wait for, and HTTP/1.0 does not know it.
    assert_eq!(codes(&ask("GET /healthz HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n")), [200]);
    let old = ask(&head.replace("HTTP/1.1", "HTTP/1.0"));
    assert!(old.to_client.is_empty() && old.closed.is_none());
}

#[test]
fn connections_end_when_the_client_says_so() {
    let body = review("good");
    for request in [
        post_with("/check", "Connection: keep-alive, Close\r\n", &body),
        post("/check", &body).replace("HTTP/1.1", "HTTP/1.0"),
        post_with("/check", "Connection: keep-alive\r\n", &body).replace("HTTP/1.1", "HTTP/1.0"),
        post("/check", &body).replace("HTTP/1.1", "HTTP/1.0").replace("Host: hooks\r\n", ""),
    ] {
        let seen = ask(&(request + &post("/check", &body)));
        assert_eq!(codes(&seen), [200]);
        assert!(seen.to_client.windows(21).any(|text| text == b"\r\nConnection: close\r\n"));
        assert_eq!(seen.closed.as_deref(), Some("portcullis_finished"));
    }
    let seen = play(&scenario(
        json!({"callers": "anonymous"}),
        json!([{"client": post("/check", &body)}, {"clientEnd": null}]),
    ));
    assert_eq!((codes(&seen), seen.closed.as_deref()), (vec![200], Some("portcullis_finished")));
}

#[test]
fn health_is_told_to_anybody() {
    let listener = |request: &str| play(&scenario(json!({}), json!([{"client": request}])));
    let seen = listener("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\nGET /readyz?x HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(answers(&seen), [(200, "ok\n".to_owned()), (200, "ok\n".to_owned())]);
    assert_eq!(seen.log, Vec::<Value>::new());
    let head = listener("HEAD /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(head.to_client.ends_with(b"Content-Length: 3\r\n\r\n"));
    let post = listener(
        "POST /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /healthz HTTP/1.1\r\nHost: h\r\n\r\n",
    );
    assert_eq!(codes(&post), [405, 200]);
    assert!(std::str::from_utf8(&post.to_client).unwrap().contains("\r\nAllow: GET, HEAD\r\n"));
}

#[test]
fn callers_are_known_or_turned_away() {
    let listener = |fields: &str| {
        let request = post_with("/check", fields, &review("good")) + "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n";
        play(&scenario(json!({}), json!([{"client": request}])))
    };
    for stranger in [
        "",
        "Authorization: Bearer boop\r\n",
        "Authorization: Bearer\r\n",
        "Authorization: Basic beep\r\n",
        "Authorization: beep\r\n",
    ] {
        let seen = listener(stranger);
        assert_eq!(codes(&seen), [401, 200], "{stranger}");
        assert!(std::str::from_utf8(&seen.to_client).unwrap().contains("\r\nWWW-Authenticate: Bearer\r\n"));
        assert_eq!(seen.log[0]["verdict"], "denied");
        assert!(!seen.log[0].to_string().contains("oop"), "{}", seen.log[0]);
    }
    for known in ["Authorization: Bearer beep\r\n", "authorization: bearer  beep \r\n"] {
        let seen = listener(known);
        assert_eq!(codes(&seen), [200, 200], "{known}");
        assert_eq!(seen.log[0]["fields"]["caller"], "api");
    }
    assert_eq!(codes(&listener("Authorization: Bearer beep\r\nAuthorization: Bearer beep\r\n")), [400]);
}

#[test]
fn policy_says_who_may_call_which_hook() {
    let mut listener = scenario(
        json!({"callers": "anonymous"}),
        json!([{"client": post("/check", &review("good")) + &post("/patch", &review("good"))}]),
    );
    listener.policy[0]["spec"]["ingress"][0]["toPorts"][0]["rules"]["l7"] = json!([{"path": "/patch"}]);
    let seen = play(&listener);
    assert_eq!(codes(&seen), [403, 200]);
    let (first, second) = (&seen.log[0], &seen.log[1]);
    assert_eq!((&first["verdict"], &first["fields"]["path"]), (&json!("denied"), &json!("/check")));
    assert_eq!(second["rule"], "p/spec.ingress[0].toPorts[0].rules.l7[0]");
    listener.policy = json!([]);
    assert_eq!(codes(&play(&listener)), [403, 403]);
}

#[test]
fn what_cannot_be_judged_is_told_why_and_the_connection_lives_on() {
    let body = review("good");
    let json = "Content-Type: application/json\r\n";
    let unknown = body.replace("CREATE", "READ");
    for (request, code, words) in [
        (post("/unknown", &body), 404, "there are: /check /patch"),
        (post("/check/", &body), 404, "`/check/`"),
        (post("//check", &body), 404, "`//check`"),
        (post("/x/../check", &body), 404, "`/x/../check`"),
        (post("/%63heck", &body), 404, "`/%63heck`"),
        (post("/check", &body).replacen("POST", "PUT", 1), 405, "method"),
        (post("/check", &body).replacen("POST", "post", 1), 405, "method"),
        (post("/check", &body).replacen("POST", "GET", 1), 405, "method"),
        (post("/check", &body).replace(json, ""), 415, "`application/json` is needed"),
        (post("/check", &body).replace("application/json", "text/json"), 415, "in UTF-8"),
        (post("/check", &body).replace("application/json", "application/json; charset=utf-16"), 415, "in UTF-8"),
        (post_with("/check", "Content-Encoding: gzip\r\n", &body), 415, "Content-Encoding"),
        (post("/check", ""), 400, "request body is empty"),
        (post("/check", "").replace("Content-Length: 0\r\n", ""), 400, "request body is empty"),
        (post("/check", "{"), 400, "at byte 1 (line 1, column 2)"),
        (post("/check", "{}"), 400, "AdmissionReview"),
        (post("/check?timeout=never", &body), 400, "no duration"),
        (post("/check", &unknown), 200, r#""uid":"u-1","allowed":false"#),
    ] {
        let next = post("/check", &body);
        let seen = ask(&(request.clone() + &next));
        let answers = answers(&seen);
        assert_eq!((answers.len(), seen.closed.as_deref()), (2, None), "{request}");
        assert!(answers[0].0 == code && answers[0].1.contains(words), "{request}: {:?}", answers[0]);
        assert_eq!(answers[1].0, 200, "{request}");
        assert_eq!(
            (&seen.log[0]["verdict"], &seen.log[1]["verdict"]),
            (&json!("denied"), &json!("forwarded")),
            "{request}"
        );
    }
    let allow = ask(&post("/check", &body).replacen("POST", "PUT", 1));
    assert!(std::str::from_utf8(&allow.to_client).unwrap().contains("\r\nAllow: POST\r\n"));
    // In chunks, whose end nobody knows when the answer goes out.
    let chunked = format!(
        "POST /unknown HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n{}",
        post("/check", &body)
    );
    assert_eq!(codes(&ask(&chunked)), [404, 200]);
    // The end of the connection is heard in a body that nobody wants, too.
    for whole in [post("/unknown", &body), chunked.clone()] {
        let steps = json!([{"client": &whole[..whole.find("\r\n\r\n").unwrap() + 7]}, {"clientEnd": null}]);
        let seen = play(&scenario(json!({"callers": "anonymous"}), steps));
        assert_eq!((codes(&seen), seen.closed.as_deref()), (vec![404], Some("portcullis_parse_error")), "{whole}");
    }
    // An unknown path is not told back at any length.
    let long = ask(&post(&format!("/{}", "a".repeat(60_000)), &body));
    assert!(codes(&long) == [404] && long.to_client.len() < 1000, "{}", long.to_client.len());
    let worse = chunked.replace("abc\r\n", "abcd\r\n");
    let seen = ask(&worse);
    assert_eq!((codes(&seen), seen.closed.as_deref()), (vec![404], Some("portcullis_parse_error")));
}

#[test]
fn sizes_have_an_end() {
    let small = |body: &str, frame: usize| {
        let mut listener = scenario(json!({"callers": "anonymous", "maxBodyBytes": 400}), json!([{"client": body}]));
        listener.limits.max_frame_bytes = frame;
        play(&listener)
    };
    let good = review("good");
    assert_eq!(codes(&small(&post("/check", &good), 1 << 20)), [200]);
    for request in
        [post("/check", &" ".repeat(401)), post("/check", "").replace("Length: 0", "Length: 99999999999999999999999")]
    {
        let seen = small(&(request.clone() + &post("/check", &good)), 1 << 20);
        assert_eq!((codes(&seen), seen.closed.as_deref()), (vec![413], Some("portcullis_finished")), "{request}");
        assert_eq!(seen.log[0]["verdict"], "denied");
    }
    // The answer does not wait for a body that may never come, nor for the rest of one.
    for request in [post("/check", &" ".repeat(401)), post_with("/unknown", "Connection: close\r\n", &good)] {
        let head = request.find("\r\n\r\n").unwrap() + 4;
        for cut in [head, head + 5, request.len() - 1] {
            let seen = small(&request[..cut], 1 << 20);
            assert_eq!((codes(&seen).len(), seen.closed.as_deref()), (1, Some("portcullis_finished")), "{request}");
        }
    }
    let chunked_close = "POST /unknown HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    let seen = small(chunked_close, 1 << 20);
    assert_eq!((codes(&seen), seen.closed.as_deref()), (vec![404], Some("portcullis_finished")));
    let held = small(&post("/check", &good), 300);
    assert_eq!((codes(&held), held.closed.as_deref()), (vec![413], Some("portcullis_finished")));
    let chunked = |chunks: &str| {
        format!(
            "POST /check HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"
        )
    };
    for (chunks, frame) in [
        ("191\r\n".to_owned(), 1 << 20),
        ("FFFFFFFFFFFFFFFF\r\n".to_owned(), 1 << 20),
        (format!("190\r\n{}\r\n1\r\n", " ".repeat(400)), 1 << 20),
        ("1\r\n \r\n".repeat(100), 300),
        ("100\r\n".to_owned(), 300),
        (format!("1\r\n \r\n0\r\nA: {}", "b".repeat(300)), 300),
    ] {
        let seen = small(&chunked(&chunks), frame);
        assert!(matches!(codes(&seen)[..], [413 | 431]), "{chunks}: {:?}", codes(&seen));
        assert_eq!(seen.closed.as_deref(), Some("portcullis_parse_error"), "{chunks}");
    }
    let head = |bytes: usize| format!("GET /healthz HTTP/1.1\r\nHost: h\r\nA: {}\r\n\r\n", "b".repeat(bytes - 39));
    assert_eq!(codes(&ask(&head(64 << 10))), [200]);
    let over = ask(&head((64 << 10) + 1));
    assert_eq!((codes(&over), over.closed.as_deref()), (vec![431], Some("portcullis_parse_error")));
    let endless = ask(&format!("GET /{} ", "a".repeat(70 << 10)));
    assert_eq!(codes(&endless), [431]);
    let many = format!("GET /healthz HTTP/1.1\r\nHost: h\r\n{}\r\n", "A: b\r\n".repeat(128));
    assert_eq!(codes(&ask(&many)), [431]);
}

#[test]
fn a_body_that_ends_early_is_no_request() {
    let whole = post("/check", &review("good"));
    for cut in [10, whole.len() - 300, whole.len() - 1] {
        let steps = json!([{"client": &whole[..cut]}, {"clientEnd": null}]);
        let seen = play(&scenario(json!({"callers": "anonymous"}), steps));
        assert!(seen.to_client.is_empty() && seen.closed.as_deref() == Some("portcullis_parse_error"));
        let why = seen.log[0]["reason"].as_str().unwrap();
        assert!(why.contains(" bytes"), "{why}");
    }
}
