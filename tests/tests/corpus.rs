//! Every scenario on the core, whole and at every cut.

use std::collections::BTreeSet;

use portcullis_parsers::test::REGISTRY;
use portcullis_proxylib::testing::check_every_cut;
use portcullis_tests::scenarios;

#[test]
fn every_scenario_holds_at_every_cut() {
    let failures: Vec<_> = scenarios()
        .iter()
        .filter_map(|(file, scenario)| check_every_cut(REGISTRY, scenario).err().map(|why| format!("{file}: {why}")))
        .collect();
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_protocol_has_a_name_of_its_own_and_scenarios() {
    let played: BTreeSet<_> = scenarios().into_iter().map(|(_, scenario)| scenario.protocol).collect();
    let mut names = BTreeSet::new();
    for protocol in REGISTRY.iter() {
        let name = protocol.name();
        assert!(names.insert(name), "`{name}` stands twice");
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c)), "`{name}`");
        assert!(played.contains(name), "no scenario plays `{name}`");
    }
}
