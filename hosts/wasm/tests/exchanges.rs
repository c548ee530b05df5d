//! The scenarios of HTTP through the exported functions of the HTTP filter: what a proxy lets through of them, request by
//! request, whole and at every cut. The same is answered, passed and logged as on a connection.

mod common;
mod transcript;

use std::collections::VecDeque;

use common::{Answer, ROOT, answer, body, delete, reply, request, start, tick, trailers, world};
use portcullis_parsers::test::REGISTRY;
use portcullis_proxylib::testing::{Cut, Observed, Scenario, Step};
use serde_json::{Value, json};
use transcript::{Transcript, text};

#[test]
fn every_scenario_that_a_proxy_lets_through_holds_at_every_cut() {
    let random = (0..2).flat_map(|seed| [Cut::Random(seed), Cut::Pieces(seed)]);
    let cuts: Vec<_> = [Cut::Whole, Cut::Bytewise].into_iter().chain(random).collect();
    let is_http = |protocol: &str| REGISTRY.find(protocol).is_some_and(|protocol| protocol.is_http());
    let (mut failures, mut played) = (Vec::new(), Vec::new());
    let mut transcript = Transcript::create("exchanges");
    for (file, scenario) in portcullis_tests::scenarios() {
        if !is_http(&scenario.protocol) {
            continue;
        }
        let between = BETWEEN_PROXY_AND_PEERS.iter().any(|start| file.starts_with(start));
        let sent: Vec<u8> = scenario.steps.iter().filter_map(client).flatten().copied().collect();
        let (false, Some(requests), Some(_)) = (between, split(&sent), split(&scenario.expect.to_client.0)) else {
            transcript.skip(&file, "the proxy reads HTTP, and deals with that by itself");
            continue;
        };
        for chunks in [false, true] {
            // That a body is too large is an error where its length was not told before.
            if chunks && file == "admission/body-over-limit.json" {
                continue;
            }
            for &cut in &cuts {
                let mut exchanges = Vec::new();
                let outcome = play(&scenario, &requests, cut, chunks, &mut exchanges);
                if cut == Cut::Whole {
                    let log = world(|world| world.access_log());
                    let configuration = configuration(&scenario);
                    let play = json!({"configuration": configuration, "exchanges": exchanges, "log": log});
                    transcript.play(&file, cut, play);
                }
                failures.extend(outcome.err().map(|why| format!("{file}, cut {cut:?}, chunks {chunks}: {why}")));
            }
        }
        played.push(file);
    }
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
    for (start, least) in [("admission/", 55), ("admission/guard-", 5), ("admission/shadow-", 4)] {
        let count = played.iter().filter(|file| file.starts_with(start)).count();
        assert!(count >= least, "only {count} of {start}: {played:?}");
    }
}

/// What a proxy reads or ends for itself: replies that are none, and the rest of a body whose request was answered.
const BETWEEN_PROXY_AND_PEERS: [&str; 2] = ["admission/guard-reply-", "admission/refused-body-ends"];

fn client(step: &Step) -> Option<&Vec<u8>> {
    match step {
        Step::Client(bytes) => Some(&bytes.0),
        _ => None,
    }
}

/// A message as a proxy has it.
#[derive(Clone, Debug)]
struct Message {
    first: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
    is_whole: bool,
    /// Nothing is read behind it.
    closes: bool,
}

impl Message {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }
}

/// Reads messages as a proxy does; nothing if it would not let them through.
fn split(mut bytes: &[u8]) -> Option<Vec<Message>> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        if end > 60 << 10 {
            return None;
        }
        let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
        bytes = &bytes[end + 4..];
        let mut lines = head.split("\r\n");
        let first = lines.next()?.to_owned();
        let mut fields = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(':')?;
            let bad = |c: char| c.is_ascii_control() && c != '\t' || c == '\u{7f}';
            if name.is_empty() || name.contains([' ', '\t', '_']) || value.contains(bad) {
                return None;
            }
            fields.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
        }
        let mut message = Message { first, fields, body: Vec::new(), is_whole: true, closes: false };
        let is_request = !message.first.starts_with("HTTP/1.1 ");
        if is_request && !is_sound(&message) {
            return None;
        }
        message.closes = message.field("connection") == Some("close");
        let count = |name: &str| message.fields.iter().filter(|(known, _)| known == name).count();
        match (count("content-length"), count("transfer-encoding")) {
            (0, 0) if is_request || message.first.starts_with("HTTP/1.1 100") => {}
            (1, 0) => {
                let text = message.field("content-length")?;
                if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
                    return None;
                }
                let length: usize = text.parse().ok()?;
                message.is_whole = length <= bytes.len();
                message.closes |= !message.is_whole;
                let (now, rest) = bytes.split_at(length.min(bytes.len()));
                message.body = now.to_vec();
                bytes = rest;
            }
            (0, 1) if message.field("transfer-encoding") == Some("chunked") => {
                bytes = read_chunks(&mut message, bytes)?
            }
            _ => return None,
        }
        let closes = message.closes;
        messages.push(message);
        if closes {
            break;
        }
    }
    Some(messages)
}

fn is_sound(message: &Message) -> bool {
    let words: Vec<_> = message.first.split(' ').collect();
    let hosts = message.fields.iter().filter(|(name, _)| name == "host").count();
    // Upgrades and what `Connection` names are between the client and the proxy.
    let connection = message.field("connection").is_none_or(|value| value == "close" || value == "keep-alive");
    let [method, path, "HTTP/1.1"] = words[..] else { return false };
    method != "CONNECT" && path.starts_with('/') && hosts == 1 && connection && message.field("upgrade").is_none()
}

fn read_chunks<'a>(message: &mut Message, mut bytes: &'a [u8]) -> Option<&'a [u8]> {
    loop {
        let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else {
            message.is_whole = false;
            message.closes = true;
            return bytes.is_empty().then_some(b"");
        };
        let digits = std::str::from_utf8(&bytes[..end]).ok()?;
        let size = usize::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?;
        bytes = &bytes[end + 2..];
        if bytes.len() < size + 2 && size > 0 {
            // As much of the chunk as has come.
            message.body.extend(&bytes[..size.min(bytes.len())]);
            (message.is_whole, message.closes) = (false, true);
            // The rest of the length is never sent; a proxy hands over what is there.
            message.body.resize(message.body.len().max(size), b' ');
            return Some(b"");
        }
        if size == 0 {
            return bytes.strip_prefix(b"\r\n");
        }
        message.body.extend(&bytes[..size]);
        bytes = bytes[size..].strip_prefix(b"\r\n")?;
    }
}

/// Plays what a proxy makes of the scenario.
fn play(
    scenario: &Scenario,
    requests: &[Message],
    cut: Cut,
    chunks: bool,
    exchanges: &mut Vec<Value>,
) -> Result<(), String> {
    if !start(&configuration(scenario)) {
        return Err(format!("not configured: {:?}", world(|world| std::mem::take(&mut world.log))));
    }
    let address = |address: &str| address.as_bytes().to_vec();
    world(|world| {
        world.properties.insert("source.address".to_owned(), address(&format!("{}:41000", transcript::SOURCE)));
        world
            .properties
            .insert("destination.address".to_owned(), address(&format!("{}:8443", transcript::DESTINATION)));
    });
    let served = scenario.steps.iter().filter_map(|step| match step {
        Step::Server(bytes) => Some(bytes.0.clone()),
        _ => None,
    });
    let served = served.collect::<Vec<_>>().concat();
    let mut replies = VecDeque::from(split(&served).unwrap_or_default());
    let (mut passed, mut seen) = (Vec::new(), Vec::new());
    for (context, message) in (2..).zip(requests) {
        let mut exchanged = json!({
            "first": message.first,
            "fields": message.fields,
            "body": text(&message.body),
            "isWhole": message.is_whole,
            "chunks": chunks,
        });
        match exchange(context, message, cut, chunks)? {
            Some(answer) => {
                let answered = (answer.status, own_fields(&answer.fields), answer.body);
                exchanged["answered"] = json!((answered.0, &answered.1, text(&answered.2)));
                exchanges.push(exchanged);
                seen.push(answered);
            }
            None if !message.is_whole => {
                exchanges.push(exchanged);
                delete(context);
                break;
            }
            None => {
                passed.push((message.first.clone(), message.body.clone()));
                let server = replies.pop_front();
                let reply_of = |server: &Message| json!((&server.first[9..12], &server.fields, text(&server.body)));
                exchanged["passed"] = json!(server.as_ref().map(reply_of));
                exchanges.push(exchanged);
                let Some(server) = server else {
                    delete(context);
                    continue;
                };
                let status = server.first[9..12].to_owned();
                let mut fields = vec![(":status", &*status)];
                fields.extend(server.fields.iter().map(|(name, value)| (&**name, &**value)));
                let pieces: Vec<Vec<u8>> = cut.apply(&server.body).into_iter().map(|pieces| pieces.concat()).collect();
                let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
                let pieces = if server.body.is_empty() { &[][..] } else { &pieces[..] };
                reply(context, &fields, pieces, chunks && !pieces.is_empty());
                seen.push((status.parse().unwrap(), own_fields(&server.fields), server.body));
            }
        }
        delete(context);
        if message.closes {
            break;
        }
    }
    let expected: Vec<_> = match split(&scenario.expect.to_client.0) {
        Some(expected) => expected.into_iter().filter(|message| !message.first.starts_with("HTTP/1.1 100")).collect(),
        None => return Err("the expected replies cannot be read".to_owned()),
    };
    let expected: Vec<_> = expected
        .into_iter()
        .map(|message| (message.first[9..12].parse().unwrap(), own_fields(&message.fields), message.body))
        .collect();
    // Where a reply of the server has no body that we would know of, as to HEAD, all that is compared is what came before it.
    if seen.len() < expected.len() || seen[..expected.len()] != expected[..] {
        return Err(format!("the client got {seen:?}, expected {expected:?}"));
    }
    let forwarded = split(&scenario.expect.to_server.0).ok_or("the expected requests cannot be read")?;
    let forwarded: Vec<_> = forwarded.into_iter().map(|message| (message.first, message.body)).collect();
    if passed != forwarded {
        return Err(format!("the server got {passed:?}, expected {forwarded:?}"));
    }
    delete(ROOT);
    check_log(scenario)
}

/// One request. Returns its answer, or nothing if it was let on.
fn exchange(context: u32, message: &Message, cut: Cut, chunks: bool) -> Result<Option<Answer>, String> {
    let mut words = message.first.split(' ');
    let mut fields = vec![
        (":method".to_owned(), words.next().unwrap().to_owned()),
        (":path".to_owned(), words.next().unwrap().to_owned()),
        (":scheme".to_owned(), "http".to_owned()),
        (":authority".to_owned(), message.field("host").unwrap().to_owned()),
    ];
    let own = ["host", "connection", "transfer-encoding"];
    // A client of HTTP/2 need not say how long its body is.
    let drops = |name: &str| own.contains(&name) || chunks && message.is_whole && name == "content-length";
    fields.extend(message.fields.iter().filter(|(name, _)| !drops(name)).cloned());
    let mut status = request(context, &fields, message.is_whole && message.body.is_empty());
    let mut left = Vec::new();
    if !message.body.is_empty() {
        let pieces: Vec<_> = cut.apply(&message.body).into_iter().map(|pieces| pieces.concat()).collect();
        for (n, piece) in pieces.iter().enumerate() {
            if answer(context).is_some() {
                break;
            }
            if status == 0 {
                return Err("a head that goes on before its body".to_owned());
            }
            let is_last = message.is_whole && n + 1 == pieces.len();
            // A proxy may tell of the end in an event of its own.
            if is_last && chunks {
                body(context, piece, false);
                (status, left) = body(context, b"", true);
            } else {
                (status, left) = body(context, piece, is_last);
            }
        }
    }
    if !message.is_whole {
        tick(2);
    }
    let answered = answer(context);
    match (&answered, status) {
        (Some(_), 1 | 3) => {}
        (None, 0) if left == message.body => {}
        (None, 1 | 3) if !message.is_whole => {}
        _ => return Err(format!("status {status}, {} bytes go on, answered {answered:?}", left.len())),
    }
    Ok(answered)
}

/// The fields that are not the proxy's own.
fn own_fields(fields: &[(String, String)]) -> Vec<(String, String)> {
    let own = |name: &str| !matches!(name, "content-length" | "connection" | "transfer-encoding");
    let lower = fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
    lower.filter(|(name, _)| own(name)).collect()
}

/// The log is that of a connection, and the metrics are those of the log.
fn check_log(scenario: &Scenario) -> Result<(), String> {
    let expect = &scenario.expect;
    let log = world(|world| world.access_log());
    let observed = Observed {
        to_server: expect.to_server.0.clone(),
        to_client: expect.to_client.0.clone(),
        closed: expect.closed.clone(),
        log: log.clone(),
    };
    scenario.check(&observed)?;
    let metric = |name: &str| world(|world| world.metric(&format!("portcullis.{}.{name}", scenario.protocol)));
    let count = |verdict: &str| log.iter().filter(|line| line["verdict"] == verdict).count();
    for (name, verdict) in
        [("forwarded.requests", "forwarded"), ("denied.requests", "denied"), ("audit.requests", "audit")]
    {
        if usize::try_from(metric(name)) != Ok(count(verdict)) {
            return Err(format!("`{name}` is {}, with {} lines", metric(name), count(verdict)));
        }
    }
    for name in ["held_bytes", "connections_active"] {
        if metric(name) != 0 {
            return Err(format!("`{name}` is {}", metric(name)));
        }
    }
    Ok(())
}

fn configuration(scenario: &Scenario) -> String {
    let mut config = json!({
        "protocol": scenario.protocol,
        "policy": {"inline": scenario.policy_text()},
        "endpoint": {"labels": scenario.endpoint},
        "direction": "ingress",
        "port": scenario.port,
        "limits": {
            "maxFrameBytes": scenario.limits.max_frame_bytes,
            "frameTimeoutSeconds": scenario.limits.frame_timeout_seconds,
            "heldBytes": scenario.limits.held_bytes,
        },
        "accessLog": {"level": "responses"},
    });
    if scenario.config != Value::Null {
        config["protocolConfig"] = scenario.config.clone();
    }
    if !scenario.remote.is_empty() {
        let identities = json!({"identities": [{"address": transcript::SOURCE, "labels": scenario.remote}]});
        config["identities"] = json!({"inline": identities.to_string()});
    }
    config.to_string()
}

/// Where a body ends with fields behind it, an answer is the same; to an upstream nothing passes.
#[test]
fn fields_behind_a_body_change_no_answer() {
    let (_, scenario) =
        portcullis_tests::scenarios().into_iter().find(|(file, _)| file == "admission/deny.json").unwrap();
    let sent: Vec<u8> = scenario.steps.iter().filter_map(client).flatten().copied().collect();
    let message = &split(&sent).unwrap()[0];
    for (mode, path, expected) in [("answer", "/droids", 200), ("guard", "/droids", 200), ("shadow", "/droids", 400)] {
        let mut config: Value = serde_json::from_str(&configuration(&scenario)).unwrap();
        config["protocolConfig"]["mode"] = json!(mode);
        assert!(start(&config.to_string()));
        let fields = [(":method", "POST"), (":path", path), (":authority", "h"), ("content-type", "application/json")];
        assert_eq!(request(2, &fields, false), 1);
        assert_eq!(body(2, &message.body, false).0, 3);
        assert_eq!(trailers(2), 1);
        assert_eq!(answer(2).map(|answer| answer.status), Some(expected), "{mode}");
    }
}
