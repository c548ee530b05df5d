//! The names that rules give to commands, and what each of them covers.

use std::ops::BitOr;

/// A set of commands, as rules name them: what a rule admits, or what a request can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Commands(u64);

impl Commands {
    /// No command.
    pub(super) const NONE: Self = Self(0);
    /// Every command there is.
    pub(super) const ALL: Self = Self(u64::MAX);

    pub(super) const GET: Self = Self::bit(0);
    pub(super) const GAT: Self = Self::bit(1);
    pub(super) const SET: Self = Self::bit(2);
    pub(super) const ADD: Self = Self::bit(3);
    pub(super) const REPLACE: Self = Self::bit(4);
    pub(super) const APPEND: Self = Self::bit(5);
    pub(super) const PREPEND: Self = Self::bit(6);
    pub(super) const CAS: Self = Self::bit(7);
    pub(super) const INCR: Self = Self::bit(8);
    pub(super) const DECR: Self = Self::bit(9);
    pub(super) const DELETE: Self = Self::bit(10);
    pub(super) const TOUCH: Self = Self::bit(11);
    pub(super) const STATS: Self = Self::bit(12);
    pub(super) const VERSION: Self = Self::bit(13);
    pub(super) const FLUSH_ALL: Self = Self::bit(14);
    pub(super) const VERBOSITY: Self = Self::bit(15);
    pub(super) const QUIT: Self = Self::bit(16);
    pub(super) const NOOP: Self = Self::bit(17);
    pub(super) const SLABS: Self = Self::bit(18);
    pub(super) const LRU: Self = Self::bit(19);
    pub(super) const LRU_CRAWLER: Self = Self::bit(20);
    pub(super) const WATCH: Self = Self::bit(21);
    pub(super) const CACHE_MEMLIMIT: Self = Self::bit(22);
    pub(super) const MISBEHAVE: Self = Self::bit(23);
    pub(super) const SHUTDOWN: Self = Self::bit(24);
    pub(super) const REFRESH_CERTS: Self = Self::bit(25);
    pub(super) const EXTSTORE: Self = Self::bit(26);
    pub(super) const SASL_LIST_MECHS: Self = Self::bit(27);
    pub(super) const SASL_AUTH: Self = Self::bit(28);
    pub(super) const SASL_STEP: Self = Self::bit(29);
    /// Names that old policies may hold for commands that no memcached implements: a rule may name them, no request is one.
    const UNIMPLEMENTED: Self = Self::bit(63);

    const STORAGE: Self = Self(
        Self::SET.0
            | Self::ADD.0
            | Self::REPLACE.0
            | Self::APPEND.0
            | Self::PREPEND.0
            | Self::CAS.0
            | Self::INCR.0
            | Self::DECR.0,
    );
    /// The commands that have keys.
    pub(super) const KEYED: Self = Self(Self::WRITE_GROUP.0 | Self::GET.0 | Self::GAT.0 | Self::UNIMPLEMENTED.0);
    const WRITE_GROUP: Self = Self(Self::STORAGE.0 | Self::DELETE.0 | Self::TOUCH.0);

    const fn bit(n: u32) -> Self {
        Self(1 << n)
    }

    /// The commands that a rule means by `name`, or nothing if it is no name.
    pub(super) fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|&(_, commands)| commands)
    }

    /// One bit for each command.
    pub(super) const fn bits(self) -> u64 {
        self.0
    }

    pub(super) const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(super) const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether all of them are names for what no memcached implements.
    pub(super) const fn is_unimplemented(self) -> bool {
        self.0 == Self::UNIMPLEMENTED.0
    }

    /// Those of these that are among the others.
    pub(super) const fn only(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }

    /// Each command by itself.
    pub(super) fn iter(self) -> impl Iterator<Item = Self> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let lowest = left & left.wrapping_neg();
            left &= !lowest;
            (lowest != 0).then_some(Self(lowest))
        })
    }
}

impl BitOr for Commands {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The name in a policy that is most like `name`, for error messages.
pub(super) fn suggest(name: &str) -> Option<&'static str> {
    let folded = |text: &str| text.replace(['_', '-'], "").to_ascii_lowercase();
    let wanted = folded(name);
    NAMES.iter().map(|(known, _)| *known).find(|known| folded(known) == wanted)
}

/// Cilium's names with Cilium's groups, then ours for what Cilium could not name. Cilium's `get` has `gets`, its `gat` has
/// `gats`; `append` and `prepend` belong to the groups in every protocol.
const NAMES: &[(&str, Commands)] = &[
    ("get", Commands::GET),
    ("gat", Commands::GAT),
    ("set", Commands::SET),
    ("add", Commands::ADD),
    ("replace", Commands::REPLACE),
    ("append", Commands::APPEND),
    ("prepend", Commands::PREPEND),
    ("cas", Commands::CAS),
    ("incr", Commands::INCR),
    ("decr", Commands::DECR),
    ("delete", Commands::DELETE),
    ("touch", Commands::TOUCH),
    ("storage", Commands::STORAGE),
    ("writeGroup", Commands::WRITE_GROUP),
    ("slabs", Commands::SLABS),
    ("lru", Commands::LRU),
    ("lru_crawler", Commands::LRU_CRAWLER),
    ("watch", Commands::WATCH),
    ("stats", Commands::STATS),
    ("flush_all", Commands::FLUSH_ALL),
    ("cache_memlimit", Commands::CACHE_MEMLIMIT),
    ("version", Commands::VERSION),
    ("misbehave", Commands::MISBEHAVE),
    ("quit", Commands::QUIT),
    ("noop", Commands::NOOP),
    ("verbosity", Commands::VERBOSITY),
    ("sasl-list-mechs", Commands::SASL_LIST_MECHS),
    ("sasl-auth", Commands::SASL_AUTH),
    ("sasl-step", Commands::SASL_STEP),
    ("rget", Commands::UNIMPLEMENTED),
    ("rset", Commands::UNIMPLEMENTED),
    ("rsetq", Commands::UNIMPLEMENTED),
    ("rappend", Commands::UNIMPLEMENTED),
    ("rappendq", Commands::UNIMPLEMENTED),
    ("rprepend", Commands::UNIMPLEMENTED),
    ("rprependq", Commands::UNIMPLEMENTED),
    ("rdelete", Commands::UNIMPLEMENTED),
    ("rdeleteq", Commands::UNIMPLEMENTED),
    ("rincr", Commands::UNIMPLEMENTED),
    ("rincrq", Commands::UNIMPLEMENTED),
    ("rdecr", Commands::UNIMPLEMENTED),
    ("rdecrq", Commands::UNIMPLEMENTED),
    ("set-vbucket", Commands::UNIMPLEMENTED),
    ("get-vbucket", Commands::UNIMPLEMENTED),
    ("del-vbucket", Commands::UNIMPLEMENTED),
    ("tap-connect", Commands::UNIMPLEMENTED),
    ("tap-mutation", Commands::UNIMPLEMENTED),
    ("tap-delete", Commands::UNIMPLEMENTED),
    ("tap-flush", Commands::UNIMPLEMENTED),
    ("tap-opaque", Commands::UNIMPLEMENTED),
    ("tap-vbucket-set", Commands::UNIMPLEMENTED),
    ("tap-checkpoint-start", Commands::UNIMPLEMENTED),
    ("tap-checkpoint-end", Commands::UNIMPLEMENTED),
    ("shutdown", Commands::SHUTDOWN),
    ("refresh_certs", Commands::REFRESH_CERTS),
    ("extstore", Commands::EXTSTORE),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_bits_are_not_shared() {
        for (i, (name, commands)) in NAMES.iter().enumerate() {
            for (other, theirs) in NAMES.iter().skip(i + 1) {
                assert_ne!(name, other);
                let group = |name: &str| matches!(name, "storage" | "writeGroup");
                if !group(name) && !group(other) && *commands != Commands::UNIMPLEMENTED {
                    assert!(!commands.intersects(*theirs), "{name} and {other}");
                }
            }
        }
    }

    #[test]
    fn groups_hold_what_they_say() {
        let group = |name| Commands::named(name).unwrap_or_default();
        for member in ["set", "add", "replace", "append", "prepend", "cas", "incr", "decr"] {
            assert!(group("storage").contains(group(member)), "{member}");
            assert!(group("writeGroup").contains(group(member)), "{member}");
        }
        for member in ["delete", "touch"] {
            assert!(!group("storage").intersects(group(member)), "{member}");
            assert!(group("writeGroup").contains(group(member)), "{member}");
        }
        for stranger in ["get", "gat", "flush_all", "stats", "noop"] {
            assert!(!group("writeGroup").intersects(group(stranger)), "{stranger}");
        }
    }

    #[test]
    fn misspelt_names_are_none_but_suggest_the_right_one() {
        assert_eq!(Commands::named("writegroup"), None);
        assert_eq!(suggest("writegroup"), Some("writeGroup"));
        assert_eq!(suggest("flush-all"), Some("flush_all"));
        assert_eq!(suggest("fetch"), None);
        assert_eq!(Commands::named(""), None);
    }
}
