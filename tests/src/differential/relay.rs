//! A relay with a [`Datapath`] in its middle: a client on one side, a server on the other, and nothing between them that a
//! host does not do.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use portcullis_parsers::test::REGISTRY;
use portcullis_policy::{CompileOptions, Identity, Labels, PolicyStore, Snapshot, Source, Traffic};
use portcullis_proxylib::testing::{Cut, Recorder};
use portcullis_proxylib::{
    Budget, Datapath, Direction, Effects, FaultKind, Instance, Level, Limits, Log, Meta, OnParseError, Sink, Time,
};
use serde_json::Value;

/// A connection through the core, being relayed on threads of its own.
#[derive(Debug)]
pub(super) struct Relay {
    /// The client's end.
    pub(super) client: TcpStream,
    thread: JoinHandle<Trace>,
}

/// What became of a connection, as the relay saw it.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// What of the client's stream was not sent on, as far as it could be told apart: exact for a stream fed bytewise.
    pub(super) refused: Vec<Range<usize>>,
    /// Why the core closed the connection, if it did.
    pub(super) closed: Option<FaultKind>,
    /// The access log.
    pub(super) log: Vec<Value>,
}

impl Relay {
    /// Relays a connection to `upstream` under a policy, given as its rules of `l7`, which are YAML.
    ///
    /// # Errors
    /// The policy does not compile, or there is no connection.
    pub(super) fn open(rules: &str, upstream: SocketAddr, cut: Cut) -> Result<Self, String> {
        let recorder = Arc::new(Recorder::default());
        let instance = Arc::new(listen(rules, &recorder)?);
        let connection = instance.open(meta()).map_err(|_| "the policy refuses the connection")?;
        let failed = |error: std::io::Error| error.to_string();
        let server = TcpStream::connect(upstream).map_err(failed)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        let client = TcpStream::connect(listener.local_addr().map_err(failed)?).map_err(failed)?;
        let (downstream, _) = listener.accept().map_err(failed)?;
        for stream in [&server, &client, &downstream] {
            stream.set_nodelay(true).map_err(failed)?;
        }
        let thread = thread::spawn(move || {
            let mut carrier = Carrier {
                datapath: Datapath::new(connection),
                client: downstream,
                server,
                begun: Instant::now(),
                sent: Vec::new(),
                stream: Vec::new(),
                decided: 0,
                trace: Trace::default(),
                over: false,
            };
            carrier.run(cut);
            carrier.datapath.close();
            Trace { log: recorder.lines(), ..carrier.trace }
        });
        Ok(Self { client, thread })
    }

    /// What became of the connection. To be asked once both of its ends are closed.
    ///
    /// # Errors
    /// The relay panicked.
    pub(super) fn finish(self) -> Result<Trace, String> {
        let Self { client, thread } = self;
        drop(client);
        thread.join().map_err(|_| "the relay panicked".to_owned())
    }
}

fn listen(rules: &str, recorder: &Arc<Recorder>) -> Result<Instance, String> {
    let text = format!(
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: differential}}\nspec:\n  \
         endpointSelector: {{}}\n  ingress:\n  - toPorts:\n    - ports: [{{port: \"11211\"}}]\n      rules:\n        \
         l7proto: memcache\n        l7: {rules}\n"
    );
    let protocol = REGISTRY.find("memcache").ok_or("unknown protocol")?;
    let options = CompileOptions { l7proto: Some(protocol.name()), ..CompileOptions::default() };
    let sources = [Source::new("differential", text.as_bytes())];
    let compiled = Snapshot::compile(&sources, &REGISTRY, &options).map_err(|errors| errors.to_string())?;
    let policy = Arc::new(PolicyStore::default());
    policy.store(compiled.snapshot);
    let sink: Arc<dyn Sink> = Arc::<Recorder>::clone(recorder);
    let limits = Limits::default();
    Ok(Instance {
        protocol: protocol.listen(&Value::Null).map_err(|error| error.to_string())?,
        policy,
        log: Log::new(protocol.name(), Level::Denied, sink),
        limits,
        budget: Budget::new(limits.held_bytes),
        on_parse_error: OnParseError::Close,
        clock: None,
        executor: None,
    })
}

fn meta() -> Meta {
    Meta {
        id: 1,
        traffic: Traffic::Ingress,
        endpoint: Labels::default(),
        endpoint_id: 0,
        remote: Identity::unknown(None),
        port: 11211,
        source: None,
        destination: None,
    }
}

struct Carrier {
    datapath: Datapath,
    client: TcpStream,
    server: TcpStream,
    begun: Instant,
    /// What one event sent to the server.
    sent: Vec<u8>,
    /// All that the client sent.
    stream: Vec<u8>,
    /// Of that, how much is decided.
    decided: usize,
    trace: Trace,
    over: bool,
}

impl Carrier {
    fn run(&mut self, cut: Cut) {
        let (sender, events) = channel();
        for (direction, stream) in [(Direction::Orig, &self.client), (Direction::Reply, &self.server)] {
            if let Ok(stream) = stream.try_clone() {
                let sender = sender.clone();
                thread::spawn(move || listen_to(stream, direction, &sender));
            }
        }
        drop(sender);
        for (direction, bytes) in events {
            let end = bytes.is_empty();
            // Cut, replies would be as undecided as requests, and nobody could tell how much of which is held.
            let cut = if direction == Direction::Reply && cut == Cut::Bytewise { Cut::Whole } else { cut };
            for pieces in cut.apply(&bytes) {
                self.receive(direction, &pieces, end);
                if self.over {
                    return;
                }
            }
        }
    }

    fn receive(&mut self, direction: Direction, pieces: &[&[u8]], end: bool) {
        let before = self.datapath.held();
        let now = self.now();
        let mut arrived = 0;
        if direction == Direction::Orig {
            pieces.iter().for_each(|piece| self.stream.extend_from_slice(piece));
            arrived = pieces.iter().map(|piece| piece.len()).sum();
        }
        self.sent.clear();
        let effects = self.datapath.receive(direction, pieces, end, now);
        let done = carry_out(&self.client, &self.server, direction, pieces, &effects, &mut self.sent);
        if direction == Direction::Orig {
            let held = self.datapath.held();
            self.note((arrived + before).saturating_sub(held));
        }
        self.conclude(&done);
        let mut resume = done.resume;
        while resume && !self.over {
            let (before, now) = (self.datapath.held(), self.now());
            self.sent.clear();
            let effects = self.datapath.resume(now);
            let done = carry_out(&self.client, &self.server, Direction::Orig, &[], &effects, &mut self.sent);
            let held = self.datapath.held();
            self.note(before.saturating_sub(held));
            self.conclude(&done);
            resume = done.resume;
        }
    }

    /// Notes what became of the next bytes of the client's stream.
    fn note(&mut self, len: usize) {
        let from = self.decided;
        self.decided = (from + len).min(self.stream.len());
        if len == 0 || self.sent.ends_with(&self.stream[from..self.decided]) {
            return;
        }
        match self.trace.refused.last_mut() {
            // What is dropped ahead belongs to what was refused before it.
            Some(last) if len == 1 && last.end == from => last.end = self.decided,
            _ => self.trace.refused.push(from..self.decided),
        }
    }

    fn conclude(&mut self, done: &Done) {
        if let Some(kind) = done.close {
            self.trace.closed = Some(kind);
            self.over = true;
            // Bytes still on their way from the client must not cut off what is on its way to it.
            let _ = self.client.shutdown(Shutdown::Write);
            let _ = self.server.shutdown(Shutdown::Both);
        } else if done.end_to_client {
            self.over = true;
            let _ = self.client.shutdown(Shutdown::Write);
            let _ = self.server.shutdown(Shutdown::Both);
        }
    }

    fn now(&self) -> Time {
        Time(u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

/// What is left to do after an event.
struct Done {
    resume: bool,
    end_to_client: bool,
    close: Option<FaultKind>,
}

/// Does what the effects of an event say.
fn carry_out(
    client: &TcpStream,
    server: &TcpStream,
    direction: Direction,
    pieces: &[&[u8]],
    effects: &Effects<'_>,
    sent: &mut Vec<u8>,
) -> Done {
    let input = pieces.concat();
    let passed = &input[..effects.passed];
    let (orig, reply) = match direction {
        Direction::Orig => (passed, &b""[..]),
        Direction::Reply => (&b""[..], passed),
    };
    sent.extend_from_slice(orig);
    sent.extend_from_slice(effects.to_server);
    // Whoever is gone has no use for it; its end is an event of its own.
    let _ = (&*server).write_all(sent);
    let _ = (&*client).write_all(&[reply, effects.to_client].concat());
    if effects.end_to_server {
        let _ = server.shutdown(Shutdown::Write);
    }
    Done { resume: effects.resume, end_to_client: effects.end_to_client, close: effects.close }
}

/// Reports what arrives on a stream, and its end as no bytes.
fn listen_to(mut stream: TcpStream, direction: Direction, events: &Sender<(Direction, Vec<u8>)>) {
    let mut buffer = [0; 1 << 14];
    loop {
        let count = stream.read(&mut buffer).unwrap_or(0);
        if events.send((direction, buffer[..count].to_vec())).is_err() || count == 0 {
            // Read on, so that the other side is not reset before it has read what it was sent.
            while count > 0 && matches!(stream.read(&mut buffer), Ok(1..)) {}
            return;
        }
    }
}
