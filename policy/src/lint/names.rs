//! The names of findings, and why each of them matters.

use std::fmt;

/// What a finding is about. The names are stable: people search for them, and machines compare them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Lint {
    /// A field is null.
    NullField,
    /// A rule `{}`.
    EmptyRule,
    /// `toPorts: []`.
    EmptyPorts,
    /// `rules: {}`.
    EmptyRules,
    /// An `l7` item that demands nothing.
    EmptyItem,
    /// `l7: []`, or a protocol without items.
    NoItems,
    /// Ports of UDP or SCTP alone.
    NotTcp,
    /// Rules for a protocol that the listener does not speak.
    ForeignProtocol,
    /// L7 rules on a port that another rule opens.
    OpenedPort,
    /// A regex that is searched for anywhere.
    UnanchoredRegex,
    /// A `.` that looks like a dot.
    DotInRegex,
    /// A regex that is a text or a prefix in another guise.
    RegexIsText,
    /// A regex that every text matches.
    RegexMatchesAll,
    /// A rule that no request or peer matches.
    NeverMatches,
    /// A rule whose requests are all denied by another one.
    AlwaysDenied,
    /// The same item twice.
    DuplicateRule,
    /// A rule whose requests are all admitted by another one.
    ShadowedRule,
    /// A rule that needs what the host is not told.
    HostCannot,
    /// Something doubtful in a document of a protocol, such as a hook.
    Document,
}

/// All of them, in the order of the documentation.
pub const ALL: &[Lint] = &[
    Lint::NullField,
    Lint::EmptyRule,
    Lint::EmptyPorts,
    Lint::EmptyRules,
    Lint::EmptyItem,
    Lint::NoItems,
    Lint::NotTcp,
    Lint::ForeignProtocol,
    Lint::OpenedPort,
    Lint::UnanchoredRegex,
    Lint::DotInRegex,
    Lint::RegexIsText,
    Lint::RegexMatchesAll,
    Lint::NeverMatches,
    Lint::AlwaysDenied,
    Lint::DuplicateRule,
    Lint::ShadowedRule,
    Lint::HostCannot,
    Lint::Document,
];

impl Lint {
    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NullField => "null-field",
            Self::EmptyRule => "empty-rule",
            Self::EmptyPorts => "empty-ports",
            Self::EmptyRules => "empty-rules",
            Self::EmptyItem => "empty-item",
            Self::NoItems => "no-items",
            Self::NotTcp => "not-tcp",
            Self::ForeignProtocol => "foreign-protocol",
            Self::OpenedPort => "opened-port",
            Self::UnanchoredRegex => "unanchored-regex",
            Self::DotInRegex => "dot-in-regex",
            Self::RegexIsText => "regex-is-text",
            Self::RegexMatchesAll => "regex-matches-all",
            Self::NeverMatches => "never-matches",
            Self::AlwaysDenied => "always-denied",
            Self::DuplicateRule => "duplicate-rule",
            Self::ShadowedRule => "shadowed-rule",
            Self::HostCannot => "host-cannot",
            Self::Document => "document",
        }
    }

    /// Whether it is a matter of form: what is meant is what is written.
    pub const fn is_note(self) -> bool {
        matches!(self, Self::RegexIsText | Self::RegexMatchesAll)
    }

    /// Why it matters, in a sentence.
    pub const fn why(self) -> &'static str {
        match self {
            Self::NullField => {
                "A null in YAML is what is left when a value is forgotten; a condition that is left out admits more, not less."
            }
            Self::EmptyRule => "A rule without any condition lets every peer in on every port.",
            Self::EmptyPorts => "An empty list reads like `no ports`, and means all of them.",
            Self::EmptyRules => "An empty map reads like a restriction, and restricts nothing.",
            Self::EmptyItem => "One item without conditions admits every request, whatever the other items say.",
            Self::NoItems => "An empty list reads like `no requests`, and means all of them.",
            Self::NotTcp => "Only TCP connections are seen here: the rule neither admits nor denies anything.",
            Self::ForeignProtocol => {
                "Rules of another protocol admit nothing on this listener: all that they were to admit is denied."
            }
            Self::OpenedPort => {
                "A rule without an L7 part opens its ports: what L7 rules for the same peers say of them is not asked."
            }
            Self::UnanchoredRegex => {
                "In this kind of object a regex is searched for anywhere in the text: it admits more than the texts that begin with it."
            }
            Self::DotInRegex => "In a regex `.` stands for any character: it admits texts that only look alike.",
            Self::RegexIsText => "A plain text says the same, is read at a glance, and costs less to compare.",
            Self::RegexMatchesAll => "A condition that is always fulfilled looks like a restriction, and is none.",
            Self::NeverMatches => "The rule has no effect: whoever wrote it expects that it has.",
            Self::AlwaysDenied => "What denies goes before what admits: the rule has no effect.",
            Self::DuplicateRule => "The second one has no effect, and will be forgotten when the first one is changed.",
            Self::ShadowedRule => {
                "The rule has no effect: to narrow it changes nothing as long as the wider one is there."
            }
            Self::HostCannot => {
                "Where policy needs what the host is not told, the rule does not match: what it was to admit is denied."
            }
            Self::Document => "It works, and is probably not what was meant.",
        }
    }
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
