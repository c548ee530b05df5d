//! Which hooks a caller may call: `{path: /image-policy}`, `{pathPrefix: /validate/}`, `{pathRegex: "/v[12]/.*"}`.

use portcullis_policy::matcher::{KeyMatcher, KeyMatcherBuilder, KeyPattern, Regex};
use portcullis_policy::{Describe, Dialect, Fields, L7Decision, Located, Mismatch, Outline, RuleError, RuleSet};
use serde::Deserialize;

use super::http::Head;

/// A call of a hook, as far as policy is asked about it: what is in the head of the request.
pub struct Request<'a> {
    /// As the client wrote it.
    pub(super) method: &'a [u8],
    /// The path, as the client wrote it: nothing is decoded, and nothing put in order.
    pub(super) path: &'a [u8],
    /// Whom a token or a certificate names.
    pub(super) caller: &'a str,
}

impl<'a> Request<'a> {
    pub(super) fn new(head: &Head<'a>, caller: Option<&'a str>) -> Self {
        Self { method: head.method.as_bytes(), path: head.path.as_bytes(), caller: caller.unwrap_or_default() }
    }
}

impl Describe for Request<'_> {
    fn describe(&self, fields: &mut dyn Fields) {
        fields.text("method", self.method);
        fields.text("path", self.path);
        if !self.caller.is_empty() {
            fields.text("caller", self.caller.as_bytes());
        }
    }
}

/// One item under `l7`, as it is written. An empty one is about every hook.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Rule {
    path: Option<String>,
    path_prefix: Option<String>,
    path_regex: Option<String>,
}

impl Rule {
    fn read(&self) -> Result<KeyPattern<'_>, String> {
        let begins = |field: &str, text: &str| {
            let wrong = || format!("`{field}: {}` does not begin with `/`, as paths do", text.escape_debug());
            text.starts_with('/').then_some(()).ok_or_else(wrong)
        };
        match (self.path.as_deref(), self.path_prefix.as_deref(), self.path_regex.as_deref()) {
            (None, None, None) => Ok(KeyPattern::Any),
            (Some(path), None, None) => begins("path", path).map(|()| KeyPattern::Exact(path.as_bytes())),
            (None, Some(prefix), None) => begins("pathPrefix", prefix).map(|()| KeyPattern::Prefix(prefix.as_bytes())),
            (None, None, Some("")) => {
                Err("`pathRegex` is empty, which would match every path: leave it out".to_owned())
            }
            (None, None, Some(regex)) => Ok(KeyPattern::Regex(regex)),
            _ => Err("give one of `path`, `pathPrefix` and `pathRegex`".to_owned()),
        }
    }
}

/// All items that apply together.
pub struct Rules {
    paths: KeyMatcher,
    written: Vec<Located<Rule>>,
    dialect: Dialect,
}

/// There is one kind of request.
const CALL: u64 = 1;

impl RuleSet for Rules {
    type Rule = Rule;
    type Request<'a> = Request<'a>;

    fn compile(rules: Vec<Located<Rule>>, dialect: Dialect) -> Result<Self, RuleError> {
        let mut paths = KeyMatcherBuilder::new(dialect);
        for Located { id, effect, rule } in &rules {
            let pattern = rule.read().map_err(|message| RuleError::new(*id, message))?;
            paths.add(pattern, CALL, *id, *effect)?;
        }
        Ok(Self { paths: paths.build()?, written: rules, dialect })
    }

    fn decide(&self, request: &Request<'_>) -> L7Decision {
        self.paths.decide(CALL, request.path)
    }

    fn explain(&self, request: &Request<'_>) -> Vec<Mismatch> {
        let miss = |Located { id, rule, .. }: &Located<Rule>| {
            let (matches, field) = match rule.read().ok()? {
                KeyPattern::Any => return None,
                KeyPattern::Exact(path) => (path == request.path, "path"),
                KeyPattern::Prefix(prefix) => (request.path.starts_with(prefix), "pathPrefix"),
                KeyPattern::Regex(regex) => {
                    (Regex::compile(regex, self.dialect).ok()?.is_match(request.path), "pathRegex")
                }
            };
            (!matches).then_some(Mismatch { rule: *id, field })
        };
        self.written.iter().filter_map(miss).collect()
    }

    fn outline(rule: &Rule) -> Option<Outline> {
        use portcullis_policy::lint::Wants;
        let outline = Outline::default();
        Some(match rule {
            Rule { path: Some(path), .. } => outline.demand("path", "path", Wants::Exact(vec![path.clone()])),
            Rule { path_prefix: Some(prefix), .. } => {
                outline.demand("path", "pathPrefix", Wants::Prefix(vec![prefix.clone()]))
            }
            Rule { path_regex: Some(regex), .. } => outline.demand(
                "path",
                "pathRegex",
                Wants::Regex { texts: vec![regex.clone()], exact: Some("path"), prefix: Some("pathPrefix") },
            ),
            _ => outline,
        })
    }
}

#[cfg(test)]
mod tests {
    use portcullis_policy::{Effect, RuleId};

    use super::*;

    fn rules(items: &[&str], dialect: Dialect) -> Result<Rules, String> {
        let located = |(n, item): (usize, &&str)| {
            let rule = serde_json::from_str(item).map_err(|error| error.to_string())?;
            Ok(Located { id: RuleId::nth(u32::try_from(n).unwrap()), effect: Effect::Allow, rule })
        };
        let located = items.iter().enumerate().map(located).collect::<Result<_, String>>()?;
        Rules::compile(located, dialect).map_err(|error| error.message)
    }

    fn allows(rules: &Rules, path: &str) -> bool {
        let request = Request { method: b"POST", path: path.as_bytes(), caller: "" };
        let allowed = matches!(rules.decide(&request), L7Decision::Allow(_));
        assert_eq!(rules.explain(&request).len() < rules.written.len(), allowed, "{path}");
        allowed
    }

    #[test]
    fn a_path_is_compared_as_it_is_written() {
        let exact = rules(&[r#"{"path": "/a"}"#], Dialect::Strict).unwrap();
        assert!(allows(&exact, "/a"));
        for other in ["/a/", "//a", "/%61", "/A", "/a/../a", "/a?b", ""] {
            assert!(!allows(&exact, other), "{other}");
        }
        let prefix = rules(&[r#"{"pathPrefix": "/v1/"}"#], Dialect::Strict).unwrap();
        assert!(allows(&prefix, "/v1/x") && !allows(&prefix, "/v1") && !allows(&prefix, "/v2/v1/"));
        let regex = [r#"{"pathRegex": "/v[12]/x"}"#];
        let whole = rules(&regex, Dialect::Strict).unwrap();
        assert!(allows(&whole, "/v2/x") && !allows(&whole, "/v2/xy"));
        assert!(allows(&rules(&regex, Dialect::Cilium).unwrap(), "/v2/xy"));
        assert!(allows(&rules(&["{}"], Dialect::Strict).unwrap(), "/any"));
    }

    #[test]
    fn what_cannot_be_enforced_is_refused() {
        for (item, words) in [
            (r#"{"path": "a"}"#, "does not begin with `/`"),
            (r#"{"pathPrefix": ""}"#, "does not begin with `/`"),
            (r#"{"pathRegex": ""}"#, "every path"),
            (r#"{"path": "/a", "pathPrefix": "/a"}"#, "give one of"),
            (r#"{"hook": "a"}"#, "unknown field"),
            (r#"{"pathRegex": "("}"#, "("),
        ] {
            let error = rules(&[item], Dialect::Strict).err().unwrap_or_default();
            assert!(error.contains(words), "{item}: {error}");
        }
    }
}
