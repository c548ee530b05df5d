//! One request of HTTP: held until it is decided, then answered or let on. Its protocol reads it as it would on a connection.

mod answer;
mod fields;
mod head;
mod reply;
mod request;

use std::mem;
use std::rc::Rc;

use portcullis_proxylib::{Datapath, FaultKind};

use crate::abi::{self, Buffer, Map, Refused};
use crate::listener::{Listener, now};

use answer::Answer;
use reply::Reply;
use request::{Fate, Request};

/// The state of one request and its reply.
pub(crate) struct Exchange {
    id: u32,
    root: u32,
    listener: Rc<Listener>,
    phase: Phase,
}

enum Phase {
    /// Nothing was read yet.
    New,
    /// The request comes.
    Request(Box<Request>),
    /// The request has gone on, and somebody looks at the reply.
    Reply(Box<Reply>),
    /// The request has gone on.
    Passed,
    /// Nothing of the request goes on.
    Over,
    /// As before, but the host would not answer: the next tick asks it again to give up the request.
    Stuck,
}

/// Whether what a callback is about goes on. Else it stays with us, and the host keeps none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Onward {
    Goes,
    Stays,
}

impl Exchange {
    pub(crate) const fn new(id: u32, root: u32, listener: Rc<Listener>) -> Self {
        Self { id, root, listener, phase: Phase::New }
    }

    /// The root context that it belongs to.
    pub(crate) const fn root(&self) -> u32 {
        self.root
    }

    /// The head of the request is there. `is_whole` says that there is no body.
    pub(crate) fn on_request_headers(&mut self, is_whole: bool) -> Onward {
        if !matches!(self.phase, Phase::New) {
            return Onward::Stays;
        }
        self.phase = Phase::Over;
        self.listener.stats.opened();
        let bytes = abi::fields(Map::Request).ok();
        let Some(fields) = bytes.as_deref().and_then(fields::read) else {
            return self.refuse(INTERNAL, "the request cannot be read", "portcullis_no_head");
        };
        let head = match head::write_request(&fields, is_whole) {
            Ok(head) => head,
            Err(why) => return self.refuse(BAD_REQUEST, why, "portcullis_no_http"),
        };
        let connection = match self.listener.connect(self.id) {
            Ok(connection) => connection,
            Err(why) => return self.refuse(FORBIDDEN, why.text, why.name),
        };
        let request = Box::new(Request::new(Datapath::new(connection), &head));
        if is_whole { self.finish(request, Some(0)) } else { self.wait(request) }
    }

    /// So many bytes of the body are in the buffer.
    pub(crate) fn on_request_body(&mut self, size: usize, is_last: bool) -> Onward {
        let mut request = match self.take_request() {
            Ok(request) => request,
            Err(onward) => return onward,
        };
        let Ok(bytes) = abi::read(Buffer::RequestBody, size) else {
            return self.give_up(request, INTERNAL, "the body cannot be read", "portcullis_no_buffer");
        };
        if !request.add(&bytes) {
            return self.give_up(request, BAD_REQUEST, "a body that is longer than its length", "portcullis_no_http");
        }
        if is_last { self.finish(request, Some(size)) } else { self.wait(request) }
    }

    /// The body has ended before, and fields follow.
    pub(crate) fn on_request_trailers(&mut self) -> Onward {
        match self.take_request() {
            Ok(request) => self.finish(request, None),
            Err(onward) => onward,
        }
    }

    /// The head of a reply passes, whoever it is from.
    pub(crate) fn on_response_headers(&mut self, is_whole: bool) {
        self.look(|reply| {
            let bytes = abi::fields(Map::Response).ok();
            let fields = bytes.as_deref().and_then(fields::read);
            let head = fields.and_then(|fields| head::write_reply(&fields, is_whole));
            head.map(|head| reply.begin(&head, is_whole))
        });
    }

    /// So many bytes of a reply's body pass.
    pub(crate) fn on_response_body(&mut self, size: usize, is_last: bool) {
        self.look(|reply| abi::read(Buffer::ResponseBody, size).ok().map(|bytes| reply.add(&bytes, is_last)));
    }

    /// The body of a reply has ended before, and fields follow.
    pub(crate) fn on_response_trailers(&mut self) {
        self.look(|reply| {
            reply.add(b"", true);
            Some(())
        });
    }

    /// Time has gone by. With the host turned to this request.
    pub(crate) fn on_tick(&mut self) {
        if matches!(self.phase, Phase::Stuck) {
            self.reset();
        }
        if !matches!(self.phase, Phase::Request(_)) {
            return;
        }
        let Ok(mut request) = self.take_request() else { return };
        match request.expire() {
            Some(fate) => {
                if matches!(fate, Fate::Close(FaultKind::Timeout)) && request.is_bare() {
                    let why = "no byte of a body has come: the host needs `allow_on_headers_stop_iteration: true`";
                    abi::log(abi::LOG_WARN, why);
                }
                self.conclude(request, fate, None);
            }
            None => self.keep(request),
        }
    }

    /// Whether a tick has anything to do here.
    pub(crate) fn is_due(&self) -> bool {
        match &self.phase {
            Phase::Request(request) => request.deadline().is_some_and(|deadline| deadline <= now()),
            Phase::Stuck => true,
            Phase::New | Phase::Reply(_) | Phase::Passed | Phase::Over => false,
        }
    }

    /// Request and reply are over.
    pub(crate) fn on_delete(&mut self) {
        match mem::replace(&mut self.phase, Phase::Over) {
            Phase::New => return,
            Phase::Request(mut request) => {
                request.abandon();
                self.close(request.datapath);
            }
            Phase::Reply(reply) => self.close(reply.datapath),
            Phase::Passed | Phase::Over | Phase::Stuck => {}
        }
        self.listener.stats.closed();
    }

    /// The request that comes, to be given back or decided; else what becomes of more of it.
    fn take_request(&mut self) -> Result<Box<Request>, Onward> {
        match mem::replace(&mut self.phase, Phase::Over) {
            Phase::Request(request) => Ok(request),
            phase => {
                let passes = matches!(phase, Phase::Passed | Phase::Reply(_));
                self.phase = phase;
                Err(if passes { Onward::Goes } else { Onward::Stays })
            }
        }
    }

    /// There is more to come, if the request is not decided for good.
    fn wait(&mut self, mut request: Box<Request>) -> Onward {
        match request.fate(false) {
            Some(fate) => self.conclude(request, fate, None),
            None => {
                self.keep(request);
                Onward::Stays
            }
        }
    }

    fn keep(&mut self, mut request: Box<Request>) {
        self.count(&mut request.datapath);
        self.phase = Phase::Request(request);
    }

    /// The request is whole. Of its body so much is in the host's buffer; without one, nothing can take its place.
    fn finish(&mut self, mut request: Box<Request>, buffer: Option<usize>) -> Onward {
        request.finish();
        match request.fate(true) {
            Some(fate) => self.conclude(request, fate, buffer),
            None => self.give_up(request, INTERNAL, "the request could not be judged", "portcullis_contract"),
        }
    }

    fn conclude(&mut self, request: Box<Request>, fate: Fate, buffer: Option<usize>) -> Onward {
        match fate {
            Fate::Pass(body) => self.pass(request, &body, buffer),
            Fate::Answer(bytes) => {
                self.close(request.datapath);
                self.answer(&bytes);
                Onward::Stays
            }
            Fate::Close(kind) => {
                let (status, text) = explain(kind);
                self.give_up(request, status, text, kind.as_str())
            }
        }
    }

    fn pass(&mut self, request: Box<Request>, body: &[u8], buffer: Option<usize>) -> Onward {
        let put = match buffer {
            _ if body.is_empty() => Ok(()),
            Some(size) => abi::replace(Buffer::RequestBody, size, body),
            None => {
                let why = "fields behind the body are not passed on";
                return self.give_up(request, BAD_REQUEST, why, "portcullis_trailers");
            }
        };
        if put.is_err() {
            return self.give_up(request, INTERNAL, "the body cannot be passed on", "portcullis_no_buffer");
        }
        let Request { mut datapath, .. } = *request;
        if datapath.owes_replies() {
            self.count(&mut datapath);
            self.phase = Phase::Reply(Box::new(Reply::new(datapath)));
        } else {
            self.close(datapath);
            self.phase = Phase::Passed;
        }
        Onward::Goes
    }

    /// Shows somebody the reply, who looks away when there is nothing more to see.
    fn look(&mut self, show: impl FnOnce(&mut Reply) -> Option<()>) {
        if !matches!(self.phase, Phase::Reply(_)) {
            return;
        }
        let Phase::Reply(mut reply) = mem::replace(&mut self.phase, Phase::Passed) else { return };
        if show(&mut reply).is_none() || reply.is_over() {
            self.close(reply.datapath);
        } else {
            self.count(&mut reply.datapath);
            self.phase = Phase::Reply(reply);
        }
    }

    /// Ends a request that the protocol has not answered.
    fn give_up(&mut self, request: Box<Request>, status: u32, text: &str, why: &str) -> Onward {
        self.close(request.datapath);
        self.refuse(status, text, why)
    }

    /// Answers in the host's own words.
    fn refuse(&mut self, status: u32, text: &str, why: &str) -> Onward {
        abi::log(abi::LOG_DEBUG, &format!("refusing request {}: {why}", self.id));
        if respond_text(status, text, why).is_err() {
            self.reset();
        }
        Onward::Stays
    }

    /// Answers in the protocol's words.
    fn answer(&mut self, bytes: &[u8]) {
        let sent = answer::read(bytes).is_some_and(|Answer { status, fields, body }| {
            abi::respond(status, ANSWERED, &fields::write(&fields), &body).is_ok()
        });
        if !sent {
            self.reset();
        }
    }

    /// Has the host give up the request without an answer.
    fn reset(&mut self) {
        self.phase = if abi::reset().is_ok() { Phase::Over } else { Phase::Stuck };
    }

    /// Ends the parser, and counts what that brought about.
    fn close(&self, mut datapath: Datapath) {
        datapath.close();
        self.count(&mut datapath);
        drop(datapath);
        self.listener.show_held();
    }

    /// Tells the host what happened.
    fn count(&self, datapath: &mut Datapath) {
        if !datapath.tally().is_empty() {
            self.listener.stats.count(&datapath.tally().take());
        }
        self.listener.show_held();
    }
}

/// Turns the request at hand away: there is no listener for it.
pub(crate) fn turn_away() {
    if respond_text(INTERNAL, "portcullis is no HTTP filter here", "portcullis_not_configured").is_err() {
        // Where this is refused too, nothing passes all the same.
        let _ = abi::reset();
    }
}

fn respond_text(status: u32, text: &str, why: &str) -> Result<(), Refused> {
    let fields = fields::write(&[("content-type", "text/plain; charset=utf-8")]);
    abi::respond(status, why, &fields, format!("{text}\n").as_bytes())
}

/// What a client is told whose request was not answered by the protocol.
const fn explain(kind: FaultKind) -> (u32, &'static str) {
    match kind {
        FaultKind::Timeout => (TIMEOUT, "the request did not come in time"),
        FaultKind::FrameTooLarge => (TOO_LARGE, "the request is too large"),
        FaultKind::Memory => (UNAVAILABLE, "too many requests are held at the moment"),
        FaultKind::Finished | FaultKind::Parse | FaultKind::Truncated => (BAD_REQUEST, "the request cannot be read"),
        // A panic, a parser that breaks its contract.
        _ => (INTERNAL, "the request could not be judged"),
    }
}

const BAD_REQUEST: u32 = 400;
const FORBIDDEN: u32 = 403;
const TIMEOUT: u32 = 408;
const TOO_LARGE: u32 = 413;
const INTERNAL: u32 = 500;
const UNAVAILABLE: u32 = 503;

/// What the host's own log calls an answer of the protocol.
const ANSWERED: &str = "portcullis_answered";
