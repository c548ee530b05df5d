//! Writes policies of Cilium's kind as ones of the strict kind: in their text, place by place, so that comments and layout stay.

use portcullis_parsers::REGISTRY;
use portcullis_policy::lint::{Fix, Wants};
use portcullis_policy::matcher::Strict;
use portcullis_policy::{CompileOptions, Dialect, Node, Protocols, Snapshot, Source, Value};

use super::Found;
use super::cassandra;
use crate::edit::tree::{entries, get, is_empty, is_null, list, text};
use crate::edit::{Editor, Words, quote};

/// What became of a file.
pub(super) struct Rewritten {
    pub(super) found: Vec<Found>,
    /// The whole file, if anything of it was rewritten.
    pub(super) text: Option<String>,
}

/// Rewrites the policies of a file that lose their L7 part.
pub(super) fn rewrite(file: &str, text: &str, documents: &[Node]) -> Rewritten {
    let mut found = Vec::new();
    let mut wanted = Vec::new();
    for object in documents.iter().flat_map(objects) {
        let Some((mut entry, Some(rules))) = describe(object) else { continue };
        entry.opens = rules;
        let alone = std::slice::from_ref(object);
        // Each is tried by itself, so that one that cannot be rewritten does not stand in the way of the others.
        match rewrite_objects(file, text, alone) {
            Ok((_, notes)) => {
                entry.rewritten = true;
                entry.notes = notes;
                wanted.push(object.clone());
            }
            Err(why) => entry.notes.push(why),
        }
        found.push(entry);
    }
    if wanted.is_empty() {
        return Rewritten { found, text: None };
    }
    match rewrite_objects(file, text, &wanted) {
        Ok((text, _)) => Rewritten { found, text: Some(text) },
        Err(why) => {
            for entry in found.iter_mut().filter(|entry| entry.rewritten) {
                entry.rewritten = false;
                entry.notes.push(why.clone());
            }
            Rewritten { found, text: None }
        }
    }
}

/// The objects of a document: itself, or the items of a list.
fn objects(document: &Node) -> Vec<&Node> {
    match get(document, "items").map(|items| &items.value) {
        Some(Value::List(items)) => items.iter().collect(),
        _ => vec![document],
    }
}

/// A policy of Cilium's kind, and what opens without its L7 part.
fn describe(object: &Node) -> Option<(Found, Option<Vec<String>>)> {
    if text(get(object, "apiVersion")) != Some("cilium.io/v2") {
        return None;
    }
    let kind = text(get(object, "kind"))?;
    if kind != "CiliumNetworkPolicy" && kind != "CiliumClusterwideNetworkPolicy" {
        return None;
    }
    let metadata = get(object, "metadata");
    let name = metadata.and_then(|metadata| text(get(metadata, "name"))).unwrap_or("?");
    let namespace = metadata.and_then(|metadata| text(get(metadata, "namespace")));
    let policy = namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"));
    let mut opens = Vec::new();
    for (section, rule) in sections(object) {
        for port in list(get(rule, "toPorts")) {
            let Some(rules) = get(port, "rules") else { continue };
            let Some(l7proto) = text(get(rules, "l7proto")) else { continue };
            let ports = list(get(port, "ports")).iter().filter_map(|port| text(get(port, "port"))).collect::<Vec<_>>();
            let ports = if ports.is_empty() { "every port".to_owned() } else { format!("port {}", ports.join(", ")) };
            opens.push(format!("{}: {ports} for every request of `{l7proto}`, by a rule of `{section}`", rules.place));
        }
    }
    let at = object.place.to_string();
    let found = Found { policy, at, opens: Vec::new(), rewritten: false, notes: Vec::new() };
    Some((found, (!opens.is_empty()).then_some(opens)))
}

fn specs(object: &Node) -> Vec<&Node> {
    get(object, "spec").into_iter().chain(list(get(object, "specs"))).collect()
}

/// The rules of all directions, with the name of the section they stand in.
fn sections(object: &Node) -> Vec<(&'static str, &Node)> {
    let specs = specs(object).into_iter();
    let names = ["ingress", "ingressDeny", "egress", "egressDeny"];
    specs
        .flat_map(|spec| {
            names.into_iter().flat_map(move |name| list(get(spec, name)).iter().map(move |rule| (name, rule)))
        })
        .collect()
}

/// Rewrites some objects of a file: the new text, and what is to be said of it.
fn rewrite_objects(file: &str, text_before: &str, objects: &[Node]) -> Result<(String, Vec<String>), String> {
    let compile = |text: &str| {
        let sources = [Source::new(file, text)];
        Snapshot::compile(&sources, &REGISTRY, &CompileOptions::default()).map(drop).map_err(|errors| {
            let first = errors.errors.first().map(ToString::to_string).unwrap_or_default();
            format!("cannot be used as it is, so that nothing is made of it: {first}")
        })
    };
    compile(text_before)?;
    let editor = Editor::new(text_before).ok_or("its text cannot be changed place by place")?;
    let mut rewriter = Rewriter { editor, notes: Vec::new(), clusterwide: false };
    for object in objects {
        rewriter.object(object)?;
    }
    let Rewriter { editor, notes, .. } = rewriter;
    let text = editor.finish();
    compile(&text).map_err(|why| format!("what was made of it does not work; rewrite it by hand: {why}"))?;
    Ok((text, notes))
}

struct Rewriter<'t> {
    editor: Editor<'t>,
    notes: Vec<String>,
    /// Whether the object at hand is.
    clusterwide: bool,
}

type Done = Result<(), String>;

impl Rewriter<'_> {
    fn object(&mut self, object: &Node) -> Done {
        self.clusterwide = text(get(object, "kind")) == Some("CiliumClusterwideNetworkPolicy");
        if self.clusterwide {
            self.namespace(object)?;
        }
        self.replace(get(object, "apiVersion"), "portcullis.dev/v1")?;
        self.replace(get(object, "kind"), "L7Policy")?;
        self.drop_nulls(object)?;
        for spec in specs(object) {
            self.drop_nulls(spec)?;
            if let Some(selector) = get(spec, "endpointSelector") {
                self.selector(selector)?;
            }
            for (name, peers) in
                [("ingress", "fromEntities"), ("ingressDeny", ""), ("egress", "toEntities"), ("egressDeny", "")]
            {
                for rule in list(get(spec, name)) {
                    self.rule(rule, peers)?;
                }
            }
        }
        Ok(())
    }

    /// Gives what is clusterwide the one namespace that it speaks of.
    fn namespace(&mut self, object: &Node) -> Done {
        let mut found = None;
        for spec in specs(object) {
            let of = get(spec, "endpointSelector").and_then(namespace_of).ok_or_else(|| {
                format!(
                    "{}: there is no clusterwide L7Policy, and its `endpointSelector` does not select endpoints of one namespace: \
                     write one L7Policy for each, or add `{NAMESPACE}: NAME` to `matchLabels` and run this again",
                    spec.place
                )
            })?;
            if found.is_some_and(|other| other != of) {
                return Err(format!(
                    "{}: its `specs` speak of several namespaces, an L7Policy of one: write one for each",
                    spec.place
                ));
            }
            found = Some(of);
        }
        let name =
            get(object, "metadata").and_then(|metadata| entries(metadata).iter().find(|entry| entry.key == "name"));
        if let (Some(namespace), Some(name)) = (found, name) {
            let inserted = self.editor.insert_entries(&name.place, &[("namespace", Words::One(namespace.to_owned()))]);
            return self.check(inserted, object);
        }
        Err("it has no namespace to be in".to_owned())
    }

    /// What a clusterwide policy says of peers without naming a namespace is about those of all.
    fn in_any_namespace(&mut self, selector: &Node) -> Done {
        let expressions = entries(selector).iter().find(|entry| entry.key == "matchExpressions");
        let keys = list(expressions.map(|entry| &entry.value)).iter().filter_map(|one| text(get(one, "key")));
        let labels = get(selector, "matchLabels").map(entries).unwrap_or_default();
        if keys.chain(labels.iter().map(|label| label.key.as_str())).any(says_where) {
            return Ok(());
        }
        let exists = [("key", NAMESPACE), ("operator", "Exists")];
        let done = match (expressions, entries(selector).iter().find(|entry| !is_null(&entry.value))) {
            (Some(entry), _) => match list(Some(&entry.value)).first() {
                Some(first) => {
                    let item = exists.iter().map(|(key, text)| (*key, Words::One((*text).to_owned()))).collect();
                    self.editor.insert_items(&first.place, &[item])
                }
                None => return Err(format!("{}: an empty list; leave it out and run this again", entry.place)),
            },
            (None, Some(first)) => {
                let exists = exists.map(|(key, text)| (key, text.to_owned())).to_vec();
                self.editor.insert_entries(&first.place, &[("matchExpressions", Words::Map(exists))])
            }
            (None, None) => {
                let text = format!("{{matchExpressions: [{{key: {NAMESPACE}, operator: Exists}}]}}");
                self.editor.replace_whole(&selector.place, &text)
            }
        };
        self.check(done, selector)
    }

    /// `all` is the field that names everybody, of a rule that admits.
    fn rule(&mut self, rule: &Node, all: &str) -> Done {
        let ports = get(rule, "toPorts");
        let means_all = |node: &Node| {
            matches!(&node.value, Value::Null) || matches!(&node.value, Value::List(items) if items.is_empty())
        };
        let left = entries(rule)
            .iter()
            .filter(|entry| !(is_null(&entry.value) || entry.key == "toPorts" && means_all(&entry.value)));
        if left.count() == 0 && !all.is_empty() {
            // What admits everybody has to say so.
            let replaced = self.editor.replace_whole(&rule.place, &format!("{{{all}: [all]}}"));
            return self.check(replaced, rule);
        }
        self.drop_nulls(rule)?;
        for field in ["fromEndpoints", "toEndpoints", "fromRequires", "toRequires"] {
            for selector in list(get(rule, field)) {
                if self.clusterwide {
                    self.in_any_namespace(selector)?;
                }
                self.selector(selector)?;
            }
        }
        for field in ["fromCIDR", "fromCIDRSet", "toCIDR", "toCIDRSet"] {
            if let Some(networks) = get(rule, field).filter(|_| !all.is_empty()) {
                self.notes.push(format!(
                    "{}: `{field}` means more than before: in an L7Policy a network is whoever has an address in it, \
                     also peers in the cluster",
                    networks.place
                ));
            }
            for set in list(get(rule, field)) {
                self.drop_nulls(set)?;
            }
        }
        if let Some(entry) = entries(rule).iter().find(|entry| entry.key == "toPorts")
            && matches!(&entry.value.value, Value::List(items) if items.is_empty())
        {
            let removed = self.editor.remove_entry(&entry.place);
            return self.check(removed, rule);
        }
        for port in list(ports) {
            self.port(port)?;
        }
        Ok(())
    }

    fn port(&mut self, port: &Node) -> Done {
        for number in list(get(port, "ports")) {
            self.drop_nulls(number)?;
        }
        let Some(entry) = entries(port).iter().find(|entry| entry.key == "rules" && !is_null(&entry.value)) else {
            return self.drop_nulls(port);
        };
        let rules = &entry.value;
        let items = list(get(rules, "l7"));
        let admits_all =
            items.is_empty() || items.iter().any(|item| entries(item).iter().all(|entry| is_empty(&entry.value)));
        if admits_all {
            if text(get(rules, "l7proto")).is_some() {
                self.notes.push(format!(
                    "{}: every request is admitted here; in an L7Policy that is a rule without `rules`, which is `rules` left out",
                    rules.place
                ));
            }
            let others = entries(port).iter().filter(|other| other.key != "rules" && !is_null(&other.value)).count();
            if others == 0 {
                let replaced = self.editor.replace_whole(&port.place, "{}");
                return self.check(replaced, port);
            }
            self.drop_nulls(port)?;
            let removed = self.editor.remove_entry(&entry.place);
            return self.check(removed, port);
        }
        self.drop_nulls(port)?;
        self.drop_nulls(rules)?;
        let l7proto = text(get(rules, "l7proto")).unwrap_or_default();
        if l7proto == "cassandra" {
            return self.cassandra(rules, items);
        }
        let compiler = REGISTRY.compiler(l7proto);
        for item in items {
            let Some(outline) = compiler.and_then(|compiler| compiler.outline(item, Dialect::Cilium)) else {
                return Err(format!(
                    "{}: the rules of `{l7proto}` have other fields in an L7Policy; write them by hand",
                    item.place
                ));
            };
            for entry in entries(item).iter().filter(|entry| is_empty(&entry.value)) {
                let removed = self.editor.remove_entry(&entry.place);
                self.check(removed, item)?;
            }
            for demand in &outline.demands {
                if let (Wants::Regex { exact, prefix, .. }, Some(node)) = (&demand.wants, get(item, demand.field)) {
                    self.regex(node, demand.field, *exact, *prefix)?;
                }
            }
        }
        Ok(())
    }

    fn cassandra(&mut self, rules: &Node, items: &[Node]) -> Done {
        for item in items {
            let cassandra::Rewritten { mut items, lost } = cassandra::rewrite(item)?;
            self.notes.extend(lost);
            let field = |name| entries(item).iter().find(move |entry| entry.key == name && !is_empty(&entry.value));
            for entry in entries(item).iter().filter(|entry| is_empty(&entry.value)) {
                let removed = self.editor.remove_entry(&entry.place);
                self.check(removed, item)?;
            }
            let Some(mut last) = items.pop() else { return Err(format!("{}: says nothing", item.place)) };
            let before = items.is_empty() || self.editor.insert_items(&item.place, &items);
            self.check(before, item)?;
            if let Some(action) = field("query_action") {
                let Words::One(name) = last.remove(0).1 else { return Err(format!("{}: several", action.place)) };
                let place = action.value.place.clone();
                let fix = Fix::ReplaceEntry { place, old_key: "query_action", key: "actions", text: name };
                let done = self.editor.apply(&fix);
                self.check(done, item)?;
            }
            if let Some(table) = field("query_table") {
                let done = match last.is_empty() {
                    true => self.editor.remove_entry(&table.place),
                    false => self.editor.replace_entry_by(&table.place, &last),
                };
                self.check(done, item)?;
            }
        }
        let l7 = entries(rules).iter().find(|entry| entry.key == "l7");
        if let (Some(item), Some(l7), Some(first)) = (cassandra::let_use_pass(items), l7, items.first()) {
            let done = self.editor.insert_first(&l7.place, &first.place, item, "was never denied");
            return self.check(done, first);
        }
        Ok(())
    }

    /// A regex that is searched for becomes one that matches the whole, or a plain text.
    fn regex(
        &mut self,
        node: &Node,
        field: &'static str,
        exact: Option<&'static str>,
        prefix: Option<&'static str>,
    ) -> Done {
        let Value::Text(pattern) = &node.value else { return Err(format!("{}: `{field}` is no text", node.place)) };
        let strict = Strict::of(pattern)?;
        let (key, written) = match (strict, exact, prefix) {
            (Strict::Exact(text), Some(exact), _) if !text.is_empty() => (exact, text),
            (Strict::Prefix(text), _, Some(prefix)) if !text.is_empty() => (prefix, text),
            (strict, ..) => (field, strict.into_regex()),
        };
        let place = node.place.clone();
        let fix = if key == field {
            Fix::Replace { place, text: written }
        } else {
            Fix::ReplaceEntry { place, old_key: field, key, text: written }
        };
        let done = pattern_is(&fix, pattern) || self.editor.apply(&fix);
        self.check(done, node)
    }

    /// A null label is the empty text; all else that is null counts as left out.
    fn selector(&mut self, selector: &Node) -> Done {
        self.drop_nulls(selector)?;
        for label in get(selector, "matchLabels").map(entries).unwrap_or_default() {
            if is_null(&label.value) {
                let done = self.editor.fill(&label.place, &label.value.place, &quote(""));
                self.check(done, &label.value)?;
            }
        }
        for expression in list(get(selector, "matchExpressions")) {
            self.drop_nulls(expression)?;
        }
        Ok(())
    }

    fn drop_nulls(&mut self, map: &Node) -> Done {
        for entry in entries(map).iter().filter(|entry| is_null(&entry.value)) {
            let removed = self.editor.remove_entry(&entry.place);
            self.check(removed, map)?;
        }
        Ok(())
    }

    fn replace(&mut self, node: Option<&Node>, text: &str) -> Done {
        let Some(node) = node else { return Ok(()) };
        let done = self.editor.replace(&node.place, text);
        self.check(done, node)
    }

    fn check(&self, done: bool, node: &Node) -> Done {
        if done { Ok(()) } else { Err(format!("{}: cannot be changed in its place; rewrite it by hand", node.place)) }
    }
}

/// Whether a fix changes nothing.
fn pattern_is(fix: &Fix, pattern: &str) -> bool {
    matches!(fix, Fix::Replace { text, .. } if text == pattern)
}

/// The one namespace that a selector asks for.
fn namespace_of(selector: &Node) -> Option<&str> {
    let label =
        get(selector, "matchLabels").map(entries).unwrap_or_default().iter().find(|label| is_namespace(&label.key));
    if let Some(label) = label {
        return text(Some(&label.value)).filter(|text| !text.is_empty());
    }
    list(get(selector, "matchExpressions")).iter().find_map(|one| {
        let asks = text(get(one, "key")).is_some_and(is_namespace) && text(get(one, "operator")) == Some("In");
        match list(get(one, "values")) {
            [only] if asks => text(Some(only)).filter(|text| !text.is_empty()),
            _ => None,
        }
    })
}

fn is_namespace(key: &str) -> bool {
    ["", "any:", "k8s:"].iter().any(|source| key.strip_prefix(source) == Some(NAMESPACE))
}

/// Whether a selector with such a key says itself of which namespaces it speaks.
fn says_where(key: &str) -> bool {
    let bare = key.strip_prefix("any:").or_else(|| key.strip_prefix("k8s:")).unwrap_or(key);
    key.starts_with("reserved:") || is_namespace(key) || bare.starts_with(NAMESPACE_LABELS)
}

/// The label of a namespace.
const NAMESPACE: &str = "io.kubernetes.pod.namespace";

/// How the keys of the labels of namespaces begin.
const NAMESPACE_LABELS: &str = "io.cilium.k8s.namespace.labels.";
