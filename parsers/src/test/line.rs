use std::sync::Arc;

use portcullis_proxylib::{Context, Input, Meta, NoConfig, OnData, Parser, Protocol, Verdict};

use super::{NoRules, VERBS, obey, unknown};

/// Lines that end in LF and begin with what is to be done: `PASS`, `DROP`, `INJECT` or `INSERT`.
pub struct LineParser;

impl Protocol for LineParser {
    const NAME: &'static str = "test.lineparser";
    type Config = NoConfig;
    type Shared = ();
    type Parser = LineParserParser;

    fn open(&self, _meta: &Meta, _config: &NoConfig, _shared: &Arc<()>) -> Option<LineParserParser> {
        Some(LineParserParser::default())
    }
}

/// The parser of [`LineParser`].
#[derive(Default)]
pub struct LineParserParser {
    inserted: bool,
}

impl Parser for LineParserParser {
    type Rules = NoRules;

    fn on_data<'c>(&mut self, cx: &mut Context<'c, NoRules>, input: Input<'_>) -> OnData<'c> {
        if input.is_empty() {
            return Ok(Verdict::Nop);
        }
        let Some(line) = input.find_lf().and_then(|end| input.get(..=end)) else {
            return Ok(Verdict::More(1));
        };
        match VERBS.iter().find(|(word, _)| line.starts_with(word)) {
            Some(&(_, verb)) => obey(cx, verb, line, &mut self.inserted),
            None => unknown(),
        }
    }
}
