//! What the agent's side of the socket sees.

mod entries;
mod reader;
mod socket;

use portcullis_policy::{Describe, Fields, Identity, Labels, Place, RuleInfo, Traffic};
use portcullis_proxylib::{Entry, Meta, Status};

/// A request with these fields; those of several values are lists.
#[derive(Clone, Debug, Default)]
struct Request(Vec<(&'static str, Vec<Vec<u8>>)>);

impl Request {
    fn text(name: &'static str, value: impl Into<Vec<u8>>) -> Self {
        Self(vec![(name, vec![value.into()])])
    }
}

impl Describe for Request {
    fn describe(&self, fields: &mut dyn Fields) {
        for (name, values) in &self.0 {
            match values.as_slice() {
                [value] => fields.text(name, value),
                values => fields.list(name, &mut values.iter().map(Vec::as_slice)),
            }
        }
    }
}

fn meta() -> Meta {
    Meta {
        id: 7,
        traffic: Traffic::Ingress,
        endpoint: Labels::default(),
        endpoint_id: 222,
        remote: Identity { id: 111, ..Identity::default() },
        port: 4040,
        source: "10.1.2.3:45678".parse().ok(),
        destination: "[2001:db8::1]:4040".parse().ok(),
    }
}

const fn entry<'a>(meta: &'a Meta, status: Status, request: Option<&'a dyn Describe>) -> Entry<'a> {
    Entry { status, protocol: "r2d2", meta, rule: None, reason: "", generation: 1, fields: request }
}

fn rule(name: impl Into<String>) -> RuleInfo {
    RuleInfo { name: name.into(), place: Place { file: "f".into(), line: 1, column: 1 }, audit: false }
}
