//! What goes over the stream, and what becomes of it.

use std::io::Read;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use portcullis_libcilium::npds::TYPE_URL;
use portcullis_libcilium::npds::wire::{self, DiscoveryRequest, DiscoveryResponse};
use portcullis_libcilium::testing::{Agent, resource, response};
use prost::Message;

use crate::kv::{deny, endpoint, item, judge, kv, plain, port};
use crate::{Node, ports, reason};

fn request(version: &str, nonce: &str) -> DiscoveryRequest {
    DiscoveryRequest {
        version_info: version.to_owned(),
        node: Some(wire::Node { id: "host~1~test~x".to_owned() }),
        type_url: TYPE_URL.to_owned(),
        response_nonce: nonce.to_owned(),
        ..DiscoveryRequest::default()
    }
}

fn refusal(version: &str, nonce: &str, reason: &str, node: &Node) -> DiscoveryRequest {
    let reason = reason.replace("<path>", node.path.to_str().unwrap());
    let detail = wire::Status { code: 0, message: format!("NPDS: Client host~1~test~x rejecting {reason}") };
    DiscoveryRequest { error_detail: Some(detail), ..request(version, nonce) }
}

#[test]
fn asks_and_accepts() {
    let (node, agent, first) = Node::with_agent();
    assert_eq!(first, request("", ""));
    assert!(!node.allows("10.0.0.1", 80, "a"), "nothing passes before the first answer");
    assert_eq!(agent.respond(ports("1", vec![port(80, vec![kv(&["a"], &[])])])), request("1", "n1"));
    node.npds.wait_first(Duration::from_secs(60));
    assert!(node.allows("10.0.0.1", 80, "a"));
    assert!(!node.allows("10.0.0.1", 80, "b"));
    assert!(!node.allows("10.0.0.1", 81, "a"));
    assert!(!node.allows("10.0.0.2", 80, "a"));
    assert_eq!(agent.respond(ports("2", vec![port(81, vec![])])), request("2", "n2"));
    assert!(node.allows("10.0.0.1", 81, "a"));
    assert!(!node.allows("10.0.0.1", 80, "a"));
    let status = node.npds.status();
    assert_eq!((status.streams, status.accepted, status.refused, status.lost, status.endpoints), (1, 2, 0, 0, 1));
}

#[test]
fn refuses_with_the_last_version_and_the_nonce_of_what_it_refuses() {
    let (node, agent, _) = Node::with_agent();
    let bad = || vec![port(80, vec![judge("kv", [item("nope", "x")], [])])];
    let why =
        "invalid policy on <path>: endpoint 42 (10.0.0.1): ingress.80.rules[0].l7_allow_rules[0]: unknown key `nope`";
    assert_eq!(agent.respond(ports("1", bad())), refusal("", "n1", why, &node));
    assert_eq!(agent.respond(ports("2", vec![port(80, vec![])])), request("2", "n2"));
    let store = node.store("10.0.0.1");
    let generation = store.load().generation();
    assert_eq!(agent.respond(ports("3", bad())), refusal("2", "n3", why, &node));
    assert_eq!(store.load().generation(), generation, "what was in force stays so");
    assert!(node.allows("10.0.0.1", 80, "a"));
    assert_eq!(agent.respond(ports("4", vec![port(81, vec![])])), request("4", "n4"));
    let status = node.npds.status();
    assert_eq!((status.accepted, status.refused, status.lost), (2, 2, 0));
}

#[test]
fn refuses_what_is_of_another_type() {
    let (node, agent, _) = Node::with_agent();
    let other = "type.googleapis.com/cilium.NetworkPolicyHosts";
    let of_other = DiscoveryResponse { type_url: other.to_owned(), ..response("1", &[]) };
    let why = format!("mismatching resource type on <path>: {other}");
    assert_eq!(agent.respond(of_other), refusal("", "n1", &why, &node));
    let mut inner = response("2", &[endpoint("10.0.0.1", vec![])]);
    inner.resources[0].type_url = other.to_owned();
    let why = format!("invalid policy on <path>: resource 0: `{other}` is not `{TYPE_URL}`");
    assert_eq!(agent.respond(inner), refusal("", "n2", &why, &node));
}

#[test]
fn an_update_is_all_or_nothing() {
    let (node, agent, _) = Node::with_agent();
    agent.respond(response("1", &[endpoint("10.0.0.1", vec![]), endpoint("10.0.0.2", vec![port(80, vec![])])]));
    let good = endpoint("10.0.0.1", vec![port(80, vec![])]);
    let bad = endpoint("10.0.0.3", vec![port(70000, vec![])]);
    let mut update = response("2", &[good.clone(), bad]);
    update.resources.push(resource(vec![0xff; 7]));
    let answer = agent.respond(update);
    assert!(
        reason(&answer).contains("endpoint 42 (10.0.0.3): ingress.70000: `port` 70000 is above 65535; resource 2: ")
    );
    assert!(!node.allows("10.0.0.1", 80, "a"), "the good part of it is not in force");
    assert!(node.allows("10.0.0.2", 80, "a"), "what it leaves out is not gone");
    agent.respond(response("3", &[good]));
    assert!(node.allows("10.0.0.1", 80, "a"));
    assert!(!node.allows("10.0.0.2", 80, "a"));
}

#[test]
fn a_refusal_says_only_as_much_as_fits_a_line() {
    let (_node, agent, _) = Node::with_agent();
    let long = "x\n".repeat(5000);
    let bad: Vec<_> = (0..1000)
        .map(|n| endpoint(&format!("10.0.0.{n}"), vec![port(80, vec![judge("kv", [item(&long, "")], [])])]))
        .collect();
    let answer = agent.respond(response("1", &bad));
    let reason = reason(&answer);
    assert!(reason.len() < 10_000 && !reason.contains('\n'), "{reason}");
    assert!(reason.ends_with("; and 992 more"), "{reason}");
}

#[test]
fn an_endpoint_whose_policy_is_the_same_keeps_its_generation() {
    let (node, agent, _) = Node::with_agent();
    let same = endpoint("10.0.0.1", vec![port(80, vec![kv(&["a"], &[]), plain(&[9])])]);
    agent.respond(response("1", &[same.clone(), endpoint("10.0.0.2", vec![])]));
    let store = node.store("10.0.0.1");
    let generation = store.load().generation();
    agent.respond(response("2", &[endpoint("10.0.0.2", vec![port(80, vec![])]), same.clone()]));
    assert_eq!(store.load().generation(), generation);
    let agent = agent.restart();
    assert_eq!(agent.next_request(), request("", ""));
    assert!(node.allows("10.0.0.1", 80, "a"), "what was said last stays in force");
    agent.respond(response("1", &[same]));
    assert_eq!(store.load().generation(), generation);
    agent.respond(response("2", &[endpoint("10.0.0.1", vec![])]));
    assert_eq!(store.load().generation(), generation + 1);
    agent.respond(response("3", &[]));
    assert_eq!(store.load().generation(), generation + 2);
    assert_eq!(node.npds.status().endpoints, 0);
}

#[test]
fn each_address_of_an_endpoint_names_it_and_the_last_word_on_one_counts() {
    let (node, agent, _) = Node::with_agent();
    let mut both = endpoint("10.0.0.1", vec![port(80, vec![])]);
    both.endpoint_ips.push("fd00::1".to_owned());
    agent.respond(response("1", &[both.clone()]));
    assert!(node.allows("10.0.0.1", 80, "a") && node.allows("fd00::1", 80, "a"));
    let answer = agent.respond(response("2", &[both, endpoint("fd00::1", vec![port(81, vec![])])]));
    assert_eq!(reason(&answer), "");
    assert!(node.allows("10.0.0.1", 80, "a"));
    assert!(node.allows("fd00::1", 81, "a") && !node.allows("fd00::1", 80, "a"));
}

#[test]
fn connects_again_when_the_stream_is_over() {
    let (node, agent, _) = Node::with_agent();
    agent.respond(ports("1", vec![port(80, vec![])]));
    agent.end_stream(None);
    assert_eq!(agent.next_request(), request("", ""));
    agent.end_stream(Some(tonic::Status::unavailable("not now")));
    assert_eq!(agent.next_request(), request("", ""));
    assert!(node.allows("10.0.0.1", 80, "a"));
    drop(agent);
    node.wait("it finds nobody", |status| status.lost >= 4);
    assert!(node.allows("10.0.0.1", 80, "a"));
    let agent = Agent::start(&node.path);
    assert_eq!(agent.next_request(), request("", ""));
    agent.respond(ports("1", vec![port(81, vec![])]));
    assert!(node.allows("10.0.0.1", 81, "a"));
}

#[test]
fn connects_when_the_agent_comes_later() {
    let node = Node::alone();
    node.npds.wait_first(Duration::from_secs(60));
    node.wait("it finds nobody", |status| status.lost >= 1);
    let agent = Agent::start(&node.path);
    assert_eq!(agent.next_request(), request("", ""));
    agent.respond(ports("1", vec![port(80, vec![])]));
    assert!(node.allows("10.0.0.1", 80, "a"));
}

#[test]
fn ten_megabytes_of_policy_come_into_force() {
    let (node, agent, _) = Node::with_agent();
    let rules = |endpoint: u32| {
        let rule =
            move |n| judge("kv", [item("prefix", &format!("a-rather-long-prefix-of-keys/{endpoint}/{n:08}"))], []);
        (0..2000).map(rule).collect()
    };
    let policies: Vec<_> = (0..100).map(|n| endpoint(&format!("10.0.0.{n}"), vec![port(80, rules(n))])).collect();
    let update = response("1", &policies);
    assert!(update.encoded_len() > 10 << 20, "{}", update.encoded_len());
    assert_eq!(agent.respond(update), request("1", "n1"));
    assert!(node.allows("10.0.0.99", 80, "a-rather-long-prefix-of-keys/99/00001999"));
    assert!(!node.allows("10.0.0.99", 80, "a-rather-long-prefix-of-keys/98/00001999"));
    assert_eq!(node.npds.status().endpoints, 100);
}

#[test]
fn a_rule_that_makes_us_panic_is_refused() {
    let (node, agent, _) = Node::with_agent();
    agent.respond(ports("1", vec![port(80, vec![])]));
    let answer = agent.respond(ports("2", vec![port(80, vec![judge("kv", [item("panic", "")], [])])]));
    assert!(reason(&answer).contains("panic"), "{answer:?}");
    assert_eq!(answer.version_info, "1");
    assert!(node.allows("10.0.0.1", 80, "a"));
    assert_eq!(agent.respond(ports("3", vec![])), request("3", "n3"));
    assert_eq!(node.npds.status().panics, 1);
}

#[test]
fn ends_while_there_is_no_agent() {
    let node = Node::alone();
    node.npds.stop();
    node.npds.stop();
    node.npds.wait_first(Duration::from_secs(60));
}

#[test]
fn ends_while_it_waits_to_connect_again() {
    let node = Node::alone();
    // By then the delays are of seconds, and it is in one of them.
    node.wait("it finds nobody", |status| status.lost >= 5);
    let begun = std::time::Instant::now();
    let lost = node.npds.status().lost;
    node.npds.stop();
    assert_eq!(node.npds.status().lost, lost, "it did not try again, {:?}", begun.elapsed());
    let _nobody = UnixListener::bind(&node.path).unwrap();
}

#[test]
fn ends_while_an_agent_accepts_and_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("xds.sock")).unwrap();
    let node = Node::at(folder);
    let (mut socket, _) = listener.accept().unwrap();
    let mut preface = [0; 24];
    socket.read_exact(&mut preface).unwrap();
    assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    node.npds.wait_first(Duration::from_millis(20));
    assert_eq!(node.npds.status().lost, 0, "it waits still");
    node.npds.stop();
    // It was closed by the client.
    let mut rest = Vec::new();
    drop(socket.read_to_end(&mut rest));
}

#[test]
fn ends_while_an_agent_does_not_even_accept() {
    let folder = tempfile::tempdir().unwrap();
    let _listener = UnixListener::bind(folder.path().join("xds.sock")).unwrap();
    let node = Node::at(folder);
    node.npds.wait_first(Duration::from_millis(20));
    node.npds.stop();
}

#[test]
fn ends_while_a_stream_is_open() {
    let (node, agent, _) = Node::with_agent();
    node.npds.stop();
    agent.wait_closed();

    let (node, agent, _) = Node::with_agent();
    agent.respond(ports("1", vec![port(80, vec![deny(&[])])]));
    drop(node);
    agent.wait_closed();
}

#[test]
fn ends_in_the_midst_of_a_response() {
    let (node, agent, _) = Node::with_agent();
    let policies: Vec<_> =
        (0..2000).map(|n| endpoint(&format!("10.0.0.{n}"), vec![port(80, vec![kv(&["a"], &[]); 50])])).collect();
    agent.send(response("1", &policies));
    drop(node);
    agent.wait_closed();
}

#[test]
fn a_socket_that_speaks_something_else_is_left_again() {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("xds.sock")).unwrap();
    let node = Node::at(folder);
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &[0; 64], &[0xff; 9], b""] {
        let (mut socket, _) = listener.accept().unwrap();
        drop(std::io::Write::write_all(&mut socket, answer));
    }
    node.wait("each is given up", |status| status.lost >= 3);
    assert_eq!(node.npds.status().panics, 0);
}
