//! Every scenario through a real Envoy. `make test-envoy` says where it is; without it these tests are skipped, and say so.

use std::env;
use std::path::{Path, PathBuf};

use portcullis_parsers::test::REGISTRY;
use portcullis_proxylib::testing::{Cut, Host};
use portcullis_tests::envoy::EnvoyHost;
use portcullis_tests::scenarios;

/// Byte by byte, a scenario with more than this takes longer than it teaches.
const MAX_BYTEWISE: usize = 64 << 10;

#[test]
fn every_scenario_holds_in_a_real_envoy() {
    let Some(envoy) = env::var_os("PORTCULLIS_ENVOY") else {
        assert!(env::var_os("PORTCULLIS_NO_SKIP").is_none(), "`PORTCULLIS_ENVOY` is not set: run `make test-envoy`");
        eprintln!("SKIPPED: the scenarios in a real Envoy; run `make test-envoy`");
        return;
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let module = env::var_os("PORTCULLIS_MODULE")
        .map_or_else(|| root.join("target/release/libportcullis_test.so"), PathBuf::from);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("envoy");
    // Log files are appended to: begin without those of the last run.
    let _ = std::fs::remove_dir_all(&folder);
    let scenarios = scenarios();
    let played: Vec<_> = scenarios.iter().map(|(_, scenario)| scenario).collect();
    let mut host =
        EnvoyHost::start(Path::new(&envoy), &module, &folder, REGISTRY, &played).unwrap_or_else(|why| panic!("{why}"));
    let mut failures = Vec::new();
    for (file, scenario) in &scenarios {
        let bytes = scenario.expect.to_server.0.len() + scenario.expect.to_client.0.len();
        let mut cuts = vec![Cut::Whole, Cut::Random(1)];
        if bytes <= MAX_BYTEWISE {
            cuts.push(Cut::Bytewise);
        }
        for cut in cuts {
            let outcome = host.play(scenario, cut).and_then(|seen| scenario.check(&seen));
            failures.extend(outcome.err().map(|why| format!("{file}, cut {cut:?}: {why}")));
        }
    }
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}
