//! The tables of `docs/hosts.md` say what the hosts say of themselves.

mod common;

use portcullis_envoy_mock as _;

use std::fmt::Write;
use std::path::Path;

use portcullis_proxylib::Capabilities;

mod native {
    portcullis_envoy::export!(portcullis_parsers::REGISTRY);
}

/// What there is to say of a host, and whether it holds.
type Row = (&'static str, fn(&Capabilities) -> bool);

const ROWS: &[Row] = &[
    ("a denial is answered whenever it falls", |host| host.reply_while_dropping),
    ("a request can wait for a reply, or for a long judgement", |host| host.can_wake),
    ("an unfinished request is timed out", |host| host.deadlines),
    ("each direction ends by itself", |host| host.half_close),
    ("bytes that pass whole are not copied", |host| host.zero_copy),
    ("a client that does not read is not read from", |host| host.back_pressure),
    ("answers of any length are given in one call", |host| host.max_inject.is_none()),
    ("a panic costs one connection", |host| host.catches_panics),
    ("what was passed reaches the server before a close", |host| host.orderly_close),
    ("the proxy's own log says why a connection was closed", |host| host.tells_reason),
    ("metrics are up to date without traffic", |host| host.idle_metrics),
];

#[test]
fn the_tables_of_the_docs_are_those_of_the_hosts() {
    // From Envoy 1.39 on; the stand-in for it here is an older one.
    let envoy = Capabilities { idle_metrics: true, ..portcullis_envoy::capabilities() };
    let (wasm, wasm_http) = (portcullis_wasm::capabilities(), portcullis_wasm::http_capabilities());
    let hosts = [envoy, portcullis_libcilium::capabilities(), wasm, wasm_http];
    let mut text = String::from("| |");
    hosts.iter().for_each(|host| _ = write!(text, " {} |", host.host));
    text.push_str("\n| --- | --- | --- | --- | --- |\n");
    for (what, holds) in ROWS {
        write!(text, "| {what} |").unwrap();
        hosts.iter().for_each(|host| text.push_str(if holds(host) { " yes |" } else { " no |" }));
        text.push('\n');
    }
    let mut stand_ins = String::from("| protocol | what stands in for a denied request |\n| --- | --- |\n");
    for protocol in portcullis_parsers::REGISTRY.iter() {
        let none = if protocol.is_http() {
            "nothing: an HTTP filter answers by itself"
        } else {
            "nothing: the connection closes"
        };
        let stand_in = protocol.stand_in().unwrap_or(none);
        writeln!(stand_ins, "| `{}` | {stand_in} |", protocol.name()).unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/hosts.md");
    let page = std::fs::read_to_string(path).unwrap();
    for table in [text, stand_ins] {
        assert!(page.contains(&table), "put this into docs/hosts.md:\n\n{table}");
    }
}
