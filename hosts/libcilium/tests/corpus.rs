//! Every scenario through the exported functions, whole and at every cut.

mod common;

use common::CiliumHost;
use portcullis_proxylib::testing::{Cut, Host, Observed, Scenario, Step};

#[test]
fn every_scenario_holds_at_every_cut() {
    let random = (0..2).flat_map(|seed| [Cut::Random(seed), Cut::Pieces(seed)]);
    let cuts: Vec<_> = [Cut::Whole, Cut::Bytewise].into_iter().chain(random).collect();
    let mut failures = Vec::new();
    for (file, scenario) in portcullis_tests::scenarios() {
        let scenario = without_question(scenario);
        for &cut in &cuts {
            let played = CiliumHost.play(&scenario, cut).and_then(|observed| check(&scenario, &observed));
            failures.extend(played.err().map(|why| format!("{file}, cut {cut:?}: {why}")));
        }
    }
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
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

/// As on every host; but where a request must wait for a reply, this one closes: Envoy would not call for it again.
fn check(scenario: &Scenario, seen: &Observed) -> Result<(), String> {
    let waits = |line: &serde_json::Value| line["reason"].as_str().is_some_and(|why| why.contains("must wait"));
    if !seen.log.iter().any(waits) {
        return scenario.check(seen);
    }
    let expect = &scenario.expect;
    if !expect.to_server.0.starts_with(&seen.to_server) || !expect.to_client.0.starts_with(&seen.to_client) {
        return Err("more passed than on a host that can wait".to_owned());
    }
    if seen.closed.is_none() {
        return Err("a request that had to wait was not refused".to_owned());
    }
    Ok(())
}
