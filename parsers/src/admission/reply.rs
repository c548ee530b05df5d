//! The upstream's replies: framed, so that none is taken for another one's, and ours come in their turn.

use portcullis_proxylib::{Context, Input, OnData, ParseError, Verdict};

use super::docket::Docket;
use super::http::{Body, Framing, HeadEnd, MAX_HEAD, Malformed, ReplyHead, join};
use super::parser::AdmissionParser;
use super::rule::Rules;
use super::shadow::{Answered, compare};

/// What the next bytes of the upstream are.
pub(super) struct Reply {
    stage: Stage,
    /// The reply at hand, where it is compared.
    answered: Option<Box<Answered>>,
}

enum Stage {
    Head(HeadEnd),
    /// So many bytes of a body.
    Length(u64),
    Chunked(Body),
    /// The reply ends with the connection.
    ToEnd,
}

impl Default for Reply {
    fn default() -> Self {
        Self { stage: Stage::Head(HeadEnd::default()), answered: None }
    }
}

impl<D: Docket> AdmissionParser<D> {
    pub(super) fn on_reply<'c>(&mut self, cx: &mut Context<'c, Rules>, input: Input<'_>) -> OnData<'c> {
        if let Some(ours) = self.turns.give(cx) {
            return Ok(ours);
        }
        if self.closing && self.turns.is_empty() && !input.is_empty() {
            return Ok(Verdict::Drop(input.len() as u64));
        }
        let (len, is_complete) = match &mut self.reply.stage {
            Stage::Head(_) => return self.on_reply_head(cx, input),
            Stage::Length(left) => {
                let now = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left = left.saturating_sub(now as u64);
                (now, *left == 0)
            }
            Stage::Chunked(body) => {
                let (len, more) = body.stream(&input).map_err(refuse)?;
                (len, !more)
            }
            Stage::ToEnd => (input.len(), input.is_end()),
        };
        if let Some(answered) = &mut self.reply.answered {
            answered.keep(input.get(..len).unwrap_or_default());
        }
        if is_complete {
            self.complete(cx);
        }
        Ok(if len > 0 { Verdict::Pass(cx.unjudged(len as u64, A_REPLY)) } else { Verdict::More(1) })
    }

    fn on_reply_head<'c>(&mut self, cx: &mut Context<'c, Rules>, input: Input<'_>) -> OnData<'c> {
        let Stage::Head(end) = &mut self.reply.stage else { return Ok(Verdict::More(1)) };
        if input.is_empty() {
            return Ok(Verdict::More(1));
        }
        let Some(awaited) = self.turns.awaited() else {
            return Err(ParseError::new("a reply that nothing was asked for"));
        };
        let limit = MAX_HEAD.min(usize::try_from(cx.max_frame_bytes()).unwrap_or(usize::MAX));
        let Some(len) = end.find(&input, limit).map_err(refuse)? else { return Ok(Verdict::More(1)) };
        *end = HeadEnd::default();
        let head = ReplyHead::read(input.get(..len).unwrap_or_default()).map_err(refuse)?;
        let len = len as u64;
        if head.code == 101 {
            return Err(ParseError::new("a reply that changes the protocol"));
        }
        if head.is_interim() {
            return Ok(Verdict::Pass(cx.unjudged(len, A_REPLY)));
        }
        let (code, is_encoded) = (head.code, head.is_encoded);
        let answered = || Box::new(Answered { code, is_encoded, body: Vec::new(), is_whole: true });
        let is_bodiless = awaited.is_head || head.is_bodiless();
        self.reply.answered = awaited.expected.as_ref().map(|_| answered());
        let framing = if is_bodiless { Framing::Length(0) } else { head.framing };
        let ahead = match framing {
            Framing::Length(0) => {
                self.complete(cx);
                0
            }
            // Nobody looks at it: it passes as it comes.
            Framing::Length(body) if self.reply.answered.is_none() => {
                self.complete(cx);
                body
            }
            Framing::Length(body) => {
                self.reply.stage = Stage::Length(body);
                0
            }
            Framing::Chunked => {
                self.reply.stage = Stage::Chunked(Body::new(0, Framing::Chunked, u64::MAX));
                0
            }
            Framing::None => {
                self.reply.stage = Stage::ToEnd;
                0
            }
        };
        Ok(Verdict::Pass(cx.unjudged(len.saturating_add(ahead), A_REPLY)))
    }

    /// The reply is all there.
    fn complete(&mut self, cx: &mut Context<'_, Rules>) {
        let Reply { stage, answered } = std::mem::take(&mut self.reply);
        if let (Some(mut answered), Some(awaited)) = (answered, self.turns.awaited())
            && let Some(expected) = awaited.expected.take()
        {
            if matches!(stage, Stage::Chunked(_)) {
                let raw = std::mem::take(&mut answered.body);
                join(&raw, &mut answered.body);
            }
            compare(cx, &expected, &answered);
        }
        if matches!(stage, Stage::ToEnd) {
            self.turns.end();
        } else {
            self.turns.finish();
        }
    }
}

fn refuse(malformed: Malformed) -> ParseError {
    ParseError::new(format!("a reply that is not as it must be: {}", malformed.why))
}

const A_REPLY: &str = "policy is about requests";
