//! Objects as text, wherever they come from: JSON that the engine reads where it stands.

use portcullis_parsers::admission::json::{Kind, Tape, Value as Json};
use portcullis_policy::{Entry, Node, Value};

/// An object, as JSON.
pub(crate) struct Object {
    /// Where it was found, for messages.
    pub(crate) from: String,
    pub(crate) text: Vec<u8>,
    pub(crate) named: Named,
}

/// What an object is called.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Named {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Named {
    /// What the object says of itself. `None` if it is no object: it says no kind.
    pub(crate) fn of(object: Json<'_>) -> Option<Self> {
        let text = |value: Option<Json<'_>>| {
            value.and_then(Json::text).map(|text| text.to_cow().into_owned()).unwrap_or_default()
        };
        let (group, version) = split(&text(object.get("apiVersion")));
        let metadata = |key: &str| text(object.get("metadata").and_then(|metadata| metadata.get(key)));
        let kind = text(object.get("kind"));
        let named = Self { group, version, kind, namespace: metadata("namespace"), name: metadata("name") };
        (!named.kind.is_empty() && !named.version.is_empty()).then_some(named)
    }

    /// `v1`, `apps/v1`.
    pub(crate) fn api_version(&self) -> String {
        join(&self.group, &self.version)
    }

    pub(crate) fn is_namespace(&self) -> bool {
        self.group.is_empty() && self.kind == "Namespace"
    }
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, namespace, name, .. } = self;
        match namespace.as_str() {
            "" => write!(f, "{kind} `{name}`"),
            namespace => write!(f, "{kind} `{namespace}/{name}`"),
        }
    }
}

/// The group and the version of an `apiVersion`.
pub(crate) fn split(api_version: &str) -> (String, String) {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    (group.to_owned(), version.to_owned())
}

/// The `apiVersion` of a group and a version.
pub(crate) fn join(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// The objects of a list, or the one object that it is. `told` is what a server's list says of items, which say it themselves
/// only where they are of a custom kind.
///
/// # Errors
/// What is no object: where, and why.
pub(crate) fn take(from: &str, root: Json<'_>, told: Option<(&str, &str)>) -> Vec<Result<Object, String>> {
    let is_list = root.get("kind").and_then(Json::text).is_some_and(|kind| kind.to_cow().ends_with("List"));
    match root.get("items").filter(|items| is_list && items.kind() == Kind::List) {
        Some(items) => {
            items.items().enumerate().flat_map(|(at, item)| take(&format!("{from}: items[{at}]"), item, told)).collect()
        }
        None => vec![one(from, root, told)],
    }
}

fn one(from: &str, object: Json<'_>, told: Option<(&str, &str)>) -> Result<Object, String> {
    if object.kind() != Kind::Map {
        return Err(format!("{from}: this is no object: an object has fields, such as `apiVersion` and `kind`"));
    }
    let named = Named::of(object);
    let (text, named) = match (named, told) {
        (Some(named), _) => (object.raw().to_vec(), named),
        (None, Some((api_version, kind))) => {
            let text = complete(object.raw(), api_version, kind);
            let named = Tape::new().read(&text).ok().and_then(Named::of).ok_or_else(|| no_kind(from))?;
            (text, named)
        }
        (None, None) => return Err(no_kind(from)),
    };
    Ok(Object { from: from.to_owned(), text, named })
}

fn no_kind(from: &str) -> String {
    format!("{from}: the object has no `apiVersion` and `kind`: write them, such as `apiVersion: v1` and `kind: Pod`")
}

/// Puts before an object's fields what it is.
fn complete(object: &[u8], api_version: &str, kind: &str) -> Vec<u8> {
    let rest = object.strip_prefix(b"{").unwrap_or(object);
    let comma = if rest.trim_ascii_start() == b"}" { "" } else { "," };
    let mut text = format!("{{\"apiVersion\":{},\"kind\":{}{comma}", quote(api_version), quote(kind)).into_bytes();
    text.extend_from_slice(rest);
    text
}

fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The text at the end of a path of keys; empty where there is none.
pub(crate) fn text<'n>(node: &'n Node, path: &[&str]) -> &'n str {
    match find(node, path).map(|node| &node.value) {
        Some(Value::Text(text)) => text,
        _ => "",
    }
}

/// What is at the end of a path of keys.
pub(crate) fn find<'n>(node: &'n Node, path: &[&str]) -> Option<&'n Node> {
    path.iter().try_fold(node, |node, key| match &node.value {
        Value::Map(entries) => entries.iter().find(|entry: &&Entry| entry.key == *key).map(|entry| &entry.value),
        _ => None,
    })
}

/// A document as JSON.
pub(crate) fn to_json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Integer(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::Text(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Map(entries) => {
            serde_json::Value::Object(entries.iter().map(|entry| (entry.key.clone(), to_json(&entry.value))).collect())
        }
    }
}

/// JSON as bytes.
pub(crate) fn write(value: &serde_json::Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str, told: Option<(&str, &str)>) -> Vec<Result<String, String>> {
        let mut tape = Tape::new();
        let root = tape.read(text.as_bytes()).expect("JSON");
        let all = take("here", root, told).into_iter();
        all.map(|object| object.map(|object| String::from_utf8(object.text).expect("UTF-8"))).collect()
    }

    #[test]
    fn items_of_a_servers_list_are_told_what_they_are() {
        let list = r#"{"kind":"PodList","apiVersion":"v1","items":[ {"metadata":{"name":"a"}}, {} ,{"apiVersion":"v1","kind":"Pod"}]}"#;
        let wanted = [
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}"#,
            r#"{"apiVersion":"v1","kind":"Pod"}"#,
            r#"{"apiVersion":"v1","kind":"Pod"}"#,
        ];
        assert_eq!(taken(list, Some(("v1", "Pod"))), wanted.map(|text| Ok(text.to_owned())));
    }

    #[test]
    fn what_is_no_object_is_told_and_nothing_else_is_lost() {
        let list = r#"{"kind":"List","apiVersion":"v1","items":[1,{"kind":"Pod"},{"apiVersion":"v1","kind":"Pod"}]}"#;
        let found = taken(list, None);
        assert!(
            found.iter().filter_map(|one| one.as_ref().err()).all(|why| why.starts_with("here: items[")),
            "{found:?}"
        );
        assert_eq!(found.iter().filter(|one| one.is_ok()).count(), 1, "{found:?}");
        assert!(taken("[]", None).iter().all(Result::is_err));
    }

    #[test]
    fn an_object_whose_kind_only_sounds_like_a_list_is_one() {
        assert_eq!(taken(r#"{"apiVersion":"a/v1","kind":"PlayList","items":{}}"#, None).len(), 1);
    }
}
