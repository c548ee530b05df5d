//! R2-D2's control protocol: the tutorial. Start here to write a parser of your own.
//!
//! A request is a line that ends in CR LF: `READ <file>`, `WRITE <file>`, `HALT` or `RESET`. Each is answered by one line.
//! A rule names a command, a file, or both: `{cmd: READ, file: "/public/.*"}`.

use std::sync::Arc;

use portcullis_policy::matcher::Regex;
use portcullis_policy::{Describe, Dialect, Fields, ListedRule, Outline, RuleList};
use portcullis_proxylib::{Context, Direction, Input, Meta, NoConfig, OnData, Parser, Protocol, Turns, Verdict};
use serde::Deserialize;

/// The protocol: a unit struct. Add yours to the list in `lib.rs`.
pub struct R2d2;

impl Protocol for R2d2 {
    const NAME: &'static str = "r2d2";
    type Config = NoConfig;
    type Shared = ();
    type Parser = R2d2Parser;

    fn open(&self, _meta: &Meta, _config: &NoConfig, _shared: &Arc<()>) -> Option<R2d2Parser> {
        Some(R2d2Parser::default())
    }
}

/// What must be remembered of one connection: who answers next, so that a denial comes in its turn.
#[derive(Default)]
pub struct R2d2Parser(Turns<()>);

impl Parser for R2d2Parser {
    type Rules = RuleList<R2d2Rule>;

    fn on_data<'c>(&mut self, cx: &mut Context<'c, Self::Rules>, input: Input<'_>) -> OnData<'c> {
        let reply = cx.direction() == Direction::Reply;
        if reply && let Some(denials) = self.0.give(cx) {
            return Ok(denials);
        }
        if !reply && self.0.is_full() {
            return Ok(Verdict::Wait);
        }
        // Frame first: the end of the line, or ask for more.
        let Some(end) = input.find_line(MAX_LINE).map_err(|error| error.reply(ERROR))? else {
            return Ok(Verdict::More(1));
        };
        let line = input.get(..end).unwrap_or_default();
        let frame_len = end.saturating_add(2) as u64;
        if reply {
            self.0.finish();
            return Ok(Verdict::Pass(cx.unjudged(frame_len, "policy is about requests")));
        }
        // Then read, then ask. Only a grant makes bytes pass.
        let admitted = match Request::read(line) {
            Some(request) => cx.admit(frame_len, &request),
            None => Err(cx.refuse("not a request of the protocol", &Request { cmd: line, file: None })),
        };
        let Ok(grant) = admitted else {
            self.0.answer(cx, ERROR);
            return Ok(Verdict::Drop(frame_len));
        };
        self.0.forward(());
        Ok(Verdict::Pass(grant))
    }

    fn owes_replies(&self) -> bool {
        self.0.is_owed()
    }
}

/// A request, borrowed from its line.
pub struct Request<'a> {
    cmd: &'a [u8],
    file: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// Reads a line without its end. What is not certain to be one request is none: a line feed alone may end a line for
    /// some servers.
    fn read(line: &'a [u8]) -> Option<Self> {
        let mut words = line.split(|&byte| byte == b' ');
        let request = Self { cmd: words.next()?, file: words.next() };
        let well_formed = match (request.cmd, request.file) {
            (b"READ" | b"WRITE", Some(file)) => !file.is_empty(),
            (b"HALT" | b"RESET", None) => true,
            _ => false,
        };
        (well_formed && words.next().is_none() && !line.iter().any(u8::is_ascii_control)).then_some(request)
    }
}

impl Describe for Request<'_> {
    fn describe(&self, fields: &mut dyn Fields) {
        fields.text("cmd", self.cmd);
        if let Some(file) = self.file {
            fields.text("file", file);
        }
    }
}

/// One item under `l7`, as it is written. Serde refuses what is not in it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSpec {
    cmd: Option<String>,
    file: Option<String>,
}

/// One item, ready to be matched.
pub struct R2d2Rule {
    cmd: Option<String>,
    file: Option<Regex>,
}

impl ListedRule for R2d2Rule {
    type Spec = RuleSpec;
    type Request<'a> = Request<'a>;

    fn compile(spec: RuleSpec, dialect: Dialect) -> Result<Self, String> {
        let cmd = spec.cmd.filter(|cmd| !cmd.is_empty());
        let file = spec.file.filter(|file| !file.is_empty());
        match cmd.as_deref() {
            None | Some("READ" | "WRITE") => {}
            Some("HALT" | "RESET") if file.is_none() => {}
            Some("HALT" | "RESET") => return Err("`file` goes with `cmd` `READ` or `WRITE` only".to_owned()),
            Some(other) => return Err(format!("unknown `cmd` `{other}`: use `READ`, `WRITE`, `HALT` or `RESET`")),
        }
        let file = file.map(|file| Regex::compile(&file, dialect)).transpose()?;
        Ok(Self { cmd, file })
    }

    fn matches(&self, request: &Request<'_>) -> Result<(), &'static str> {
        if self.cmd.as_ref().is_some_and(|cmd| cmd.as_bytes() != request.cmd) {
            return Err("cmd");
        }
        match (&self.file, request.file) {
            (Some(regex), Some(file)) if !regex.is_match(file) => Err("file"),
            (Some(_), None) => Err("file"),
            _ => Ok(()),
        }
    }

    fn outline(spec: &RuleSpec) -> Option<Outline> {
        Some(Outline::default().exact("cmd", spec.cmd.as_deref()).regex("file", spec.file.as_deref()))
    }
}

/// What a denied request is answered.
const ERROR: &[u8] = b"ERROR\r\n";
/// Bytes of a line at most: a command and a path (`PATH_MAX` of Linux).
const MAX_LINE: usize = 4096;
