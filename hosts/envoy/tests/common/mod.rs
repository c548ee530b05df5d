//! A protocol that does what a test tells it to, and the module that speaks it.
#![allow(dead_code, reason = "each test uses what it needs")]

use std::sync::Arc;

use portcullis_envoy_mock::Listener;
use portcullis_proxylib::policy::{Describe, Dialect, Fields, ListedRule, RuleList};
use portcullis_proxylib::{
    Context, Direction, Input, Meta, NoConfig, OnData, ParseError, Parser, Pending, Protocol, Verdict, protocols,
};
use serde_json::{Value, json};

portcullis_envoy::export!(protocols![Chat]);

/// A request is a line, its verb the first word. Policy says which verbs pass; `no\n` answers those that do not.
///
/// Of those that pass: `ask` is answered with a line, `put` is not; `size N` is followed by N bytes that pass ahead; `wait`
/// is judged by a job; `panic` panics, `bomb` does when the connection closes; `bad` is malformed; what comes after `last` is, even nothing. `say N` is not for the
/// server: N bytes are the answer; `shun` is refused without asking policy.
pub(crate) struct Chat;

impl Protocol for Chat {
    const NAME: &'static str = "chat";
    type Config = NoConfig;
    type Shared = ();
    type Parser = Talk;

    fn open(&self, _meta: &Meta, _config: &NoConfig, _shared: &Arc<()>) -> Option<Talk> {
        Some(Talk::default())
    }
}

#[derive(Default)]
pub(crate) struct Talk {
    owed: usize,
    bomb: bool,
    last: bool,
    job: Option<Pending<()>>,
}

impl Parser for Talk {
    type Rules = RuleList<Rule>;

    fn on_data<'c>(&mut self, cx: &mut Context<'c, RuleList<Rule>>, input: Input<'_>) -> OnData<'c> {
        if input.is_empty() {
            return if self.last { Err(ParseError::new("told to be the last")) } else { Ok(Verdict::Nop) };
        }
        let Some(end) = input.find_lf() else { return Ok(Verdict::More(1)) };
        let line = &input[..end];
        let len = end as u64 + 1;
        if cx.direction() == Direction::Reply {
            self.owed = self.owed.saturating_sub(1);
            return Ok(Verdict::Pass(cx.unjudged(len, "a reply")));
        }
        let mut words = line.split(|&byte| byte == b' ');
        let verb = words.next().unwrap_or_default();
        let number = || words.next().and_then(|word| str::from_utf8(word).ok()?.parse::<u64>().ok()).unwrap_or(0);
        match verb {
            b"wait" => match self.job.take() {
                None => {
                    self.job = Some(cx.run(|| ()));
                    return Ok(Verdict::Wait);
                }
                Some(job) => match job.take() {
                    None => {
                        self.job = Some(job);
                        return Ok(Verdict::Wait);
                    }
                    Some(done) => assert!(done.is_ok()),
                },
            },
            b"panic" => panic!("told to"),
            b"bomb" => self.bomb = true,
            b"last" => self.last = true,
            b"bad" => return Err(ParseError::new("told to be bad").reply(&b"bad\n"[..])),
            b"say" => {
                cx.inject_reply(&vec![b'x'; { number }() as usize]);
                return Ok(Verdict::Drop(len));
            }
            b"shun" => {
                cx.refuse("told to shun it", &Request { verb });
                cx.inject_reply(b"no\n");
                return Ok(Verdict::Drop(len));
            }
            b"ask" => self.owed += 1,
            b"size" => {
                let whole = len + { number }();
                return Ok(match cx.admit(whole, &Request { verb }) {
                    Ok(grant) => Verdict::Pass(grant),
                    Err(_) => Verdict::Drop(whole),
                });
            }
            _ => {}
        }
        match cx.admit(len, &Request { verb }) {
            Ok(grant) => Ok(Verdict::Pass(grant)),
            Err(_) => {
                cx.inject_reply(b"no\n");
                Ok(Verdict::Drop(len))
            }
        }
    }

    fn owes_replies(&self) -> bool {
        self.owed > 0
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        assert!(!self.bomb, "a bomb went off");
    }
}

pub(crate) struct Rule(String);

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    verb: String,
}

pub(crate) struct Request<'a> {
    verb: &'a [u8],
}

impl ListedRule for Rule {
    type Spec = Spec;
    type Request<'a> = Request<'a>;

    fn compile(spec: Spec, _dialect: Dialect) -> Result<Self, String> {
        Ok(Self(spec.verb))
    }

    fn matches(&self, request: &Request<'_>) -> Result<(), &'static str> {
        if self.0.as_bytes() == request.verb { Ok(()) } else { Err("verb") }
    }
}

impl Describe for Request<'_> {
    fn describe(&self, fields: &mut dyn Fields) {
        fields.text("verb", self.verb);
    }
}

/// A policy that lets these verbs pass.
pub(crate) fn policy(verbs: &[&str]) -> String {
    let rules: Vec<Value> = verbs.iter().map(|verb| json!({"verb": verb})).collect();
    let port = json!({"ports": [{"port": "11211", "protocol": "TCP"}], "rules": {"l7proto": "chat", "l7": rules}});
    json!({
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNetworkPolicy",
        "metadata": {"name": "chat"},
        "spec": {"endpointSelector": {}, "ingress": [{"toPorts": [port]}]},
    })
    .to_string()
}

/// A listener's configuration; `changes` replace or add fields.
pub(crate) fn config(changes: Value) -> String {
    let verbs = ["ask", "put", "size", "wait", "panic", "bomb", "last"];
    let mut config = json!({
        "protocol": "chat",
        "policy": {"inline": policy(&verbs)},
        "endpoint": {"labels": {"app": "chat"}},
        "direction": "ingress",
    });
    for (key, value) in changes.as_object().cloned().unwrap_or_default() {
        config[key] = value;
    }
    config.to_string()
}

pub(crate) fn listen() -> Listener {
    listen_with(json!({}))
}

pub(crate) fn listen_with(changes: Value) -> Listener {
    Listener::open(&config(changes)).unwrap()
}
