//! The bookkeeping alone, driven by a parser that does as it is told.

use std::cell::Cell;
use std::sync::{Arc, Mutex};

use portcullis_policy::{Describe, Dialect, Fields, Identity, Labels, ListedRule, PolicyStore, RuleList, Traffic};

use super::*;
use crate::context::Context;
use crate::instance::Instance;
use crate::jobs::{Executor, Job, Pending};
use crate::limits::{Budget, Limits};
use crate::log::Log;
use crate::parser::{NoConfig, Parser, Protocol};
use crate::verdict::{Grant, OnData, ParseError, Verdict};

/// Frames are `<verb><len as two digits>` and that many bytes: `p` passes, `d` drops, `a` passes ahead without its bytes at
/// hand, `r` injects its bytes as a reply and drops, `k` keeps them until all replies have come, `s` sends them to the server in its place, `e` is an error with a reply,
/// `w` waits, `j` waits for a job, `l` leaves bytes in the inject buffer, `z` is of length zero, `i` injects what is not
/// there, `I` injects for ever, `f` and `F` use a grant for other bytes to pass and to inject, `P` panics. Replies are lines; each answers one `p` or `a`.
struct Told;

struct ToldParser {
    owed: u32,
    kept: Vec<u8>,
    job: Option<Pending<u32>>,
    sent: bool,
}

thread_local! {
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

/// An offset at which no frame of these tests stands: a grant for it is one that was kept.
const OTHER_BYTES: u64 = 1_000_000;

struct Anything;

impl Describe for Anything {
    fn describe(&self, _: &mut dyn Fields) {}
}

impl ListedRule for Anything {
    type Spec = NoConfig;
    type Request<'a> = Anything;

    fn compile(_: NoConfig, _: Dialect) -> Result<Self, String> {
        Ok(Self)
    }

    fn matches(&self, _: &Anything) -> Result<(), &'static str> {
        Ok(())
    }
}

impl Protocol for Told {
    const NAME: &'static str = "told";
    type Config = NoConfig;
    type Shared = ();
    type Parser = ToldParser;

    fn open(&self, _: &Meta, _: &NoConfig, _: &Arc<()>) -> Option<ToldParser> {
        Some(ToldParser { owed: 0, kept: Vec::new(), job: None, sent: false })
    }
}

impl Parser for ToldParser {
    type Rules = RuleList<Anything>;

    fn on_data<'c>(&mut self, cx: &mut Context<'c, Self::Rules>, input: Input<'_>) -> OnData<'c> {
        CALLS.set(CALLS.get() + 1);
        if cx.direction() == Direction::Reply {
            if self.owed == 0 && !self.kept.is_empty() {
                let kept = std::mem::take(&mut self.kept);
                cx.inject_reply(&kept);
                return Ok(Verdict::Inject(kept.len() as u64));
            }
            let Some(end) = input.find_lf() else { return Ok(Verdict::More(1)) };
            self.owed = self.owed.saturating_sub(1);
            return Ok(Verdict::Pass(cx.unjudged(end as u64 + 1, "a reply")));
        }
        let Some(head) = input.get(..3) else {
            return Ok(if input.is_empty() { Verdict::Nop } else { Verdict::More(3 - input.len() as u64) });
        };
        let len = 3 + std::str::from_utf8(&head[1..]).unwrap().parse::<u64>().unwrap();
        let body = input.get(3..len as usize);
        match head[0] {
            b'a' => {
                self.owed += 1;
                return Ok(Verdict::Pass(cx.unjudged(len, "ahead")));
            }
            b'd' => return Ok(Verdict::Drop(len)),
            b'z' => return Ok(Verdict::Drop(0)),
            b'i' => return Ok(Verdict::Inject(5)),
            b'f' => return Ok(Verdict::Pass(Grant::new(OTHER_BYTES, len))),
            b'P' => panic!("told to"),
            b'e' => return Err(ParseError::new("told to").reply(&b"ERR\n"[..])),
            b'w' if self.owed > 0 => return Ok(Verdict::Wait),
            b'w' => return Ok(Verdict::Drop(len)),
            _ => {}
        }
        let Some(body) = body else { return Ok(Verdict::More(len - input.len() as u64)) };
        match head[0] {
            b'p' => {
                self.owed += 1;
                Ok(Verdict::Pass(cx.unjudged(len, "told to")))
            }
            b'r' => {
                cx.inject_reply(body);
                Ok(Verdict::Drop(len))
            }
            b'k' => {
                self.kept.extend_from_slice(body);
                Ok(Verdict::Drop(len))
            }
            b'l' => {
                let grant = cx.unjudged(len, "told to");
                cx.inject_request(grant, body);
                Ok(Verdict::Drop(len))
            }
            b'I' => {
                let grant = cx.unjudged(len, "told to");
                cx.inject_request(grant, b"x");
                Ok(Verdict::Inject(1))
            }
            b'F' => {
                cx.inject_request(Grant::new(OTHER_BYTES, len), body);
                Ok(Verdict::Inject(body.len() as u64))
            }
            b's' if std::mem::take(&mut self.sent) => Ok(Verdict::Drop(len)),
            b's' => {
                self.sent = true;
                let grant = cx.unjudged(len, "told to");
                cx.inject_request(grant, body);
                Ok(Verdict::Inject(body.len() as u64))
            }
            b'j' => match self.job.take().map(|job| (job.take(), job)) {
                None => {
                    self.job = Some(cx.run(|| 42));
                    Ok(Verdict::Wait)
                }
                Some((Some(Ok(42)), _)) => Ok(Verdict::Drop(len)),
                Some((Some(_), _)) => Err(ParseError::new("the job was lost")),
                Some((None, job)) => {
                    self.job = Some(job);
                    Ok(Verdict::Wait)
                }
            },
            _ => Err(ParseError::new("unknown verb")),
        }
    }

    fn owes_replies(&self) -> bool {
        self.owed > 0
    }

    fn kept_answers(&self) -> usize {
        self.kept.len()
    }
}

fn instance(limits: Limits, executor: Option<Arc<dyn Executor>>) -> Arc<Instance> {
    Arc::new(Instance {
        protocol: crate::parser::ErasedProtocol::listen(&Told, &serde_json::Value::Null).unwrap(),
        policy: Arc::new(PolicyStore::default()),
        log: Log::off("told"),
        on_parse_error: OnParseError::Close,
        limits,
        budget: Budget::new(limits.held_bytes),
        clock: None,
        executor,
    })
}

fn open(instance: &Arc<Instance>) -> Datapath {
    let meta = Meta {
        id: 1,
        traffic: Traffic::Ingress,
        endpoint: Labels::default(),
        endpoint_id: 0,
        remote: Identity::default(),
        port: 1,
        source: None,
        destination: None,
    };
    Datapath::new(instance.open(meta).unwrap())
}

fn datapath() -> Datapath {
    open(&instance(Limits::default(), None))
}

/// What one event did, as text: to the server, to the client, close.
fn event(datapath: &mut Datapath, direction: Direction, bytes: &str) -> (String, String, Option<FaultKind>) {
    let effects = datapath.receive(direction, &[bytes.as_bytes()], false, Time(0));
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let passed = &bytes[..effects.passed];
    let (mut server, mut client) = match direction {
        Direction::Orig => (passed.to_owned(), String::new()),
        Direction::Reply => (String::new(), passed.to_owned()),
    };
    server += &text(effects.to_server);
    client += &text(effects.to_client);
    (server, client, effects.close)
}

fn orig(datapath: &mut Datapath, bytes: &str) -> (String, String, Option<FaultKind>) {
    event(datapath, Direction::Orig, bytes)
}

fn sent(server: &str, client: &str) -> (String, String, Option<FaultKind>) {
    (server.to_owned(), client.to_owned(), None)
}

#[test]
fn what_passes_whole_is_not_touched() {
    let mut datapath = datapath();
    let effects = datapath.receive(Direction::Orig, &[b"p03abc", b"a99xx"], false, Time(0));
    assert_eq!((effects.passed, effects.to_server), (11, &b""[..]));
    let effects = datapath.receive(Direction::Orig, &[&[b'x'; 97]], false, Time(0));
    assert_eq!((effects.passed, effects.to_server), (97, &b""[..]));
    assert_eq!(datapath.held(), 0);
}

#[test]
fn an_undecided_tail_is_held_and_goes_on_with_the_rest() {
    let mut datapath = datapath();
    assert_eq!(orig(&mut datapath, "p01ap05bc"), sent("p01a", ""));
    assert_eq!(datapath.held(), 5);
    assert_eq!(orig(&mut datapath, "de"), sent("", ""));
    assert_eq!(orig(&mut datapath, "fp01gd02"), sent("p05bcdefp01g", ""));
    assert_eq!(orig(&mut datapath, "xyp00"), sent("p00", ""));
    assert_eq!(datapath.held(), 0);
}

#[test]
fn a_frame_of_many_pieces_is_joined() {
    let frame = "p99".to_owned() + &"x".repeat(99);
    let pieces: Vec<_> = frame.as_bytes().chunks(1).collect();
    let mut datapath = datapath();
    let effects = datapath.receive(Direction::Orig, &pieces, false, Time(0));
    assert_eq!((effects.to_server, effects.close), (frame.as_bytes(), None));
}

#[test]
fn a_parser_that_injects_without_end_is_stopped() {
    assert_eq!(orig(&mut datapath(), "p00I00").2, Some(FaultKind::Contract));
}

#[test]
fn the_parser_is_not_called_before_what_it_asked_for_is_there() {
    let mut datapath = datapath();
    let frame = "p50".to_owned() + &"x".repeat(50);
    CALLS.set(0);
    let out: String = frame.chars().map(|byte| orig(&mut datapath, &byte.to_string()).0).collect();
    assert_eq!(out, frame);
    // For the first byte, for the head, for the whole, and with nothing left.
    assert_eq!(CALLS.get(), 4);
}

#[test]
fn injected_replies_wait_for_the_end_of_a_reply_that_passes_ahead() {
    let mut datapath = datapath();
    assert_eq!(orig(&mut datapath, "r03no\n"), sent("", "no\n"));
    assert_eq!(orig(&mut datapath, "p00"), sent("p00", ""));
    // Half a line of a reply is held: an injected one may go before it.
    assert_eq!(event(&mut datapath, Direction::Reply, "yes"), sent("", ""));
    assert_eq!(orig(&mut datapath, "r03no\n"), sent("", "no\n"));
    assert_eq!(event(&mut datapath, Direction::Reply, "!\n"), sent("", "yes!\n"));
}

#[test]
fn a_frame_can_be_replaced_on_its_way_to_the_server() {
    assert_eq!(orig(&mut datapath(), "p01as05hellop01b"), sent("p01ahellop01b", ""));
}

#[test]
fn every_breach_of_the_contract_closes() {
    for (bytes, passed) in
        [("p00z00", "p00"), ("p00i00", "p00"), ("p00l02ab", "p00"), ("p00f00", "p00"), ("p00F02ab", "p00")]
    {
        let (server, _, close) = orig(&mut datapath(), bytes);
        assert_eq!((server.as_str(), close), (passed, Some(FaultKind::Contract)), "{bytes}");
    }
}

#[test]
fn a_panic_closes_and_the_parser_is_gone_for_good() {
    let mut datapath = datapath();
    let (server, client, close) = orig(&mut datapath, "p00P00p00");
    assert_eq!((server.as_str(), client.as_str(), close), ("p00", "", Some(FaultKind::Panic)));
    assert_eq!(datapath.tally().take().panics, 1);
    assert_eq!(orig(&mut datapath, "p00"), (String::new(), String::new(), Some(FaultKind::Panic)));
    assert_eq!(datapath.tally().take().panics, 0);
}

#[test]
fn an_error_waits_for_the_replies_that_are_owed() {
    let mut datapath = datapath();
    assert_eq!(orig(&mut datapath, "p00p00e00p00"), sent("p00p00", ""));
    assert_eq!(orig(&mut datapath, "p00"), sent("", ""), "requests are no longer read");
    assert_eq!(event(&mut datapath, Direction::Reply, "one\ntw"), sent("", "one\n"));
    let (_, client, close) = event(&mut datapath, Direction::Reply, "o\n");
    assert_eq!((client.as_str(), close), ("two\nERR\n", Some(FaultKind::Parse)));
    assert_eq!(datapath.tally().take().errors, 1);
}

#[test]
fn an_error_does_not_wait_for_ever_nor_for_a_server_that_is_gone() {
    let mut late = datapath();
    assert_eq!(orig(&mut late, "p00e00"), sent("p00", ""));
    let due = late.deadline().unwrap();
    assert!(late.expire(Time(due.0 - 1)).close.is_none());
    let effects = late.expire(due);
    assert_eq!((effects.to_client, effects.close), (&b"ERR\n"[..], Some(FaultKind::Parse)));

    let mut gone = datapath();
    assert_eq!(orig(&mut gone, "p00e00"), sent("p00", ""));
    let effects = gone.receive(Direction::Reply, &[], true, Time(0));
    assert_eq!((effects.to_client, effects.close), (&b"ERR\n"[..], Some(FaultKind::Parse)));
}

#[test]
fn where_the_listener_says_so_an_error_ends_the_judging_and_not_the_connection() {
    let mut instance = Arc::into_inner(instance(Limits::default(), None)).unwrap();
    instance.on_parse_error = OnParseError::Passthrough;
    let instance = Arc::new(instance);
    let mut datapath = open(&instance);
    assert_eq!(event(&mut datapath, Direction::Reply, "half a "), sent("", ""));
    let (server, client, close) = orig(&mut datapath, "p00d00e00 and whatever");
    assert_eq!((server.as_str(), client.as_str(), close), ("p00e00 and whatever", "half a ", None));
    assert_eq!(orig(&mut datapath, "d00"), sent("d00", ""));
    let effects = datapath.receive(Direction::Reply, &[b"reply"], true, Time(0));
    assert_eq!((effects.passed, effects.end_to_client), (5, true));
    assert_eq!(datapath.tally().take().errors, 1);

    let (_, _, close) = orig(&mut open(&instance), "P00");
    assert_eq!(close, Some(FaultKind::Panic), "a panic closes all the same");
}

#[test]
fn an_unfinished_frame_has_a_deadline_and_progress_moves_it() {
    let mut datapath = datapath();
    assert_eq!(datapath.deadline(), None);
    let _ = datapath.receive(Direction::Orig, &[b"p05a"], false, Time(1_000));
    assert_eq!(datapath.deadline(), Some(Time(61_000)));
    let _ = datapath.receive(Direction::Orig, &[b"b"], false, Time(50_000));
    assert_eq!(datapath.deadline(), Some(Time(61_000)), "a byte at a time is no progress");
    let _ = datapath.receive(Direction::Orig, &[b"cdep0"], false, Time(60_000));
    assert_eq!(datapath.deadline(), Some(Time(120_000)));
    assert_eq!(datapath.expire(Time(120_000)).close, Some(FaultKind::Timeout));
    assert_eq!(datapath.deadline(), None);
}

#[test]
fn the_end_of_a_side_is_sent_on_and_half_a_frame_before_it_is_not() {
    let mut datapath = datapath();
    let effects = datapath.receive(Direction::Orig, &[b"p00p09ab"], true, Time(0));
    assert_eq!((effects.passed, effects.to_server, effects.end_to_server), (3, &b""[..], true));
    assert_eq!(datapath.held(), 0);
    assert_eq!(datapath.tally().take().errors, 1);
    let effects = datapath.receive(Direction::Reply, &[b"yes\n"], true, Time(0));
    assert_eq!((effects.passed, effects.end_to_client, effects.close), (4, true, None));
}

#[test]
fn frames_beyond_the_limit_close() {
    let limits = Limits { max_frame_bytes: 20, ..Limits::default() };
    let (_, _, close) = orig(&mut open(&instance(limits, None)), "p30abc");
    assert_eq!(close, Some(FaultKind::FrameTooLarge));
    let (server, _, close) = orig(&mut open(&instance(limits, None)), "a30abc");
    assert_eq!((server.as_str(), close), ("a30abc", None), "what passes ahead is not held");
}

#[test]
fn all_connections_together_hold_no_more_than_the_budget() {
    let limits = Limits { held_bytes: 40 << 10, ..Limits::default() };
    let instance = instance(limits, None);
    // Frames of at most 99 bytes are too small to matter: requests that wait for a client are not.
    let mut paths: Vec<_> = (0..8).map(|_| open(&instance)).collect();
    let mut closed = 0;
    for datapath in &mut paths {
        datapath.set_client_full(true);
        let (_, _, close) = orig(datapath, &"d05abcde".repeat(1_000));
        closed += usize::from(close == Some(FaultKind::Memory));
        assert!(instance.budget.held() <= 40 << 10);
    }
    assert_eq!(closed, 3, "five times 8,000 bytes fit");
    drop(paths);
    assert_eq!(instance.budget.held(), 0);
}

#[test]
fn answers_that_wait_for_their_turn_count_until_they_are_given() {
    let limits = Limits { held_bytes: 300, ..Limits::default() };
    let instance = instance(limits, None);
    let answer = "k99".to_owned() + &"n".repeat(99);
    let mut one = open(&instance);
    assert_eq!(orig(&mut one, "p00"), sent("p00", ""));
    assert_eq!(orig(&mut one, &answer.repeat(3)), sent("", ""));
    assert_eq!((instance.budget.held(), one.held()), (297, 0));
    // There is no more room, for this connection or another; what is given makes room.
    let mut other = open(&instance);
    assert_eq!(orig(&mut other, "p00"), sent("p00", ""));
    assert_eq!(orig(&mut other, &answer).2, Some(FaultKind::Memory));
    assert_eq!((instance.budget.held(), other.tally().take().errors), (297, 1));
    let (_, client, close) = event(&mut one, Direction::Reply, "yes\n");
    assert_eq!((client.len(), close, instance.budget.held()), (4 + 297, None, 0));
    assert_eq!(orig(&mut one, &("p00".to_owned() + &answer.repeat(4))).2, Some(FaultKind::Memory));
    assert_eq!(instance.budget.held(), 0);
    // What is closed holds nothing, whatever comes.
    assert_eq!(orig(&mut one, &answer), (String::new(), String::new(), Some(FaultKind::Memory)));
    let mut third = open(&instance);
    let _ = orig(&mut third, &("p00".to_owned() + &answer));
    assert_eq!(instance.budget.held(), 99);
    drop(third);
    assert_eq!(instance.budget.held(), 0);
}

#[test]
fn requests_wait_for_a_client_that_does_not_read() {
    let mut datapath = datapath();
    datapath.set_client_full(true);
    assert_eq!(orig(&mut datapath, "r03no\n"), sent("", ""));
    assert!(datapath.requests_wait());
    let effects = datapath.receive(Direction::Orig, &[b"p00"], true, Time(0));
    assert_eq!((effects.passed, effects.end_to_server, effects.resume), (0, false, false));
    datapath.set_client_full(false);
    let effects = datapath.resume(Time(0));
    assert_eq!((effects.to_server, effects.to_client, effects.end_to_server), (&b"p00"[..], &b"no\n"[..], true));
    assert!(!datapath.requests_wait());
}

#[test]
fn one_event_answers_only_so_much_and_resumes() {
    let mut datapath = datapath();
    let denied = "r95".to_owned() + &"n".repeat(95);
    let all = denied.repeat(2_000);
    let mut most = 0;
    let mut client = 0;
    let effects = datapath.receive(Direction::Orig, &[all.as_bytes()], false, Time(0));
    let mut resume = effects.resume;
    client += effects.to_client.len();
    most = most.max(effects.to_client.len());
    while resume {
        let effects = datapath.resume(Time(0));
        (resume, client, most) = (effects.resume, client + effects.to_client.len(), most.max(effects.to_client.len()));
    }
    assert_eq!(client, 2_000 * 95);
    assert!(most < MAX_BACKLOG + 16 * 95, "{most}");
}

#[test]
fn a_parser_that_waits_for_replies_is_called_when_there_is_one() {
    let mut datapath = datapath();
    assert_eq!(orig(&mut datapath, "p00w00p01x"), sent("p00", ""));
    assert!(datapath.requests_wait());
    let effects = datapath.receive(Direction::Reply, &[b"yes\n"], false, Time(0));
    assert!(effects.resume);
    assert_eq!(datapath.resume(Time(0)).to_server, b"p01x");
}

#[test]
fn what_would_wait_for_ever_closes_and_never_lets_the_rest_pass() {
    for on_parse_error in [OnParseError::Close, OnParseError::Passthrough] {
        let mut instance = instance(Limits::default(), None);
        Arc::get_mut(&mut instance).unwrap().on_parse_error = on_parse_error;
        let mut datapath = open(&instance);
        datapath.connection.forbid_waiting();
        assert_eq!(orig(&mut datapath, "p00w00p01x"), sent("p00", ""));
        assert_eq!(orig(&mut datapath, "p01y"), sent("", ""));
        let (_, client, close) = event(&mut datapath, Direction::Reply, "yes\n");
        assert_eq!((client.as_str(), close), ("yes\n", Some(FaultKind::Memory)));
        assert_eq!(datapath.tally().take().errors, 1);
    }
}

/// What answers a request where nothing can is taken back, and so is the connection; what is owed comes first.
#[test]
fn an_answer_that_the_host_cannot_give_closes() {
    let mut datapath = datapath();
    datapath.connection.forbid_answering();
    assert_eq!(orig(&mut datapath, "p00e00"), sent("p00", ""));
    let (_, client, close) = event(&mut datapath, Direction::Reply, "yes\n");
    assert_eq!((client.as_str(), close), ("yes\nERR\n", Some(FaultKind::Parse)));
    let mut datapath = open(&instance(Limits::default(), None));
    datapath.connection.forbid_answering();
    let (server, client, close) = orig(&mut datapath, "p00r03no\np01x");
    assert_eq!((server.as_str(), client.as_str(), close), ("p00p01x", "", Some(FaultKind::Unanswerable)));
    assert_eq!(orig(&mut datapath, "p00").0, "");
}

#[test]
fn a_job_runs_in_place_where_the_host_cannot_wake() {
    assert_eq!(orig(&mut datapath(), "j00p00"), sent("p00", ""));
}

/// Keeps jobs until told to run or lose them.
#[derive(Default)]
struct Later(Mutex<Vec<Job>>);

impl Executor for Later {
    fn execute(&self, job: Job) {
        self.0.lock().unwrap().push(job);
    }
}

#[test]
fn a_job_elsewhere_holds_its_direction_until_it_is_done() {
    for lose in [false, true] {
        let later = Arc::new(Later::default());
        let executor: Arc<dyn Executor> = Arc::<Later>::clone(&later);
        let mut datapath = open(&instance(Limits::default(), Some(executor)));
        let woken = Arc::new(Mutex::new(0));
        let count = Arc::clone(&woken);
        datapath.attach(Arc::new(move || *count.lock().unwrap() += 1));
        assert_eq!(orig(&mut datapath, "p00j00"), sent("p00", ""));
        assert_eq!(orig(&mut datapath, "p01x"), sent("", ""));
        assert_eq!(*woken.lock().unwrap(), 0);
        let jobs = std::mem::take(&mut *later.0.lock().unwrap());
        assert_eq!(jobs.len(), 1);
        if lose {
            drop(jobs);
        } else {
            jobs.into_iter().for_each(|job| job());
        }
        assert_eq!(*woken.lock().unwrap(), 1);
        let effects = datapath.resume(Time(0));
        assert_eq!(effects.to_server, if lose { &b""[..] } else { b"p01x" });
        drop(datapath.receive(Direction::Reply, &[b"yes\n"], false, Time(0)));
        assert_eq!(datapath.tally().take().errors, u64::from(lose));
    }
}
