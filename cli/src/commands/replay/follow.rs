//! Follows the connections of a capture with our own datapath and parsers.
//!
//! The requests of a capture passed, and the server answered them. So the parser runs under a policy that denies nothing,
//! only watches: its framing then follows what was said, and each request is shown to whoever wants to judge it. Three things
//! have passed the server that would not pass us, or are not there:
//!
//! - a request that the parser itself refuses: its reply belongs to nobody, and is skipped up to the next request, if it can
//!   be told from others;
//! - a question that the parser asks the server on its own: the answer is made up;
//! - bytes that the capture does not have: those that are passed unseen anyway are made up, after others the place is lost.
//!
//! Once the place is lost, a new parser begins with the next segment of the client: clients mostly begin segments with a
//! request. What cannot be read then is not judged, and counted.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portcullis_policy::{Identity, Snapshot, View};
use portcullis_proxylib::{Asked, Datapath, Direction, Entry, Instance, Meta, Sink, Status, Time};
use serde::Serialize;

use super::questions;
use super::setting::Who;
use crate::capture::{Event, Flow, Listener};

/// A connection that is judged.
pub(crate) struct Known {
    pub(crate) number: u64,
    pub(crate) meta: Meta,
    /// Of the policies that are asked, in their order.
    pub(crate) views: Vec<View>,
}

/// Hears of requests.
pub(crate) trait Ear: Send + 'static {
    /// A request. `passed`: the policy that the parser ran under allows it; else it is only watched there.
    fn request(&mut self, known: &Known, counts: &mut Counts, passed: bool, request: &dyn Asked);
    /// A request that the parser refuses by itself.
    fn refused(&mut self, known: &Known, entry: &Entry<'_>);
}

/// What happened on a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Counts {
    pub(crate) allowed: u64,
    pub(crate) audited: u64,
    pub(crate) denied: u64,
    /// Requests that the parser refuses by itself.
    pub(crate) refused: u64,
    /// Requests that another policy judges in another way.
    pub(crate) changed: u64,
    /// Bytes of the client that no request was read from.
    pub(crate) unread: u64,
    /// How often the place in the stream was lost.
    pub(crate) lost: u64,
}

impl Counts {
    pub(crate) fn requests(&self) -> u64 {
        self.allowed.saturating_add(self.audited).saturating_add(self.denied).saturating_add(self.refused)
    }

    pub(crate) fn add(&mut self, more: &Self) {
        for (sum, more) in [
            (&mut self.allowed, more.allowed),
            (&mut self.audited, more.audited),
            (&mut self.denied, more.denied),
            (&mut self.refused, more.refused),
            (&mut self.changed, more.changed),
            (&mut self.unread, more.unread),
            (&mut self.lost, more.lost),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

/// A connection at its end.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    pub(crate) flow: Flow,
    /// The peer; nothing if no byte was sent.
    pub(crate) peer: Option<Identity>,
    pub(crate) counts: Counts,
    /// Why a listener would have closed it.
    pub(crate) closes: Option<String>,
}

/// Follows connections.
pub(crate) struct Follower<E> {
    protocol: &'static str,
    instance: Arc<Instance>,
    who: Who,
    policies: Vec<Snapshot>,
    heard: Arc<Heard<E>>,
    /// Takes connections at their end.
    on_end: Box<dyn FnMut(Followed)>,
}

/// What the parser tells its log, for the connection at hand.
pub(crate) struct Heard<E>(Mutex<Hearing<E>>);

struct Hearing<E> {
    ear: E,
    known: Option<Arc<Known>>,
    counts: Counts,
    passed: bool,
    /// A request was read since the place was lost.
    synced: bool,
    refused: bool,
    fault: Option<String>,
}

impl<E: Ear> Heard<E> {
    pub(crate) fn new(ear: E) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Hearing {
            ear,
            known: None,
            counts: Counts::default(),
            passed: false,
            synced: true,
            refused: false,
            fault: None,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Hearing<E>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ear, once nothing more will be heard.
    pub(crate) fn with<T>(&self, take: impl FnOnce(&mut E) -> T) -> T {
        take(&mut self.lock().ear)
    }
}

impl<E: Ear> Sink for Heard<E> {
    fn record(&self, entry: &Entry<'_>) {
        let hearing = &mut *self.lock();
        match entry.status {
            Status::Forwarded => hearing.passed = true,
            Status::Audited => hearing.passed = false,
            Status::Denied => {
                hearing.refused = true;
                // Where the place is lost, what cannot be read may be anything.
                if hearing.synced
                    && let Some(known) = &hearing.known
                {
                    hearing.counts.refused = hearing.counts.refused.saturating_add(1);
                    hearing.ear.refused(known, entry);
                }
            }
            Status::Error => {
                hearing.fault.get_or_insert_with(|| entry.reason.to_owned());
            }
            Status::Reply => {}
        }
    }

    fn asked(&self, request: &dyn Asked) {
        let hearing = &mut *self.lock();
        hearing.synced = true;
        if let Some(known) = &hearing.known {
            hearing.ear.request(known, &mut hearing.counts, hearing.passed, request);
        }
    }
}

/// Where a connection stands.
pub(crate) struct Session {
    known: Option<Arc<Known>>,
    datapath: Option<Datapath>,
    counts: Counts,
    /// Nothing was missed and nothing refused: a listener would have seen just this.
    exact: bool,
    /// A request was read since the place was lost.
    synced: bool,
    replies: Replies,
    /// Bytes of the client to come that belong to a request which was judged.
    skip_requests: u64,
    /// How often a parser had to be given up for want of replies, after little was read.
    strikes: u32,
    closes: Option<String>,
}

/// What is done with replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replies {
    Follow,
    /// They are those to requests that the parser does not know of, up to the next request.
    SkipToRequest,
    /// Some are missing: the parser is to be replaced where the next request begins.
    Missing,
}

impl<E: Ear> Follower<E> {
    pub(crate) fn new(
        protocol: &'static str,
        instance: Arc<Instance>,
        who: Who,
        policies: Vec<Snapshot>,
        heard: Arc<Heard<E>>,
        on_end: impl FnMut(Followed) + 'static,
    ) -> Self {
        Self { protocol, instance, who, policies, heard, on_end: Box::new(on_end) }
    }

    /// A connection without addresses, for bytes without packets.
    pub(crate) fn lone_flow(port: u16) -> Flow {
        let nobody = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
        Flow { number: 1, client: nobody(0), server: nobody(port), whole: true, since: None }
    }

    fn requests(&mut self, flow: &Flow, session: &mut Session, bytes: &[u8]) {
        let skipped = usize::try_from(session.skip_requests).unwrap_or(usize::MAX).min(bytes.len());
        session.skip_requests = session.skip_requests.saturating_sub(skipped as u64);
        let bytes = bytes.get(skipped..).unwrap_or_default();
        if bytes.is_empty() {
            return;
        }
        let inside = session.datapath.as_mut().is_some_and(|datapath| {
            !datapath.undecided(Direction::Orig).is_empty() || datapath.decided_ahead(Direction::Orig) > 0
        });
        if session.replies != Replies::Missing {
            session.replies = Replies::Follow;
        } else if !inside {
            session.datapath = None;
            session.replies = Replies::Follow;
        }
        self.feed(flow, session, Direction::Orig, bytes);
        self.unblock(flow, session, MAX_BLOCKED);
    }

    fn gap(&mut self, flow: &Flow, session: &mut Session, direction: Direction, len: u64) {
        let mut left = len;
        if direction == Direction::Orig {
            let skipped = session.skip_requests.min(left);
            session.skip_requests = session.skip_requests.saturating_sub(skipped);
            left = left.saturating_sub(skipped);
        }
        // Nobody looks at these bytes.
        while left > 0
            && let Some(datapath) = &mut session.datapath
        {
            let ahead = datapath.decided_ahead(direction).min(left).min(NOTHING.len() as u64);
            let Some(filler) =
                NOTHING.get(..usize::try_from(ahead).unwrap_or_default()).filter(|some| !some.is_empty())
            else {
                break;
            };
            left = left.saturating_sub(ahead);
            self.feed(flow, session, direction, filler);
        }
        if left > 0 {
            session.exact = false;
            session.counts.lost = session.counts.lost.saturating_add(1);
            match direction {
                Direction::Orig => session.forget(),
                Direction::Reply => session.replies = Replies::Missing,
            }
        }
    }

    /// Hands bytes to the datapath, and does what a host would do.
    fn feed(&mut self, flow: &Flow, session: &mut Session, direction: Direction, bytes: &[u8]) {
        if session.closes.is_some() || !self.open_parser(flow, session) {
            if direction == Direction::Orig {
                session.counts.unread = session.counts.unread.saturating_add(bytes.len() as u64);
            }
            return;
        }
        let (Some(datapath), Some(known)) = (&mut session.datapath, &session.known) else { return };
        let before = session.counts.requests();
        {
            let mut hearing = self.heard.lock();
            hearing.known = Some(Arc::clone(known));
            (hearing.counts, hearing.synced) = (session.counts, session.synced);
            (hearing.refused, hearing.fault) = (false, None);
        }
        let place_lost = drive(datapath, direction, bytes, self.protocol, &self.heard);
        let (fault, refused) = {
            let mut hearing = self.heard.lock();
            (session.counts, session.synced) = (hearing.counts, hearing.synced);
            (hearing.fault.take(), hearing.refused)
        };
        if place_lost {
            session.exact = false;
            session.replies = Replies::Missing;
        }
        if refused {
            session.exact = false;
            if !datapath.owes_replies() {
                session.replies = Replies::SkipToRequest;
            }
        }
        let Some(fault) = fault else { return };
        let nothing_read = session.counts.requests() == before;
        if session.exact {
            session.closes = Some(fault);
            session.datapath = None;
        } else {
            session.counts.lost = session.counts.lost.saturating_add(1);
            if direction == Direction::Reply {
                return self.replace_parser(flow, session);
            }
            session.forget();
        }
        if direction == Direction::Orig && nothing_read {
            session.counts.unread = session.counts.unread.saturating_add(bytes.len() as u64);
        }
    }

    /// Makes sure that there is a parser. `false`: the protocol refuses the connection.
    fn open_parser(&self, flow: &Flow, session: &mut Session) -> bool {
        if session.datapath.is_some() {
            return true;
        }
        let known = session.known.get_or_insert_with(|| {
            let meta = self.who.meta(flow);
            let views = self.policies.iter().map(|policy| policy.view(&meta.flow())).collect();
            Arc::new(Known { number: flow.number, meta, views })
        });
        match self.instance.open(known.meta.clone()) {
            Ok(connection) => session.datapath = Some(Datapath::new(connection)),
            Err(refused) => session.closes = Some(refused.to_string()),
        }
        session.datapath.is_some()
    }

    /// Goes on without the replies that a parser waits for, once more than `most` bytes of requests wait.
    fn unblock(&mut self, flow: &Flow, session: &mut Session, most: usize) {
        while let Some(datapath) = &mut session.datapath {
            let waiting = datapath.undecided(Direction::Orig).len();
            if !datapath.requests_wait() || waiting <= most {
                return;
            }
            self.replace_parser(flow, session);
            let left = session.datapath.as_mut().map_or(0, |datapath| datapath.undecided(Direction::Orig).len());
            session.strikes = session.strikes.saturating_add(u32::from(waiting.saturating_sub(left) < FEW));
            if session.strikes > MAX_STRIKES {
                session.closes = Some("requests wait for replies that the capture does not have".to_owned());
                session.datapath = None;
                session.counts.unread = session.counts.unread.saturating_add(left as u64);
            }
        }
    }

    /// Begins with a new parser, for whose requests no replies have come yet.
    fn replace_parser(&mut self, flow: &Flow, session: &mut Session) {
        let Some(mut datapath) = session.datapath.take() else { return };
        session.exact = false;
        session.replies = Replies::SkipToRequest;
        session.skip_requests = datapath.decided_ahead(Direction::Orig);
        let rest = datapath.undecided(Direction::Orig).to_vec();
        drop(datapath);
        if !rest.is_empty() {
            self.feed(flow, session, Direction::Orig, &rest);
        }
    }
}

/// Hands bytes to a datapath until nothing more is to be done. `true`: a question could not be answered in its place.
fn drive<E: Ear>(
    datapath: &mut Datapath,
    direction: Direction,
    bytes: &[u8],
    protocol: &str,
    heard: &Heard<E>,
) -> bool {
    let mut given = if direction == Direction::Orig { bytes.len() } else { 0 };
    let mut held = datapath.undecided(Direction::Orig).len();
    let mut effects = datapath.receive(direction, &[bytes], false, Time(0));
    loop {
        let passed = if given > 0 { effects.passed } else { 0 };
        let sent = passed.saturating_add(effects.to_server.len());
        let answer = questions::answer(protocol, effects.to_server);
        let resume = effects.resume;
        let left = datapath.undecided(Direction::Orig).len();
        // More went to the server than came from the client. Where a request was refused and dropped, that cannot be told.
        let asked = sent.saturating_add(left) > given.saturating_add(held) || heard.lock().refused;
        (given, held) = (0, left);
        effects = match answer.filter(|_| asked) {
            Some(_)
                if !datapath.undecided(Direction::Reply).is_empty() || datapath.decided_ahead(Direction::Reply) > 0 =>
            {
                return true;
            }
            Some(answer) => datapath.receive(Direction::Reply, &[answer], false, Time(0)),
            None if resume => datapath.resume(Time(0)),
            None => return false,
        };
    }
}

impl Session {
    /// Loses the place among the client's bytes.
    fn forget(&mut self) {
        let held = self.datapath.take().map_or(0, |mut datapath| datapath.undecided(Direction::Orig).len());
        self.counts.unread = self.counts.unread.saturating_add(held as u64);
        self.synced = false;
        self.replies = Replies::SkipToRequest;
    }
}

impl<E: Ear> Listener for Follower<E> {
    type State = Session;

    fn open(&mut self, flow: &Flow) -> Session {
        Session {
            known: None,
            datapath: None,
            counts: Counts::default(),
            exact: flow.whole,
            synced: flow.whole,
            replies: Replies::Follow,
            skip_requests: 0,
            strikes: 0,
            closes: None,
        }
    }

    fn event(&mut self, flow: &Flow, session: &mut Session, direction: Direction, event: Event<'_>) {
        match (direction, event) {
            (Direction::Orig, Event::Data(bytes)) => self.requests(flow, session, bytes),
            (Direction::Reply, Event::Data(bytes)) => {
                if session.datapath.is_some() && session.replies == Replies::Follow {
                    self.feed(flow, session, direction, bytes);
                }
            }
            (_, Event::Gap(len)) => self.gap(flow, session, direction, len),
            (Direction::Orig, Event::End) => self.unblock(flow, session, MAX_BLOCKED),
            (Direction::Reply, Event::End) => {}
        }
    }

    fn close(&mut self, flow: &Flow, mut session: Session) {
        self.unblock(flow, &mut session, 0);
        session.forget();
        let Session { known, counts, closes, .. } = session;
        let peer = known.map(|known| known.meta.remote.clone());
        (self.on_end)(Followed { flow: flow.clone(), peer, counts, closes });
    }
}

/// What stands for bytes that nobody looks at.
static NOTHING: [u8; 1 << 20] = [0; 1 << 20];

/// Bytes of requests that wait for replies, at most: what clients pipeline.
const MAX_BLOCKED: usize = 256 << 10;

/// A parser that reads fewer bytes than this before it must wait was given up in vain,
const FEW: usize = 4 << 10;

/// and that so often at most. Each time what waits is read anew.
const MAX_STRIKES: u32 = 256;
