use std::sync::Arc;

use portcullis_proxylib::{Context, Input, Meta, NoConfig, OnData, Parser, Protocol, Verdict};

use super::{NoRules, WHY};

/// Lets lines pass; panics at once at a line `PANIC`, and in its destructor after a line `PANIC-ON-DROP`.
pub struct Panicker;

impl Protocol for Panicker {
    const NAME: &'static str = "test.panicker";
    type Config = NoConfig;
    type Shared = ();
    type Parser = PanickerParser;

    fn open(&self, _meta: &Meta, _config: &NoConfig, _shared: &Arc<()>) -> Option<PanickerParser> {
        Some(PanickerParser::default())
    }
}

/// The parser of [`Panicker`].
#[derive(Default)]
pub struct PanickerParser {
    armed: bool,
}

impl Parser for PanickerParser {
    type Rules = NoRules;

    #[expect(clippy::panic, reason = "to panic is what it is for")]
    fn on_data<'c>(&mut self, cx: &mut Context<'c, NoRules>, input: Input<'_>) -> OnData<'c> {
        if input.is_empty() {
            return Ok(Verdict::Nop);
        }
        let Some(line) = input.find_lf().and_then(|end| input.get(..=end)) else {
            return Ok(Verdict::More(1));
        };
        match line.trim_ascii() {
            b"PANIC" => panic!("told to"),
            b"PANIC-ON-DROP" => self.armed = true,
            _ => {}
        }
        Ok(Verdict::Pass(cx.unjudged(line.len() as u64, WHY)))
    }
}

impl Drop for PanickerParser {
    #[expect(clippy::panic, reason = "to panic is what it is for")]
    fn drop(&mut self) {
        if self.armed {
            panic!("told to, when dropped");
        }
    }
}
