//! What stands in a suite.

use std::path::Path;

use portcullis_policy::matcher::Regex;
use portcullis_policy::{Dialect, Entry, Node, NodeError, Place, Value};

/// `apiVersion` begins with it, as Gatekeeper's own program asks for no version of the group.
const GROUP: &str = "test.gatekeeper.sh/";

/// One file of tests.
pub(super) struct Suite {
    /// As the operator named it.
    pub(super) file: String,
    pub(super) skip: bool,
    pub(super) tests: Vec<Test>,
}

/// A template and a constraint, and what they are to make of objects.
pub(super) struct Test {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) skip: bool,
    /// The constraint is to be refused, for what its template's schema says of it.
    pub(super) invalid: bool,
    pub(super) template: Option<Given>,
    pub(super) constraint: Option<Given>,
    pub(super) expansion: Option<Given>,
    pub(super) cases: Vec<Case>,
}

/// An object, and what is to be said of it.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) skip: bool,
    pub(super) object: Option<Given>,
    pub(super) inventory: Vec<Given>,
    pub(super) assertions: Vec<Assertion>,
}

/// A file that a suite names, from the suite's own directory.
pub(super) struct Given {
    pub(super) path: String,
    pub(super) place: Place,
}

/// How many violations there are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    Any,
    None,
    Exactly(u32),
}

/// A statement on the violations of an object.
pub(super) struct Assertion {
    pub(super) place: Place,
    pub(super) violations: Count,
    pub(super) message: Option<Regex>,
}

/// What a suite says, and what it says that nobody reads.
pub(super) struct Read {
    pub(super) suite: Suite,
    pub(super) notes: Vec<String>,
}

/// Reads a suite; `None` is a file of something else.
///
/// # Errors
/// All that is wrong with it.
pub(super) fn read(file: &str, text: &[u8]) -> Result<Option<Read>, Vec<NodeError>> {
    let documents = Node::load(file, text).map_err(|error| vec![error])?;
    // As `gator` does, which reads the first document and no further.
    let Some(document) = documents.first().filter(|document| is_suite(document)) else { return Ok(None) };
    let mut reader = Reader { errors: Vec::new(), notes: Vec::new() };
    let suite = reader.suite(file, document);
    if let Some(second) = documents.get(1) {
        reader.notes.push(format!("{}: only the first document of a suite is read", second.place));
    }
    if reader.errors.is_empty() { Ok(Some(Read { suite, notes: reader.notes })) } else { Err(reader.errors) }
}

fn is_suite(document: &Node) -> bool {
    let text = |key| match find(document, key).map(|node| &node.value) {
        Some(Value::Text(text)) => text.as_str(),
        _ => "",
    };
    text("kind") == "Suite" && text("apiVersion").starts_with(GROUP)
}

/// Takes what it understands, and remembers the rest.
struct Reader {
    errors: Vec<NodeError>,
    notes: Vec<String>,
}

impl Reader {
    fn suite(&mut self, file: &str, node: &Node) -> Suite {
        self.know(node, &["apiVersion", "kind", "metadata", "tests", "skip"]);
        Suite {
            file: file.to_owned(),
            skip: self.flag(node, "skip"),
            tests: self.list(node, "tests", "tests").into_iter().map(|(path, node)| self.test(&path, node)).collect(),
        }
    }

    fn test(&mut self, path: &str, node: &Node) -> Test {
        self.know(node, &["name", "template", "constraint", "expansion", "cases", "invalid", "skip"]);
        let cases = self.list(node, "cases", &format!("{path}.cases"));
        let test = Test {
            name: self.text(node, "name").unwrap_or_default(),
            place: node.place.clone(),
            skip: self.flag(node, "skip"),
            invalid: self.flag(node, "invalid"),
            template: self.file(node, "template"),
            constraint: self.file(node, "constraint"),
            expansion: self.file(node, "expansion"),
            cases: cases.into_iter().map(|(path, node)| self.case(&path, node)).collect(),
        };
        if test.invalid && !test.cases.is_empty() {
            let message = "a test of an invalid constraint has no cases; leave out `cases`, or `invalid`";
            self.errors.push(NodeError::new(&node.place, path, message));
        }
        test
    }

    fn case(&mut self, path: &str, node: &Node) -> Case {
        self.know(node, &["name", "object", "inventory", "assertions", "skip"]);
        let inventory = self.list(node, "inventory", &format!("{path}.inventory"));
        let assertions = self.list(node, "assertions", &format!("{path}.assertions"));
        Case {
            name: self.text(node, "name").unwrap_or_default(),
            place: node.place.clone(),
            skip: self.flag(node, "skip"),
            object: self.file(node, "object"),
            inventory: inventory.into_iter().filter_map(|(path, node)| self.given(&path, node)).collect(),
            assertions: assertions.into_iter().map(|(path, node)| self.assertion(&path, node)).collect(),
        }
    }

    fn assertion(&mut self, path: &str, node: &Node) -> Assertion {
        self.know(node, &["violations", "message"]);
        let violations = find(node, "violations").map_or(Count::Any, |node| {
            count(node).unwrap_or_else(|| {
                let message = "wanted `yes`, `no`, or how many violations there are to be";
                self.errors.push(NodeError::new(&node.place, format!("{path}.violations"), message));
                Count::Any
            })
        });
        let message = self.text(node, "message").and_then(|pattern| {
            let place = find(node, "message").map_or(&node.place, |node| &node.place);
            Regex::compile(&pattern, Dialect::Cilium)
                .map_err(|why| self.errors.push(NodeError::new(place, format!("{path}.message"), why)))
                .ok()
        });
        Assertion { place: node.place.clone(), violations, message }
    }

    /// What `gator` does not look at either is probably not meant.
    fn know(&mut self, node: &Node, known: &[&str]) {
        let Value::Map(entries) = &node.value else { return };
        for Entry { key, place, .. } in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            self.notes.push(format!(
                "{place}: nobody reads `{}`; known here are `{}`",
                key.escape_debug(),
                known.join("`, `")
            ));
        }
    }

    /// The maps in a list.
    fn list<'n>(&mut self, node: &'n Node, key: &str, path: &str) -> Vec<(String, &'n Node)> {
        let Some(node) = find(node, key) else { return Vec::new() };
        let Value::List(items) = &node.value else {
            self.errors.push(NodeError::new(&node.place, path, "wanted a list"));
            return Vec::new();
        };
        let named: Vec<_> = items.iter().enumerate().map(|(at, item)| (format!("{path}[{at}]"), item)).collect();
        if key == "inventory" {
            return named;
        }
        for (path, item) in named.iter().filter(|(_, item)| !matches!(item.value, Value::Map(_))) {
            self.errors.push(NodeError::new(&item.place, path.as_str(), "wanted a map"));
        }
        named
    }

    fn read<T: serde::de::DeserializeOwned>(&mut self, node: &Node, key: &str) -> Option<T> {
        let node = find(node, key)?;
        node.read(Dialect::Cilium).map_err(|error| self.errors.push(error.within(key))).ok()
    }

    fn text(&mut self, node: &Node, key: &str) -> Option<String> {
        self.read(node, key)
    }

    fn flag(&mut self, node: &Node, key: &str) -> bool {
        self.read(node, key).unwrap_or_default()
    }

    fn file(&mut self, node: &Node, key: &str) -> Option<Given> {
        self.given(key, find(node, key)?)
    }

    fn given(&mut self, key: &str, node: &Node) -> Option<Given> {
        let path: String = node.read(Dialect::Cilium).map_err(|error| self.errors.push(error.within(key))).ok()?;
        if Path::new(&path).is_absolute() {
            let message = "wanted a path from the directory of the suite, so that both can be moved";
            self.errors.push(NodeError::new(&node.place, key, message));
        }
        (!path.is_empty()).then(|| Given { path, place: node.place.clone() })
    }
}

fn count(node: &Node) -> Option<Count> {
    match &node.value {
        Value::Integer(number) => u32::try_from(*number).ok().map(Count::Exactly),
        Value::Text(text) if text == "yes" => Some(Count::Any),
        Value::Text(text) if text == "no" => Some(Count::None),
        _ => None,
    }
}

/// What a key maps to; null is nothing.
fn find<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    match &node.value {
        Value::Map(entries) => {
            let entry = entries.iter().find(|entry| entry.key == key)?;
            (!matches!(entry.value.value, Value::Null)).then_some(&entry.value)
        }
        _ => None,
    }
}
