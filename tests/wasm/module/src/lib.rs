//! `portcullis_test_wasm.wasm`: a module with a protocol that breaks on command, and those that scenarios test hosts with. Not for
//! production.

use std::hint::black_box;
use std::sync::Arc;

use portcullis_parsers::r2d2::{R2d2, R2d2Parser, R2d2Rules};
use portcullis_parsers::test::{BlockParser, HeaderParser, LineParser, Passer};
use portcullis_proxylib::{Context, Input, Meta, NoConfig, OnData, Parser, Protocol, protocols};

portcullis_wasm::export!(protocols![R2d2, Breaker, Passer, LineParser, BlockParser, HeaderParser]);

/// R2-D2's protocol, but for a line that breaks what reads it: `PANIC`, `HOG` (asks for more memory than there is) or `TRAP`.
struct Breaker;

/// The parser of [`Breaker`].
struct BreakerParser(R2d2Parser);

impl Protocol for Breaker {
    const NAME: &'static str = "test.breaker";
    type Config = NoConfig;
    type Shared = ();
    type Parser = BreakerParser;

    fn open(&self, _meta: &Meta, _config: &NoConfig, _shared: &Arc<()>) -> Option<BreakerParser> {
        Some(BreakerParser(R2d2Parser::default()))
    }
}

impl Parser for BreakerParser {
    type Rules = R2d2Rules;

    fn on_data<'c>(&mut self, cx: &mut Context<'c, R2d2Rules>, input: Input<'_>) -> OnData<'c> {
        if input.starts_with(b"PANIC\r\n") {
            panic!("told to");
        }
        if input.starts_with(b"TRAP\r\n") {
            trap();
        }
        if input.starts_with(b"HOG\r\n") {
            let mut hoard = Vec::new();
            loop {
                hoard.push(vec![1_u8; 64 << 20]);
                black_box(&hoard);
            }
        }
        self.0.on_data(cx, input)
    }

    fn owes_replies(&self) -> bool {
        self.0.owes_replies()
    }
}

/// Runs into an instruction that is never to be run.
fn trap() {
    #[cfg(target_arch = "wasm32")]
    std::arch::wasm32::unreachable();
}
