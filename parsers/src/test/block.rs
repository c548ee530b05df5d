use std::sync::Arc;

use portcullis_proxylib::{Context, Input, Meta, NoConfig, OnData, ParseError, Parser, Protocol, Verdict};

use super::{NoRules, VERBS, Verb, WHY, obey, unknown};

/// Blocks `N:payload` of `N` bytes, digits and colon included, that contain what is to be done.
pub struct BlockParser;

impl Protocol for BlockParser {
    const NAME: &'static str = "test.blockparser";
    type Config = NoConfig;
    type Shared = ();
    type Parser = BlockParserParser;

    fn open(&self, _meta: &Meta, _config: &NoConfig, _shared: &Arc<()>) -> Option<BlockParserParser> {
        Some(BlockParserParser::default())
    }
}

/// The parser of [`BlockParser`].
#[derive(Default)]
pub struct BlockParserParser {
    inserted: bool,
}

/// Digits of a length at most.
const MAX_DIGITS: usize = 9;

impl Parser for BlockParserParser {
    type Rules = NoRules;

    fn on_data<'c>(&mut self, cx: &mut Context<'c, NoRules>, input: Input<'_>) -> OnData<'c> {
        if input.is_empty() {
            return Ok(Verdict::Nop);
        }
        let head = input.get(..=MAX_DIGITS).unwrap_or(input.bytes());
        let Some(colon) = memchr::memchr(b':', head) else {
            return if input.len() > MAX_DIGITS { Err(ParseError::new("no length")) } else { Ok(Verdict::More(1)) };
        };
        let digits = head.get(..colon).unwrap_or_default();
        let len = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u64>().ok());
        let Some(len) = len.filter(|&len| len > colon as u64) else {
            return Err(ParseError::new("a length that is none"));
        };
        let whole = usize::try_from(len).ok().and_then(|len| input.get(..len));
        let there = whole.unwrap_or(input.bytes());
        let verb = VERBS.iter().find(|(word, _)| memchr::memmem::find(there, word).is_some()).map(|&(_, verb)| verb);
        match (whole, verb) {
            // As soon as it is known, for the bytes still to come too.
            (_, Some(Verb::Pass)) => Ok(Verdict::Pass(cx.unjudged(len, WHY))),
            (_, Some(Verb::Drop)) => Ok(Verdict::Drop(len)),
            (Some(block), Some(verb)) => obey(cx, verb, block, &mut self.inserted),
            (Some(_), None) => unknown(),
            (None, Some(_)) => Ok(Verdict::More(len.saturating_sub(there.len() as u64))),
            (None, None) => Ok(Verdict::More(1)),
        }
    }
}
