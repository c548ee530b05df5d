//! An upstream stands behind the filter.

use super::*;

fn guard(steps: Value) -> Observed {
    play(&scenario(json!({"callers": "anonymous", "mode": "guard"}), steps))
}

fn shadow(steps: Value) -> Observed {
    play(&scenario(json!({"callers": "anonymous", "mode": "shadow"}), steps))
}

/// A reply of the upstream.
fn reply(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn decision(allowed: bool, patch: &str) -> String {
    reply(&format!(r#"{{"response": {{"uid": "u-1", "allowed": {allowed}{patch}}}}}"#))
}

#[test]
fn what_is_allowed_passes_as_it_came_and_so_does_its_reply() {
    let (plain, body) = (post("/check", &review("good")), review("good"));
    let chunked = format!(
        "POST /check HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    for request in [plain, chunked] {
        let steps = json!([{"client": format!("\r\n{request}")}, {"server": reply("yes")}, {"client": request}, {"server": reply("no")}]);
        let seen = guard(steps);
        assert_eq!(seen.to_server, request.repeat(2).as_bytes());
        assert_eq!(seen.to_client, (reply("yes") + &reply("no")).as_bytes());
        assert_eq!(seen.closed, None);
        assert_eq!(seen.log.iter().filter(|line| line["verdict"] == "forwarded").count(), 2);
    }
}

#[test]
fn what_is_denied_is_answered_in_its_turn() {
    let (good, bad) = (post("/check", &review("good")), post("/check", &review("bad")));
    let health = "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n";
    let requests = [&*bad, &good, &bad, health, &good, &bad].concat();
    let seen = guard(json!([
        {"client": requests},
        {"server": reply("first") + &reply("second")},
    ]));
    assert_eq!(seen.to_server, good.repeat(2).as_bytes());
    let bodies: Vec<_> =
        answers(&seen).into_iter().map(|(_, body)| if body.len() > 9 { "denied".to_owned() } else { body }).collect();
    assert_eq!(bodies, ["denied", "first", "denied", "ok\n", "second", "denied"]);
    assert_eq!(seen.closed, None);
}

#[test]
fn replies_are_framed_whatever_they_look_like() {
    let good = post("/check", &review("good"));
    let bad = post("/check", &review("bad"));
    for reply in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nA: b\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n",
        "HTTP/1.1 500\r\nContent-Length: 0\r\n\r\n",
    ] {
        let seen = guard(json!([{"client": good.clone() + &bad}, {"server": reply}]));
        let text = std::str::from_utf8(&seen.to_client).unwrap();
        assert!(text.starts_with(&(reply.to_owned() + "HTTP/1.1 200 OK\r\nContent-Type")), "{text}");
        assert_eq!(seen.closed, None, "{reply}");
        // There is no reply to what did not pass.
        let more = guard(json!([{"client": good.clone() + &bad}, {"server": format!("{reply}HTTP/1.1 200 OK\r\n")}]));
        assert_eq!(more.closed.as_deref(), Some("portcullis_parse_error"), "{reply}");
        assert_eq!(more.to_client, seen.to_client);
    }
    let endless = guard(
        json!([{"client": good}, {"server": "HTTP/1.0 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"}, {"server": "more"}, {"serverEnd": null}]),
    );
    assert!(endless.to_client.ends_with(b"\r\n\r\nmore") && endless.closed.is_none());
}

#[test]
fn nothing_of_ours_stands_in_or_behind_a_reply_that_ends_with_the_connection() {
    let (good, bad) = (post("/check", &review("good")), post("/check", &review("bad")));
    let malformed = "GET / HTTP/1.1\r\nHost : h\r\n\r\n";
    let reply = "HTTP/1.1 200 OK\r\n\r\nall of it";
    for (behind, closed) in [(&*bad, None), (malformed, Some("portcullis_parse_error"))] {
        for mode in ["guard", "shadow"] {
            let steps = json!([
                {"client": good.clone() + behind}, {"server": &reply[..25]}, {"server": &reply[25..]}, {"serverEnd": null},
            ]);
            let seen = play(&scenario(json!({"callers": "anonymous", "mode": mode}), steps));
            assert_eq!(seen.to_client.escape_ascii().to_string(), reply.as_bytes().escape_ascii().to_string());
            assert_eq!(seen.closed.as_deref(), closed);
        }
        // Who asks on gets nothing, and the upstream does not either.
        let late = guard(
            json!([{"client": good}, {"server": reply}, {"serverEnd": null}, {"client": behind}, {"client": good}]),
        );
        assert_eq!((late.to_client, late.to_server), (reply.as_bytes().to_vec(), good.clone().into_bytes()));
        assert_eq!(late.closed.as_deref(), Some("portcullis_finished"));
    }
    // In the middle of a body it would be read as part of that.
    let steps = json!([
        {"client": good.clone() + malformed}, {"server": "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nall"}, {"serverEnd": null},
    ]);
    for mode in ["guard", "shadow"] {
        let seen = play(&scenario(json!({"callers": "anonymous", "mode": mode}), steps.clone()));
        assert!(seen.to_client.ends_with(b"\r\n\r\nall"), "{}", seen.to_client.escape_ascii());
    }
}

#[test]
fn replies_that_two_clients_read_in_two_ways_are_none() {
    let good = post("/check", &review("good"));
    for reply in [
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 999 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        let seen = guard(json!([{"client": good}, {"server": reply}]));
        assert_eq!(seen.closed.as_deref(), Some("portcullis_parse_error"), "{reply}");
        assert!(seen.to_client.is_empty(), "{reply}");
    }
    let chunk = guard(
        json!([{"client": good}, {"server": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n"}]),
    );
    assert_eq!(chunk.closed.as_deref(), Some("portcullis_parse_error"));
    let unasked = guard(json!([{"server": reply("hello")}]));
    assert!(unasked.closed.is_some() && unasked.to_client.is_empty());
}

#[test]
fn nothing_is_passed_that_an_upstream_could_take_for_more() {
    let body = review("good");
    for (request, code) in [
        (post_with("/check", "Upgrade: h2c\r\n", &body), 400),
        (post_with("/check", "Connection: upgrade\r\n", &body), 400),
        (post_with("/check", "Connection: close, Content-Length\r\n", &body), 400),
        (post("/unknown", &body), 404),
        (post("/check", "[]"), 400),
        (post("/check", &body).replacen("POST", "GET", 1), 405),
        ("CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), 400),
    ] {
        let seen = guard(json!([{"client": request}]));
        assert_eq!(codes(&seen), [code], "{request}");
        assert!(seen.to_server.is_empty(), "{request}");
    }
    // The bytes pass as they are, and cannot be changed.
    let patched = guard(json!([{"client": post("/patch", &body)}]));
    assert!(answers(&patched)[0].1.contains(r#""code":500"#) && answers(&patched)[0].1.contains("mode: guard"));
    assert!(patched.to_server.is_empty());
    for name in ["watched", "excused"] {
        let seen = guard(json!([{"client": post("/check", &review(name))}]));
        assert_eq!(
            (seen.to_server.len(), &seen.log[0]["verdict"]),
            (post("/check", &review(name)).len(), &json!("audit"))
        );
    }
}

#[test]
fn the_connection_ends_behind_the_reply_to_its_last_request() {
    let last = post_with("/check", "Connection: close\r\n", &review("good"));
    let after = post("/check", &review("good"));
    let seen = guard(json!([{"client": last.clone() + &after}, {"server": reply("yes")}]));
    assert_eq!((seen.to_server, seen.to_client), (last.clone().into_bytes(), reply("yes").into_bytes()));
    assert_eq!(seen.closed.as_deref(), Some("portcullis_finished"));
    let denied = post_with("/check", "Connection: close\r\n", &review("bad"));
    let seen = guard(json!([{"client": after.clone() + &denied + &after}, {"server": reply("yes")}]));
    assert_eq!((seen.to_server, seen.closed.as_deref()), (after.clone().into_bytes(), Some("portcullis_finished")));
    assert!(seen.to_client.starts_with(reply("yes").as_bytes()) && seen.to_client.len() > 200);
    let malformed =
        guard(json!([{"client": after.clone() + "GET / HTTP/1.1\r\nHost : h\r\n\r\n"}, {"server": reply("yes")}]));
    let text = String::from_utf8(malformed.to_client).unwrap();
    assert!(text.starts_with(&(reply("yes") + "HTTP/1.1 400 ")), "{text}");
}

#[test]
fn what_comes_behind_the_last_reply_does_not_hide_why_the_connection_ends() {
    let good = post("/check", &review("good"));
    let steps =
        json!([{"client": good + "GET / HTTP/1.1\r\nHost : h\r\n\r\n"}, {"server": reply("yes") + &reply("more")}]);
    let text = String::from_utf8(guard(steps).to_client).unwrap();
    assert!(text.starts_with(&(reply("yes") + "HTTP/1.1 400 ")) && !text.contains("more"), "{text}");
}

#[test]
fn many_answers_wait_and_then_requests_do() {
    let (good, bad) = (post("/check", &review("good")), post("/check", &review("bad")));
    let seen = guard(json!([
        {"client": good.clone() + &bad.repeat(100) + &good.repeat(200)},
        {"server": reply("yes").repeat(90)},
        {"server": reply("yes").repeat(111)},
    ]));
    assert_eq!((seen.to_server.len(), codes(&seen).len()), (good.len() * 201, 301));
    assert_eq!(seen.closed, None);
}

#[test]
fn a_shadow_lets_everything_pass_that_is_a_request() {
    let get = "GET /other?x=%20 HTTP/1.1\r\nHost: h\r\n\r\n".to_owned();
    let head = "HEAD /other HTTP/1.1\r\nHost: h\r\n\r\n".to_owned();
    let head_reply = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    let requests = [post("/check", &review("good")), post("/unknown", "x"), post("/check", "[]"), get, head];
    let replies = [decision(true, ""), reply("a"), reply("b"), reply("c"), head_reply.to_owned()];
    let seen = shadow(json!([{"client": requests.concat()}, {"server": replies.concat()}]));
    assert_eq!((seen.to_server, seen.to_client), (requests.concat().into_bytes(), replies.concat().into_bytes()));
    assert_eq!(seen.closed, None);
    assert!(seen.log.iter().all(|line| line["verdict"] == "forwarded"), "{:?}", seen.log);
    // Not so what nobody can frame, and whom policy does not let call.
    let bad = shadow(json!([{"client": "GET / HTTP/1.1\r\nHost: h\r\n A: b\r\n\r\n"}]));
    assert!(bad.to_server.is_empty() && codes(&bad) == [400]);
    // Nor what makes a tunnel, or has another reply than we expect.
    for request in ["CONNECT /x HTTP/1.1", "connect /x HTTP/1.1", "head /x HTTP/1.1", "Head /x HTTP/1.1"] {
        let seen = shadow(json!([{"client": format!("{request}\r\nHost: h\r\n\r\n")}]));
        assert!(seen.to_server.is_empty() && codes(&seen) == [400], "{request}");
    }
    let stranger = play(&scenario(json!({"mode": "shadow"}), json!([{"client": post("/check", &review("good"))}])));
    assert!(stranger.to_server.is_empty() && codes(&stranger) == [401]);
}

#[test]
fn a_shadow_tells_where_it_would_have_answered_otherwise() {
    let chunked = |body: &str| {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let body = body.split_once("\r\n\r\n").unwrap().1;
        let (a, b) = body.split_at(5);
        format!("{head}{:x}\r\n{a}\r\n{:x}\r\n{b}\r\n0\r\n\r\n", a.len(), b.len())
    };
    let patch = r#", "patchType": "JSONPatch", "patch": "WzFd""#;
    for (path, name, reply, difference) in [
        ("/check", "good", decision(true, ""), None),
        ("/check", "bad", decision(false, ""), None),
        ("/patch", "good", decision(true, patch), None),
        ("/check", "good", decision(true, r#", "patch": "W10=""#), None),
        ("/check", "bad", decision(true, ""), Some(("decides otherwise", "denied", "allowed"))),
        ("/check", "good", decision(false, ""), Some(("decides otherwise", "allowed", "denied"))),
        ("/check", "bad", chunked(&decision(true, "")), Some(("decides otherwise", "denied", "allowed"))),
        ("/check", "good", decision(true, patch), Some(("changes the object", "allowed", "changed"))),
        ("/patch", "good", decision(true, ""), Some(("changes the object", "changed", "allowed"))),
        ("/check", "good", reply("[]"), Some(("no AdmissionReview", "allowed", "unknown"))),
        (
            "/check",
            "good",
            decision(true, "").replace("200 OK", "500 No"),
            Some(("the upstream failed", "allowed", "unknown")),
        ),
        (
            "/check",
            "good",
            decision(true, "").replace("\r\n\r\n", "\r\nContent-Encoding: gzip\r\n\r\n"),
            Some(("not compared", "allowed", "unknown")),
        ),
        ("/check", "good", reply(&" ".repeat((2 << 20) + 1)), Some(("not compared", "allowed", "unknown"))),
    ] {
        let seen = shadow(json!([{"client": post(path, &review(name))}, {"server": reply}]));
        assert_eq!(seen.to_client, reply.as_bytes());
        let told: Vec<_> = seen.log.iter().filter(|line| line["verdict"] == "audit").collect();
        let Some((reason, ours, theirs)) = difference else {
            assert!(told.is_empty(), "{told:?}");
            continue;
        };
        let fields = &told[0]["fields"];
        assert!(told.len() == 1 && told[0]["reason"].as_str().unwrap().contains(reason), "{told:?}");
        assert_eq!(
            (&fields["verdict"], &fields["upstream"], &fields["uid"], &fields["hook"]),
            (&json!(ours), &json!(theirs), &json!("u-1"), &json!(path[1..]))
        );
    }
    // What ends with the connection.
    let body = r#"{"response": {"allowed": true}}"#;
    let seen = shadow(
        json!([{"client": post("/check", &review("bad"))}, {"server": format!("HTTP/1.1 200 OK\r\n\r\n{body}")}, {"serverEnd": null}]),
    );
    assert_eq!(seen.log.iter().filter(|line| line["verdict"] == "audit").count(), 1);
}
