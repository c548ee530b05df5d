//! Which kinds of objects constraints speak of.

use portcullis_policy::{Node, Value};

use super::objects::{find, text};

/// Kinds, or all of them.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    all: bool,
    some: Vec<Choice>,
}

/// One entry of `match.kinds`, or of `applyTo`. Empty is all.
#[derive(Debug)]
struct Choice {
    groups: Vec<String>,
    kinds: Vec<String>,
}

impl Wanted {
    /// What the constraints among these documents match, and what expands to it. What cannot be read is taken for all.
    pub(super) fn by(documents: &[Node]) -> Self {
        let mut wanted = Self::default();
        for document in documents {
            let api_version = text(document, &["apiVersion"]);
            if api_version.starts_with("constraints.gatekeeper.sh/") {
                wanted.add(find(document, &["spec", "match", "kinds"]), "apiGroups");
            } else if api_version.starts_with("expansion.gatekeeper.sh/") {
                wanted.add(find(document, &["spec", "applyTo"]), "groups");
            }
        }
        wanted
    }

    pub(super) fn has(&self, group: &str, kind: &str) -> bool {
        self.all || self.some.iter().any(|choice| takes(&choice.groups, group) && takes(&choice.kinds, kind))
    }

    /// Kinds that are named, with their groups.
    pub(super) fn named(&self) -> impl Iterator<Item = (&[String], &str)> {
        self.some.iter().flat_map(|choice| {
            let kinds = choice.kinds.iter().filter(|kind| *kind != "*");
            kinds.map(|kind| (choice.groups.as_slice(), kind.as_str()))
        })
    }

    fn add(&mut self, choices: Option<&Node>, groups: &str) {
        match choices.map(|node| &node.value) {
            Some(Value::List(items)) if !items.is_empty() => {
                for item in items {
                    match (texts(item, groups), texts(item, "kinds")) {
                        (Some(groups), Some(kinds)) => self.some.push(Choice { groups, kinds }),
                        _ => self.all = true,
                    }
                }
            }
            _ => self.all = true,
        }
    }
}

fn takes(names: &[String], name: &str) -> bool {
    names.is_empty() || names.iter().any(|one| one == "*" || one == name)
}

/// A list of texts; nothing where it is something else.
fn texts(node: &Node, key: &str) -> Option<Vec<String>> {
    let Some(node) = find(node, &[key]) else { return Some(Vec::new()) };
    match &node.value {
        Value::Null => Some(Vec::new()),
        Value::List(items) => items
            .iter()
            .map(|item| match &item.value {
                Value::Text(text) => Some(text.clone()),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(text: &str) -> Wanted {
        Wanted::by(&Node::load("constraints.yaml", text.as_bytes()).expect("YAML"))
    }

    fn constraint(of: &str) -> String {
        format!(
            "{{apiVersion: constraints.gatekeeper.sh/v1beta1, kind: K, metadata: {{name: k}}, spec: {{match: {of}}}}}"
        )
    }

    #[test]
    fn kinds_are_taken_as_constraints_name_them() {
        let some = wanted(&constraint(
            "{kinds: [{apiGroups: [apps], kinds: [Deployment]}, {apiGroups: [\"\"], kinds: [\"*\"]}]}",
        ));
        assert!(some.has("apps", "Deployment") && some.has("", "Secret"));
        assert!(!some.has("apps", "StatefulSet") && !some.has("extensions", "Deployment"));
        assert_eq!(some.named().map(|(_, kind)| kind).collect::<Vec<_>>(), ["Deployment"]);
        assert!(!wanted("{apiVersion: v1, kind: Namespace}").has("", "Pod"));
    }

    #[test]
    fn what_cannot_be_read_is_all() {
        for of in [
            "{}",
            "{kinds: []}",
            "{kinds: null}",
            "{kinds: Pod}",
            "{kinds: [{kinds: Pod}]}",
            "{kinds: [{}]}",
            "{kinds: [Pod]}",
        ] {
            assert!(wanted(&constraint(of)).has("any.group", "Thing"), "{of}");
        }
        assert!(wanted("{apiVersion: constraints.gatekeeper.sh/v1beta1, kind: K}").has("", "Pod"));
    }

    #[test]
    fn what_expands_is_looked_at_too() {
        let workloads = "{apiVersion: expansion.gatekeeper.sh/v1alpha1, kind: ExpansionTemplate, spec: {applyTo: [{groups: [apps], kinds: [Deployment], versions: [v1]}]}}";
        assert!(wanted(workloads).has("apps", "Deployment"));
    }
}
