use std::sync::Arc;

use memchr::memmem;
use portcullis_policy::{Dialect, ListedRule, RuleList};
use portcullis_proxylib::{Context, Direction, Input, Meta, NoConfig, OnData, Parser, Protocol, Verdict};
use serde::Deserialize;

use super::{Line, WHY};

/// Lines that end in LF, judged by how they begin, what they contain and how they end.
pub struct HeaderParser;

impl Protocol for HeaderParser {
    const NAME: &'static str = "test.headerparser";
    type Config = NoConfig;
    type Shared = ();
    type Parser = HeaderParserParser;

    fn open(&self, _meta: &Meta, _config: &NoConfig, _shared: &Arc<()>) -> Option<HeaderParserParser> {
        Some(HeaderParserParser)
    }
}

/// The parser of [`HeaderParser`].
pub struct HeaderParserParser;

/// An `l7` item: what a line must begin with, contain and end with.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
pub struct HeaderRule {
    prefix: String,
    contains: String,
    suffix: String,
}

impl ListedRule for HeaderRule {
    type Spec = Self;
    type Request<'a> = Line<'a>;

    fn compile(spec: Self, _dialect: Dialect) -> Result<Self, String> {
        Ok(spec)
    }

    fn matches(&self, &Line(line): &Line<'_>) -> Result<(), &'static str> {
        if !line.starts_with(self.prefix.as_bytes()) {
            return Err("prefix");
        }
        if memmem::find(line, self.contains.as_bytes()).is_none() {
            return Err("contains");
        }
        if !line.ends_with(self.suffix.as_bytes()) {
            return Err("suffix");
        }
        Ok(())
    }
}

impl Parser for HeaderParserParser {
    type Rules = RuleList<HeaderRule>;

    fn on_data<'c>(&mut self, cx: &mut Context<'c, Self::Rules>, input: Input<'_>) -> OnData<'c> {
        if input.is_empty() {
            return Ok(Verdict::Nop);
        }
        let Some(line) = input.find_lf().and_then(|end| input.get(..=end)) else {
            return Ok(Verdict::More(1));
        };
        let len = line.len() as u64;
        if cx.direction() == Direction::Reply {
            return Ok(Verdict::Pass(cx.unjudged(len, WHY)));
        }
        match cx.admit(len, &Line(line.trim_ascii())) {
            Ok(grant) => Ok(Verdict::Pass(grant)),
            Err(_denied) => {
                cx.inject_reply(b"Line dropped: ");
                cx.inject_reply(line);
                Ok(Verdict::Drop(len))
            }
        }
    }
}
