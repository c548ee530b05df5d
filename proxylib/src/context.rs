//! What a parser can do besides answering: ask policy, inject, log, hand over long work.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use portcullis_policy::{Decision, Describe, Documents, Mismatch, Outcome, Reason, RuleId, RuleSet, Snapshot, View};

use crate::instance::Clock;
use crate::jobs::{Jobs, Pending};
use crate::log::{Asked, Entry, Log, Status};
use crate::meta::Meta;
use crate::tally::{Observed, Tally};
use crate::verdict::{Direction, Grant};

/// One call of a parser: the parts of the connection that it may use.
pub struct Call<'a> {
    pub(crate) direction: Direction,
    /// The offset in the stream of the first byte of the input.
    pub(crate) position: u64,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) view: &'a View,
    pub(crate) meta: &'a Meta,
    pub(crate) log: &'a Log,
    pub(crate) clock: Option<Clock>,
    pub(crate) tally: &'a mut Tally,
    pub(crate) inject: &'a mut Injections,
    pub(crate) jobs: &'a Jobs,
    pub(crate) can_wait: bool,
    pub(crate) can_answer: bool,
    pub(crate) max_frame: u64,
}

/// The bytes waiting to be injected, by direction.
#[derive(Debug, Default)]
pub(crate) struct Injections {
    pub(crate) to_server: Vec<u8>,
    pub(crate) to_client: Vec<u8>,
    /// A grant was used for bytes other than its own: the connection must not go on.
    pub(crate) misused: bool,
}

impl Injections {
    pub(crate) const fn towards(&mut self, direction: Direction) -> &mut Vec<u8> {
        match direction {
            Direction::Orig => &mut self.to_server,
            Direction::Reply => &mut self.to_client,
        }
    }
}

/// What a parser has at hand during one call.
pub struct Context<'c, R> {
    call: &'c mut Call<'c>,
    rules: PhantomData<fn() -> R>,
}

/// Policy said no. The parser drops the frame and answers in the protocol's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The rule that denied, where one did; most often none allowed.
    pub rule: Option<RuleId>,
}

/// Policy lets the request be judged: what [`Context::conclude`] needs to pass it.
#[derive(Debug)]
#[must_use = "what was admitted must be concluded, or it is in no log"]
pub struct Admitted<'c> {
    grant: Grant<'c>,
    decision: Decision,
}

/// What a protocol's own judgement of a request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// It passes.
    Allow,
    /// It passes, and is logged as one that would have been denied.
    Audit,
    /// It is denied.
    Deny,
}

impl<'c, R: RuleSet> Context<'c, R> {
    pub(crate) const fn new(call: &'c mut Call<'c>) -> Self {
        Self { call, rules: PhantomData }
    }

    /// The direction of the input.
    pub const fn direction(&self) -> Direction {
        self.call.direction
    }

    /// What is known of the connection.
    pub const fn meta(&self) -> &Meta {
        self.call.meta
    }

    /// Asks policy about a request of `frame_len` bytes from the front of the input, and writes the access log.
    ///
    /// # Errors
    /// The request is denied.
    pub fn admit(&mut self, frame_len: u64, request: &R::Request<'_>) -> Result<Grant<'c>, Denied> {
        let decision = self.judge(request);
        self.settle(decision);
        self.record(decision, request);
        self.grant(frame_len, decision)
    }

    /// Asks policy about a frame of several requests: all pass or none. One decision, one log entry for each.
    ///
    /// A frame without requests is denied.
    ///
    /// # Errors
    /// At least one request is denied.
    pub fn admit_all<'r, I>(&mut self, frame_len: u64, requests: I) -> Result<Grant<'c>, Denied>
    where
        I: IntoIterator<Item = R::Request<'r>, IntoIter: Clone>,
    {
        let requests = requests.into_iter();
        let severity = |decision: &Decision| match decision.outcome {
            Outcome::Allow => 0,
            Outcome::Audit => 1,
            Outcome::Deny => 2,
        };
        let nothing = Decision { outcome: Outcome::Deny, rule: None, reason: Reason::NoRule };
        let worst = requests.clone().map(|request| self.judge(&request)).max_by_key(severity).unwrap_or(nothing);
        self.settle(worst);
        for request in requests {
            let own = self.judge(&request);
            self.record(Decision { outcome: worst.outcome, ..own }, &request);
        }
        self.grant(frame_len, worst)
    }

    /// Asks policy about a request of `frame_len` bytes that the protocol itself judges next, by documents of its own. A denial
    /// is counted and logged here; all else by [`conclude`](Self::conclude).
    ///
    /// # Errors
    /// The request is denied.
    pub fn admit_to_judgement(&mut self, frame_len: u64, request: &R::Request<'_>) -> Result<Admitted<'c>, Denied> {
        let decision = self.judge(request);
        match self.grant(frame_len, decision) {
            Ok(grant) => Ok(Admitted { grant, decision }),
            Err(denied) => {
                self.settle(decision);
                self.record(decision, request);
                Err(denied)
            }
        }
    }

    /// Counts and logs what the protocol's own judgement came to. With broken glass, what would be denied passes.
    ///
    /// # Errors
    /// The request is denied.
    pub fn conclude(
        &mut self,
        admitted: Admitted<'c>,
        conclusion: Conclusion,
        reason: &str,
        fields: &dyn Describe,
    ) -> Result<Grant<'c>, Denied> {
        let Admitted { grant, decision } = admitted;
        let conclusion = match conclusion {
            Conclusion::Deny if self.call.snapshot.is_glass_broken() => Conclusion::Audit,
            // Policy itself would have denied it.
            Conclusion::Allow if decision.outcome == Outcome::Audit => Conclusion::Audit,
            other => other,
        };
        let (outcome, status) = match conclusion {
            Conclusion::Allow => (Outcome::Allow, Status::Forwarded),
            Conclusion::Audit => (Outcome::Audit, Status::Audited),
            Conclusion::Deny => (Outcome::Deny, Status::Denied),
        };
        self.settle(Decision { outcome, ..decision });
        self.write(status, decision.rule, reason, fields);
        if conclusion == Conclusion::Deny { Err(Denied { rule: decision.rule }) } else { Ok(grant) }
    }

    /// Counts and logs something that was passed and deserves a look. Of the direction at hand.
    pub fn audit(&mut self, reason: &str, fields: &dyn Describe) {
        self.call.tally.audited = self.call.tally.audited.saturating_add(1);
        self.write(Status::Audited, None, reason, fields);
    }

    /// Counts a judgement by a name of its own: one of the labels of the documents.
    pub fn observe(&mut self, label: &Arc<str>, status: Status, took: Option<Duration>) {
        self.call.tally.observed.push(Observed { label: Arc::clone(label), status, took });
    }

    /// The documents that the protocol brought along beside the policies in force.
    pub fn documents<T: 'static>(&self) -> Option<&'c T> {
        let snapshot: &'c Snapshot = self.call.snapshot;
        snapshot.documents().iter().find_map(Documents::downcast_ref)
    }

    /// The same, for judgements that outlive the call.
    pub fn share_documents<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.call.snapshot.documents().iter().find_map(Documents::downcast)
    }

    /// Whether policies are in force: before the first ones were read, everything is denied.
    pub fn is_in_force(&self) -> bool {
        self.call.snapshot.is_in_force()
    }

    /// The time since some fixed moment, where the host tells it.
    pub fn clock(&self) -> Option<Duration> {
        self.call.clock.map(|clock| clock())
    }

    /// Lets `frame_len` bytes pass without asking: replies, and parts of a protocol that policy has no say in. Say why;
    /// every use is there to be reviewed.
    pub fn unjudged(&mut self, frame_len: u64, why: &'static str) -> Grant<'c> {
        tracing::trace!(len = frame_len, why, "unjudged");
        Grant::new(self.call.position, frame_len)
    }

    /// Denies a request for what it is and not for a rule, and writes the access log.
    pub fn refuse(&mut self, reason: &'static str, request: &dyn Describe) -> Denied {
        self.settle(Decision { outcome: Outcome::Deny, rule: None, reason: Reason::Malformed });
        self.write(Status::Denied, None, reason, request);
        Denied { rule: None }
    }

    /// Writes a reply to the access log, if it is to show replies.
    pub fn log_reply(&mut self, reply: &dyn Describe) {
        self.write(Status::Reply, None, "", reply);
    }

    /// Adds bytes to what is injected towards the client. They go out at the next frame boundary of the replies: during a
    /// request at once if no reply is under way, during a reply where [`Verdict::Inject`](crate::Verdict::Inject) says.
    pub fn inject_reply(&mut self, bytes: &[u8]) {
        self.call.inject.to_client.extend_from_slice(bytes);
    }

    /// Adds bytes to what is injected towards the server, in the place of the frame that the grant is for or in front of it.
    /// The frame itself still needs its verdict: dropped, if these bytes are in its place.
    pub fn inject_request(&mut self, grant: Grant<'c>, bytes: &[u8]) {
        if grant.offset() != self.call.position {
            self.call.inject.misused = true;
            return;
        }
        self.call.inject.to_server.extend_from_slice(bytes);
    }

    /// Bytes that wait to be injected towards the client. A parser that answers for the server looks at this to stay
    /// small when the client does not read.
    pub const fn reply_backlog(&self) -> usize {
        self.call.inject.to_client.len()
    }

    /// Whether requests may wait for replies: whether the host calls again when the other direction has moved. Where it does
    /// not, refuse what cannot be judged yet.
    pub const fn can_wait(&self) -> bool {
        self.call.can_wait
    }

    /// Whether a request can be answered while it is dropped and the server owes nothing. Where it cannot, let a request that
    /// changes nothing stand in for it, and put the answer in the place of the server's; what is answered all the same closes
    /// the connection.
    pub const fn can_answer(&self) -> bool {
        self.call.can_answer
    }

    /// Bytes of one frame that may be held: what is asked for beyond them closes the connection. A protocol with an answer for
    /// requests that are too large drops them ahead instead.
    pub const fn max_frame_bytes(&self) -> u64 {
        self.call.max_frame
    }

    /// Hands over work that takes longer than a worker thread should be held. Answer
    /// [`Verdict::Wait`](crate::Verdict::Wait) then, and look at the [`Pending`] when called again.
    pub fn run<T, F>(&mut self, job: F) -> Pending<T>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.call.jobs.run(job)
    }

    fn judge(&self, request: &R::Request<'_>) -> Decision {
        self.call.snapshot.judge::<R>(self.call.view, request)
    }

    fn settle(&mut self, decision: Decision) {
        let tally = &mut *self.call.tally;
        let counter = match decision.outcome {
            Outcome::Allow => &mut tally.forwarded,
            Outcome::Audit => &mut tally.audited,
            Outcome::Deny => &mut tally.denied,
        };
        *counter = counter.saturating_add(1);
        if decision.outcome != Outcome::Allow {
            tally.last_denial = Some((decision, self.call.snapshot.generation()));
        }
    }

    fn record(&mut self, decision: Decision, request: &R::Request<'_>) {
        let status = match decision.outcome {
            Outcome::Allow => Status::Forwarded,
            Outcome::Audit => Status::Audited,
            Outcome::Deny => Status::Denied,
        };
        self.write(status, decision.rule, decision.reason.as_str(), request);
        if let Some(sink) = self.call.log.wants(status) {
            sink.asked(&Question::<R>(request));
        }
    }

    fn write(&mut self, status: Status, rule: Option<RuleId>, reason: &str, fields: &dyn Describe) {
        let Some(sink) = self.call.log.wants(status) else { return };
        let rule = rule.and_then(|id| self.call.snapshot.rule(id));
        let generation = self.call.snapshot.generation();
        let protocol = self.call.log.protocol();
        sink.record(&Entry { status, protocol, meta: self.call.meta, rule, reason, generation, fields: Some(fields) });
    }

    fn grant(&self, frame_len: u64, decision: Decision) -> Result<Grant<'c>, Denied> {
        match decision.outcome {
            Outcome::Allow | Outcome::Audit => Ok(Grant::new(self.call.position, frame_len)),
            Outcome::Deny => Err(Denied { rule: decision.rule }),
        }
    }
}

/// A request with its type, for whoever does not know it.
struct Question<'a, 'r, R: RuleSet>(&'a R::Request<'r>);

impl<R: RuleSet> Asked for Question<'_, '_, R> {
    fn fields(&self) -> &dyn Describe {
        self.0
    }

    fn judge(&self, snapshot: &Snapshot, view: &View) -> Decision {
        snapshot.judge::<R>(view, self.0)
    }

    fn explain(&self, snapshot: &Snapshot, view: &View) -> Vec<Mismatch> {
        snapshot.explain::<R>(view, self.0)
    }
}
