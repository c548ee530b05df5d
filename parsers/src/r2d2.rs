//! R2-D2's control protocol: the tutorial. Start here to write a parser of your own.
//!
//! A request is a line that ends in CR LF: `READ <file>`, `WRITE <file>`, `HALT` or `RESET`. Each is answered by one line.
//! A rule names a command, a file, or both: `{cmd: READ, file: "/public/.*"}`.

use std::sync::Arc;

use portcullis_policy::matcher::{KeyMatcher, KeyMatcherBuilder, KeyPattern, Regex};
use portcullis_policy::{Describe, Dialect, Fields, L7Decision, Located, Mismatch, Outline, RuleError, RuleSet};
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
    type Rules = R2d2Rules;

    fn on_data<'c>(&mut self, cx: &mut Context<'c, Self::Rules>, input: Input<'_>) -> OnData<'c> {
        let reply = cx.direction() == Direction::Reply;
        if reply && let Some(denials) = self.0.give(cx) {
            return Ok(denials);
        }
        if !reply && self.0.is_full(cx) {
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

    fn kept_answers(&self) -> usize {
        self.0.kept()
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

impl RuleSpec {
    /// The commands that the item is about, one bit for each, and what it says of the file.
    fn read(&self) -> Result<(u64, KeyPattern<'_>), String> {
        let file = self.file.as_deref().filter(|file| !file.is_empty());
        let pattern = file.map_or(KeyPattern::Any, KeyPattern::Regex);
        let commands = match (self.cmd.as_deref().unwrap_or_default(), file) {
            ("", None) => READ | WRITE | HALT | RESET,
            ("", Some(_)) => READ | WRITE,
            ("HALT" | "RESET", Some(_)) => return Err("`file` goes with `cmd` `READ` or `WRITE` only".to_owned()),
            (cmd, _) => match bit(cmd.as_bytes()) {
                0 => return Err(format!("unknown `cmd` `{cmd}`: use `READ`, `WRITE`, `HALT` or `RESET`")),
                known => known,
            },
        };
        Ok((commands, pattern))
    }
}

/// All items that apply together, compiled so that ten thousand cost no more than one. A plain
/// [`RuleList`](portcullis_policy::RuleList) does for protocols that need not be fast.
pub struct R2d2Rules {
    files: KeyMatcher,
    /// As they were written, for `explain`.
    written: Vec<Located<RuleSpec>>,
    dialect: Dialect,
}

impl RuleSet for R2d2Rules {
    type Rule = RuleSpec;
    type Request<'a> = Request<'a>;

    fn compile(rules: Vec<Located<RuleSpec>>, dialect: Dialect) -> Result<Self, RuleError> {
        let mut files = KeyMatcherBuilder::new(dialect);
        for Located { id, effect, rule } in &rules {
            let (commands, pattern) = rule.read().map_err(|message| RuleError::new(*id, message))?;
            files.add(pattern, commands, *id, *effect)?;
        }
        Ok(Self { files: files.build()?, written: rules, dialect })
    }

    fn decide(&self, request: &Request<'_>) -> L7Decision {
        match request.file {
            Some(file) => self.files.decide(bit(request.cmd), file),
            None => self.files.decide_keyless(bit(request.cmd)),
        }
    }

    fn explain(&self, request: &Request<'_>) -> Vec<Mismatch> {
        let miss = |Located { id, rule, .. }: &Located<RuleSpec>| {
            let (commands, pattern) = rule.read().ok()?;
            let matches = match (pattern, request.file) {
                _ if commands & bit(request.cmd) == 0 => return Some(Mismatch { rule: *id, field: "cmd" }),
                (KeyPattern::Regex(regex), Some(file)) => Regex::compile(regex, self.dialect).ok()?.is_match(file),
                _ => true,
            };
            (!matches).then_some(Mismatch { rule: *id, field: "file" })
        };
        self.written.iter().filter_map(miss).collect()
    }

    fn outline(spec: &RuleSpec) -> Option<Outline> {
        Some(Outline::default().exact("cmd", spec.cmd.as_deref()).regex("file", spec.file.as_deref()))
    }
}

/// The bit of a command; none if there is no such command.
const fn bit(cmd: &[u8]) -> u64 {
    match cmd {
        b"READ" => READ,
        b"WRITE" => WRITE,
        b"HALT" => HALT,
        b"RESET" => RESET,
        _ => 0,
    }
}

const READ: u64 = 1;
const WRITE: u64 = 2;
const HALT: u64 = 4;
const RESET: u64 = 8;
/// What a denied request is answered.
const ERROR: &[u8] = b"ERROR\r\n";
/// Bytes of a line at most: a command and a path (`PATH_MAX` of Linux).
const MAX_LINE: usize = 4096;
