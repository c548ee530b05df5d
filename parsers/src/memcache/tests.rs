//! Connections, whole and cut: whatever is sent, no cut may change what either side receives.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that cannot go on has failed"
)]

use portcullis_proxylib::testing::{CoreHost, Cut, Host, Observed, Scenario, Step};
use portcullis_proxylib::{Registry, protocols};
use proptest::prelude::*;

static REGISTRY: Registry = protocols![super::Memcache];

/// A policy that admits `get` and `set` of keys that begin with `a`, and everything of `ab`.
fn scenario(steps: Vec<Step>) -> Scenario {
    let mut scenario = Scenario::parse(
        r#"{
            "name": "any bytes", "protocol": "memcache", "port": 11211, "steps": [], "expect": {},
            "policy": {"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy", "metadata": {"name": "p"}, "spec": {
                "endpointSelector": {},
                "ingress": [{"toPorts": [{"ports": [{"port": "11211"}], "rules": {"l7proto": "memcache", "l7": [
                    {"command": "get", "keyPrefix": "a"}, {"command": "set", "keyPrefix": "a"},
                    {"command": "writeGroup", "keyExact": "ab"}, {"command": "noop"}, {"command": "stats"}
                ]}}]}]
            }}
        }"#,
    )
    .unwrap();
    scenario.steps = steps;
    scenario
}

fn play(scenario: &Scenario, cut: Cut) -> Observed {
    CoreHost::new(REGISTRY).play(scenario, cut).unwrap()
}

fn client_bytes() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        4 => "(get|gets|mg|mg|delete|gat 0|md) (a|ab|b|k)( (b|q|v|a|T0))?(\r\n|\n)",
        4 => "(set|add|ms) (a|ab|b) ?(0 0 )?[0-9]{1,2}( noreply| q|)\r\n[a-z\r\n ]{0,12}\r\n",
        2 => "(incr|decr|touch) (a|ab|b) (1|x)( noreply)?\r\n",
        1 => "(version|stats|mn|quit|bogus|flush_all|stats reset|)\r\n",
        1 => "[ -~\r\n]{0,20}",
    ];
    let parts = prop_oneof![9 => line.prop_map(String::into_bytes), 1 => proptest::collection::vec(any::<u8>(), 0..6)];
    proptest::collection::vec(parts, 0..12).prop_map(|parts| parts.concat())
}

fn server_bytes() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        6 => "(END|HD|EN|STORED|NOT_FOUND|MN|1|ERROR|RESET)\r\n",
        3 => Just("VALUE a 0 5\r\nEND\r\n\r\nEND\r\n".to_owned()),
        3 => Just("VA 4 kab\r\nMN\r\n\r\n".to_owned()),
        1 => "(STAT a b\r\n){0,2}END\r\n",
        1 => "[ -~\r\n]{0,20}",
    ];
    proptest::collection::vec(line, 0..8).prop_map(|parts| parts.concat().into_bytes())
}

proptest! {
    #[test]
    fn no_cut_changes_what_either_side_receives(
        rounds in proptest::collection::vec((client_bytes(), server_bytes()), 1..4),
        seed in any::<u64>(),
    ) {
        let steps = rounds.into_iter().flat_map(|(client, server)| [Step::Client(bytes(client)), Step::Server(bytes(server))]);
        let scenario = scenario(steps.collect());
        let whole = play(&scenario, Cut::Whole);
        for cut in [Cut::Bytewise, Cut::Random(seed), Cut::Pieces(seed)] {
            let other = play(&scenario, cut);
            prop_assert_eq!(other.to_server.escape_ascii().to_string(), whole.to_server.escape_ascii().to_string());
            prop_assert_eq!(other.to_client.escape_ascii().to_string(), whole.to_client.escape_ascii().to_string());
            prop_assert_eq!(&other.closed, &whole.closed);
            prop_assert_eq!(&other.log, &whole.log);
        }
    }

    #[test]
    fn denied_keys_never_reach_the_server(client in client_bytes()) {
        let scenario = scenario(vec![Step::Client(bytes(client))]);
        let seen = play(&scenario, Cut::Whole).to_server;
        // Every line that the server reads as a command must be one that policy admits, values left out.
        let mut rest = seen.as_slice();
        while !rest.is_empty() {
            let end = rest.iter().position(|&byte| byte == b'\n').expect("a whole line");
            let line = String::from_utf8_lossy(&rest[..end]).trim_end_matches('\r').to_owned();
            let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
            let (keys, length) = match words[0] {
                "get" | "gets" => (&words[1..], 0),
                "mg" | "md" => (&words[1..2], 0),
                "set" | "add" => (&words[1..2], words[4].parse::<usize>().unwrap() + 2),
                "ms" => (&words[1..2], words[2].parse::<usize>().unwrap() + 2),
                "incr" | "decr" | "touch" | "delete" => (&words[1..2], 0),
                "mn" | "stats" => (&words[..0], 0),
                other => panic!("`{other}` reached the server"),
            };
            for key in keys {
                let decoded = words.contains(&"b") && words[0].starts_with('m');
                prop_assert!(decoded || key.starts_with('a'), "{}", line);
            }
            let writes = !matches!(words[0], "get" | "gets" | "mg" | "set" | "ms" | "mn" | "stats");
            prop_assert!(!writes || words[1] == "ab", "{}", line);
            rest = rest.get(end + 1 + length..).unwrap_or_default();
        }
    }
}

fn bytes(bytes: Vec<u8>) -> portcullis_proxylib::testing::Bytes {
    portcullis_proxylib::testing::Bytes(bytes)
}
