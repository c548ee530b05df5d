//! Which tests and cases are run.

use portcullis_policy::Dialect;
use portcullis_policy::matcher::Regex;

use super::suite::{Case, Test};
use crate::exit::Usage;

/// `--run`: one expression for tests or cases, or with `//` between them one for each.
#[derive(Debug)]
pub(super) enum Filter {
    All,
    Either(Regex),
    Both { tests: Regex, cases: Regex },
}

impl Filter {
    pub(super) fn parse(text: Option<&str>) -> Result<Self, Usage> {
        let compile =
            |pattern: &str| Regex::compile(pattern, Dialect::Cilium).map_err(|why| Usage(format!("`--run`: {why}")));
        match text {
            None | Some("") => Ok(Self::All),
            Some(text) => match text.split("//").collect::<Vec<_>>().as_slice() {
                [one] => Ok(Self::Either(compile(one)?)),
                [tests, cases] => Ok(Self::Both { tests: compile(tests)?, cases: compile(cases)? }),
                _ => Err(Usage("`--run`: wanted no more than one `//`, between tests and cases".to_owned())),
            },
        }
    }

    pub(super) fn takes_test(&self, test: &Test) -> bool {
        match self {
            Self::All => true,
            Self::Either(_) => self.takes_name(&test.name) || test.cases.iter().any(|case| self.takes_name(&case.name)),
            Self::Both { tests, .. } => tests.is_match(test.name.as_bytes()),
        }
    }

    /// Of a test that is run.
    pub(super) fn takes_case(&self, test: &Test, case: &Case) -> bool {
        match self {
            Self::All => true,
            Self::Either(_) => self.takes_name(&case.name) || self.takes_name(&test.name),
            Self::Both { cases, .. } => cases.is_match(case.name.as_bytes()),
        }
    }

    fn takes_name(&self, name: &str) -> bool {
        matches!(self, Self::Either(regex) if regex.is_match(name.as_bytes()))
    }
}
