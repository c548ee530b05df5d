//! `portcullis replay`.

pub(crate) mod follow;
mod print;
mod questions;
pub(crate) mod setting;
mod verdicts;

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use portcullis_parsers::REGISTRY;
use portcullis_policy::{CompileOptions, DefaultVerdict, PolicyErrors, Snapshot, Source};

use self::follow::{Counts, Ear, Followed, Follower, Heard};
use self::print::Results;
pub(crate) use self::print::count;
use self::setting::Setting;
use self::verdicts::Verdicts;
use crate::capture::{Broken, Event, Input, Listener, Stats, Table};
use crate::exit::{Exit, Usage};
use crate::output::Output;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Policy files, and directories of them.
    #[arg(long, required = true, value_name = "PATH")]
    policy: Vec<PathBuf>,
    /// Other policies: shows the requests that they judge in another way.
    #[arg(long, value_name = "PATH")]
    diff: Vec<PathBuf>,
    /// The protocol that is spoken.
    #[arg(long, value_name = "NAME")]
    protocol: String,
    #[command(flatten)]
    setting: Setting,
    /// What becomes of requests of an endpoint that no policy selects, as the listener has it.
    #[arg(long, value_name = "VERDICT", default_value = "deny")]
    default: DefaultIs,
    /// Lines of each list at most.
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,
    /// A capture (pcap, pcapng), a hex dump, or the bytes that a client sent; `-` is the standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum DefaultIs {
    Allow,
    Deny,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    let protocol = super::find_protocol(&args.protocol)?.name();
    let policy = compile(&args.policy, protocol, args.default)?;
    let other = if args.diff.is_empty() { None } else { Some(compile(&args.diff, protocol, args.default)?) };
    let watched = policy.clone().with_glass(true);
    let policies = [Some(policy.clone()), other.clone()].into_iter().flatten().collect();
    let heard = Heard::new(Verdicts::new(policy, other));
    let connections = Rc::new(RefCell::new(Connections::default()));
    let theirs = Rc::clone(&connections);
    let on_end = move |followed: Followed| theirs.borrow_mut().add(followed);
    let read = Reading { setting: &args.setting, protocol, file: &args.file };
    let (stats, broken) = read.follow(watched, policies, &heard, on_end, out)?;
    let connections = connections.take();
    let exit = heard.with(|verdicts| {
        let results = Results {
            file: &args.file,
            protocol,
            port: args.setting.port.unwrap_or_default(),
            stats,
            broken: broken.as_ref(),
            verdicts,
            connections: &connections,
            compares: !args.diff.is_empty(),
            top: args.top,
        };
        results.print(out)
    })?;
    match broken {
        Some(broken) => Err(anyhow::anyhow!("`{}` {broken}; what was read before is above", args.file.display())),
        None => Ok(exit),
    }
}

fn compile(paths: &[PathBuf], protocol: &str, default: DefaultIs) -> anyhow::Result<Snapshot> {
    let default = match default {
        DefaultIs::Allow => DefaultVerdict::Allow,
        DefaultIs::Deny => DefaultVerdict::Deny,
    };
    let compiled: Result<_, PolicyErrors> = Source::load(paths).and_then(|sources| {
        Snapshot::compile(&sources, &REGISTRY, &CompileOptions { l7proto: Some(protocol), default })
    });
    Ok(compiled?.snapshot)
}

/// The connections of a capture at their end: all are counted, and some kept.
#[derive(Default)]
pub(crate) struct Connections {
    pub(crate) counts: Counts,
    /// Connections of which something is to be told, and the first others, as many as there is room for.
    pub(crate) kept: Vec<Followed>,
    pub(crate) not_kept: u64,
    /// Connections that a listener would have closed.
    pub(crate) closed: u64,
    /// How many of those that are kept are remarkable.
    remarkable: usize,
}

impl Connections {
    fn add(&mut self, followed: Followed) {
        self.counts.add(&followed.counts);
        self.closed = self.closed.saturating_add(u64::from(followed.closes.is_some()));
        if followed.is_remarkable() && self.remarkable < MAX_KEPT {
            self.remarkable = self.remarkable.saturating_add(1);
            self.kept.push(followed);
        } else if self.kept.len().saturating_sub(self.remarkable) < MAX_KEPT {
            self.kept.push(followed);
        } else {
            self.not_kept = self.not_kept.saturating_add(1);
        }
    }
}

impl Followed {
    pub(crate) fn is_remarkable(&self) -> bool {
        let Counts { audited, denied, refused, changed, unread, lost, .. } = self.counts;
        self.closes.is_some() || [audited, denied, refused, changed, unread, lost].iter().any(|count| *count > 0)
    }
}

/// A file that is followed.
pub(crate) struct Reading<'a> {
    pub(crate) setting: &'a Setting,
    pub(crate) protocol: &'static str,
    pub(crate) file: &'a std::path::Path,
}

impl Reading<'_> {
    /// Reads the file to its end, or to where it is broken. The parsers run under `watched`, which must deny nothing.
    pub(crate) fn follow<E: Ear>(
        &self,
        watched: Snapshot,
        policies: Vec<Snapshot>,
        heard: &Arc<Heard<E>>,
        on_end: impl FnMut(Followed) + 'static,
        out: &Output,
    ) -> anyhow::Result<(Stats, Option<Broken>)> {
        let Setting { port, format, .. } = *self.setting;
        let Some(port) = port.filter(|port| *port > 0) else {
            return Err(Usage("name the server's port in the capture with `--port`, from 1 to 65535".to_owned()).into());
        };
        let sink = Arc::<Heard<E>>::clone(heard);
        let instance = self.setting.instance(self.protocol, watched, sink)?;
        let who = self.setting.who()?;
        let mut follower = Follower::new(self.protocol, instance, who, policies, Arc::clone(heard), on_end);
        let bar = out.progress(0, "bytes");
        let mut input = Input::open(self.file, format, &bar)?;
        if input.has_packets()? {
            let mut table = Table::new(port, follower);
            let broken = input.packets(|packet| table.packet(packet)).err();
            let (_, stats) = table.end();
            bar.finish_and_clear();
            return Ok((stats, broken));
        }
        let flow = Follower::<E>::lone_flow(port);
        let mut session = follower.open(&flow);
        let mut stats = Stats { connections: 1, ..Stats::default() };
        let broken = input.bytes(|bytes| {
            stats.bytes = stats.bytes.saturating_add(bytes.len() as u64);
            follower.event(&flow, &mut session, portcullis_proxylib::Direction::Orig, Event::Data(bytes));
        });
        follower.close(&flow, session);
        bar.finish_and_clear();
        Ok((stats, broken.err()))
    }
}

/// Connections that are kept for the list: of each sort, remarkable or not.
const MAX_KEPT: usize = 10_000;
