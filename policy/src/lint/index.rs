//! Finds the rules that may include another one without looking at all of them.

use std::collections::{BTreeSet, HashMap};

use super::patterns::{Form, Pattern};

/// Rules that are looked at for one rule: what many rules overlap with stays unsaid, so that the cost stays linear.
const MAX_CANDIDATES: usize = 64;

/// Rules of one block by what they demand.
#[derive(Default)]
pub(super) struct Index {
    /// Rules that look at no text.
    free: Vec<usize>,
    by_part: HashMap<&'static str, Part>,
}

#[derive(Default)]
struct Part {
    any: Vec<usize>,
    exact: HashMap<Box<[u8]>, Vec<usize>>,
    prefix: HashMap<Box<[u8]>, Vec<usize>>,
    lengths: BTreeSet<usize>,
    regex: Vec<usize>,
}

impl Index {
    pub(super) fn add(&mut self, at: usize, form: &Form) {
        let Some((part, patterns)) = form.texts.first() else { return self.free.push(at) };
        let part = self.by_part.entry(part).or_default();
        for pattern in patterns {
            match pattern {
                Pattern::Any => part.any.push(at),
                Pattern::Exact(text) => part.exact.entry(text.clone()).or_default().push(at),
                Pattern::Prefix(text) => {
                    part.lengths.insert(text.len());
                    part.prefix.entry(text.clone()).or_default().push(at);
                }
                Pattern::Regex(_) => part.regex.push(at),
            }
        }
    }

    /// Rules that may include a rule of this form, in no order.
    pub(super) fn candidates(&self, form: &Form) -> Vec<usize> {
        let mut found: Vec<usize> = self.free.iter().copied().take(MAX_CANDIDATES).collect();
        for (part, patterns) in &form.texts {
            let (Some(part), Some(pattern)) = (self.by_part.get(part), patterns.first()) else { continue };
            found.extend(part.any.iter().take(MAX_CANDIDATES));
            let beginning = pattern.beginning();
            if let Pattern::Exact(text) = pattern {
                found.extend(part.exact.get(text).into_iter().flatten().take(MAX_CANDIDATES));
            }
            for length in part.lengths.range(..=beginning.len()) {
                let same = beginning.get(..*length).and_then(|prefix| part.prefix.get(prefix));
                found.extend(same.into_iter().flatten().take(MAX_CANDIDATES));
            }
            found.extend(part.regex.iter().take(MAX_CANDIDATES));
        }
        found
    }
}
