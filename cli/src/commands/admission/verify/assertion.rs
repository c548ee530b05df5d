//! Whether violations are as a suite says.

use super::suite::{Assertion, Count};

impl Assertion {
    /// What is not as it is said; nothing if all is.
    pub(super) fn miss(&self, messages: &[String]) -> Option<String> {
        let fits = |text: &&String| self.message.as_ref().is_none_or(|regex| regex.is_match(text.as_bytes()));
        let found = messages.iter().filter(fits).count();
        let (holds, wanted) = match self.violations {
            Count::Any => (found > 0, "at least 1".to_owned()),
            Count::None => (found == 0, "none".to_owned()),
            Count::Exactly(count) => (u32::try_from(found) == Ok(count), format!("exactly {count}")),
        };
        if holds {
            return None;
        }
        let like = self.message.as_ref().map(|regex| format!(" like `{}`", regex.as_str())).unwrap_or_default();
        let place = &self.place;
        Some(format!("{place}: wanted {wanted} of the violations{like}, there {}", say(found)))
    }
}

fn say(found: usize) -> String {
    match found {
        0 => "is none".to_owned(),
        1 => "is 1".to_owned(),
        more => format!("are {more}"),
    }
}
