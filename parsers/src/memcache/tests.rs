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
        prop_assume!(client.first() != Some(&0x80));
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

/// Packets that are mostly in order, for keys of which some are denied.
fn packets(magic: u8, sizes_off: bool) -> impl Strategy<Value = Vec<u8>> {
    let op = prop_oneof![
        (prop_oneof![Just(0_u8), Just(9), Just(12), Just(13), Just(4), Just(20)], Just(0_usize), Just(0_usize)),
        (prop_oneof![Just(1_u8), Just(2), Just(17), Just(18)], Just(8), 0..30_usize),
        (prop_oneof![Just(10_u8), Just(11), Just(0x30)], Just(0), Just(0)),
        (prop_oneof![Just(14_u8), Just(26), Just(0x10), Just(0x1c)], 0..5_usize, 0..3_usize),
    ];
    let key = prop_oneof![Just(""), Just("a"), Just("ab"), Just("b")];
    let packet = (op, key, 0..3_u32, any::<bool>()).prop_map(move |((opcode, extras, value), key, opaque, off)| {
        let body = key.len() + extras + value + usize::from(off && sizes_off);
        let mut packet = vec![magic, opcode, 0, key.len() as u8, extras as u8, 0, 0, 0, 0, 0, 0, body as u8];
        packet.extend(opaque.to_be_bytes());
        packet.extend([0; 8]);
        packet.extend(vec![0; extras]);
        packet.extend(key.as_bytes());
        packet.extend(vec![magic; value]);
        packet
    });
    proptest::collection::vec(packet, 0..10).prop_map(|packets| packets.concat())
}

proptest! {
    #[test]
    fn no_cut_changes_what_either_side_receives_in_binary(
        client in packets(0x80, true),
        server in packets(0x81, true),
        more in packets(0x80, false),
        seed in any::<u64>(),
    ) {
        let version = [&[0x81, 0x0b][..], &[0; 22]].concat();
        let steps = [Step::Client(bytes(client)), Step::Server(bytes(version)), Step::Server(bytes(server)), Step::Client(bytes(more))];
        let scenario = scenario(steps.into());
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
    fn denied_keys_never_reach_the_server_in_binary(client in packets(0x80, true)) {
        let version = [&[0x81, 0x0b][..], &[0; 22]].concat();
        let scenario = scenario(vec![Step::Client(bytes(client)), Step::Server(bytes(version))]);
        let seen = play(&scenario, Cut::Whole).to_server;
        let mut rest = seen.as_slice();
        while rest.len() >= 24 {
            let (key, extras, body) = (usize::from(rest[3]), usize::from(rest[4]), usize::from(rest[11]));
            let name = rest.get(24 + extras..24 + extras + key).unwrap_or_default();
            let admitted = match rest[1] {
                0x00 | 0x09 | 0x0c | 0x0d | 0x01 | 0x11 => name.starts_with(b"a"),
                0x0a | 0x0b | 0x10 => body == key,
                _ => name == b"ab",
            };
            prop_assert!(admitted, "{}", rest.escape_ascii());
            rest = rest.get(24 + body..).unwrap_or_default();
        }
    }
}

fn bytes(bytes: Vec<u8>) -> portcullis_proxylib::testing::Bytes {
    portcullis_proxylib::testing::Bytes(bytes)
}
