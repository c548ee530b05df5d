//! Connections as a host has them, and exchanges to play on them: for what is measured and for what must not allocate.

use std::sync::Arc;

use portcullis_parsers::test::REGISTRY;
use portcullis_proxylib::testing::{CoreHost, Scenario};
use portcullis_proxylib::{Datapath, Direction, Level, Log, Sink, Time};
use serde_json::{Value, json};

/// The port of every listener here.
const PORT: u16 = 4040;

/// A connection of a listener with the given `ingress` rules. Without a sink nothing is logged, with one every request.
pub(crate) fn connect(protocol: &str, ingress: &Value, sink: Option<Arc<dyn Sink>>) -> Datapath {
    let scenario = json!({
        "name": "bench",
        "protocol": protocol,
        "policy": {
            "apiVersion": "cilium.io/v2",
            "kind": "CiliumNetworkPolicy",
            "metadata": {"name": "bench"},
            "spec": {"endpointSelector": {}, "ingress": ingress},
        },
        "port": PORT,
        "steps": [],
        "expect": {},
    });
    let scenario = Scenario::parse(&scenario.to_string()).expect("the scenario is well formed");
    let mut instance = CoreHost::new(REGISTRY).instance(&scenario, &Arc::default()).expect("the policy compiles");
    let name = REGISTRY.find(protocol).expect("the protocol is registered").name();
    instance.log = sink.map_or_else(|| Log::off(name), |sink| Log::new(name, Level::Requests, sink));
    let connection =
        Arc::new(instance).open(scenario.meta().expect("the labels are none")).expect("nothing refuses it");
    Datapath::new(connection)
}

/// One `ingress` rule with these `l7` items.
pub(crate) fn rule(protocol: &str, l7: &Value) -> Value {
    json!({"toPorts": [{"ports": [{"port": PORT.to_string()}], "rules": {"l7proto": protocol, "l7": l7}}]})
}

/// What r2d2's and memcached's exchanges are judged by.
pub(crate) fn rules_of(protocol: &str) -> Value {
    let l7 = match protocol {
        "r2d2" => json!([{"cmd": "READ", "file": "^/public/"}, {"cmd": "HALT"}]),
        "memcache" => json!([{"command": "get", "keyPrefix": "public/"}, {"command": "set", "keyPrefix": "public/"}]),
        "cassandra" => json!([
            {"query_action": "select", "query_table": "^public\\.plans$"},
            {"query_action": "insert", "query_table": "^public\\.plans$"},
        ]),
        _ => json!([{}]),
    };
    json!([rule(protocol, &l7)])
}

/// Requests and their replies, each in the pieces in which they arrive: one event a piece.
#[derive(Clone, Default)]
pub(crate) struct Exchange {
    requests: Vec<Vec<u8>>,
    replies: Vec<Vec<u8>>,
}

impl Exchange {
    /// A request and what the server says to it; nothing where it is not to get there.
    pub(crate) fn new(request: impl Into<Vec<u8>>, reply: impl Into<Vec<u8>>) -> Self {
        let some = |bytes: Vec<u8>| if bytes.is_empty() { Vec::new() } else { vec![bytes] };
        Self { requests: some(request.into()), replies: some(reply.into()) }
    }

    /// The same so many times, in one event each way.
    #[must_use]
    pub(crate) fn pipelined(&self, times: usize) -> Self {
        Self::new(self.requests.concat().repeat(times), self.replies.concat().repeat(times))
    }

    /// The same in pieces of so many bytes.
    #[must_use]
    pub(crate) fn cut(&self, piece: usize) -> Self {
        let cut = |whole: Vec<u8>| whole.chunks(piece).map(<[u8]>::to_vec).collect();
        Self { requests: cut(self.requests.concat()), replies: cut(self.replies.concat()) }
    }

    /// Plays it, and counts what comes out as a host would send it: bytes for the server, bytes for the client.
    pub(crate) fn play(&self, datapath: &mut Datapath) -> (usize, usize) {
        let mut sent = (0, 0);
        for request in &self.requests {
            sent.0 += receive(datapath, Direction::Orig, request, &mut sent.1);
        }
        for reply in &self.replies {
            sent.1 += receive(datapath, Direction::Reply, reply, &mut sent.0);
        }
        sent
    }

    /// Plays it some times, so that every buffer has the size it needs, and checks each time what comes out: all or nothing
    /// for the server, `answer` or the server's replies for the client.
    pub(crate) fn warm_up(&self, datapath: &mut Datapath, answer: Option<&[u8]>) {
        let requests: usize = self.requests.iter().map(Vec::len).sum();
        let replies: usize = self.replies.iter().map(Vec::len).sum();
        let expected = answer.map_or((requests, replies), |answer| (0, answer.len()));
        for _ in 0..10 {
            assert_eq!(self.play(datapath), expected, "not what this exchange is about");
        }
    }
}

/// One event and what a host does after it. Returns the bytes that go on in the direction of the event.
fn receive(datapath: &mut Datapath, direction: Direction, bytes: &[u8], back: &mut usize) -> usize {
    let effects = datapath.receive(direction, &[bytes], false, Time(0));
    assert!(effects.close.is_none() && !effects.resume, "the connection stalled or closed: {:?}", effects.close);
    let (forth, answered) = match direction {
        Direction::Orig => (effects.to_server.len(), effects.to_client.len()),
        Direction::Reply => (effects.to_client.len(), effects.to_server.len()),
    };
    *back += answered;
    let sent = effects.passed + forth;
    if !datapath.tally().is_empty() {
        let _counted = datapath.tally().take();
    }
    sent
}

/// The exchanges that are measured one by one and pipelined.
pub(crate) mod exchanges {
    use super::Exchange;

    /// What memcached's clients are told of a denial.
    pub(crate) const MEMCACHE_DENIED: &[u8] = b"CLIENT_ERROR access denied\r\n";

    /// What r2d2's clients are told of a denial.
    pub(crate) const R2D2_DENIED: &[u8] = b"ERROR\r\n";

    /// An r2d2 line of 20 bytes and its reply.
    pub(crate) fn line() -> Exchange {
        Exchange::new("READ /public/plan1\r\n", "OK\r\n")
    }

    /// The same for a file that no rule admits.
    pub(crate) fn line_denied() -> Exchange {
        Exchange::new("READ /secret/plan1\r\n", "")
    }

    /// A get, and 100 bytes in reply.
    pub(crate) fn get() -> Exchange {
        let value = "x".repeat(100);
        Exchange::new("get public/plan-0001\r\n", format!("VALUE public/plan-0001 0 100\r\n{value}\r\nEND\r\n"))
    }

    /// A get of a key that is not there.
    pub(crate) fn get_miss(key: &str) -> Exchange {
        Exchange::new(format!("get {key}\r\n"), "END\r\n")
    }

    /// A get of a key that no rule admits.
    pub(crate) fn get_denied() -> Exchange {
        Exchange::new("get secret/plan-0001\r\n", "")
    }

    /// A set of so many bytes.
    pub(crate) fn set(bytes: usize) -> Exchange {
        Exchange::new(format!("set public/plan-0001 0 0 {bytes}\r\n{}\r\n", "x".repeat(bytes)), "STORED\r\n")
    }

    /// A set of 100 bytes under a key that no rule admits.
    pub(crate) fn set_denied() -> Exchange {
        Exchange::new(format!("set secret/plan-0001 0 0 100\r\n{}\r\n", "x".repeat(100)), "")
    }

    /// A get, and so many bytes in reply.
    pub(crate) fn get_large(bytes: usize) -> Exchange {
        let value = "x".repeat(bytes);
        Exchange::new("get public/plan-0001\r\n", format!("VALUE public/plan-0001 0 {bytes}\r\n{value}\r\nEND\r\n"))
    }
    /// The statement of Cassandra's exchanges.
    const SELECT: &str = "SELECT a, b FROM public.plans WHERE id = ? AND day > ? LIMIT 100 -- plan\n";

    fn envelope(version: u8, stream: u8, opcode: u8, body: &[&[u8]]) -> Vec<u8> {
        let body = body.concat();
        let length = u32::try_from(body.len()).expect("a body is short").to_be_bytes();
        [&[version, 0, 0, stream, opcode][..], &length, &body].concat()
    }

    fn long(text: &str) -> Vec<u8> {
        [&u32::try_from(text.len()).expect("a text is short").to_be_bytes(), text.as_bytes()].concat()
    }

    /// What a connection to Cassandra begins with: version 4, and one prepared statement.
    pub(crate) fn cassandra_begins() -> Vec<Exchange> {
        let options = [&[0, 1, 0, 11][..], b"CQL_VERSION", &[0, 5], b"3.0.0"].concat();
        vec![
            Exchange::new(envelope(4, 0, 1, &[&options]), envelope(0x84, 0, 2, &[])),
            Exchange::new(
                envelope(4, 0, 9, &[&long(SELECT)]),
                envelope(0x84, 0, 8, &[&[0, 0, 0, 4, 0, 16], b"0123456789abcdef", &[0; 24]]),
            ),
        ]
    }

    fn rows(stream: u8, bytes: usize) -> Vec<u8> {
        envelope(0x84, stream, 8, &[&[0, 0, 0, 2], &vec![b'x'; bytes]])
    }

    /// So many QUERYs at once, each on its stream.
    pub(crate) fn cassandra_queries(times: u8) -> Exchange {
        let query = |stream| envelope(4, stream, 7, &[&long(SELECT), &[0, 1, 0]]);
        let replies: Vec<u8> = (0..times).flat_map(|stream| rows(stream, 100)).collect();
        Exchange::new((0..times).flat_map(query).collect::<Vec<u8>>(), replies)
    }

    /// A QUERY, and so many bytes in reply.
    pub(crate) fn cassandra_query(bytes: usize) -> Exchange {
        Exchange::new(envelope(4, 0, 7, &[&long(SELECT), &[0, 1, 0]]), rows(0, bytes))
    }

    /// A QUERY of a table that no rule admits.
    pub(crate) fn cassandra_denied() -> Exchange {
        Exchange::new(envelope(4, 0, 7, &[&long("SELECT a FROM secret.plans"), &[0, 1, 0]]), "")
    }

    /// What Cassandra's clients are told of a denial.
    pub(crate) const CASSANDRA_DENIED: &[u8] = b"\x84\0\0\0\0\0\0\0\x1a\0\0\x21\0\0\x14Request Unauthorized";

    /// An EXECUTE with two values, and 100 bytes in reply.
    pub(crate) fn cassandra_execute() -> Exchange {
        let values = [0, 1, 1, 0, 2, 0, 0, 0, 1, 7, 0, 0, 0, 1, 7];
        Exchange::new(envelope(4, 0, 10, &[&[0, 16], b"0123456789abcdef", &values]), rows(0, 100))
    }

    /// A BATCH of two known statements and one in text.
    pub(crate) fn cassandra_batch() -> Exchange {
        let known = [&[1, 0, 16][..], b"0123456789abcdef", &[0, 0]].concat();
        let text = [&[0][..], &long("INSERT INTO public.plans (a) VALUES (1)"), &[0, 0]].concat();
        Exchange::new(envelope(4, 0, 13, &[&[0, 0, 3], &known, &text, &known, &[0, 1, 0]]), rows(0, 0))
    }
}
