//! Many regexes at once: those that begin with a literal are tried only where the literal is.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Hir, HirKind, Look};

use super::PrefixMap;
use super::engine::{Engine, Engines, Where};
use super::literals::Literals;
use super::regex::as_runes;
use super::verdicts::Verdict;
use crate::l7::{Effect, L7Decision, RuleId};

/// Regexes of one matcher.
const MAX_REGEXES: usize = 100_000;
/// Literals with which matches of one regex may begin; with more, it is searched for without them.
const MAX_LITERALS: usize = 16;
/// A shorter literal is in too many keys to tell them apart.
const MIN_LITERAL_BYTES: usize = 3;
/// Occurrences of its literal at which a regex is tried by what follows. A key that has it more often is searched as a
/// whole, so that the cost stays linear in the length of the key.
const MAX_TRIES: u32 = 4;

/// What an expression is when it is no more than a comparison.
pub(crate) enum Shape {
    Any,
    Exact(Box<[u8]>),
    Prefix(Box<[u8]>),
    Other,
}

impl Shape {
    pub(crate) fn of(hir: &Hir) -> Self {
        let mut parts = parts_of(hir);
        // What may be empty at the end of what is searched for does not matter.
        while let Some((last, rest)) = parts.split_last()
            && matches!(last.kind(), HirKind::Repetition(repetition) if repetition.min == 0)
        {
            parts = rest;
        }
        match parts {
            [] => Self::Any,
            [only] if matches!(only.kind(), HirKind::Empty) || is(only, Look::Start) || is(only, Look::End) => {
                Self::Any
            }
            [start, literal, rest @ ..] if is(start, Look::Start) => match (literal.kind(), rest) {
                // A byte that is not text counts as U+FFFD: only a regex sees both as the same.
                (HirKind::Literal(literal), _) if has_replacement(&literal.0) => Self::Other,
                (HirKind::Literal(literal), []) => Self::Prefix(literal.0.clone()),
                (HirKind::Literal(literal), [end]) if is(end, Look::End) => Self::Exact(literal.0.clone()),
                _ => Self::Other,
            },
            _ => Self::Other,
        }
    }
}

fn parts_of(hir: &Hir) -> &[Hir] {
    match hir.kind() {
        HirKind::Concat(parts) => parts.as_slice(),
        _ => std::slice::from_ref(hir),
    }
}

fn is(part: &Hir, look: Look) -> bool {
    matches!(part.kind(), HirKind::Look(have) if *have == look)
}

fn has_replacement(literal: &[u8]) -> bool {
    memchr::memmem::find(literal, "\u{fffd}".as_bytes()).is_some()
}

/// Regexes that are asked together, because they begin alike and do alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct BucketKey {
    literals: Vec<Vec<u8>>,
    /// Whether the literals are at the start of the key, or anywhere.
    anchored: bool,
    /// Whether only what follows the one literal is left to be searched.
    split: bool,
    classes: u64,
    effect: Effect,
}

#[derive(Debug, Default)]
pub(super) struct RegexesBuilder {
    by_key: HashMap<BucketKey, usize>,
    buckets: Vec<(BucketKey, Vec<(Hir, RuleId)>)>,
    count: usize,
}

impl RegexesBuilder {
    pub(super) fn add(&mut self, hir: Hir, verdict: Verdict) -> Result<(), String> {
        self.count = self.count.saturating_add(1);
        if self.count > MAX_REGEXES {
            return Err(format!("there are more than {MAX_REGEXES} regexes; use prefixes"));
        }
        let anchored = hir.properties().look_set_prefix().contains(Look::Start);
        let (literals, split) = match split(&hir) {
            Some((literal, _)) => (vec![literal], true),
            None => (first_literals(&hir), false),
        };
        let key = BucketKey { literals, anchored, split, classes: verdict.classes, effect: verdict.effect };
        let next = self.buckets.len();
        match self.by_key.get(&key).and_then(|at| self.buckets.get_mut(*at)) {
            Some((_, regexes)) => regexes.push((hir, verdict.id)),
            None => {
                self.by_key.insert(key.clone(), next);
                self.buckets.push((key, vec![(hir, verdict.id)]));
            }
        }
        Ok(())
    }

    pub(super) fn build(self) -> Result<Regexes, String> {
        let mut regexes = Regexes::default();
        let mut engines = Engines::default();
        let (mut floating, mut owners) = (Vec::new(), Vec::new());
        for (key, parts) in self.buckets {
            let (hirs, ids): (Vec<Hir>, Vec<RuleId>) = parts.into_iter().unzip();
            let index = u32::try_from(regexes.buckets.len()).unwrap_or(u32::MAX);
            let ids = Ids::from(ids);
            let bucket = |searched, engine| Bucket { classes: key.classes, effect: key.effect, ids, engine, searched };
            regexes.buckets.push(if key.split {
                let rest: Vec<_> = hirs.iter().filter_map(|hir| split(hir).map(|(_, rest)| rest)).collect();
                let engine = engines.get(&rest, Where::Here)?;
                let whole = (!key.anchored).then(|| Box::new(Whole { hirs, engine: OnceLock::new() }));
                bucket(Searched::AfterLiteral(whole), engine)
            } else {
                let place = if key.anchored { Where::Here } else { Where::Anywhere };
                bucket(Searched::Whole, engines.get(&hirs, place)?)
            });
            if key.literals.is_empty() {
                regexes.unindexed.push(index);
            } else if key.anchored {
                key.literals.iter().for_each(|literal| regexes.anchored.entry(literal).add(index));
            } else {
                for literal in key.literals {
                    floating.push(literal);
                    owners.push(index);
                }
            }
        }
        if !floating.is_empty() {
            let literals = Literals::new(&floating).map_err(|error| format!("too many regexes: {error}"))?;
            regexes.floating = Some((literals, owners));
        }
        Ok(regexes)
    }
}

/// The literal that an expression begins with, and what follows it. The same rests are common, and compiled once.
fn split(hir: &Hir) -> Option<(Vec<u8>, Hir)> {
    let (literal, rest) = match parts_of(hir) {
        [start, literal, rest @ ..] if is(start, Look::Start) => (literal, rest),
        [literal, rest @ ..] => (literal, rest),
        [] => return None,
    };
    match literal.kind() {
        HirKind::Literal(literal) if literal.0.len() >= MIN_LITERAL_BYTES => {
            Some((literal.0.to_vec(), Hir::concat(rest.to_vec())))
        }
        _ => None,
    }
}

/// The literals of which each match begins with one, or none if they cannot be told or would not help.
fn first_literals(hir: &Hir) -> Vec<Vec<u8>> {
    let mut seq = Extractor::new().limit_total(MAX_LITERALS).extract(hir);
    seq.dedup();
    let literals: Vec<_> =
        seq.literals().unwrap_or_default().iter().map(|literal| literal.as_bytes().to_vec()).collect();
    let helpful = |literal: &Vec<u8>| literal.len() >= MIN_LITERAL_BYTES;
    if literals.len() <= MAX_LITERALS && literals.iter().all(helpful) { literals } else { Vec::new() }
}

#[derive(Debug, Default)]
pub(super) struct Regexes {
    buckets: Vec<Bucket>,
    /// By the literal that keys must begin with.
    anchored: PrefixMap<Owners>,
    /// The literals that keys must have somewhere, and whose they are.
    floating: Option<(Literals, Vec<u32>)>,
    unindexed: Vec<u32>,
}

#[derive(Debug)]
struct Bucket {
    classes: u64,
    effect: Effect,
    /// The rules of the expressions of the engine.
    ids: Ids,
    engine: Arc<Engine>,
    searched: Searched,
}

/// Mostly one, which then costs no look into memory elsewhere.
#[derive(Debug)]
enum Ids {
    One(RuleId),
    Many(Box<[RuleId]>),
}

impl From<Vec<RuleId>> for Ids {
    fn from(ids: Vec<RuleId>) -> Self {
        match ids.as_slice() {
            [one] => Self::One(*one),
            _ => Self::Many(ids.into()),
        }
    }
}

impl Ids {
    fn get(&self, pattern: usize) -> Option<RuleId> {
        match self {
            Self::One(id) => (pattern == 0).then_some(*id),
            Self::Many(ids) => ids.get(pattern).copied(),
        }
    }
}

/// The buckets of a literal, mostly one.
#[derive(Debug, Default)]
enum Owners {
    #[default]
    None,
    One(u32),
    Many(Vec<u32>),
}

impl Owners {
    fn add(&mut self, bucket: u32) {
        match self {
            Self::None => *self = Self::One(bucket),
            Self::One(first) => *self = Self::Many(vec![*first, bucket]),
            Self::Many(buckets) => buckets.push(bucket),
        }
    }

    fn as_slice(&self) -> &[u32] {
        match self {
            Self::None => &[],
            Self::One(bucket) => std::slice::from_ref(bucket),
            Self::Many(buckets) => buckets,
        }
    }
}

/// What the engine of a bucket is to be run on.
#[derive(Debug)]
enum Searched {
    /// The whole key.
    Whole,
    /// What follows the literal; with the whole expressions, where the literal can be anywhere.
    AfterLiteral(Option<Box<Whole>>),
}

/// Whole expressions, compiled when a key demands it: few ever do.
#[derive(Debug)]
struct Whole {
    hirs: Vec<Hir>,
    engine: OnceLock<Option<Engine>>,
}

impl Regexes {
    pub(super) fn apply(&self, class: u64, key: &[u8], decision: &mut L7Decision) {
        if self.buckets.is_empty() {
            return;
        }
        let text = as_runes(key);
        for (length, buckets) in self.anchored.matching(&text) {
            if buckets.as_slice().iter().any(|bucket| self.ask(*bucket, class, &text, (length, 1), decision)) {
                return;
            }
        }
        if self.unindexed.iter().any(|bucket| self.ask(*bucket, class, &text, (0, 1), decision)) {
            return;
        }
        let Some((literals, owners)) = &self.floating else { return };
        SEEN.with_borrow_mut(|seen| {
            seen.begin(self.buckets.len());
            for (literal, end) in literals.find(&text) {
                let Some(&bucket) = owners.get(literal) else { return };
                let at = (end, seen.count(bucket));
                if self.ask(bucket, class, &text, at, decision) {
                    return;
                }
            }
        });
    }

    /// Adds what a bucket says to a decision; says whether it is final. The literal of the bucket ends at `end`, and was
    /// found `times` times so far.
    fn ask(&self, bucket: u32, class: u64, text: &[u8], (end, times): (usize, u32), decision: &mut L7Decision) -> bool {
        let Some(bucket) = self.buckets.get(bucket as usize) else { return false };
        let moot = bucket.effect == Effect::Allow && *decision != L7Decision::NoMatch;
        if moot || bucket.classes & class == 0 {
            return false;
        }
        let Some(id) = bucket.find(text, end, times).and_then(|pattern| bucket.ids.get(pattern)) else { return false };
        Verdict { classes: bucket.classes, id, effect: bucket.effect }.apply(class, decision)
    }
}

impl Bucket {
    /// One of the expressions that match.
    fn find(&self, text: &[u8], end: usize, times: u32) -> Option<usize> {
        match &self.searched {
            Searched::Whole if times == 1 => self.engine.find(text, 0),
            Searched::AfterLiteral(_) if times <= MAX_TRIES => self.engine.find(text, end),
            Searched::AfterLiteral(Some(whole)) if times == MAX_TRIES.saturating_add(1) => {
                match whole.engine.get_or_init(|| Engine::build(&whole.hirs, Where::Anywhere).ok()) {
                    Some(engine) => engine.find(text, 0),
                    // It was small enough without its literal. Should it be too large with it, a denial holds.
                    None => (self.effect == Effect::Deny).then_some(0),
                }
            }
            Searched::Whole | Searched::AfterLiteral(_) => None,
        }
    }
}

thread_local! {
    static SEEN: RefCell<Seen> = RefCell::default();
}

/// How often the literals of each bucket were found in the current decision.
#[derive(Default)]
struct Seen {
    /// The first buckets. Keys have few literals in them, and the table is far away in memory.
    few: Vec<(u32, u32)>,
    round: u32,
    /// Of all other buckets, the last round, and the count in it.
    counts: Vec<(u32, u32)>,
}

/// Buckets that are looked through one by one.
const FEW: usize = 8;

impl Seen {
    fn begin(&mut self, buckets: usize) {
        self.few.clear();
        if self.counts.len() < buckets {
            self.counts.resize(buckets, (0, 0));
        }
        self.round = self.round.checked_add(1).unwrap_or_else(|| {
            self.counts.fill((0, 0));
            1
        });
    }

    fn count(&mut self, bucket: u32) -> u32 {
        if let Some((_, count)) = self.few.iter_mut().find(|(known, _)| *known == bucket) {
            *count = count.saturating_add(1);
            return *count;
        }
        if self.few.len() < FEW {
            self.few.push((bucket, 1));
            return 1;
        }
        let Some((round, count)) = self.counts.get_mut(bucket as usize) else { return 1 };
        *count = if *round == self.round { count.saturating_add(1) } else { 1 };
        *round = self.round;
        *count
    }
}
