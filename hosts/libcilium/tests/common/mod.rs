//! Cilium's Envoy, as far as the library sees it: the loop of its filter `cilium.network`, on the exported functions.
#![allow(dead_code, reason = "each test uses what it needs")]

use std::collections::VecDeque;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use portcullis_libcilium::overrides::{self, Overrides};
use portcullis_libcilium::policies::Policies;
use portcullis_libcilium::{FilterOp, FilterOpType, FilterResult, GoSlice, GoString, KeyValue};
use portcullis_proxylib::OnParseError;
use portcullis_proxylib::policy::{CompileOptions, Labels, PolicyStore, Snapshot, Source};
use portcullis_proxylib::testing::{Cut, Host, Observed, Recorder, Scenario, Step};
use portcullis_proxylib::{Limits, Registry};

portcullis_libcilium::export!(portcullis_parsers::test::REGISTRY);

/// What the library knows.
pub(crate) const REGISTRY: Registry = portcullis_parsers::test::REGISTRY;

/// Room in each of Envoy's inject buffers.
const INJECT: usize = 1024;

/// Operations that Envoy has room for.
const MAX_OPS: usize = 16;

pub(crate) fn string(text: &str) -> GoString {
    GoString { p: text.as_ptr(), n: text.len() as i64 }
}

pub(crate) fn slice<T>(elements: &[T]) -> GoSlice {
    GoSlice { data: elements.as_ptr().cast_mut().cast(), len: elements.len() as i64, cap: elements.len() as i64 }
}

/// Opens an instance.
pub(crate) fn open(params: &[(&str, &str)]) -> u64 {
    let params: Vec<_> =
        params.iter().map(|(key, value)| KeyValue { key: string(key), value: string(value) }).collect();
    // SAFETY: the slices live.
    unsafe { OpenModule(slice(&params), 0) }
}

/// An instance of its own, that is closed when it goes.
pub(crate) struct Module {
    pub(crate) id: u64,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) policies: Arc<Policies>,
}

impl Module {
    pub(crate) fn open(change: impl FnOnce(&mut Overrides)) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        // Another node than all before, so that no instance is shared.
        let id = open(&[("node-id", &format!("test~{}", NEXT.fetch_add(1, Ordering::Relaxed)))]);
        assert_ne!(id, 0);
        let recorder = Arc::new(Recorder::default());
        let mut overrides = Overrides {
            config: serde_json::Value::Null,
            limits: Limits::default(),
            on_parse_error: OnParseError::Close,
            endpoint: Labels::default(),
            remote: None,
            sink: Arc::<Recorder>::clone(&recorder),
        };
        change(&mut overrides);
        Self { id, recorder, policies: overrides::install(id, overrides) }
    }

    /// The policy of one name.
    pub(crate) fn policy(&self, name: &str) -> Arc<PolicyStore> {
        self.policies.of(name)
    }

    /// Puts policies in force.
    pub(crate) fn enforce(&self, name: &str, text: &str, protocol: &str) -> Result<(), String> {
        let sources = [Source::new("test", text.as_bytes())];
        let options = CompileOptions { l7proto: Some(protocol), ..CompileOptions::default() };
        let compiled = Snapshot::compile(&sources, &REGISTRY, &options).map_err(|errors| errors.to_string())?;
        self.policy(name).store(compiled.snapshot);
        Ok(())
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // SAFETY: there is nothing to keep to.
        unsafe { CloseModule(self.id) };
    }
}

/// One direction of a connection in Envoy.
struct Way {
    /// Bytes that no verdict was given on, in the pieces in which they came.
    buffer: VecDeque<Vec<u8>>,
    /// How many they are.
    len: usize,
    need: usize,
    pass: usize,
    drop: usize,
    closed: bool,
    header: Box<GoSlice>,
    memory: Box<[u8; INJECT]>,
}

impl Way {
    fn new() -> Self {
        let mut memory = Box::new([0; INJECT]);
        let header = Box::new(GoSlice { data: memory.as_mut_ptr(), len: 0, cap: INJECT as i64 });
        Self { buffer: VecDeque::new(), len: 0, need: 0, pass: 0, drop: 0, closed: false, header, memory }
    }

    fn len(&self) -> usize {
        self.len
    }

    fn injected(&self) -> usize {
        usize::try_from(self.header.len).unwrap()
    }

    fn take(&mut self, mut len: usize) -> Vec<u8> {
        let mut taken = Vec::new();
        self.len -= len;
        while len > 0 {
            let piece = &mut self.buffer[0];
            let now = len.min(piece.len());
            taken.extend(piece.drain(..now));
            len -= now;
            if self.buffer[0].is_empty() {
                self.buffer.pop_front();
            }
        }
        taken
    }

    fn take_injected(&mut self, len: usize) -> Vec<u8> {
        assert!(len <= self.injected());
        // SAFETY: the header is that of `memory`, moved by what was taken before.
        let taken = unsafe { std::slice::from_raw_parts(self.header.data, len) }.to_vec();
        self.header.data = self.header.data.wrapping_add(len);
        self.header.len -= len as i64;
        taken
    }

    fn at_capacity(&self) -> bool {
        self.header.data.wrapping_add(self.injected()).addr() >= self.memory.as_ptr().addr() + INJECT
    }

    fn reset_injected(&mut self) {
        self.header.data = self.memory.as_mut_ptr();
        self.header.len = 0;
    }
}

/// A connection in Envoy.
pub(crate) struct Connection {
    pub(crate) id: u64,
    orig: Way,
    reply: Way,
    pub(crate) to_server: Vec<u8>,
    pub(crate) to_client: Vec<u8>,
    pub(crate) closed: bool,
    /// Calls of the library.
    pub(crate) calls: usize,
    /// What is told in these operations is not what Envoy allows.
    pub(crate) broken: Option<String>,
}

/// What is said of a new connection.
#[derive(Clone, Copy)]
pub(crate) struct Route<'a> {
    pub(crate) protocol: &'a str,
    pub(crate) ingress: bool,
    pub(crate) destination: &'a str,
    pub(crate) policy_name: &'a str,
}

impl Route<'_> {
    pub(crate) const fn to(protocol: &str) -> Route<'_> {
        Route { protocol, ingress: true, destination: "10.0.0.2:80", policy_name: "10.0.0.2" }
    }
}

pub(crate) fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Connection {
    pub(crate) fn open(module: u64, route: Route<'_>) -> Result<Self, FilterResult> {
        Self::open_as(next_id(), module, route)
    }

    pub(crate) fn open_as(id: u64, module: u64, route: Route<'_>) -> Result<Self, FilterResult> {
        let mut connection = Self {
            id,
            orig: Way::new(),
            reply: Way::new(),
            to_server: Vec::new(),
            to_client: Vec::new(),
            closed: false,
            calls: 0,
            broken: None,
        };
        // SAFETY: strings live for the call, headers and buffers until the connection is closed.
        let result = unsafe {
            OnNewConnection(
                module,
                string(route.protocol),
                id,
                u8::from(route.ingress),
                1001,
                1002,
                string("10.0.0.1:34567"),
                string(route.destination),
                string(route.policy_name),
                &raw mut *connection.orig.header,
                &raw mut *connection.reply.header,
            )
        };
        if result == FilterResult::Ok { Ok(connection) } else { Err(result) }
    }

    /// The client sends.
    pub(crate) fn client(&mut self, pieces: &[&[u8]], end: bool) {
        if self.closed {
            return;
        }
        match self.on_io(false, pieces, end) {
            Ok(output) => self.to_server.extend(output),
            Err(()) => return self.fail(),
        }
        if self.reply.injected() > 0 && !self.reply.closed {
            self.write(&[], false);
        }
        self.orig.closed |= end;
    }

    /// The server sends.
    pub(crate) fn server(&mut self, pieces: &[&[u8]], end: bool) {
        if !self.closed {
            self.write(pieces, end);
            self.reply.closed |= end;
        }
    }

    fn write(&mut self, pieces: &[&[u8]], end: bool) {
        match self.on_io(true, pieces, end) {
            Ok(output) => self.to_client.extend(output),
            Err(()) => self.fail(),
        }
    }

    fn fail(&mut self) {
        self.closed = true;
        // SAFETY: there is nothing to keep to.
        unsafe { Close(self.id) };
    }

    /// The loop, as the contract has it. What it returns is lost if it fails.
    fn on_io(&mut self, reply: bool, pieces: &[&[u8]], end: bool) -> Result<Vec<u8>, ()> {
        let id = self.id;
        let way = if reply { &mut self.reply } else { &mut self.orig };
        let mut output = Vec::new();
        let len: usize = pieces.iter().map(|piece| piece.len()).sum();
        if way.pass > len {
            way.pass -= len;
            return Ok(pieces.concat());
        }
        if way.drop > len {
            way.drop -= len;
            return Ok(output);
        }
        way.len += pieces.iter().map(|piece| piece.len()).sum::<usize>();
        way.buffer.extend(pieces.iter().filter(|piece| !piece.is_empty()).map(|piece| piece.to_vec()));
        let dropped = std::mem::take(&mut way.drop);
        way.take(dropped);
        let passed = std::mem::take(&mut way.pass);
        output.extend(way.take(passed));
        let injected = way.injected();
        output.extend(way.take_injected(injected));
        way.reset_injected();
        if way.len() < way.need {
            return Ok(output);
        }
        way.need = 0;
        loop {
            let mut ops = [FilterOp { op: 0, n_bytes: 0 }; MAX_OPS];
            let mut list = GoSlice { data: ops.as_mut_ptr().cast(), len: 0, cap: MAX_OPS as i64 };
            let slices: Vec<_> = way.buffer.iter().map(|piece| slice(piece)).collect();
            let data = slice(&slices);
            // SAFETY: everything lives.
            let result = unsafe { OnData(id, u8::from(reply), u8::from(end), &raw const data, &raw mut list) };
            self.calls += 1;
            if result != FilterResult::Ok {
                return Err(());
            }
            let count = usize::try_from(list.len).unwrap();
            let mut terminal = false;
            for FilterOp { op, n_bytes } in &ops[..count] {
                let n = usize::try_from(*n_bytes).unwrap_or(0);
                if n == 0 || terminal {
                    self.broken = Some(format!("operation {op} of {n_bytes} bytes, terminal {terminal}"));
                    return Err(());
                }
                let there = way.len();
                match *op {
                    op if op == FilterOpType::More as u64 => {
                        way.need = there + n;
                        terminal = true;
                    }
                    op if op == FilterOpType::Pass as u64 => {
                        output.extend(way.take(n.min(there)));
                        way.pass = n.saturating_sub(there);
                        terminal = n > there;
                    }
                    op if op == FilterOpType::Drop as u64 => {
                        way.take(n.min(there));
                        way.drop = n.saturating_sub(there);
                        terminal = n > there;
                    }
                    op if op == FilterOpType::Inject as u64 && n <= way.injected() => {
                        output.extend(way.take_injected(n))
                    }
                    _ => {
                        self.broken = Some(format!("operation {op} of {n_bytes} bytes"));
                        return Err(());
                    }
                }
            }
            if way.injected() > 0 {
                self.broken = Some(format!("{} bytes abandoned in the inject buffer", way.injected()));
                return Err(());
            }
            let exhausted = way.at_capacity();
            way.reset_injected();
            if terminal || (count < MAX_OPS && !exhausted) {
                return Ok(output);
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if !self.closed {
            // SAFETY: there is nothing to keep to.
            unsafe { Close(self.id) };
        }
        if !std::thread::panicking() {
            assert_eq!(self.broken, None);
        }
    }
}

/// Plays scenarios.
pub(crate) struct CiliumHost;

impl Host for CiliumHost {
    fn play(&mut self, scenario: &Scenario, cut: Cut) -> Result<Observed, String> {
        let labels = |map: &std::collections::BTreeMap<String, String>| {
            Labels::new(map.clone()).map_err(|error| error.to_string())
        };
        let (endpoint, remote) = (labels(&scenario.endpoint)?, labels(&scenario.remote)?);
        let module = Module::open(|overrides| {
            overrides.config = scenario.config.clone();
            overrides.limits = scenario.limits;
            overrides.on_parse_error = scenario.on_parse_error;
            overrides.endpoint = endpoint;
            overrides.remote = (!scenario.remote.is_empty()).then_some(remote);
        });
        module.enforce("10.0.0.2", &scenario.policy_text(), &scenario.protocol)?;
        let mut observed = Observed::default();
        let destination = format!("10.0.0.2:{}", scenario.port);
        let route = Route { destination: &destination, ingress: !scenario.egress, ..Route::to(&scenario.protocol) };
        match Connection::open(module.id, route) {
            Err(FilterResult::PolicyDrop) => observed.closed = Some("portcullis_refused".to_owned()),
            Err(other) => return Err(format!("{other:?}")),
            Ok(mut connection) => {
                for step in &scenario.steps {
                    play_step(&mut connection, step, cut);
                }
                // What replies inject towards the server goes out with the next event of the client.
                connection.client(&[], false);
                if scenario.expect.closed.is_some()
                    || !connection.closed && module.recorder.lines().iter().any(is_error)
                {
                    // A close waits for what was said to be sent, and then for the next call.
                    connection.client(&[], true);
                    connection.server(&[], true);
                    connection.client(&[], true);
                }
                if let Some(broken) = connection.broken.take() {
                    return Err(broken);
                }
                observed.to_server = std::mem::take(&mut connection.to_server);
                observed.to_client = std::mem::take(&mut connection.to_client);
                if connection.closed {
                    // This host cannot tell why: the access log does.
                    observed.closed = Some(scenario.expect.closed.clone().unwrap_or_else(|| "closed".to_owned()));
                }
            }
        }
        if overrides::held() != 0 {
            return Err(format!("{} bytes of the budget were not given back", overrides::held()));
        }
        observed.log = module.recorder.lines();
        Ok(observed)
    }
}

fn is_error(line: &serde_json::Value) -> bool {
    line["verdict"] == "error"
}

fn play_step(connection: &mut Connection, step: &Step, cut: Cut) {
    match step {
        Step::Client(bytes) => cut.apply(&bytes.0).iter().for_each(|pieces| connection.client(pieces, false)),
        Step::Server(bytes) => cut.apply(&bytes.0).iter().for_each(|pieces| connection.server(pieces, false)),
        Step::ClientEnd(()) => connection.client(&[], true),
        Step::ServerEnd(()) => connection.server(&[], true),
    }
}

/// No buffer at all.
pub(crate) const NULL: *mut GoSlice = ptr::null_mut();
