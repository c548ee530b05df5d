//! The binary protocol on one connection.

mod header;

use portcullis_policy::{Describe, Fields};
use portcullis_proxylib::{Context, Direction, Input, OnData, ParseError, Verdict};

use self::header::{
    Answer, Answers, Form, HEADER, Header, Op, QUESTION, QUESTION_OPCODE, Refusal, STAT_OPCODE, Status,
};
use super::request::{Keys, Request};
use super::rules::Rules;
use super::turns::{self, Turn, Turns};

/// What a binary connection begins with.
pub(super) const MAGIC: u8 = header::REQUEST;

/// The state of a connection that speaks binary.
#[derive(Debug, Default)]
pub(super) struct Binary {
    /// Replies are known by their opcodes.
    turns: Turns<u8, Answer>,
    mode: Mode,
    /// Bytes of a denied request that are to be dropped once a question to the server is on its way.
    drop_next: u64,
}

impl turns::Answer for Answer {
    fn size(self) -> usize {
        let (header, text) = self.packet();
        header.len().saturating_add(text.len())
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    /// A server that takes only text would read values as commands: nothing passes before it was asked
    #[default]
    New,
    /// and has answered in binary.
    Asked,
    /// Where requests cannot wait, those pass meanwhile in which no text could be a command.
    Unanswered,
    Open,
    /// After `quit` the server reads nothing.
    Quit,
    /// After a request that was given up: what is owed is delivered, and no more.
    Closing,
}

impl Binary {
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
            Mode::New if cx.can_wait() => {
                self.mode = Mode::Asked;
                return Ok(self.ask(cx, None, 1));
            }
            Mode::New => self.mode = Mode::Unanswered,
            Mode::Asked => return Ok(Verdict::Wait),
            Mode::Unanswered | Mode::Open if self.turns.is_full(cx.can_wait()) => return Ok(Verdict::Wait),
            Mode::Unanswered | Mode::Open => {}
            Mode::Quit | Mode::Closing => return Ok(Verdict::Drop(to_u64(input.len()))),
        }
        if input.first() != Some(&MAGIC) {
            return self.give_up(cx, None, "a request that does not begin with 0x80");
        }
        let Some(header) = Header::read(&input) else {
            return Ok(missing(&input, HEADER));
        };
        let answer = |status| Answer { opcode: header.opcode, opaque: header.opaque, status };
        let op = match header.check() {
            Ok(op) => op,
            Err(Refusal::GoOn) => {
                cx.refuse("not a command that the server has", &Opcode(header.opcode));
                return Ok(self.answer(cx, answer(Status::UnknownCommand), header.frame_len()));
            }
            Err(Refusal::Close(status)) => {
                let why = "a request whose key, extras and value do not go together, or are none of its command";
                return self.give_up(cx, Some(answer(status)), why);
            }
        };
        let Some(key) = input.get(header.key_start()..header.key_end()) else {
            return Ok(missing(&input, header.key_end()));
        };
        let keys = if has_key(op) { Keys::One(key) } else { Keys::None };
        let request = Request { name: op.name, needs: op.needs, keys };
        if self.mode == Mode::Unanswered {
            let frame_len = usize::try_from(header.frame_len()).unwrap_or(usize::MAX);
            let Some(frame) = input.get(..frame_len) else {
                return Ok(missing(&input, frame_len));
            };
            if may_hold_commands(frame) {
                let why = "holds a line, and the server has not yet shown that it reads binary; send it again";
                cx.refuse(why, &request);
                self.drop_next = header.frame_len();
                return Ok(self.ask(cx, Some(answer(Status::TemporaryFailure)), header.frame_len()));
            }
        }
        #[cfg(feature = "mutants")]
        let request = super::mutants::judged(request, op.answer == Answers::Sometimes);
        match cx.admit(header.frame_len(), &request) {
            Ok(grant) => {
                self.expect(op, header.opcode);
                Ok(Verdict::Pass(grant))
            }
            Err(_) => Ok(self.answer(cx, answer(Status::AccessDenied), header.frame_len())),
        }
    }

    fn expect(&mut self, op: Op, opcode: u8) {
        match op.answer {
            Answers::Always => self.turns.push(Turn::Server(opcode)),
            Answers::Sometimes => self.turns.push_unsure(false),
            Answers::Never => {}
        }
        if matches!(op.name, "quit" | "quitq") {
            self.mode = Mode::Quit;
        }
    }

    /// Drops a request and answers it in its turn.
    fn answer<'c>(&mut self, cx: &mut Context<'c, Rules>, answer: Answer, frame_len: u64) -> Verdict<'c> {
        if self.turns.ends_unsure() || self.turns.is_empty() && !cx.can_answer() {
            self.drop_next = frame_len;
            return self.ask(cx, Some(answer), frame_len);
        }
        if self.turns.is_empty() {
            inject(cx, answer);
        } else {
            self.turns.push(Turn::Ours(answer));
        }
        Verdict::Drop(frame_len)
    }

    /// Asks the server for a sign: that it reads binary, or has said all it has to say of quiet commands. The client gets
    /// `answer` instead, or nothing.
    fn ask<'c>(&mut self, cx: &mut Context<'c, Rules>, answer: Option<Answer>, frame_len: u64) -> Verdict<'c> {
        let grant = cx.unjudged(frame_len, "a question that changes nothing, in front of the frame");
        cx.inject_request(grant, &QUESTION);
        self.turns.push(Turn::Barrier(answer));
        Verdict::Inject(to_u64(QUESTION.len()))
    }

    fn give_up<'c>(&mut self, cx: &mut Context<'c, Rules>, answer: Option<Answer>, why: &'static str) -> OnData<'c> {
        if self.turns.ends_unsure() || self.turns.is_empty() && !cx.can_answer() {
            return Ok(self.ask(cx, None, 1));
        }
        self.mode = Mode::Closing;
        let error = ParseError::new(why);
        Err(match answer.map(Answer::packet) {
            Some((header, text)) => error.reply([&header, text].concat()),
            None => error,
        })
    }

    fn on_reply<'c>(&mut self, cx: &mut Context<'c, Rules>, input: Input<'_>) -> OnData<'c> {
        let mut injected = 0;
        while let Some(Turn::Ours(answer)) = self.turns.front() {
            let len = inject(cx, answer);
            injected = len.saturating_add(injected);
            self.turns.take();
            if injected > MAX_INJECTED {
                break;
            }
        }
        if injected > 0 {
            return Ok(Verdict::Inject(injected));
        }
        if self.mode == Mode::Closing && self.turns.is_empty() && !input.is_empty() {
            return Ok(Verdict::Drop(to_u64(input.len())));
        }
        match input.first() {
            // The first byte is looked at when it comes: what is not binary may never fill a header.
            None => return Ok(Verdict::More(1)),
            Some(&header::RESPONSE) => {}
            Some(_) => return Err(ParseError::new("the server does not speak the binary protocol")),
        }
        let Some(header) = Header::read(&input) else {
            return Ok(missing(&input, HEADER));
        };
        if matches!(self.mode, Mode::Asked | Mode::Unanswered) {
            self.mode = Mode::Open;
        }
        // Quiet commands keep their own opcodes in replies; any other opcode says that those before had nothing to say.
        let quiet = header::OPS.iter().any(|op| op.has(header.opcode) && op.answer == Answers::Sometimes);
        if !quiet {
            self.turns.skip_unsure();
        }
        match self.turns.front() {
            Some(Turn::Some { .. }) => self.turns.take(),
            Some(Turn::Barrier(_)) if header.opcode == QUESTION_OPCODE => {
                self.turns.answer_barrier();
                return Ok(Verdict::Drop(header.frame_len()));
            }
            // The last packet of `stat` is empty, or reports an error.
            Some(Turn::Server(STAT_OPCODE)) if header.opcode == STAT_OPCODE => {
                if header.body == 0 || header.status != 0 {
                    self.turns.take();
                }
            }
            Some(Turn::Server(opcode)) if opcode == header.opcode => self.turns.take(),
            _ => return Err(ParseError::new("a reply that is not one to the request whose turn it is")),
        }
        cx.log_reply(&Opcode(header.opcode));
        Ok(Verdict::Pass(cx.unjudged(header.frame_len(), "replies are not judged")))
    }
}

const fn has_key(op: Op) -> bool {
    // What stands in the place of a key is the name of a mechanism.
    matches!(op.form, Form::Key { .. } | Form::Value { .. }) && op.needs.intersects(super::commands::Commands::KEYED)
}

/// Whether a server that takes only text could find a command in a frame: where a line begins with a letter, or with spaces
/// before one, which it skips.
fn may_hold_commands(frame: &[u8]) -> bool {
    let line = |at: usize| at.checked_add(1).and_then(|next| frame.get(next..)).unwrap_or_default();
    let first = |line: &[u8]| line.iter().copied().find(|&byte| byte != b' ');
    memchr::memchr_iter(b'\n', frame).any(|at| first(line(at)).is_some_and(|byte| byte.is_ascii_alphabetic()))
}

/// Asks for what is not there yet.
fn missing<'c>(input: &Input<'_>, wanted: usize) -> Verdict<'c> {
    Verdict::More(to_u64(wanted.saturating_sub(input.len())))
}

/// Injects an answer of ours. Returns its bytes.
fn inject(cx: &mut Context<'_, Rules>, answer: Answer) -> u64 {
    let (header, text) = answer.packet();
    cx.inject_reply(&header);
    cx.inject_reply(text);
    to_u64(header.len().saturating_add(text.len()))
}

fn to_u64(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// A packet of which only the opcode is known, as the access log shows it.
struct Opcode(u8);

impl Describe for Opcode {
    fn describe(&self, fields: &mut dyn Fields) {
        let name = header::OPS.iter().find(|op| op.has(self.0)).map_or("unknown", |op| op.name);
        fields.text("command", name.as_bytes());
    }
}

/// Bytes injected at a time, but for the last answer: with it they are what the smallest inject buffer of a host holds, the
/// 1024 bytes of Cilium's.
const MAX_INJECTED: u64 = 1024 - 2 * 41;

#[cfg(test)]
mod tests {
    use super::may_hold_commands;

    #[test]
    fn a_text_server_finds_commands_behind_line_feeds_and_spaces() {
        for (frame, holds) in [
            (&b"\x80\x01\0\x03key"[..], false),
            (b"\x80\nget x", true),
            (b"\x80\r\n   \tget", false),
            (b"\x80\n   delete x", true),
            (b"\x80\n\n \n flush_all", true),
            (b"\x80\n", false),
            (b"\x80\n   ", false),
            (b"\x80\n1get", false),
            (b"get x", false),
        ] {
            assert_eq!(may_hold_commands(frame), holds, "{}", frame.escape_ascii());
        }
    }
}
