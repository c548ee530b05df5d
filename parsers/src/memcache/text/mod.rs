//! The text protocol on one connection.

mod admin;
mod line;
mod meta;
mod reply;
#[cfg(test)]
mod tests;

use portcullis_policy::{Describe, Fields};
use portcullis_proxylib::{Context, Direction, Input, OnData, ParseError, Verdict};

use self::line::{ERROR, Expect, Line, MAX_KEY, Refusal, Then};
use self::reply::{Part, Shape};
use super::Config;
use super::request::Words;
use super::rules::Rules;
use super::turns::{Turn, Turns};

/// The state of a connection that speaks text.
#[derive(Debug)]
pub(super) struct Text {
    turns: Turns<Shape, &'static [u8]>,
    mode: Mode,
    /// Whether the server knows meta commands.
    meta: bool,
    /// Bytes of a denied request that are to be dropped once a question to the server is on its way.
    drop_next: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Nothing but credentials passes, and then nothing before they are accepted.
    Unauthenticated,
    Authenticating,
    Open,
    /// After `watch`: nothing passes before the server has said whether it is so,
    AskedToWatch,
    /// and after that the server reads nothing.
    Watching,
    /// After `quit` the server reads nothing.
    Quit,
    /// After a line that was given up: what is owed is delivered, and no more.
    Closing,
}

impl Text {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            turns: Turns::default(),
            mode: if config.authentication { Mode::Unauthenticated } else { Mode::Open },
            meta: config.server.has_meta(),
            drop_next: 0,
        }
    }

    pub(super) fn owes_replies(&self) -> bool {
        self.turns.owes()
    }

    pub(super) const fn kept_answers(&self) -> usize {
        self.turns.kept()
    }

    pub(super) fn on_data<'c>(&mut self, cx: &mut Context<'c, Rules>, input: Input<'_>) -> OnData<'c> {
        match cx.direction() {
            Direction::Orig => self.on_request(cx, input),
            Direction::Reply => self.on_reply(cx, input),
        }
    }

    fn on_request<'c>(&mut self, cx: &mut Context<'c, Rules>, input: Input<'_>) -> OnData<'c> {
        if self.drop_next > 0 {
            return Ok(Verdict::Drop(std::mem::take(&mut self.drop_next)));
        }
        if input.is_empty() {
            return Ok(Verdict::More(1));
        }
        match self.mode {
            Mode::Quit | Mode::Closing => return Ok(Verdict::Drop(to_u64(input.len()))),
            Mode::Watching => return Err(ParseError::new("a request after `watch`, which takes the whole connection")),
            Mode::Authenticating | Mode::AskedToWatch => return Ok(Verdict::Wait),
            Mode::Unauthenticated | Mode::Open if self.turns.is_full(cx.can_wait()) => return Ok(Verdict::Wait),
            Mode::Unauthenticated | Mode::Open => {}
        }
        let limit = if is_retrieval(&input) { MAX_RETRIEVAL } else { MAX_LINE };
        let end = input.find_lf();
        #[cfg(feature = "mutants")]
        let end = super::mutants::line_end(&input, end);
        let line_len = match end {
            Some(end) if end <= limit => end.saturating_add(1),
            None if input.len() <= limit => return Ok(Verdict::More(1)),
            _ => return self.give_up(cx, "a request line that is too long", ERROR),
        };
        let bytes = strip_end(input.get(..line_len).unwrap_or_default());
        let mut scratch = [0; MAX_KEY];
        match line::parse(bytes, &mut scratch) {
            Ok(line) if self.mode == Mode::Unauthenticated => self.authenticate(cx, line_len, &line),
            Ok(line) if line.is_meta() && !self.meta => {
                self.give_up(cx, "a meta command, which the server may not know", ERROR)
            }
            Ok(line) => self.judge(cx, line_len, &line),
            Err(Refusal { answer, then }) => {
                let skip = match then {
                    Then::GoOn => 0,
                    Then::Skip(block) => block,
                    Then::Close => return self.give_up(cx, "a line that servers read in different ways", answer),
                };
                cx.refuse("not a command that the server would take", &Unread(bytes));
                Ok(self.answer(cx, answer, to_u64(line_len).saturating_add(skip)))
            }
        }
    }

    fn judge<'c>(&mut self, cx: &mut Context<'c, Rules>, line_len: usize, line: &Line<'_>) -> OnData<'c> {
        let frame_len = to_u64(line_len).saturating_add(line.block);
        if self.turns.ends_unsure() && !line.is_meta() {
            return Ok(self.ask(cx, None, frame_len));
        }
        let Ok(grant) = cx.admit(frame_len, &line.request) else {
            let answer = if line.answer == Expect::Nothing { b"" } else { DENIED };
            return Ok(self.answer(cx, answer, frame_len));
        };
        match line.answer {
            Expect::Nothing => {}
            Expect::Quiet(_) => self.turns.push_unsure(false),
            Expect::Reply(Shape::Meta) if self.turns.ends_unsure() => self.turns.push_unsure(true),
            Expect::Reply(Shape::Quit) => self.mode = Mode::Quit,
            Expect::Reply(shape) => {
                if shape == Shape::Watch {
                    self.mode = Mode::AskedToWatch;
                }
                self.turns.push(Turn::Server(shape));
            }
        }
        Ok(Verdict::Pass(grant))
    }

    /// Lets credentials pass, and nothing else: a server that wants them reads values as commands until it has them.
    fn authenticate<'c>(&mut self, cx: &mut Context<'c, Rules>, line_len: usize, line: &Line<'_>) -> OnData<'c> {
        let frame_len = to_u64(line_len).saturating_add(line.block);
        let is_set = line.request.name == "set" && line.answer == Expect::Reply(Shape::Line);
        if is_set && line.block <= MAX_CREDENTIALS {
            self.mode = Mode::Authenticating;
            self.turns.push(Turn::Server(Shape::Line));
            return Ok(Verdict::Pass(cx.unjudged(frame_len, "credentials, which the server judges")));
        }
        cx.refuse("not authenticated", &line.request);
        Ok(self.answer(cx, UNAUTHENTICATED, frame_len))
    }

    /// Drops a request and answers it in its turn.
    fn answer<'c>(&mut self, cx: &mut Context<'c, Rules>, answer: &'static [u8], frame_len: u64) -> Verdict<'c> {
        if answer.is_empty() {
            return Verdict::Drop(frame_len);
        }
        if self.turns.ends_unsure() || self.turns.is_empty() && !cx.can_answer() {
            self.drop_next = frame_len;
            return self.ask(cx, Some(answer), frame_len);
        }
        let in_turn = self.turns.is_empty();
        #[cfg(feature = "mutants")]
        let in_turn = in_turn || super::mutants::is(super::mutants::Mutant::OutOfTurn);
        if in_turn {
            cx.inject_reply(answer);
        } else {
            self.turns.push(Turn::Ours(answer));
        }
        Verdict::Drop(frame_len)
    }

    /// Asks the server for a sign that it has said all it has to say of quiet commands; the client gets `answer` instead.
    fn ask<'c>(&mut self, cx: &mut Context<'c, Rules>, answer: Option<&'static [u8]>, frame_len: u64) -> Verdict<'c> {
        let grant = cx.unjudged(frame_len, "a question that changes nothing, in front of the frame");
        let question = if self.meta { NOOP } else { VERSION };
        cx.inject_request(grant, question);
        self.turns.push(Turn::Barrier(answer));
        Verdict::Inject(to_u64(question.len()))
    }

    fn give_up<'c>(&mut self, cx: &mut Context<'c, Rules>, why: &'static str, answer: &'static [u8]) -> OnData<'c> {
        if self.turns.ends_unsure() || self.turns.is_empty() && !cx.can_answer() {
            return Ok(self.ask(cx, None, 1));
        }
        self.mode = Mode::Closing;
        Err(ParseError::new(why).reply(answer))
    }

    fn on_reply<'c>(&mut self, cx: &mut Context<'c, Rules>, input: Input<'_>) -> OnData<'c> {
        let injected = self.take_turns(cx);
        if injected > 0 {
            return Ok(Verdict::Inject(injected));
        }
        if input.is_empty() {
            return Ok(Verdict::More(1));
        }
        let pass =
            |cx: &mut Context<'c, Rules>, len: u64| Ok(Verdict::Pass(cx.unjudged(len, "replies are not judged")));
        if self.mode == Mode::Closing && self.turns.is_empty() {
            return Ok(Verdict::Drop(to_u64(input.len())));
        }
        if self.mode == Mode::Watching {
            return pass(cx, to_u64(input.len()));
        }
        let line_len = match input.find_lf() {
            Some(end) if end <= MAX_REPLY_LINE => end.saturating_add(1),
            None if input.len() <= MAX_REPLY_LINE => return Ok(Verdict::More(1)),
            _ => return Err(ParseError::new("a reply line that is too long")),
        };
        let line = strip_end(input.get(..line_len).unwrap_or_default());
        let frame_len = to_u64(line_len);
        if line == UNAUTHENTICATED.strip_suffix(b"\r\n").unwrap_or_default() && self.mode == Mode::Open {
            let why = "the server wants credentials: say `authentication: true` in the listener's configuration";
            return Err(ParseError::new(why).reply(UNAUTHENTICATED));
        }
        loop {
            let part = match self.turns.front() {
                Some(Turn::Server(shape)) => reply::read(shape, line),
                Some(Turn::Some { .. }) => match reply::read(Shape::Meta, line) {
                    Some(part) => Some(part),
                    // The reply to a later command: these had nothing to say.
                    None => {
                        self.turns.skip_unsure();
                        continue;
                    }
                },
                Some(Turn::Barrier(_)) if self.answers_question(line) => {
                    self.turns.answer_barrier();
                    return Ok(Verdict::Drop(frame_len));
                }
                // Such as `ERROR Too many open connections`.
                None if reply::is_error(line) => return pass(cx, frame_len),
                Some(Turn::Barrier(_) | Turn::Ours(_)) | None => None,
            };
            return match part {
                None => Err(ParseError::new("a reply that is not one to the request whose turn it is")),
                Some(Part::More(block)) => pass(cx, frame_len.saturating_add(block)),
                Some(Part::Stream) => {
                    self.turns.take();
                    self.mode = Mode::Watching;
                    pass(cx, frame_len)
                }
                Some(Part::End(block)) => {
                    // Replies to requests before `watch` say nothing of it.
                    let refuses_watch = matches!(self.turns.front(), Some(Turn::Server(Shape::Watch)));
                    self.turns.take();
                    self.mode = match self.mode {
                        Mode::Authenticating if line != b"STORED" => Mode::Unauthenticated,
                        Mode::Authenticating => Mode::Open,
                        Mode::AskedToWatch if refuses_watch => Mode::Open,
                        mode => mode,
                    };
                    cx.log_reply(&Status(line));
                    pass(cx, frame_len.saturating_add(block))
                }
            };
        }
    }

    /// Whether a line is the answer to our question.
    fn answers_question(&self, line: &[u8]) -> bool {
        // A server that wants credentials says so to whatever it is asked.
        let may_want = matches!(self.mode, Mode::Unauthenticated | Mode::Authenticating | Mode::Closing);
        let wants_credentials = may_want && line == strip_end(UNAUTHENTICATED);
        wants_credentials || if self.meta { line == b"MN" } else { line.starts_with(b"VERSION ") }
    }

    /// Injects answers of ours whose turn it is. Returns their bytes.
    fn take_turns(&mut self, cx: &mut Context<'_, Rules>) -> u64 {
        let mut injected = 0_usize;
        while let Some(Turn::Ours(answer)) = self.turns.front() {
            injected = injected.saturating_add(answer.len());
            if injected > MAX_INJECTED {
                return to_u64(injected.saturating_sub(answer.len()));
            }
            cx.inject_reply(answer);
            self.turns.take();
        }
        to_u64(injected)
    }
}

/// A line that is no request, as the access log shows it: its first word.
struct Unread<'a>(&'a [u8]);

impl Describe for Unread<'_> {
    fn describe(&self, fields: &mut dyn Fields) {
        fields.text("command", Words::new(self.0).next().unwrap_or_default());
    }
}

/// A reply, as the access log shows it: its last line's first word.
struct Status<'a>(&'a [u8]);

impl Describe for Status<'_> {
    fn describe(&self, fields: &mut dyn Fields) {
        fields.text("status", Words::new(self.0).next().unwrap_or_default());
    }
}

/// The lines that memcached takes at any length (`try_read_command_ascii`).
fn is_retrieval(input: &[u8]) -> bool {
    input.starts_with(b"get ") || input.starts_with(b"gets ")
}

/// A line without its line feed, and without the carriage return before that, which is optional.
fn strip_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn to_u64(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

const DENIED: &[u8] = b"CLIENT_ERROR access denied\r\n";
const UNAUTHENTICATED: &[u8] = b"CLIENT_ERROR unauthenticated\r\n";
/// A request that changes nothing, answered `MN`.
const NOOP: &[u8] = b"mn\r\n";
/// One that servers without meta commands know too.
const VERSION: &[u8] = b"version\r\n";

/// Bytes of a line before its line feed: from more, memcached hangs up (`try_read_command_ascii`), depending on how they
/// arrive.
const MAX_LINE: usize = 2048;

/// Bytes of a `get` or `gets` line: twice what 10,000 keys of 200 bytes come to. memcached has no limit.
const MAX_RETRIEVAL: usize = 4 << 20;

/// Bytes of a line of a reply: eight times what memcached's own buffer for one holds (`WRITE_BUFFER_SIZE`).
const MAX_REPLY_LINE: usize = 8192;

/// Bytes of credentials (`MAX_AUTH_REQ_LEN`) with their CR LF.
const MAX_CREDENTIALS: u64 = 16_386;

/// Bytes injected at a time: what the smallest inject buffer of a host, that of Cilium's, holds.
const MAX_INJECTED: usize = 1024;
