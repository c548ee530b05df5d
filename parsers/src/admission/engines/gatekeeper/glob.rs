//! Names with `*` at an end, or at both.

/// A name, or all that begin so, end so, or have it within.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Glob {
    Exact(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
    Within(Box<str>),
}

impl Glob {
    /// Reads what Gatekeeper's schema allows for namespaces and names: `^\*?[-:a-z0-9]*\*?$`.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (starts, ends) = (text.starts_with('*'), text.ends_with('*'));
        let rest = text.strip_prefix('*').unwrap_or(text);
        let name = rest.strip_suffix('*').unwrap_or(rest);
        let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b':');
        if !name.bytes().all(valid) {
            return None;
        }
        Some(match (starts, ends) {
            (true, true) => Self::Within(name.into()),
            (true, false) => Self::Suffix(name.into()),
            (false, true) => Self::Prefix(name.into()),
            (false, false) => Self::Exact(name.into()),
        })
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(it) => **it == *name,
            Self::Prefix(it) => name.starts_with(&**it),
            Self::Suffix(it) => name.ends_with(&**it),
            Self::Within(it) => name.contains(&**it),
        }
    }

    /// Whether names may come of a `generateName`, to which letters are still to be added.
    pub(super) fn matches_generated(&self, name: &str) -> bool {
        match self {
            Self::Prefix(it) => name.starts_with(&**it),
            Self::Within(it) => name.contains(&**it),
            Self::Exact(_) | Self::Suffix(_) => false,
        }
    }
}

/// What Gatekeeper allows, for messages.
pub(super) const ALLOWED: &str =
    "it has letters in lower case, digits, `-` and `:`, and perhaps `*` at an end or at both";

#[cfg(test)]
mod tests {
    use super::Glob;

    #[test]
    fn a_star_stands_for_what_is_left_at_an_end() {
        let cases = [
            ("kube-*", "kube-system", true),
            ("kube-*", "my-kube-system", false),
            ("*-system", "kube-system", true),
            ("*-system", "kube-systems", false),
            ("*-kube-*", "my-kube-system", true),
            ("*-kube-*", "kube-system", false),
            ("kube", "kube", true),
            ("kube", "kube-system", false),
            ("*", "", true),
            ("*", "anything", true),
            ("", "", true),
            ("", "a", false),
        ];
        for (glob, name, expected) in cases {
            assert_eq!(Glob::read(glob).expect(glob).matches(name), expected, "{glob} {name}");
        }
    }

    #[test]
    fn a_generated_name_has_no_end_yet() {
        for (glob, name, expected) in
            [("pod-*", "pod-a-", true), ("*-a", "pod-a", false), ("pod-a-", "pod-a-", false), ("*d-a*", "pod-a-", true)]
        {
            assert_eq!(Glob::read(glob).expect(glob).matches_generated(name), expected, "{glob} {name}");
        }
    }

    #[test]
    fn a_star_within_is_refused() {
        for text in ["a*b", "**", "a.b", "Kube", "***", "a b"] {
            assert_eq!(Glob::read(text), if text == "**" { Some(Glob::Within("".into())) } else { None }, "{text}");
        }
    }
}
