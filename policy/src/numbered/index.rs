//! Finds what bears on a connection by its port and the number of its peer.

use std::cmp::Reverse;

use rustc_hash::FxHashMap;

use crate::decide::{Higher, Reason, Stance, View};
use crate::identity::{Flow, Traffic};
use crate::l7::RuleId;

/// Both directions of an endpoint.
#[derive(Debug, Default)]
pub(crate) struct NumberedIndex {
    ingress: Side,
    egress: Side,
}

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Side {
    exact: FxHashMap<u16, Vec<Entry>>,
    /// By their first port.
    ranges: Vec<((u16, u16), Entry)>,
    /// What is said of every port.
    every: Vec<Entry>,
}

/// What is said of some ports.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) closed: Option<RuleId>,
    pub(super) peers: PeerIndex,
}

/// The rules of an entry by their peers, each list from the highest precedence down.
#[derive(Debug, Default)]
pub(super) struct PeerIndex {
    any: Vec<Level>,
    by_number: FxHashMap<u32, Vec<Level>>,
}

/// What a rule, or several that were compiled together, do, and at which precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) precedence: u32,
    pub(super) does: Does,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Does {
    Deny(RuleId),
    Open(RuleId),
    Pass {
        below: u32,
        rule: RuleId,
    },
    /// Leaves it to the rules of a block.
    Judge(u32),
}

impl NumberedIndex {
    pub(super) fn new([ingress, egress]: [Side; 2]) -> Self {
        Self { ingress, egress }
    }

    /// Looks up what bears on a connection. Costs as much as there are rules for its port and peer, and port ranges.
    pub(crate) fn view(&self, flow: &Flow<'_>) -> View {
        let side = match flow.traffic {
            Traffic::Ingress => &self.ingress,
            Traffic::Egress => &self.egress,
        };
        let mut levels = Vec::new();
        match side.collect(flow.port, flow.remote.id, &mut levels) {
            Ok(()) => {
                levels.sort_by_key(|level| Reverse(level.precedence));
                stack(&levels)
            }
            Err(closed) => View { stance: Stance::Closed(Reason::ForeignRules, Some(closed)), ..View::default() },
        }
    }
}

impl Side {
    pub(super) fn add(&mut self, ports: Option<(u16, u16)>, entry: Entry) {
        match ports {
            None => self.every.push(entry),
            Some((first, last)) if first == last => self.exact.entry(first).or_default().push(entry),
            Some(range) => self.ranges.push((range, entry)),
        }
    }

    pub(super) fn finish(&mut self) {
        self.ranges.sort_by_key(|(range, _)| *range);
    }

    /// Gathers what is said of a port and a peer, or names what closes the port.
    fn collect(&self, port: u16, peer: u32, levels: &mut Vec<Level>) -> Result<(), RuleId> {
        let begun = self.ranges.iter().take_while(|((first, _), _)| *first <= port);
        let ranges = begun.filter(|((_, last), _)| port <= *last).map(|(_, entry)| entry);
        let mut named = false;
        for entry in self.exact.get(&port).into_iter().flatten().chain(ranges) {
            if let Some(rule) = entry.closed {
                return Err(rule);
            }
            named = true;
            entry.peers.collect(peer, levels);
        }
        for entry in &self.every {
            if let Some(rule) = entry.closed.filter(|_| !named) {
                return Err(rule);
            }
            entry.peers.collect(peer, levels);
        }
        Ok(())
    }
}

impl PeerIndex {
    /// Adds what a rule does for some peers, or for all if none are named.
    pub(super) fn add(&mut self, numbers: &[u32], level: Level) {
        if numbers.is_empty() {
            self.any.push(level);
        }
        for number in numbers {
            self.by_number.entry(*number).or_default().push(level);
        }
    }

    /// Puts the lists in order, and leaves out what says the same once more.
    pub(super) fn finish(&mut self) {
        for levels in self.by_number.values_mut().chain([&mut self.any]) {
            // Stable: of rules that do the same, the first one is named.
            levels.sort_by_key(|level| (Reverse(level.precedence), level.does.kind()));
            levels.dedup_by_key(|level| (level.precedence, level.does.kind()));
            levels.shrink_to_fit();
        }
    }

    fn collect(&self, number: u32, levels: &mut Vec<Level>) {
        levels.extend(&self.any);
        levels.extend(self.by_number.get(&number).into_iter().flatten());
    }
}

impl Does {
    /// Alike for what need not be said twice.
    const fn kind(self) -> (u8, u32) {
        match self {
            Self::Deny(_) => (0, 0),
            Self::Open(_) => (1, 0),
            Self::Pass { below, .. } => (2, below),
            Self::Judge(block) => (3, block),
        }
    }
}

/// Puts the levels of one connection on top of each other, down to the first that decides every request.
fn stack(levels: &[Level]) -> View {
    let mut tiers = Vec::new();
    let mut skipped: Option<u32> = None;
    let mut last = Stance::Judged;
    for level in levels.chunk_by(|one, other| one.precedence == other.precedence) {
        if level.first().is_some_and(|first| skipped.is_some_and(|below| first.precedence >= below)) {
            continue;
        }
        let tier = Tier::of(level);
        if let Some(rule) = tier.denied {
            last = Stance::Closed(Reason::Rule, Some(rule));
            break;
        }
        if !tier.blocks.is_empty() || tier.opened.is_some() {
            tiers.push(tier.blocks);
        }
        if let Some(rule) = tier.opened {
            last = Stance::Open(Reason::Rule, Some(rule));
            break;
        }
        if let Some(rule) = tier.torn {
            last = Stance::Closed(Reason::Rule, Some(rule));
            break;
        }
        skipped = tier.skipped;
    }
    // Where the last word is no, it is spoken of what no block has decided.
    let blocks = match last {
        Stance::Closed(..) => Vec::new(),
        Stance::Open(..) | Stance::Judged => tiers.pop().unwrap_or_default(),
    };
    let higher = if tiers.is_empty() { None } else { Some(Box::new(Higher { tiers })) };
    View { stance: last, blocks, higher, ..View::default() }
}

/// What the rules of one precedence say.
#[derive(Default)]
struct Tier {
    denied: Option<RuleId>,
    opened: Option<RuleId>,
    blocks: Vec<u32>,
    /// The rules from this precedence up are passed by.
    skipped: Option<u32>,
    /// The rule that passes to another place than one before it, of another entry.
    torn: Option<RuleId>,
}

impl Tier {
    fn of(level: &[Level]) -> Self {
        let mut tier = Self::default();
        for Level { does, .. } in level {
            match *does {
                Does::Deny(rule) => tier.denied = tier.denied.or(Some(rule)),
                Does::Open(rule) => tier.opened = tier.opened.or(Some(rule)),
                Does::Judge(block) => tier.blocks.push(block),
                // What passes to two places at once cannot be followed.
                Does::Pass { below, rule } if tier.skipped.is_some_and(|known| known != below) => {
                    tier.torn = tier.torn.or(Some(rule));
                }
                Does::Pass { below, .. } => tier.skipped = Some(below),
            }
        }
        tier
    }
}
