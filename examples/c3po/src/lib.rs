//! The parser of the Cilium 1.3 announcement, as anybody outside the project would write it: R2-D2's control protocol, in
//! which requests that contain `C-3PO` are dropped, whatever policy says.
//!
//! `cargo build --release -p portcullis-example-c3po` makes `libc3po.so`; Envoy loads it as it loads `libportcullis.so`.

use std::sync::Arc;

use portcullis_policy::{Describe, Dialect, Fields, ListedRule, RuleList};
use portcullis_proxylib::{
    Context, Direction, Input, Meta, NoConfig, OnData, Parser, Protocol, Registry, Verdict, protocols,
};
use serde::Deserialize;

/// The protocols of this module.
pub static REGISTRY: Registry = protocols![C3po];

// What Envoy calls. Unit tests have no Envoy to link with.
#[cfg(not(test))]
portcullis_envoy::export!(REGISTRY);

/// The protocol.
pub struct C3po;

impl Protocol for C3po {
    const NAME: &'static str = "c3po";
    type Config = NoConfig;
    type Shared = ();
    type Parser = C3poParser;

    fn open(&self, _meta: &Meta, _config: &NoConfig, _shared: &Arc<()>) -> Option<C3poParser> {
        Some(C3poParser)
    }
}

/// The parser of one connection: it need not remember anything.
pub struct C3poParser;

impl Parser for C3poParser {
    type Rules = RuleList<LineRule>;

    fn on_data<'c>(&mut self, cx: &mut Context<'c, Self::Rules>, input: Input<'_>) -> OnData<'c> {
        let Some(end) = input.find_line(MAX_LINE)? else { return Ok(Verdict::More(1)) };
        let len = end as u64 + 2;
        if cx.direction() == Direction::Reply {
            return Ok(Verdict::Pass(cx.unjudged(len, "replies pass without a look")));
        }
        let line = Line(&input[..end]);
        if line.contains("C-3PO") {
            cx.refuse("it is about C-3PO", &line);
            return Ok(Verdict::Drop(len));
        }
        match cx.admit(len, &line) {
            Ok(grant) => Ok(Verdict::Pass(grant)),
            Err(_denied) => Ok(Verdict::Drop(len)),
        }
    }
}

/// A request: a line without its end.
pub struct Line<'a>(&'a [u8]);

impl Line<'_> {
    fn contains(&self, text: &str) -> bool {
        self.0.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

impl Describe for Line<'_> {
    fn describe(&self, fields: &mut dyn Fields) {
        fields.text("line", self.0);
    }
}

/// One item under `l7`: `{prefix: READ}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineRule {
    #[serde(default)]
    prefix: String,
}

impl ListedRule for LineRule {
    type Spec = Self;
    type Request<'a> = Line<'a>;

    fn compile(spec: Self, _dialect: Dialect) -> Result<Self, String> {
        Ok(spec)
    }

    fn matches(&self, request: &Line<'_>) -> Result<(), &'static str> {
        if request.0.starts_with(self.prefix.as_bytes()) { Ok(()) } else { Err("prefix") }
    }
}

/// Bytes of a line at most.
const MAX_LINE: usize = 4096;

#[cfg(test)]
mod tests {
    use portcullis_proxylib::testing::{Scenario, check_every_cut};

    #[test]
    fn requests_about_c3po_are_dropped_at_every_cut() {
        let scenario = Scenario::parse(include_str!("../scenario.json")).expect("a scenario");
        check_every_cut(super::REGISTRY, &scenario).expect("what the scenario expects");
    }
}
