//! What a log says, counted: in bounded memory, whatever the log holds.

use std::collections::{BTreeMap, HashMap};

use crate::accesslog::{Record, Value, Verdict};

/// A text by its number.
pub(super) type Id = u32;

/// Texts that repeat, each held once.
#[derive(Debug, Default)]
pub(super) struct Texts {
    numbers: HashMap<String, Id>,
    texts: Vec<String>,
}

impl Texts {
    /// The number of a text; that of all further texts once there are too many.
    fn number(&mut self, text: &str) -> Id {
        let shown = match text.char_indices().nth(MAX_TEXT) {
            Some((end, _)) => text.get(..end).unwrap_or(text),
            None => text,
        };
        if let Some(number) = self.numbers.get(shown) {
            return *number;
        }
        if self.texts.len() >= MAX_TEXTS && shown != OTHERS {
            return self.number(OTHERS);
        }
        let number = Id::try_from(self.texts.len()).unwrap_or(Id::MAX);
        self.texts.push(shown.to_owned());
        self.numbers.insert(shown.to_owned(), number);
        number
    }

    pub(super) fn text(&self, number: Id) -> &str {
        self.texts.get(number as usize).map_or("", String::as_str)
    }
}

/// Requests by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) allowed: u64,
    pub(super) audited: u64,
    pub(super) denied: u64,
}

impl Sums {
    pub(super) fn all(self) -> u64 {
        self.allowed.saturating_add(self.audited).saturating_add(self.denied)
    }

    pub(super) fn add(&mut self, other: Self) {
        self.allowed = self.allowed.saturating_add(other.allowed);
        self.audited = self.audited.saturating_add(other.audited);
        self.denied = self.denied.saturating_add(other.denied);
    }
}

/// Counted things: of so many kinds at most.
#[derive(Debug)]
pub(super) struct Counted<K, V> {
    pub(super) kinds: HashMap<K, V>,
    /// Records of further kinds.
    pub(super) not_kept: u64,
}

impl<K, V> Default for Counted<K, V> {
    fn default() -> Self {
        Self { kinds: HashMap::new(), not_kept: 0 }
    }
}

impl<K: std::hash::Hash + Eq, V: Default> Counted<K, V> {
    fn at(&mut self, kind: K) -> Option<&mut V> {
        if self.kinds.len() >= MAX_KINDS && !self.kinds.contains_key(&kind) {
            self.not_kept = self.not_kept.saturating_add(1);
            return None;
        }
        Some(self.kinds.entry(kind).or_default())
    }
}

/// Sums over time, in steps that grow with the time that the log covers.
#[derive(Debug)]
pub(super) struct Timeline {
    /// Seconds of a step.
    pub(super) step: i64,
    /// By the second that a step begins with.
    pub(super) steps: BTreeMap<i64, Sums>,
}

impl Timeline {
    fn add(&mut self, second: i64, sums: Sums) {
        self.steps.entry(second.div_euclid(self.step).saturating_mul(self.step)).or_default().add(sums);
        if self.steps.len() > MAX_STEPS {
            self.widen(self.step.saturating_mul(2));
        }
    }

    fn widen(&mut self, step: i64) {
        self.step = step.max(1);
        for (second, sums) in std::mem::take(&mut self.steps) {
            self.steps.entry(second.div_euclid(self.step).saturating_mul(self.step)).or_default().add(sums);
        }
    }

    /// The sums in `most` steps at most, of a length that people count in, empty ones too.
    pub(super) fn bars(mut self, most: i64) -> (i64, Vec<(i64, Sums)>) {
        let (Some(first), Some(last)) = (self.first(), self.last()) else { return (self.step, Vec::new()) };
        let span = last.saturating_sub(first).saturating_add(1);
        let fits = |step: &&i64| **step >= self.step && span.checked_div(**step).is_some_and(|steps| steps < most);
        let step = LENGTHS.iter().find(fits).copied().unwrap_or_else(|| {
            let day = 86_400;
            span.checked_div(most)
                .unwrap_or(span)
                .checked_div(day)
                .unwrap_or_default()
                .saturating_add(1)
                .saturating_mul(day)
        });
        self.widen(step);
        let first = first.div_euclid(self.step).saturating_mul(self.step);
        let times = (0..).map(|n: i64| first.saturating_add(n.saturating_mul(self.step)));
        let bars = times.take_while(|time| *time <= last).take(most.unsigned_abs() as usize);
        (self.step, bars.map(|time| (time, self.steps.get(&time).copied().unwrap_or_default())).collect())
    }

    pub(super) fn first(&self) -> Option<i64> {
        self.steps.first_key_value().map(|(second, _)| *second)
    }

    pub(super) fn last(&self) -> Option<i64> {
        self.steps.last_key_value().map(|(second, _)| *second)
    }
}

/// All that is told of a log.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) texts: Texts,
    pub(super) sums: Sums,
    pub(super) errors: u64,
    /// By peer, protocol and command.
    pub(super) uses: Counted<(Id, Id, Id), Sums>,
    /// What was denied: by peer, request and why. Audited requests are told apart.
    pub(super) denials: Counted<(Id, Id, Id, bool), u64>,
    pub(super) rules: Counted<Id, u64>,
    /// Why connections were closed.
    pub(super) faults: Counted<(Id, Id), u64>,
    pub(super) timeline: Timeline,
    /// The first and the last time, as the log has them.
    pub(super) span: Option<(jiff::Timestamp, jiff::Timestamp)>,
    /// The lowest and the highest generation of policy.
    pub(super) generations: Option<(u64, u64)>,
    scratch: String,
}

impl Default for Gathered {
    fn default() -> Self {
        Self {
            texts: Texts::default(),
            sums: Sums::default(),
            errors: 0,
            uses: Counted::default(),
            denials: Counted::default(),
            rules: Counted::default(),
            faults: Counted::default(),
            timeline: Timeline { step: 1, steps: BTreeMap::new() },
            span: None,
            generations: None,
            scratch: String::new(),
        }
    }
}

impl Gathered {
    pub(super) fn add(&mut self, record: &Record<'_>) {
        let time = record.time();
        if let Some(time) = time {
            let (first, last) = self.span.unwrap_or((time, time));
            self.span = Some((first.min(time), last.max(time)));
        }
        let (low, high) = self.generations.unwrap_or((record.generation, record.generation));
        self.generations = Some((low.min(record.generation), high.max(record.generation)));
        let who = record.who();
        let who = self.texts.number(&who);
        let mut sums = Sums::default();
        let counter = match record.verdict {
            Verdict::Forwarded => &mut sums.allowed,
            Verdict::Audit => &mut sums.audited,
            Verdict::Denied => &mut sums.denied,
            Verdict::Reply => return,
            Verdict::Error => {
                self.errors = self.errors.saturating_add(1);
                let why = self.texts.number(record.reason.as_deref().unwrap_or_default());
                if let Some(count) = self.faults.at((who, why)) {
                    *count = count.saturating_add(1);
                }
                return;
            }
        };
        *counter = 1;
        self.sums.add(sums);
        if let Some(time) = time {
            self.timeline.add(time.as_second(), sums);
        }
        let (protocol, command) = (self.texts.number(&record.protocol), self.texts.number(record.command()));
        if let Some(known) = self.uses.at((who, protocol, command)) {
            known.add(sums);
        }
        if let Some(rule) = record.rule.as_deref() {
            let rule = self.texts.number(rule);
            if let Some(count) = self.rules.at(rule) {
                *count = count.saturating_add(1);
            }
        }
        if sums.allowed == 0 {
            self.scratch.clear();
            brief(record, &mut self.scratch);
            let request = self.texts.number(&self.scratch);
            let why = record.rule.as_deref().or(record.reason.as_deref()).unwrap_or_default();
            let why = self.texts.number(why);
            if let Some(count) = self.denials.at((who, request, why, sums.audited > 0)) {
                *count = count.saturating_add(1);
            }
        }
    }
}

/// A request as one short text.
fn brief(record: &Record<'_>, out: &mut String) {
    for (name, value) in record.fields.iter() {
        let values: &[_] = match value {
            Value::Text(text) => std::slice::from_ref(text),
            Value::List(texts) => texts,
            Value::Number(more) => {
                out.push_str(&format!(" (+{more} {})", name.trim_end_matches("NotShown")));
                &[]
            }
        };
        for value in values {
            if !out.is_empty() {
                out.push(' ');
            }
            out.push_str(value);
        }
    }
}

/// What stands for all texts beyond those that are held.
pub(super) const OTHERS: &str = "(others)";

/// Texts that are held: with a hundred bytes each and their index, 30 MB.
const MAX_TEXTS: usize = 100_000;

/// Characters of a text.
const MAX_TEXT: usize = 200;

/// Kinds of what is counted, each sort.
const MAX_KINDS: usize = 100_000;

/// Steps of the timeline while it is gathered.
const MAX_STEPS: usize = 4096;

/// Lengths of a step that people count in, in seconds.
const LENGTHS: [i64; 13] = [1, 2, 5, 10, 30, 60, 300, 600, 1800, 3600, 10_800, 43_200, 86_400];
