//! One connection: requests are framed, judged, and answered or passed on.

use std::sync::Arc;
use std::time::Duration;

use portcullis_proxylib::{
    Admitted, Context, Direction, Input, Lost, Meta, OnData, ParseError, Parser, Pending, Verdict,
};

use super::config::{CallersMode, Config, Mode};
use super::docket::Docket;
use super::http::{Answer, Body, CONTINUE, Expect, Head, HeadEnd, MAX_HEAD, Malformed, Media, Progress, Status};
use super::judge::Outcome;
use super::refusal::{HEALTH, Refusal};
use super::reply::Reply;
use super::rule::{Request, Rules};
use super::timeout::read_timeout;
use super::turns::Turns;

/// The parser of one connection.
pub struct AdmissionParser<D: Docket> {
    pub(super) config: Config,
    /// Whom the client's certificate names; nothing without a verified one.
    peer: Option<Arc<str>>,
    stage: Stage,
    /// A line end before the next request was let go.
    blank: bool,
    /// After a request that ends the connection: what is owed is delivered, and no more.
    pub(super) closing: bool,
    pub(super) turns: Turns,
    pub(super) reply: Reply,
    /// A judgement that takes long.
    pub(super) judging: Option<Judging<D::Judge>>,
}

/// What the next bytes of the client are.
enum Stage {
    /// The head of a request.
    Head(HeadEnd),
    /// The body, behind its head.
    Body(Body),
    /// A body that nobody wants; its head is gone.
    Skip(Body),
    /// Nothing any more.
    End,
}

/// A judgement under way.
pub(super) struct Judging<J> {
    pub(super) pending: Pending<Outcome>,
    /// What came of it, once that is known.
    pub(super) result: Option<Result<Outcome, Lost>>,
    /// What is judged. Nobody else keeps it: with the connection it is gone, and the judgement need not begin.
    pub(super) _bytes: Arc<[u8]>,
    pub(super) judge: Arc<J>,
    pub(super) began: Option<Duration>,
    pub(super) limit: Option<Duration>,
}

/// A request that is to be judged, or passed.
pub(super) struct Routed<'c, J> {
    pub(super) admitted: Admitted<'c>,
    /// By what name the caller is known.
    pub(super) caller: Option<Arc<str>>,
    /// None where an upstream is to answer whatever we think.
    pub(super) judge: Option<&'c Arc<J>>,
}

impl<D: Docket> Parser for AdmissionParser<D> {
    type Rules = Rules;

    fn on_data<'c>(&mut self, cx: &mut Context<'c, Rules>, input: Input<'_>) -> OnData<'c> {
        match cx.direction() {
            Direction::Orig => {
                let judged = self.on_request(cx, input);
                self.closing |= judged.is_err();
                judged
            }
            Direction::Reply => self.on_reply(cx, input),
        }
    }

    fn owes_replies(&self) -> bool {
        !self.turns.is_empty()
    }
}

impl<D: Docket> AdmissionParser<D> {
    pub(super) fn new(meta: &Meta, config: Config) -> Self {
        Self {
            config,
            peer: meta.remote.certificate().map(|certificate| certificate.to_string().into()),
            stage: Stage::Head(HeadEnd::default()),
            blank: false,
            closing: false,
            turns: Turns::default(),
            reply: Reply::default(),
            judging: None,
        }
    }

    fn on_request<'c>(&mut self, cx: &mut Context<'c, Rules>, input: Input<'_>) -> OnData<'c> {
        if self.turns.is_over() {
            return Err(ParseError::finish(b""));
        }
        if self.turns.is_full(cx.can_wait()) {
            if cx.can_wait() {
                return Ok(Verdict::Wait);
            }
            return Err(ParseError::new("requests that must wait for replies"));
        }
        match std::mem::replace(&mut self.stage, Stage::End) {
            Stage::End => Err(ParseError::finish(b"")),
            Stage::Head(end) => self.on_head(cx, input, end),
            // Whatever else happens on the connection: only the end of the judgement is worth another look.
            Stage::Body(body) if self.is_judging() => {
                self.stage = Stage::Body(body);
                Ok(Verdict::Wait)
            }
            Stage::Body(body) => self.on_body(cx, input, body, None),
            Stage::Skip(body) => self.on_skipped(input, body),
        }
    }

    fn on_head<'c>(&mut self, cx: &mut Context<'c, Rules>, input: Input<'_>, mut end: HeadEnd) -> OnData<'c> {
        if input.is_empty() && input.is_end() && self.config.mode == Mode::Answer {
            // There is no upstream to close the connection.
            return Err(ParseError::finish(b""));
        }
        if let Some(b'\r') = input.first() {
            match input.get(1) {
                None => return self.more_of_head(input, end),
                Some(b'\n') if !self.blank => {
                    // Old clients end a body with one that they do not count.
                    self.blank = true;
                    self.stage = Stage::Head(end);
                    return Ok(Verdict::Drop(2));
                }
                _ => return Err(self.refuse_bytes(cx, Malformed::NO_LINE)),
            }
        }
        let limit = MAX_HEAD.min(usize::try_from(cx.max_frame_bytes()).unwrap_or(usize::MAX));
        let found = end.find(&input, limit).map_err(|malformed| self.refuse_bytes(cx, malformed))?;
        let Some(len) = found else { return self.more_of_head(input, end) };
        self.blank = false;
        let head = Head::read(input.get(..len).unwrap_or_default());
        let head = head.map_err(|malformed| self.refuse_bytes(cx, malformed))?;
        let body = Body::new(len, head.framing, self.config.max_body_bytes.0);
        // The length of chunks is not known yet: what is admitted now is asked again when it is.
        let routed = match self.route(cx, &head, body.total().unwrap_or(u64::MAX)) {
            Ok(routed) => routed,
            Err(refusal) => return self.turn_away(cx, &head, body, refusal),
        };
        if let Err(too_large) = body.check(cx.max_frame_bytes()) {
            drop(routed.admitted);
            let refusal = Refusal { close: true, ..Refusal::new(Status::BODY_TOO_LARGE, too_large.why) };
            return self.turn_away(cx, &head, body, refusal);
        }
        if head.expect == Expect::Continue && head.has_body() {
            self.turns.answer(cx, CONTINUE);
        }
        let routed = body.total().is_some().then_some((head, routed));
        self.on_body(cx, input, body, routed)
    }

    /// Asks for more of a head, if there will be more.
    fn more_of_head<'c>(&mut self, input: Input<'_>, end: HeadEnd) -> OnData<'c> {
        if input.is_end() && !input.is_empty() {
            return Err(ParseError::new(format!("the connection ended in a head, after {} bytes", input.len())));
        }
        self.stage = Stage::Head(end);
        Ok(Verdict::More(1))
    }

    fn on_body<'c>(
        &mut self,
        cx: &mut Context<'c, Rules>,
        input: Input<'_>,
        mut body: Body,
        routed: Option<(Head<'_>, Routed<'c, D::Judge>)>,
    ) -> OnData<'c> {
        let total = match body.advance(&input, cx.max_frame_bytes()) {
            Ok(Progress::Done(total)) => total,
            Ok(Progress::More(more)) => {
                if let Some((_, routed)) = routed {
                    drop(routed.admitted);
                }
                if input.is_end() {
                    let (seen, expected) = body.extent(&input);
                    let expected = expected.map_or_else(|| "chunks".to_owned(), |bytes| bytes.to_string());
                    return Err(ParseError::new(format!("a body that ended early: {seen} bytes of {expected}")));
                }
                self.stage = Stage::Body(body);
                return Ok(Verdict::More(more));
            }
            Err(malformed) => return Err(self.refuse_bytes(cx, malformed)),
        };
        let frame = input.get(..usize::try_from(total).unwrap_or(usize::MAX)).unwrap_or_default();
        let (head, routed) = match routed {
            Some(routed) => routed,
            None => {
                let head = Head::read(frame.get(..body.head).unwrap_or_default());
                let head = head.map_err(|malformed| self.refuse_bytes(cx, malformed))?;
                match self.route(cx, &head, total) {
                    Ok(routed) => (head, routed),
                    Err(refusal) => {
                        self.judging = None;
                        return Ok(self.refuse_whole(cx, &head, total, refusal));
                    }
                }
            }
        };
        match self.judge(cx, &head, &body, frame, routed) {
            Some(verdict) => {
                self.stage = if head.close { Stage::End } else { Stage::Head(HeadEnd::default()) };
                Ok(verdict)
            }
            None => {
                self.stage = Stage::Body(body);
                Ok(Verdict::Wait)
            }
        }
    }

    /// Whether a request is to be judged, and by whom.
    fn route<'c>(
        &self,
        cx: &mut Context<'c, Rules>,
        head: &Head<'_>,
        frame_len: u64,
    ) -> Result<Routed<'c, D::Judge>, Refusal> {
        if head.expect == Expect::Other {
            return Err(Refusal::new(Status::EXPECTATION, "an expectation other than `100-continue`"));
        }
        if HEALTH.contains(&head.path) {
            return Err(match head.method {
                "GET" | "HEAD" => Refusal::health(head.path == HEALTH[0] || cx.is_in_force()),
                _ => Refusal::method("Allow: GET, HEAD\r\n"),
            });
        }
        let docket: Option<&'c D> = cx.documents();
        let listed = head.token.and_then(|token| docket?.callers().find(token));
        let caller = listed.or(self.peer.as_ref()).cloned();
        if caller.is_none() && self.config.callers == CallersMode::Authenticated {
            return Err(Refusal::anonymous());
        }
        if self.config.mode != Mode::Answer && head.is_for_this_hop {
            let what = "an upgrade, or fields for this hop alone, which are not passed on";
            return Err(Refusal::new(Status::BAD_REQUEST, what));
        }
        let request = Request::new(head, caller.as_deref());
        let admitted = cx.admit_to_judgement(frame_len, &request).map_err(|_| Refusal::denied())?;
        let judge = docket.and_then(|docket| docket.find(head.path));
        let fits = match judge {
            None => Err(Refusal::path(head.path, docket.into_iter().flat_map(Docket::paths))),
            Some(_) if head.method != "POST" => Err(Refusal::method("Allow: POST\r\n")),
            Some(_) if head.is_encoded => Err(Refusal::media("a body with a Content-Encoding: send it as it is")),
            Some(_) if head.media == Media::Absent => {
                Err(Refusal::media("no Content-Type: `application/json` is needed"))
            }
            Some(_) if head.media == Media::Other => {
                Err(Refusal::media("a Content-Type other than `application/json` in UTF-8"))
            }
            Some(_) if read_timeout(head).is_err() => {
                Err(Refusal::new(Status::BAD_REQUEST, "a `timeout` that is no duration, such as `10s`"))
            }
            Some(_) => Ok(()),
        };
        match fits {
            Ok(()) => Ok(Routed { admitted, caller, judge }),
            // It is the upstream's to say what is wrong.
            Err(_) if self.config.mode == Mode::Shadow => Ok(Routed { admitted, caller, judge: None }),
            Err(refusal) => {
                drop(admitted);
                Err(refusal)
            }
        }
    }

    /// Answers a request of which the head is there, and lets its body go by.
    fn turn_away<'c>(
        &mut self,
        cx: &mut Context<'c, Rules>,
        head: &Head<'_>,
        mut body: Body,
        refusal: Refusal,
    ) -> OnData<'c> {
        // Who waits to be told to go on may send the body all the same, or not: nobody can tell where the next request begins.
        let unsure = head.expect != Expect::Nothing && head.has_body();
        let is_long = body.total().is_some_and(|total| total > MAX_LINGER);
        let refusal = Refusal { close: head.close || refusal.close || unsure || is_long, ..refusal };
        self.refuse(cx, head, &refusal);
        if refusal.close {
            // The answer waits for nothing that the client may never send.
            return Err(ParseError::finish(b""));
        }
        let len = body.head as u64;
        if head.has_body() {
            body.forget_head();
            self.stage = Stage::Skip(body);
        } else {
            self.stage = Stage::Head(HeadEnd::default());
        }
        Ok(Verdict::Drop(len))
    }

    /// Answers a request of so many bytes that is all there, and drops it.
    pub(super) fn refuse_whole<'c>(
        &mut self,
        cx: &mut Context<'c, Rules>,
        head: &Head<'_>,
        total: u64,
        refusal: Refusal,
    ) -> Verdict<'c> {
        let refusal = Refusal { close: head.close || refusal.close, ..refusal };
        self.refuse(cx, head, &refusal);
        self.stage = if refusal.close { Stage::End } else { Stage::Head(HeadEnd::default()) };
        Verdict::Drop(total)
    }

    /// Counts, logs and answers.
    fn refuse(&mut self, cx: &mut Context<'_, Rules>, head: &Head<'_>, refusal: &Refusal) {
        if !refusal.reason.is_empty() {
            cx.refuse(refusal.reason, &Request::new(head, self.peer.as_deref()));
        }
        let mut answer = Vec::new();
        write_refusal(&mut answer, head, refusal);
        self.turns.answer(cx, &answer);
    }

    /// Tells the client, in its turn, what is wrong with its bytes. The connection ends with that.
    fn refuse_bytes(&mut self, cx: &mut Context<'_, Rules>, malformed: Malformed) -> ParseError {
        let Malformed { status, why } = malformed;
        let mut out = Vec::new();
        if let Some(status) = status {
            let body = format!("{why}\n");
            let answer = Answer { status, json: false, body: body.as_bytes(), field: "", is_head: false, close: true };
            answer.write(&mut out);
        }
        if self.turns.is_empty() {
            return ParseError::new(why).reply(out);
        }
        self.turns.answer(cx, &out);
        ParseError::new(why)
    }

    fn on_skipped<'c>(&mut self, input: Input<'_>, mut body: Body) -> OnData<'c> {
        // The client has its answer: it would not know what a second one is for.
        let (len, more) = body.stream(&input).map_err(|malformed| ParseError::new(malformed.why))?;
        self.stage = if more { Stage::Skip(body) } else { Stage::Head(HeadEnd::default()) };
        if len > 0 {
            return Ok(Verdict::Drop(len as u64));
        }
        if more && input.is_end() {
            return Err(ParseError::new("a body that ended early"));
        }
        Ok(Verdict::More(1))
    }
}

fn write_refusal(out: &mut Vec<u8>, head: &Head<'_>, refusal: &Refusal) {
    let body = format!("{}\n", refusal.text);
    let answer = Answer {
        status: refusal.status,
        json: false,
        body: body.as_bytes(),
        field: refusal.field,
        is_head: head.method == "HEAD",
        close: refusal.close,
    };
    answer.write(out);
}

/// Bytes of a body that are taken from a client whose request is refused, so that it gets to read why: as much as any listener
/// may take for a body. Beyond, the connection closes at once.
const MAX_LINGER: u64 = 64 << 20;
