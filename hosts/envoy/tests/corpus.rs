//! Every scenario through the exported hooks, whole and at every cut.

use portcullis_envoy_mock::MockHost;
use portcullis_proxylib::testing::{Cut, Host};

portcullis_envoy::export!(portcullis_parsers::test::REGISTRY);

#[test]
fn every_scenario_holds_at_every_cut() {
    let cuts = [Cut::Whole, Cut::Bytewise, Cut::Random(1), Cut::Random(2), Cut::Pieces(1), Cut::Pieces(2)];
    let mut failures = Vec::new();
    for (file, scenario) in portcullis_tests::scenarios() {
        for cut in cuts {
            let played = MockHost.play(&scenario, cut).and_then(|observed| scenario.check(&observed));
            failures.extend(played.err().map(|why| format!("{file}, cut {cut:?}: {why}")));
        }
    }
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}
