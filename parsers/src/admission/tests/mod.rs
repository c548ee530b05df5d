//! The parser with judges of these tests' own: what becomes of the bytes, whatever the hooks say.

mod answers;
mod guarded;
mod long;
mod oracle;
mod wire;

use std::cell::Cell;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use portcullis_policy::{DocumentCompiler, Documents, Node, NodeError};
use portcullis_proxylib::testing::{Cut, Host, Observed, Scenario};
use portcullis_proxylib::{Meta, Protocol, Registry, protocols, testing};
use serde_json::{Value, json};

use super::callers::Callers;
use super::config::Config;
use super::docket::Docket;
use super::judge::{Judge, Outcome, Verdict};
use super::parser::AdmissionParser;
use super::review::Review;

struct Tested;

impl Protocol for Tested {
    const NAME: &'static str = "admission";
    type Config = Config;
    type Shared = ();
    type Parser = AdmissionParser<Tests>;

    fn documents(&self) -> Option<&'static dyn DocumentCompiler> {
        Some(&Compiler)
    }

    fn open(&self, meta: &Meta, config: &Config, _shared: &Arc<()>) -> Option<AdmissionParser<Tests>> {
        Some(AdmissionParser::new(meta, *config))
    }
}

static REGISTRY: Registry = protocols![Tested];

struct Compiler;

impl DocumentCompiler for Compiler {
    fn kinds(&self) -> &[(&str, &str)] {
        &[Callers::KIND]
    }

    fn compile(&self, documents: &[Node]) -> Result<Documents, Vec<NodeError>> {
        let judge = |path: &str| Arc::new(Tester { path: path.to_owned(), label: path[1..].into() });
        let callers = Callers::compile(documents)?;
        let mut judges = Vec::from(["/check", "/patch", "/slow", "/lost", "/lenient"].map(judge));
        let is_slow_gone = documents.iter().any(|document| format!("{document:?}").contains(WITHOUT_SLOW));
        judges.retain(|judge| !is_slow_gone || judge.path != "/slow");
        let labels: Vec<_> = judges.iter().map(|judge| Arc::clone(&judge.label)).collect();
        Ok(Documents::new(Tests { judges, callers }, Vec::new(), labels))
    }
}

/// Where a token has this name, there is no hook at `/slow`.
const WITHOUT_SLOW: &str = "without-slow";

thread_local! {
    /// Reviews that this thread has judged.
    static JUDGED: Cell<usize> = const { Cell::new(0) };
}

struct Tests {
    judges: Vec<Arc<Tester>>,
    callers: Callers,
}

struct Tester {
    path: String,
    label: Arc<str>,
}

impl Docket for Tests {
    type Judge = Tester;

    fn find(&self, path: &str) -> Option<&Arc<Tester>> {
        self.judges.iter().find(|judge| judge.path == path)
    }

    fn label(judge: &Tester) -> &Arc<str> {
        &judge.label
    }

    fn paths(&self) -> impl Iterator<Item = &str> {
        self.judges.iter().map(|judge| &*judge.path)
    }

    fn callers(&self) -> &Callers {
        &self.callers
    }
}

impl Judge for Tester {
    /// Objects say by their names what becomes of them.
    fn judge(&self, review: &Review<'_>, _until: Option<Instant>) -> Outcome {
        JUDGED.set(JUDGED.get() + 1);
        let outcome = |verdict, decided_by: &'static str| Outcome {
            verdict,
            decided_by: decided_by.into(),
            ..Outcome::default()
        };
        let allow = outcome(Verdict::Allow, "decide[1]");
        match &*review.name {
            "bad" => Outcome { message: "it is bad".into(), code: 403, ..outcome(Verdict::Deny, "decide[0]") },
            "watched" => outcome(Verdict::Watched, "decide[0]"),
            "excused" => outcome(Verdict::Excused, "error"),
            "lost" => panic!("a judge of these tests panics"),
            _ if self.path == "/patch" => Outcome { patch: Some(b"[1]".to_vec()), ..allow },
            _ => allow,
        }
    }

    fn excuse(&self, why: &str) -> Outcome {
        let (verdict, code) = if self.path == "/lenient" { (Verdict::Excused, 0) } else { (Verdict::Error, 500) };
        Outcome { verdict, code, message: why.to_owned().into(), decided_by: "error".into(), ..Outcome::default() }
    }

    fn takes_long(&self) -> bool {
        ["/slow", "/lost", "/lenient"].contains(&&*self.path)
    }
}

/// A review of a Pod of that name.
fn review(name: &str) -> String {
    let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}});
    json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {
        "uid": "u-1", "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "name": name, "namespace": "ns", "operation": "CREATE", "userInfo": {"username": "luke"},
        "object": object, "oldObject": null,
    }})
    .to_string()
}

/// A request as the API server sends it.
fn post(path: &str, body: &str) -> String {
    post_with(path, "", body)
}

/// The same with further fields.
fn post_with(path: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: hooks\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{fields}\r\n{body}"
    )
}

/// A listener as these tests have it, and what happens on a connection.
fn scenario(config: Value, steps: Value) -> Scenario {
    let digest = "e2ae3fbe9b48afb1bd9e7a4ef9c47aaa5a5a8c8c4d29f8a3c9fb1e1a3c8bd2f6";
    let policy = json!([
        {"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy", "metadata": {"name": "p"}, "spec": {
            "endpointSelector": {},
            "ingress": [{"toPorts": [{"ports": [{"port": "8443", "protocol": "TCP"}], "rules": {"l7proto": "admission", "l7": [
                {"pathPrefix": "/"}
            ]}}]}],
            "ingressDeny": [],
        }},
        {"apiVersion": "portcullis.dev/v1", "kind": "AdmissionCallers", "metadata": {"name": "c"}, "spec": {
            "tokens": [{"name": "other", "sha256": digest}, {"name": "api", "sha256": DIGEST_OF_BEEP.as_str()}]
        }},
    ]);
    let scenario = json!({
        "name": "t", "protocol": "admission", "config": config, "policy": policy, "port": 8443, "steps": steps, "expect": {},
    });
    Scenario::parse(&scenario.to_string()).unwrap()
}

static DIGEST_OF_BEEP: LazyLock<String> = LazyLock::new(|| {
    use sha2::{Digest, Sha256};
    Sha256::digest(b"beep").iter().map(|byte| format!("{byte:02x}")).collect()
});

/// What is seen, the same at every cut.
fn play(scenario: &Scenario) -> Observed {
    let mut host = testing::CoreHost::new(REGISTRY);
    let random = (0..3).flat_map(|seed| [Cut::Random(seed), Cut::Pieces(seed)]);
    let mut first: Option<Observed> = None;
    for cut in [Cut::Whole, Cut::Bytewise].into_iter().chain(random) {
        let seen = host.play(scenario, cut).unwrap();
        match &first {
            None => first = Some(seen),
            Some(first) => {
                let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
                assert_eq!(text(&first.to_client), text(&seen.to_client), "{cut:?}");
                assert_eq!(text(&first.to_server), text(&seen.to_server), "{cut:?}");
                assert_eq!(first.closed, seen.closed, "{cut:?}");
                assert_eq!(first.log, seen.log, "{cut:?}");
            }
        }
    }
    first.unwrap()
}

/// What a client gets that anybody may be.
fn ask(request: &str) -> Observed {
    play(&scenario(json!({"callers": "anonymous"}), json!([{"client": request}])))
}

/// The answers in what a client got: status, and the body.
fn answers(seen: &Observed) -> Vec<(u16, String)> {
    let mut rest = std::str::from_utf8(&seen.to_client).unwrap();
    let mut answers = Vec::new();
    while !rest.is_empty() {
        let (head, after) = rest.split_once("\r\n\r\n").unwrap();
        let code = head.strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let (body, after) = after.split_at(length.map_or(0, |length| length.parse().unwrap()));
        answers.push((code, body.to_owned()));
        rest = after;
    }
    answers
}

fn codes(seen: &Observed) -> Vec<u16> {
    answers(seen).into_iter().map(|(code, _)| code).collect()
}
