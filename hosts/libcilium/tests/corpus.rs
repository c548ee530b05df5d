//! Every scenario through the exported functions, whole and at every cut.

mod common;

use common::CiliumHost;
use portcullis_proxylib::testing::{Cut, Host, Observed, Scenario, Step};

#[test]
fn every_scenario_holds_at_every_cut() {
    let random = (0..2).flat_map(|seed| [Cut::Random(seed), Cut::Pieces(seed)]);
    let cuts: Vec<_> = [Cut::Whole, Cut::Bytewise].into_iter().chain(random).collect();
    let mut failures = Vec::new();
    // What comes beside policies, such as admission hooks, Cilium's agent cannot send.
    let sendable = |(_, scenario): &(String, Scenario)| scenario.protocol != "admission";
    for (file, scenario) in portcullis_tests::scenarios().into_iter().filter(sendable) {
        let scenario = without_question(scenario);
        for &cut in &cuts {
            let played = CiliumHost.play(&scenario, cut).and_then(|observed| check(&scenario, &observed));
            failures.extend(played.err().map(|why| format!("{file}, cut {cut:?}: {why}")));
        }
    }
    // The library logs panics in a line of its own, which is cut.
    failures.iter().for_each(|failure| eprintln!("{failure}"));
    assert!(failures.is_empty(), "{} failed", failures.len());
}

/// Where requests cannot wait for the answer, a memcached is not asked whether it reads the binary protocol.
fn without_question(mut scenario: Scenario) -> Scenario {
    let answer = |step: &Step| matches!(step, Step::Server(bytes) if bytes.0.starts_with(b"\x81\x0b") && bytes.0.get(12..16) == Some(b"\n\n\n\n"));
    if scenario.protocol == "memcache" && scenario.steps.get(1).is_some_and(answer) {
        scenario.steps.remove(1);
        scenario.expect.to_server.0.drain(..24);
    }
    scenario
}

/// As on every host; but where a request must wait for a reply, this one refuses it or closes: Envoy would not call for it
/// again.
fn check(scenario: &Scenario, seen: &Observed) -> Result<(), String> {
    let says = |words: &[&str]| {
        let said = |line: &serde_json::Value| words.iter().any(|word| line["reason"].as_str().unwrap().contains(word));
        seen.log.iter().filter(|line| line["reason"].is_string()).any(said)
    };
    let expect = &scenario.expect;
    if says(&["would have to wait", "has not yet shown", "requests before the answer"]) {
        let told = seen.to_client.len() > expect.to_client.0.len() || seen.to_server.len() != expect.to_server.0.len();
        return if told || seen.closed.is_some() {
            Ok(())
        } else {
            Err("a request that had to wait was not refused".to_owned())
        };
    }
    if !says(&["must wait", "do not wait for the server"]) {
        return scenario.check(seen);
    }
    if !expect.to_server.0.starts_with(&seen.to_server) || !expect.to_client.0.starts_with(&seen.to_client) {
        return Err("more passed than on a host that can wait".to_owned());
    }
    if seen.closed.is_none() {
        return Err("a request that had to wait was not refused".to_owned());
    }
    Ok(())
}
