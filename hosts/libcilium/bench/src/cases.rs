//! What is measured: rules, a request that is allowed or not, and what the server says to it.

pub(crate) const ENDPOINT: &str = "10.0.0.1";
pub(crate) const PORT: u32 = 4040;

/// The rules of a case, as string maps.
pub(crate) struct Rules {
    pub(crate) proto: &'static str,
    pub(crate) l7: Vec<Vec<(&'static str, String)>>,
}

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) rules: Rules,
    /// The requests of one event, and the replies to them; no reply where the request is denied.
    pub(crate) requests: Vec<u8>,
    pub(crate) replies: Vec<u8>,
    /// What is said first on each connection, and the reply to it.
    pub(crate) prelude: Option<(Vec<u8>, Vec<u8>)>,
    /// How many requests that is.
    pub(crate) count: u64,
    pub(crate) denied: bool,
}

impl Case {
    fn new(
        name: &str,
        proto: &'static str,
        l7: Vec<Vec<(&'static str, String)>>,
        request: &[u8],
        reply: &[u8],
    ) -> Self {
        Self {
            name: name.to_owned(),
            rules: Rules { proto, l7 },
            requests: request.to_vec(),
            replies: reply.to_vec(),
            prelude: (proto == "cassandra").then(cassandra_startup),
            count: 1,
            denied: false,
        }
    }

    fn denied(self) -> Self {
        Self { denied: true, replies: Vec::new(), ..self }
    }

    /// The same so many times in one event each way.
    fn pipelined(self, times: usize) -> Self {
        Self {
            name: format!("{}, {times} pipelined", self.name),
            requests: self.requests.repeat(times),
            replies: self.replies.repeat(times),
            count: times as u64,
            ..self
        }
    }
}

pub(crate) fn all() -> Vec<Case> {
    let mut cases = vec![Case::new("test.passer 20 B (floor)", "test.passer", vec![], b"READ /public/x1.txt\n", b"")];
    let r2d2 = |name: &str, request: &[u8]| {
        let l7 = vec![vec![("cmd", "READ".to_owned()), ("file", "^/public/".to_owned())]];
        Case::new(name, "r2d2", l7, request, b"OK\r\n")
    };
    cases.push(r2d2("r2d2 20 B line", b"READ /public/x.txt\r\n"));
    cases.push(r2d2("r2d2 denied", b"READ /secret/x.txt\r\n").denied());
    cases.push(r2d2("r2d2 20 B line", b"READ /public/x.txt\r\n").pipelined(64));
    let rule = |command: &str| vec![("command", command.to_owned()), ("keyPrefix", "public/".to_owned())];
    let memcache = |name: &str, request: &[u8], reply: &[u8]| {
        Case::new(name, "memcache", vec![rule("get"), rule("set")], request, reply)
    };
    let get = || memcache("memcached text get", b"get public/key-1\r\n", b"VALUE public/key-1 0 5\r\nhello\r\nEND\r\n");
    cases.push(get());
    cases.push(get().pipelined(64));
    let set = [b"set public/key-1 0 0 100\r\n", &[b'x'; 100][..], b"\r\n"].concat();
    cases.push(memcache("memcached text set 100 B", &set, b"STORED\r\n"));
    cases.push(memcache("memcached text denied", b"get secret/key-1\r\n", b"").denied());
    let binary = || memcache("memcached binary get", &binary_get(b"public/key-1"), &binary_reply(b"hello"));
    cases.push(binary());
    cases.push(binary().pipelined(64));
    cases.push(memcache("memcached binary denied", &binary_get(b"secret/key-1"), b"").denied());
    let cassandra = |name: &str, table: &str| {
        let l7 = vec![vec![("query_action", "select".to_owned()), ("query_table", "^space\\.public".to_owned())]];
        let query = format!("SELECT name, age FROM {table} WHERE id = 12");
        Case::new(name, "cassandra", l7, &cassandra_query(&query), &cassandra_void())
    };
    cases.push(cassandra("cassandra QUERY select", "space.public_people"));
    let mut pipelined = cassandra("cassandra QUERY select", "space.public_people").pipelined(16);
    number_streams(&mut pipelined.requests);
    number_streams(&mut pipelined.replies);
    cases.push(pipelined);
    cases.push(cassandra("cassandra denied", "space.secret_people").denied());
    for count in [100, 10_000] {
        cases.extend(of_many_rules(count));
    }
    cases
}

/// The last of many rules is the one that allows.
fn of_many_rules(count: usize) -> Vec<Case> {
    let last = count - 1;
    let each = |rule: &dyn Fn(usize) -> Vec<(&'static str, String)>| (0..count).map(rule).collect::<Vec<_>>();
    let r2d2 = each(&|n| vec![("cmd", "READ".to_owned()), ("file", format!("^/public/{n}/"))]);
    let key = |kind: &'static str| {
        each(&|n| {
            vec![
                ("command", "get".to_owned()),
                (kind, if kind == "keyRegex" { format!("^key-{n}/") } else { format!("key-{n}/") }),
            ]
        })
    };
    let tables = each(&|n| vec![("query_action", "select".to_owned()), ("query_table", format!("^space\\.t{n}$"))]);
    let get = format!("get key-{last}/\r\n");
    let mut cases =
        vec![Case::new("r2d2 cmd+regex", "r2d2", r2d2, format!("READ /public/{last}/x\r\n").as_bytes(), b"OK\r\n")];
    for kind in ["keyExact", "keyPrefix", "keyRegex"] {
        cases.push(Case::new(&format!("memcached {kind}"), "memcache", key(kind), get.as_bytes(), b"END\r\n"));
    }
    let query = cassandra_query(&format!("SELECT * FROM space.t{last}"));
    cases.push(Case::new("cassandra query_table", "cassandra", tables, &query, &cassandra_void()));
    for case in &mut cases {
        case.name = format!("{}, {count} rules", case.name);
    }
    cases
}

fn binary_get(key: &[u8]) -> Vec<u8> {
    let len = key.len() as u8;
    [&[0x80, 0, 0, len, 0, 0, 0, 0, 0, 0, 0, len, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0][..], key].concat()
}

fn binary_reply(value: &[u8]) -> Vec<u8> {
    let body = value.len() as u8 + 4;
    let head = [0x81, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, body, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    [&head[..], value].concat()
}

/// STARTUP and READY.
fn cassandra_startup() -> (Vec<u8>, Vec<u8>) {
    let options = b"\0\x01\0\x0bCQL_VERSION\0\x053.0.0";
    let startup = [&[4, 0, 0, 1, 1][..], &(options.len() as u32).to_be_bytes(), options].concat();
    (startup, vec![0x84, 0, 0, 1, 2, 0, 0, 0, 0])
}

/// Gives each frame a stream of its own.
fn number_streams(frames: &mut [u8]) {
    let mut rest = frames;
    let mut stream = 0;
    while let [_, _, _, low, _, a, b, c, d, body @ ..] = rest {
        stream += 1;
        *low = stream;
        let len = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        rest = body.split_at_mut(len).1;
    }
}

/// A frame of version 4, as a driver sends it: consistency ONE, no values.
fn cassandra_query(query: &str) -> Vec<u8> {
    let body = [&(query.len() as u32).to_be_bytes()[..], query.as_bytes(), &[0, 1, 0]].concat();
    [&[4, 0, 0, 1, 7][..], &(body.len() as u32).to_be_bytes(), &body].concat()
}

/// RESULT, kind void.
fn cassandra_void() -> Vec<u8> {
    vec![0x84, 0, 0, 1, 8, 0, 0, 0, 4, 0, 0, 0, 1]
}
