use std::sync::Arc;

use portcullis_proxylib::{Context, Input, Meta, NoConfig, OnData, Parser, Protocol, Verdict};

use super::{NoRules, WHY};

/// Lets everything pass.
pub struct Passer;

impl Protocol for Passer {
    const NAME: &'static str = "test.passer";
    type Config = NoConfig;
    type Shared = ();
    type Parser = PasserParser;

    fn open(&self, _meta: &Meta, _config: &NoConfig, _shared: &Arc<()>) -> Option<PasserParser> {
        Some(PasserParser)
    }
}

/// The parser of [`Passer`].
pub struct PasserParser;

impl Parser for PasserParser {
    type Rules = NoRules;

    fn on_data<'c>(&mut self, cx: &mut Context<'c, NoRules>, input: Input<'_>) -> OnData<'c> {
        if input.is_empty() {
            return Ok(Verdict::Nop);
        }
        Ok(Verdict::Pass(cx.unjudged(input.len() as u64, WHY)))
    }
}
