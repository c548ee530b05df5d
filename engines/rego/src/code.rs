//! What the compiler makes of rules: instructions over numbered slots, in which it is known where a variable has its value.

use std::collections::{BTreeMap, HashMap};

use regorus::Value;

use crate::ast::Place;
use crate::builtins::Builtin;
use crate::machine::Shape;

/// A number of a slot in the frame of a rule.
pub(crate) type Slot = u32;
pub(crate) type NodeId = u32;

#[derive(Debug)]
pub(crate) enum Instr {
    /// The term is defined and not false.
    Test(Term),
    /// The term is defined and is like the pattern.
    Match(Term, Pattern),
    /// Each value that a reference has, one after the other.
    Scan(Ref, Pattern),
    /// The same, where an equality further on tells which values matter.
    Seek(Box<Seek>),
    /// Each pair of a path and a value in a document.
    Walk(Term, Pattern),
    /// There is no way through.
    Not(Vec<Instr>),
    Every {
        domain: Term,
        key: Option<Slot>,
        value: Slot,
        body: Vec<Instr>,
    },
    With(Vec<Override>, Vec<Instr>),
}

/// A scan of documents that no rule defines.
#[derive(Debug)]
pub(crate) struct Seek {
    pub(crate) made: Ref,
    pub(crate) pattern: Pattern,
    pub(crate) shape: Shape,
    /// What one of the values at the inner keys of the shape must be equal to. It is known before the scan.
    pub(crate) sought: Term,
}

#[derive(Debug)]
pub(crate) struct Override {
    pub(crate) target: Target,
    pub(crate) value: Term,
}

#[derive(Debug)]
pub(crate) enum Target {
    Input(Vec<Value>),
    Data(Vec<Value>),
    /// A function, by its full name, that is replaced by another one.
    Function(String, Mock),
}

#[derive(Clone, Debug)]
pub(crate) enum Mock {
    /// The value of the override.
    Value,
    Builtin(&'static Builtin),
    Function(NodeId),
}

#[derive(Debug)]
pub(crate) enum Term {
    Const(Value),
    Slot(Slot),
    Array(Vec<Term>),
    Object(Vec<(Term, Term)>),
    /// An object whose keys are known: one with these keys, and what their values are.
    Record(Value, Vec<(Value, Term)>),
    Set(Vec<Term>),
    /// A reference that has one value at most.
    Ref(Box<Ref>),
    Builtin(&'static Builtin, Vec<Term>),
    Function(NodeId, Vec<Term>),
    Compr(Box<Compr>),
}

#[derive(Debug)]
pub(crate) struct Compr {
    pub(crate) kind: ComprKind,
    /// Of an object the value.
    pub(crate) head: Term,
    pub(crate) key: Option<Term>,
    pub(crate) body: Vec<Instr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ComprKind {
    Array,
    Set,
    Object,
}

#[derive(Debug)]
pub(crate) struct Ref {
    pub(crate) root: Root,
    pub(crate) keys: Vec<Key>,
}

#[derive(Debug)]
pub(crate) enum Root {
    Input,
    Data,
    Slot(Slot),
}

#[derive(Debug)]
pub(crate) enum Key {
    Const(Value),
    Slot(Slot),
    /// Any key that is like this; at least one variable has no value yet.
    Any(Pattern),
    Term(Term),
}

#[derive(Debug)]
pub(crate) enum Pattern {
    Any,
    Bind(Slot),
    Equals(Term),
    Array(Vec<Pattern>),
    Object(Vec<(Term, Pattern)>),
}

/// Rules by their paths.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) children: BTreeMap<Value, NodeId>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) default: Option<Rule>,
    pub(crate) kind: NodeKind,
    /// The path, as messages show it.
    pub(crate) name: String,
    pub(crate) path: Vec<Value>,
    pub(crate) is_package: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum NodeKind {
    /// A package, or the beginning of a name.
    #[default]
    Inner,
    Complete,
    /// A set, an object, or sets within objects.
    Partial,
    Function,
}

#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) file: u32,
    pub(crate) place: Place,
    pub(crate) slots: u32,
    pub(crate) arguments: Vec<Pattern>,
    pub(crate) body: Vec<Instr>,
    /// What follows the path of the node in the name of the rule.
    pub(crate) suffix: Vec<Term>,
    /// The element of a set.
    pub(crate) key: Option<Term>,
    pub(crate) value: Term,
    pub(crate) otherwise: Option<Box<Rule>>,
}

#[derive(Debug, Default)]
pub(crate) struct Code {
    pub(crate) nodes: Vec<Node>,
    pub(crate) files: Vec<String>,
    /// Those that programs are mostly asked for, by their names.
    pub(crate) named: HashMap<String, NodeId>,
}

impl Code {
    pub(crate) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(usize::try_from(id).ok()?)
    }

    /// The node of a rule such as `data.system.main`.
    pub(crate) fn find_named(&self, name: &str) -> Option<&Node> {
        self.node(*self.named.get(name)?)
    }

    /// The node of a path below `data`, and how many parts of the path lead there.
    pub(crate) fn find<'k>(&self, path: impl Iterator<Item = &'k Value>) -> (NodeId, usize) {
        let mut at: NodeId = 0;
        let mut used = 0_usize;
        for key in path {
            let Some(next) = self.node(at).and_then(|node| node.children.get(key)) else { break };
            at = *next;
            used = used.saturating_add(1);
        }
        (at, used)
    }
}
