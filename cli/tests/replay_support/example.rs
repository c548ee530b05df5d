//! The files that the examples of the documentation speak of.
#![allow(dead_code, unreachable_pub, reason = "each test includes it, and uses a part of it")]

use std::path::Path;

use super::mod_capture::{Talk, merge, pcap};

/// Puts the files of the examples into a folder.
pub fn make(folder: &Path) {
    for (name, text) in [
        ("policy.yaml", include_str!("example/policy.yaml")),
        ("wider.yaml", include_str!("example/wider.yaml")),
        ("identities.yaml", include_str!("example/identities.yaml")),
        ("access.jsonl", include_str!("example/access.jsonl")),
        ("metrics.txt", include_str!("example/metrics.txt")),
    ] {
        std::fs::write(folder.join(name), text).expect("a file");
    }
    std::fs::write(folder.join("cache.pcap"), pcap(&merge(talks()))).expect("a file");
}

/// What happened before a memcached on a quiet morning.
pub fn talks() -> Vec<Talk> {
    let maintenance = Talk::new("10.0.0.11:40392", "10.0.0.1:11211")
        .open()
        .ask("get alliance/fleet/xwing\r\n")
        .reply("VALUE alliance/fleet/xwing 0 5\r\nready\r\nEND\r\n")
        .ask("set empire/deathstar 0 0 7\r\nrebuilt\r\n")
        .reply("STORED\r\n")
        .ask("version\r\nset alliance/motd 0 0 5\r\nhello\r\n")
        .reply("VERSION 1.6.39\r\nSTORED\r\n")
        .close();
    let mut monitoring = Talk::new("10.0.0.12:51000", "10.0.0.1:11211");
    monitoring.at = 0.0005;
    let monitoring = monitoring
        .open()
        .ask("get alliance/fleet/xwing\r\n")
        .reply("VALUE alliance/fleet/xwing 0 5\r\nready\r\nEND\r\n")
        .ask("get alliance/motd\r\n")
        .reply("END\r\n")
        .ask("get alliance/motd\r\n")
        .reply("VALUE alliance/motd 0 5\r\nhello\r\nEND\r\n")
        .close();
    let mut stranger = Talk::new("192.0.2.7:1025", "10.0.0.1:11211");
    stranger.at = 0.0007;
    let stranger = stranger.open().ask("flush_all\r\n").reply("OK\r\n").close();
    vec![maintenance, monitoring, stranger]
}
