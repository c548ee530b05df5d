//! How the program ends.

use std::process::ExitCode;

/// The exit status. `portcullis --help` and docs/cli/README.md say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All is well.
    Well,
    /// What was looked at is not well: findings, a denial, a failed test.
    Found,
    /// The command line is wrong. Clap ends with the same number.
    Usage,
    /// It could not be done: a file that cannot be read or used.
    Failed,
}

impl Exit {
    /// Well, or else found.
    pub(crate) const fn well_if(well: bool) -> Self {
        if well { Self::Well } else { Self::Found }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Well => 0,
            Exit::Found => 1,
            Exit::Usage => 2,
            Exit::Failed => 3,
        })
    }
}

/// The command line is wrong in a way that clap cannot see: what is wrong, and what to write instead.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}
