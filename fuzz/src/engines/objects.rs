//! Pods, and what becomes of them by changes that keep them JSON.

use std::fmt::Write as _;

/// A node of JSON; keys may stand twice.
#[derive(Clone, Debug)]
enum Node {
    /// Anything without parts, as it is written.
    Plain(&'static str),
    List(Vec<Node>),
    Map(Vec<(&'static str, Node)>),
}

/// Keys as they are written: those that policies ask for, some in other spellings.
const KEYS: [&str; 16] = [
    "spec",
    "containers",
    "initContainers",
    "ephemeralContainers",
    "image",
    "securityContext",
    "privileged",
    "name",
    "Containers",
    "",
    "__proto__",
    "constructor",
    "length",
    "\\u0069mage",
    "image\\u0000",
    "template",
];

const VALUES: [&str; 24] = [
    "null",
    "true",
    "false",
    "0",
    "-0.0",
    "1",
    "1.5",
    "18446744073709551616",
    "\"\"",
    "\"true\"",
    "\"false\"",
    "\"reg.example/a\"",
    "\"reg\\u002eexample/a\"",
    "\"reg.example\"",
    "\" reg.example/a\"",
    "\"nginx\"",
    "\"REG.EXAMPLE/a\"",
    "\"reg.example/\\u0000\\ud83d\\ude00\"",
    "\"a\\nreg.example/a\"",
    "[]",
    "{}",
    "[[]]",
    "[null]",
    "{\"privileged\":false}",
];

/// Nodes of an object at most: what copies itself ends.
const MAX_NODES: usize = 400;

/// A Pod with changes: each of three bytes, which say where, what, and with what.
pub(super) fn change(data: &[u8]) -> Vec<u8> {
    let mut root = pod();
    for change in data.chunks_exact(3) {
        let &[place, what, with] = change else { break };
        let count = root.count();
        if count > MAX_NODES {
            break;
        }
        let other = root.find(&mut (usize::from(with) % count)).cloned().unwrap_or(Node::Plain("null"));
        // The object itself stays a map, as the API server would not send another.
        let mut place = 1 + usize::from(place) % (count - 1).max(1);
        if let Some(node) = root.find_mut(&mut place) {
            node.change(what, usize::from(with), other);
        }
    }
    let mut out = String::new();
    root.write(&mut out);
    out.into_bytes()
}

fn pod() -> Node {
    let container = |image| {
        let context = Node::Map(vec![("privileged", Node::Plain("false"))]);
        let name = ("name", Node::Plain("\"c\""));
        Node::Map(vec![name, ("image", Node::Plain(image)), ("securityContext", context)])
    };
    let containers = Node::List(vec![container("\"reg.example/a:1\""), container("\"reg.example/b\"")]);
    let spec = vec![("containers", containers), ("initContainers", Node::List(vec![container("\"reg.example/i\"")]))];
    Node::Map(vec![("kind", Node::Plain("\"Pod\"")), ("spec", Node::Map(spec))])
}

impl Node {
    fn count(&self) -> usize {
        1 + match self {
            Self::Plain(_) => 0,
            Self::List(items) => items.iter().map(Self::count).sum(),
            Self::Map(entries) => entries.iter().map(|(_, value)| value.count()).sum(),
        }
    }

    fn children(&self) -> Vec<&Self> {
        match self {
            Self::Plain(_) => Vec::new(),
            Self::List(items) => items.iter().collect(),
            Self::Map(entries) => entries.iter().map(|(_, value)| value).collect(),
        }
    }

    fn find(&self, at: &mut usize) -> Option<&Self> {
        if *at == 0 {
            return Some(self);
        }
        *at -= 1;
        self.children().into_iter().find_map(|child| child.find(at))
    }

    fn find_mut(&mut self, at: &mut usize) -> Option<&mut Self> {
        if *at == 0 {
            return Some(self);
        }
        *at -= 1;
        match self {
            Self::Plain(_) => None,
            Self::List(items) => items.iter_mut().find_map(|child| child.find_mut(at)),
            Self::Map(entries) => entries.iter_mut().find_map(|(_, child)| child.find_mut(at)),
        }
    }

    fn change(&mut self, what: u8, with: usize, other: Self) {
        let value = Self::Plain(VALUES[with % VALUES.len()]);
        let key = KEYS[with % KEYS.len()];
        match (what % 10, &mut *self) {
            (0, _) => *self = value,
            (1, _) => *self = other,
            (2, _) => *self = Self::List(vec![self.clone()]),
            (3, _) => *self = Self::Map(vec![(key, self.clone())]),
            (4, Self::List(items)) if !items.is_empty() => drop(items.remove(with % items.len())),
            (4, Self::Map(entries)) if !entries.is_empty() => drop(entries.remove(with % entries.len())),
            (5, Self::List(items)) => items.push(value),
            (5, Self::Map(entries)) => entries.push((KEYS[with / VALUES.len() % KEYS.len()], value)),
            (6, Self::List(items)) => items.insert(0, other),
            (6, Self::Map(entries)) => entries.push((key, other)),
            (7, Self::Map(entries)) => entries.iter_mut().take(1).for_each(|entry| entry.0 = key),
            (8, Self::List(items)) => items.reverse(),
            (8, Self::Map(entries)) => entries.reverse(),
            (9, Self::List(items)) if !items.is_empty() => items.rotate_left(1),
            (9, Self::Map(entries)) if !entries.is_empty() => entries.rotate_left(1),
            _ => {}
        }
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Plain(text) => out.push_str(text),
            Self::List(items) => {
                for (at, item) in items.iter().enumerate() {
                    out.push(if at == 0 { '[' } else { ',' });
                    item.write(out);
                }
                out.push_str(if items.is_empty() { "[]" } else { "]" });
            }
            Self::Map(entries) => {
                for (at, (key, value)) in entries.iter().enumerate() {
                    out.push(if at == 0 { '{' } else { ',' });
                    write!(out, "\"{key}\":").expect("a text");
                    value.write(out);
                }
                out.push_str(if entries.is_empty() { "{}" } else { "}" });
            }
        }
    }
}
