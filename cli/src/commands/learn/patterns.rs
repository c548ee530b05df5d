//! From many names to few: names that begin alike become a prefix where there are too many of them.

use std::collections::BTreeMap;

/// What a rule says of the name of what a request is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pattern {
    /// Requests without a name.
    Nothing,
    /// Whatever the name.
    Any,
    Exact(String),
    Prefix(String),
}

/// Patterns, each with the requests that it is for.
pub(super) type Patterns = BTreeMap<Pattern, u64>;

/// The names that were seen with one word.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Requests without a name.
    nothing: u64,
    /// Names, and whether they are whole or the beginnings of several.
    seen: BTreeMap<(String, bool), u64>,
    /// The lengths of beginnings, so that a name can be looked up in them.
    starts: BTreeMap<usize, u64>,
}

impl Names {
    pub(super) fn add_nothing(&mut self) {
        self.nothing = self.nothing.saturating_add(1);
    }

    /// Adds a name. What rules cannot spell stands for all names that begin like it up to there.
    pub(super) fn add(&mut self, name: &[u8], whole: bool, most: usize) {
        let valid = name.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        let spelt = valid.split('\0').next().unwrap_or_default();
        self.count(spelt, whole && spelt.len() == name.len(), 1);
        if self.seen.len() > MAX_NAMES {
            let mut kept = most;
            while self.seen.len() > MAX_NAMES / 2 && kept > 0 {
                for ((name, whole), count) in generalise(std::mem::take(&mut self.seen), kept) {
                    self.count(&name, whole, count);
                }
                kept /= 2;
            }
            if self.seen.len() > MAX_NAMES / 2 {
                let all = self.seen.values().sum();
                self.seen.clear();
                self.count("", false, all);
            }
        }
    }

    fn count(&mut self, name: &str, whole: bool, more: u64) {
        let covered = self.starts.keys().take_while(|len| **len <= name.len()).find_map(|len| {
            let start = name.get(..*len)?.to_owned();
            self.seen.contains_key(&(start.clone(), false)).then_some(start)
        });
        let key = covered.map_or_else(|| (name.to_owned(), whole), |start| (start, false));
        if !key.1 {
            self.starts.entry(key.0.len()).or_default();
        }
        let count = self.seen.entry(key).or_default();
        *count = count.saturating_add(more);
    }

    /// The patterns: where more than `most` names stand side by side, their beginning.
    pub(super) fn patterns(&self, most: usize) -> Patterns {
        let mut patterns = Patterns::new();
        if self.nothing > 0 {
            patterns.insert(Pattern::Nothing, self.nothing);
        }
        for ((name, whole), count) in generalise(self.seen.clone(), most) {
            let pattern = match (whole, name.is_empty()) {
                (true, _) => Pattern::Exact(name),
                (false, true) => Pattern::Any,
                (false, false) => Pattern::Prefix(name),
            };
            patterns.insert(pattern, count);
        }
        // What admits everything makes the rest superfluous.
        match patterns.get(&Pattern::Any) {
            Some(_) => Patterns::from([(Pattern::Any, patterns.values().sum())]),
            None => patterns,
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.nothing = self.nothing.saturating_add(other.nothing);
        for ((name, whole), count) in &other.seen {
            self.count(name, *whole, *count);
        }
    }
}

/// Replaces names by what they begin with, where more than `most` of them, or of their beginnings up to the next separator,
/// stand side by side.
fn generalise(seen: BTreeMap<(String, bool), u64>, most: usize) -> Vec<((String, bool), u64)> {
    let names: Vec<_> = seen.into_iter().collect();
    let mut out = BTreeMap::new();
    let mut add = |key: (String, bool), count: u64| {
        let sum: &mut u64 = out.entry(key).or_default();
        *sum = sum.saturating_add(count);
    };
    // Each with the bytes at the beginning that all names of the slice share.
    let mut todo = vec![(names.as_slice(), 0_usize)];
    while let Some((slice, shared)) = todo.pop() {
        if slice.len() <= most {
            slice.iter().for_each(|(key, count)| add(key.clone(), *count));
            continue;
        }
        let branches: Vec<_> =
            slice.chunk_by(|((a, _), _), ((b, _), _)| branch(a, shared) == branch(b, shared)).collect();
        if branches.len() <= most {
            for part in branches {
                match part.first() {
                    // A name that is a branch by itself ends there.
                    Some(((name, _), _)) if part.len() > 1 => {
                        todo.push((part, shared.saturating_add(branch(name, shared).len())))
                    }
                    _ => part.iter().for_each(|(key, count)| add(key.clone(), *count)),
                }
            }
            continue;
        }
        let start = match (slice.first(), slice.last()) {
            // Sorted, the first and the last have the least in common.
            (Some(((first, _), _)), Some(((last, _), _))) => common(first, last),
            _ => "",
        };
        add((start.to_owned(), false), slice.iter().map(|(_, count)| count).sum());
    }
    // A beginning covers whatever begins so.
    let mut kept: Vec<((String, bool), u64)> = Vec::new();
    let mut cover: Option<usize> = None;
    let mut sorted: Vec<_> = out.into_iter().collect();
    sorted.sort_by(|((a, whole_a), _), ((b, whole_b), _)| (a, whole_a).cmp(&(b, whole_b)));
    for ((name, whole), count) in sorted {
        let covering = cover.and_then(|at| kept.get_mut(at)).filter(|((start, _), _)| name.starts_with(start.as_str()));
        match covering {
            Some((_, sum)) => *sum = sum.saturating_add(count),
            None => {
                if !whole {
                    cover = Some(kept.len());
                }
                kept.push(((name, whole), count));
            }
        }
    }
    kept
}

/// What follows the first `shared` bytes of a name, up to the next separator and with it.
fn branch(name: &str, shared: usize) -> &str {
    let rest = name.get(shared..).unwrap_or_default();
    match rest.find(SEPARATORS) {
        Some(end) => rest.get(..end.saturating_add(1)).unwrap_or(rest),
        None => rest,
    }
}

/// What two texts begin with.
fn common<'a>(a: &'a str, b: &str) -> &'a str {
    let len = a.chars().zip(b.chars()).take_while(|(x, y)| x == y).map(|(x, _)| x.len_utf8()).sum();
    a.get(..len).unwrap_or_default()
}

/// Characters that people put between the parts of keys. All are ASCII.
const SEPARATORS: [char; 7] = ['/', ':', '.', '_', '-', '|', '#'];

/// Names of one word and one peer that are held; then the most alike are put together at once.
const MAX_NAMES: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn patterns(names: &[&str], most: usize) -> Vec<String> {
        let mut seen = Names::default();
        names.iter().for_each(|name| seen.add(name.as_bytes(), true, most));
        let show = |(pattern, count): (&Pattern, &u64)| match pattern {
            Pattern::Nothing => format!("- {count}"),
            Pattern::Any => format!("* {count}"),
            Pattern::Exact(name) => format!("{name} {count}"),
            Pattern::Prefix(start) => format!("{start}* {count}"),
        };
        seen.patterns(most).iter().map(show).collect()
    }

    #[test]
    fn names_become_prefixes_where_there_are_too_many_side_by_side() {
        assert_eq!(patterns(&["a/1", "a/2", "b"], 3), ["a/1 1", "a/2 1", "b 1"]);
        assert_eq!(patterns(&["a/1", "a/2", "a/3", "b"], 2), ["b 1", "a/* 3"]);
        assert_eq!(patterns(&["s:1:x", "s:2:x", "s:3:x", "t:1"], 2), ["t:1 1", "s:* 3"]);
        assert_eq!(patterns(&["user1", "user2", "user3"], 2), ["user* 3"]);
        assert_eq!(patterns(&["x", "y", "z"], 2), ["* 3"]);
        assert_eq!(patterns(&["x", "x", "x"], 1), ["x 3"]);
        assert_eq!(patterns(&["a", "a/", "a/b", "a/b/c"], 1), ["a* 4"]);
    }

    #[test]
    fn what_cannot_be_spelt_is_a_prefix() {
        let mut seen = Names::default();
        seen.add(b"k/\xff\xfe", true, 10);
        seen.add(b"k/\0x", true, 10);
        seen.add(b"cut", false, 10);
        seen.add_nothing();
        let wanted = [(Pattern::Nothing, 1), (Pattern::Prefix("cut".into()), 1), (Pattern::Prefix("k/".into()), 2)];
        assert_eq!(seen.patterns(10).into_iter().collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn a_million_names_take_bounded_room() {
        let mut seen = Names::default();
        for n in 0..200_000_u32 {
            seen.add(format!("{:x}", n.wrapping_mul(2_654_435_761)).as_bytes(), true, 10);
        }
        assert!(seen.seen.len() <= MAX_NAMES);
        assert_eq!(seen.patterns(10), Patterns::from([(Pattern::Any, 200_000)]));
    }

    proptest! {
        /// Every name is covered, all are counted once, and the threshold is kept where nothing is generalised.
        #[test]
        fn every_name_is_covered(names in proptest::collection::vec("[ab/:é]{0,6}", 1..60), most in 1..8_usize) {
            let mut seen = Names::default();
            names.iter().for_each(|name| seen.add(name.as_bytes(), true, most));
            let patterns = seen.patterns(most);
            prop_assert_eq!(patterns.values().sum::<u64>(), names.len() as u64);
            for name in &names {
                let covered = patterns.keys().any(|pattern| match pattern {
                    Pattern::Nothing => false,
                    Pattern::Any => true,
                    Pattern::Exact(exact) => exact == name,
                    Pattern::Prefix(start) => name.starts_with(start.as_str()),
                });
                prop_assert!(covered, "{name} {patterns:?}");
            }
        }
    }
}
