//! Requests that policy lets in and the protocol itself judges, by documents it brings along beside the policies.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis_proxylib::policy::{
    CompileOptions, Describe, Dialect, DocumentCompiler, Documents, Fields, Identity, Labels, ListedRule, Node,
    NodeError, PolicyStore, RuleList, Snapshot, Source, Traffic,
};
use portcullis_proxylib::{
    Asked, Budget, Conclusion, Connection, Context, Direction, Entry, FaultKind, Input, Instance, Level, Limits, Log,
    Meta, NoConfig, Observed, OnData, OnParseError, Op, Ops, ParseError, Parser, Protocol, Registry, Sink, Status,
    Verdict, protocols,
};

/// Each byte is a request: `a` is allowed by the judge, `w` watched, `d` denied, `x` ends the connection; policy itself
/// lets nobody ask `n`.
struct Judged;

struct Request(u8);

struct Rule(String);

impl Describe for Request {
    fn describe(&self, fields: &mut dyn Fields) {
        fields.text("byte", &[self.0]);
    }
}

#[derive(serde::Deserialize)]
struct Spec {
    bytes: String,
}

impl ListedRule for Rule {
    type Spec = Spec;
    type Request<'a> = Request;

    fn compile(spec: Spec, _: Dialect) -> Result<Self, String> {
        Ok(Self(spec.bytes))
    }

    fn matches(&self, request: &Request) -> Result<(), &'static str> {
        if self.0.as_bytes().contains(&request.0) { Ok(()) } else { Err("bytes") }
    }
}

struct Kinds;

impl DocumentCompiler for Kinds {
    fn kinds(&self) -> &[(&str, &str)] {
        &[("example.org/v1", "Judge")]
    }

    fn compile(&self, documents: &[Node]) -> Result<Documents, Vec<NodeError>> {
        Ok(Documents::new(documents.len(), Vec::new(), [Arc::from("judge")]))
    }
}

struct JudgedParser;

impl Protocol for Judged {
    const NAME: &'static str = "judged";
    type Config = NoConfig;
    type Shared = ();
    type Parser = JudgedParser;

    fn documents(&self) -> Option<&'static dyn DocumentCompiler> {
        Some(&Kinds)
    }

    fn open(&self, _: &Meta, _: &NoConfig, _: &Arc<()>) -> Option<JudgedParser> {
        Some(JudgedParser)
    }
}

impl Parser for JudgedParser {
    type Rules = RuleList<Rule>;

    fn on_data<'c>(&mut self, cx: &mut Context<'c, Self::Rules>, input: Input<'_>) -> OnData<'c> {
        let Some(byte) = input.get(0..1).and_then(|bytes| bytes.first()).copied() else {
            return Ok(Verdict::More(1));
        };
        assert!(cx.is_in_force());
        assert_eq!(cx.documents::<usize>(), Some(&1));
        assert_eq!(cx.share_documents::<usize>().as_deref(), Some(&1));
        let conclusion = match byte {
            b'x' => return Err(ParseError::finish(&b"bye"[..])),
            b'w' => Conclusion::Audit,
            b'd' => Conclusion::Deny,
            _ => Conclusion::Allow,
        };
        let Ok(admitted) = cx.admit_to_judgement(1, &Request(byte)) else { return Ok(Verdict::Drop(1)) };
        cx.observe(&Arc::from("judge"), Status::Forwarded, cx.clock());
        match cx.conclude(admitted, conclusion, "judged", &Request(byte)) {
            Ok(grant) => Ok(Verdict::Pass(grant)),
            Err(_) => Ok(Verdict::Drop(1)),
        }
    }
}

static REGISTRY: Registry = protocols![Judged];

#[derive(Default)]
struct Entries(Mutex<Logged>);

impl Sink for Entries {
    fn record(&self, entry: &Entry<'_>) {
        self.0.lock().unwrap().push((entry.status, entry.reason.to_owned()));
    }

    fn asked(&self, _: &dyn Asked) {}
}

const POLICY: &str = r#"
apiVersion: portcullis.dev/v1
kind: L7Policy
metadata: {name: p}
spec:
  endpointSelector: {}
  ingress:
  - fromEntities: [all]
    toPorts: [{ports: [{port: "1"}], rules: {l7proto: judged, l7: [{bytes: awd}]}}]
---
apiVersion: example.org/v1
kind: Judge
"#;

type Logged = Vec<(Status, String)>;

/// What becomes of some requests: the ops, the log, what is counted.
fn play(bytes: &[u8], broken: bool) -> (Vec<Op>, Logged, Connection, Option<FaultKind>) {
    let entries = Arc::new(Entries::default());
    let policy = PolicyStore::default();
    let compiled =
        Snapshot::compile(&[Source::new("p.yaml", POLICY.as_bytes())], &REGISTRY, &CompileOptions::default()).unwrap();
    policy.store(compiled.snapshot.with_glass(broken));
    let limits = Limits::default();
    let instance = Arc::new(Instance {
        protocol: REGISTRY.find("judged").unwrap().listen(&serde_json::Value::Null).unwrap(),
        policy: Arc::new(policy),
        log: Log::new("judged", Level::Requests, Arc::<Entries>::clone(&entries)),
        on_parse_error: OnParseError::Close,
        limits,
        budget: Budget::new(limits.held_bytes),
        clock: Some(|| Duration::from_micros(7)),
        executor: None,
    });
    let meta = Meta {
        id: 1,
        traffic: Traffic::Ingress,
        endpoint: Labels::default(),
        endpoint_id: 0,
        remote: Identity::default(),
        port: 1,
        source: None,
        destination: None,
    };
    let mut connection = instance.open(meta).unwrap();
    let mut ops = Ops::new();
    let fault = connection.on_data(Direction::Orig, 0, Input::new(bytes, 0, false), &mut ops).err();
    let log = std::mem::take(&mut *entries.0.lock().unwrap());
    (ops.to_vec(), log, connection, fault.map(|fault| fault.kind))
}

#[test]
fn each_request_is_counted_and_logged_once() {
    let (ops, log, mut connection, fault) = play(b"awdn", false);
    let pass = |offset| Op::Pass { offset, len: 1 };
    assert_eq!(ops, [pass(0), pass(1), Op::Drop(1), Op::Drop(1), Op::More(1)]);
    let judged = |status| (status, "judged".to_owned());
    assert_eq!(log[..3], [judged(Status::Forwarded), judged(Status::Audited), judged(Status::Denied)]);
    // Policy's own denial has policy's own reason.
    assert_eq!(log.len(), 4);
    assert_eq!((log[3].0, log[3].1.as_str()), (Status::Denied, "no rule matches"));
    assert_eq!(fault, None);
    let tally = connection.tally().take();
    assert_eq!((tally.forwarded, tally.audited, tally.denied, tally.errors), (1, 1, 2, 0));
    let observed =
        Observed { label: Arc::from("judge"), status: Status::Forwarded, took: Some(Duration::from_micros(7)) };
    assert_eq!(tally.observed, vec![observed; 3]);
}

#[test]
fn with_broken_glass_what_is_denied_passes_and_is_audited() {
    let (ops, log, ..) = play(b"dn", true);
    assert!(ops.iter().take(2).all(|op| matches!(op, Op::Pass { .. } | Op::Drop(1))), "{ops:?}");
    assert!(matches!(ops[0], Op::Pass { .. }));
    assert_eq!(log[0].0, Status::Audited);
}

#[test]
fn a_protocol_may_end_a_connection_without_a_fault() {
    let (ops, log, mut connection, fault) = play(b"ax", false);
    assert_eq!(ops.len(), 1);
    assert_eq!(log.len(), 1);
    assert_eq!(fault, Some(FaultKind::Finished));
    assert_eq!(connection.tally().take().errors, 0);
}
