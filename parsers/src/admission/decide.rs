//! What becomes of a request that is all there: judged, logged, and answered or passed on.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_policy::{Describe, Fields};
use portcullis_proxylib::{Admitted, Conclusion, Context, Grant, Pending, Status as Logged, Verdict as Fate};

use super::answer;
use super::config::Mode;
use super::docket::Docket;
use super::http::{Answer, Body, Head, Status};
use super::json::Tape;
use super::judge::{Judge, Outcome, Verdict};
use super::parser::{AdmissionParser, Judging, Routed};
use super::refusal::Refusal;
use super::review::{Review, ReviewError, Version};
use super::rule::{Request, Rules};
use super::shadow::Expected;
use super::timeout::read_timeout;
use super::turns::Awaited;

/// A request that is all there.
struct Whole<'a, 'h> {
    head: &'a Head<'h>,
    total: u64,
    caller: Option<&'a str>,
}

/// What was judged, as far as the answer needs it.
struct Judged<'a> {
    version: Version,
    uid: &'a str,
    outcome: Outcome,
    took: Option<Duration>,
}

impl<D: Docket> AdmissionParser<D> {
    /// Judges the request that `frame` holds. Nothing if the judgement is under way.
    pub(super) fn judge<'c>(
        &mut self,
        cx: &mut Context<'c, Rules>,
        head: &Head<'_>,
        body: &Body,
        frame: &[u8],
        routed: Routed<'c, D::Judge>,
    ) -> Option<Fate<'c>> {
        let Routed { admitted, caller, judge } = routed;
        let whole = Whole { head, total: frame.len() as u64, caller: caller.as_deref() };
        let Some(judge) = judge else {
            // The hook may be gone whose judgement was under way.
            self.judging = None;
            return Some(self.pass_unjudged(cx, &whole, admitted, "no hook is asked"));
        };
        SCRATCH.with_borrow_mut(|scratch| {
            let Scratch { tape, joined, rooms } = scratch;
            let bytes = body.bytes(frame, joined);
            let fate = self.review(cx, &whole, bytes, (tape, rooms), admitted, judge);
            scratch.tidy();
            fate
        })
    }

    fn review<'c>(
        &mut self,
        cx: &mut Context<'c, Rules>,
        whole: &Whole<'_, '_>,
        bytes: &[u8],
        (tape, rooms): (&mut Tape, &mut Rooms),
        admitted: Admitted<'c>,
        judge: &Arc<D::Judge>,
    ) -> Option<Fate<'c>> {
        let began = cx.clock();
        let unreadable = |message: Cow<'static, str>| {
            Refusal::new(Status::BAD_REQUEST, "a body that is no AdmissionReview").text(message)
        };
        if bytes.is_empty() {
            return Some(self.refuse_body(cx, whole, admitted, unreadable(Cow::Borrowed("request body is empty"))));
        }
        let read = match tape.read(bytes) {
            Ok(root) => Review::read(root),
            Err(error) => return Some(self.refuse_body(cx, whole, admitted, unreadable(error.to_string().into()))),
        };
        let (review, version, uid, refused) = match read {
            Ok(review) => {
                let (version, uid) = (review.version, review.uid.clone());
                (Some(review), version, uid, None)
            }
            Err(ReviewError::Unreadable { message }) => {
                return Some(self.refuse_body(cx, whole, admitted, unreadable(message.into())));
            }
            Err(ReviewError::Refused { version, uid, message, code }) => {
                let decided_by = Cow::Borrowed("review");
                (None, version, uid, Some(Outcome { message: message.into(), code, decided_by, ..Outcome::default() }))
            }
        };
        let (judge, outcome, began) = match (&review, refused) {
            (Some(review), None) => match self.outcome(cx, whole.head, bytes, review, judge, began) {
                Some(judged) => judged,
                None => {
                    drop(admitted);
                    return None;
                }
            },
            (_, refused) => (Arc::clone(judge), refused.unwrap_or_default(), began),
        };
        let took = cx.clock().zip(began).map(|(now, began)| now.saturating_sub(began));
        let label = D::label(&judge);
        let outcome = self.fit(label, outcome);
        let judged = Judged { version, uid: &uid, outcome, took };
        Some(self.settle(cx, whole, (admitted, label), review.as_ref(), judged, rooms))
    }

    /// What the judge says, and since when; nothing if it is not known yet.
    fn outcome(
        &mut self,
        cx: &mut Context<'_, Rules>,
        head: &Head<'_>,
        bytes: &[u8],
        review: &Review<'_>,
        judge: &Arc<D::Judge>,
        began: Option<Duration>,
    ) -> Option<(Arc<D::Judge>, Outcome, Option<Duration>)> {
        if self.judging.is_none() {
            if !judge.takes_long() {
                return Some((Arc::clone(judge), judge.judge(review, None), began));
            }
            let bytes: Arc<[u8]> = bytes.into();
            let limit = read_timeout(head).ok().flatten();
            let pending = start(cx, judge, &bytes, limit);
            let judge = Arc::clone(judge);
            self.judging = Some(Judging { pending, result: None, _bytes: bytes, judge, began, limit });
        }
        if self.is_judging() {
            return None;
        }
        let Judging { result, judge, began, limit, .. } = self.judging.take()?;
        let result = result?;
        let took = cx.clock().zip(began).map(|(now, began)| now.saturating_sub(began));
        let outcome = match result {
            Ok(_) if took.zip(limit).is_some_and(|(took, limit)| took > limit) => {
                judge.excuse("the judgement took longer than the API server waits")
            }
            Ok(outcome) => outcome,
            Err(lost) => judge.excuse(&lost.to_string()),
        };
        Some((judge, outcome, began))
    }

    /// Whether a judgement is under way.
    pub(super) fn is_judging(&mut self) -> bool {
        self.judging.as_mut().is_some_and(|judging| {
            judging.result = judging.result.take().or_else(|| judging.pending.take());
            judging.result.is_none()
        })
    }

    /// The outcome, as far as the mode can do what it says.
    fn fit(&self, hook: &str, outcome: Outcome) -> Outcome {
        if self.config.mode == Mode::Guard && outcome.verdict.allows() && outcome.patch.is_some() {
            return fault(format!(
                "the hook `{hook}` changes objects, which a listener in `mode: guard` cannot: use `mode: answer` for it"
            ));
        }
        outcome
    }

    /// Logs and counts what was judged, and answers or passes.
    fn settle<'c>(
        &mut self,
        cx: &mut Context<'c, Rules>,
        whole: &Whole<'_, '_>,
        (admitted, label): (Admitted<'c>, &Arc<str>),
        review: Option<&Review<'_>>,
        judged: Judged<'_>,
        Rooms { text, answer: out }: &mut Rooms,
    ) -> Fate<'c> {
        let Judged { version, uid, mut outcome, took } = judged;
        let wanted = match outcome.verdict {
            Verdict::Allow => Conclusion::Allow,
            Verdict::Watched | Verdict::Excused => Conclusion::Audit,
            Verdict::Deny | Verdict::Error => Conclusion::Deny,
        };
        let conclusion = if self.config.mode == Mode::Shadow { Conclusion::Allow } else { wanted };
        let decision = Decision { hook: label, uid, review, caller: whole.caller, outcome: &outcome, took };
        let granted = cx.conclude(admitted, conclusion, &outcome.decided_by, &decision);
        let logged = match (wanted, &granted) {
            (Conclusion::Allow, _) => Logged::Forwarded,
            (Conclusion::Deny, Err(_)) => Logged::Denied,
            _ => Logged::Audited,
        };
        cx.observe(label, logged, took);
        match (self.config.mode, granted) {
            (Mode::Shadow, Ok(grant)) => {
                let expected = Expected {
                    hook: Arc::clone(label),
                    uid: uid.to_owned(),
                    allowed: outcome.verdict.allows(),
                    patched: outcome.patch.is_some_and(|patch| !patch.is_empty()),
                    decided_by: outcome.decided_by,
                };
                self.forward(whole.head, grant, Some(Box::new(expected)))
            }
            (Mode::Guard, Ok(grant)) => self.forward(whole.head, grant, None),
            (_, granted) => {
                if granted.is_ok() && !outcome.verdict.allows() {
                    // With broken glass.
                    outcome = Outcome { verdict: Verdict::Watched, patch: None, ..outcome };
                }
                text.clear();
                answer::write(text, version, uid, &outcome);
                out.clear();
                let (status, close) = (Status::OK, whole.head.close);
                Answer { status, json: true, body: text, field: "", is_head: false, close }.write(out);
                self.turns.answer(cx, out);
                Fate::Drop(whole.total)
            }
        }
    }

    fn forward<'c>(&mut self, head: &Head<'_>, grant: Grant<'c>, expected: Option<Box<Expected>>) -> Fate<'c> {
        self.turns.forward(Awaited { is_head: head.method == "HEAD", expected });
        Fate::Pass(grant)
    }

    /// Passes what nobody here has an opinion on: where the upstream answers all the same.
    fn pass_unjudged<'c>(
        &mut self,
        cx: &mut Context<'c, Rules>,
        whole: &Whole<'_, '_>,
        admitted: Admitted<'c>,
        reason: &str,
    ) -> Fate<'c> {
        let request = Request::new(whole.head, whole.caller);
        match cx.conclude(admitted, Conclusion::Allow, reason, &request) {
            Ok(grant) => self.forward(whole.head, grant, None),
            Err(_) => self.refuse_whole(cx, whole.head, whole.total, Refusal::denied()),
        }
    }

    fn refuse_body<'c>(
        &mut self,
        cx: &mut Context<'c, Rules>,
        whole: &Whole<'_, '_>,
        admitted: Admitted<'c>,
        refusal: Refusal,
    ) -> Fate<'c> {
        if self.config.mode == Mode::Shadow {
            return self.pass_unjudged(cx, whole, admitted, refusal.reason);
        }
        drop(admitted);
        self.refuse_whole(cx, whole.head, whole.total, refusal)
    }
}

/// Hands the judgement to a thread of its own, which reads the review for itself: if anybody still waits for it by then.
fn start<J: Judge + 'static>(
    cx: &mut Context<'_, Rules>,
    judge: &Arc<J>,
    bytes: &Arc<[u8]>,
    limit: Option<Duration>,
) -> Pending<Outcome> {
    let bytes = Arc::downgrade(bytes);
    let judge = Arc::clone(judge);
    // From now on: a judgement may wait for others before it begins.
    let until = limit.and_then(|limit| Instant::now().checked_add(limit));
    cx.run(move || {
        let Some(bytes) = bytes.upgrade() else { return fault("nobody waits for the judgement") };
        let mut tape = Tape::new();
        let judged = tape.read(&bytes).ok().and_then(|root| Some(judge.judge(&Review::read(root).ok()?, until)));
        judged.unwrap_or_else(|| judge.excuse("the review could not be read again"))
    })
}

fn fault(message: impl Into<Cow<'static, str>>) -> Outcome {
    let decided_by = Cow::Borrowed("error");
    Outcome { verdict: Verdict::Error, message: message.into(), code: 500, decided_by, ..Outcome::default() }
}

/// What the log tells of a judgement. Nothing of the object but its name.
struct Decision<'a> {
    hook: &'a str,
    uid: &'a str,
    review: Option<&'a Review<'a>>,
    caller: Option<&'a str>,
    outcome: &'a Outcome,
    took: Option<Duration>,
}

impl Describe for Decision<'_> {
    fn describe(&self, fields: &mut dyn Fields) {
        fields.text("hook", self.hook.as_bytes());
        fields.text("uid", self.uid.as_bytes());
        if let Some(review) = self.review {
            fields.text("operation", review.operation.as_str().as_bytes());
            let kind = &review.kind;
            if kind.group.is_empty() {
                fields.text("kind", kind.kind.as_bytes());
            } else {
                fields.text("kind", format!("{}.{}", kind.kind, kind.group).as_bytes());
            }
            for (name, value) in [("namespace", &review.namespace), ("name", &review.name)] {
                if !value.is_empty() {
                    fields.text(name, value.as_bytes());
                }
            }
            fields.text("user", review.user.username.as_bytes());
        }
        if let Some(caller) = self.caller {
            fields.text("caller", caller.as_bytes());
        }
        let verdict = match self.outcome.verdict {
            Verdict::Allow => "allowed",
            Verdict::Watched => "watched",
            Verdict::Deny => "denied",
            Verdict::Error => "error",
            Verdict::Excused => "excused",
        };
        fields.text("verdict", verdict.as_bytes());
        let Outcome { message, reason, .. } = self.outcome;
        let reasons = if message.is_empty() { reason } else { message };
        if !reasons.is_empty() {
            fields.text("reasons", reasons.as_bytes());
        }
        if let Some(took) = self.took {
            fields.text("micros", took.as_micros().to_string().as_bytes());
        }
    }
}

/// What requests are read into, kept for the next one.
#[derive(Default)]
struct Scratch {
    tape: Tape,
    joined: Vec<u8>,
    rooms: Rooms,
}

/// What answers are put together in.
#[derive(Default)]
struct Rooms {
    /// The review in the answer.
    text: Vec<u8>,
    /// The whole of it.
    answer: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Scratch {
    /// Gives back what only a large request needs.
    fn tidy(&mut self) {
        self.tape.shrink();
        for room in [&mut self.joined, &mut self.rooms.text, &mut self.rooms.answer] {
            room.clear();
            room.shrink_to(KEEP_BYTES);
        }
    }
}

/// Bytes of a body or an answer up to which the memory for them is kept.
const KEEP_BYTES: usize = 64 << 10;
