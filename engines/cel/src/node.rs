//! An expression, checked and made ready to be evaluated.

use std::collections::HashSet;
use std::sync::Arc;

use crate::function::Function;
use crate::operators::Operator;
use crate::regex::Regex;
use crate::value::Fixed;

/// A part of an expression.
#[derive(Debug)]
pub(crate) enum Node {
    Fixed(Fixed),
    /// A variable or the value of another part, and what is selected of it; a choice.
    Attribute(Box<Attribute>),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    List(Vec<Item>),
    Map(Vec<Entry>),
    Operation(Box<Operation>),
    Call(Box<CallNode>),
    /// `x in ['a', 'b']`.
    Member(Box<Member>),
    Fold(Box<Fold>),
    /// `x.orValue(y)`, or `x.or(y)`: the second part is evaluated only if the first has no value.
    Alternative(Box<Alternative>),
}

#[derive(Debug)]
pub(crate) struct Attribute {
    pub(crate) root: Root,
    pub(crate) qualifiers: Vec<Qualifier>,
    /// Whether it is asked if the last qualifier is there: `has(x.y)`.
    pub(crate) test: bool,
}

#[derive(Debug)]
pub(crate) enum Root {
    /// A variable of the environment, and how many dots there are in its name.
    Variable {
        name: Arc<str>,
        dots: u64,
    },
    /// A variable of a comprehension, by its place.
    Local(usize),
    Value(Node),
    /// `condition ? then : otherwise`.
    Choice(Box<[Node; 3]>),
}

#[derive(Debug)]
pub(crate) struct Qualifier {
    pub(crate) key: Node,
    /// `.?x` or `[?x]`.
    pub(crate) optional: bool,
}

#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) value: Node,
    pub(crate) optional: bool,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: Node,
    pub(crate) value: Node,
    pub(crate) optional: bool,
}

#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) operator: Operator,
    pub(crate) operands: Vec<Node>,
    /// Whether the types of the operands were known to be ones that are read whole.
    pub(crate) sized: bool,
}

#[derive(Debug)]
pub(crate) struct CallNode {
    pub(crate) name: &'static str,
    /// The functions with an overload that may take the arguments, and which overloads those are.
    pub(crate) candidates: Vec<(&'static Function, Vec<usize>)>,
    pub(crate) arguments: Vec<Node>,
    pub(crate) pattern: Option<Arc<Regex>>,
    /// Whether the call costs 1, whichever function is called: the overload was not known.
    pub(crate) flat: bool,
}

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) value: Node,
    pub(crate) texts: HashSet<String>,
    pub(crate) others: Vec<Fixed>,
}

#[derive(Debug)]
pub(crate) struct Alternative {
    pub(crate) first: Node,
    pub(crate) second: Node,
    pub(crate) unwrap: bool,
}

/// A comprehension. Its variables are at `slot` and, if it has two, at the place after it.
#[derive(Debug)]
pub(crate) struct Fold {
    pub(crate) range: Node,
    pub(crate) slot: usize,
    pub(crate) two: bool,
    pub(crate) kind: FoldKind,
}

#[derive(Debug)]
pub(crate) enum FoldKind {
    All(Node),
    Exists(Node),
    ExistsOne(Node),
    /// `map`, `filter` and `transformList`; whether what is added is known.
    List {
        filter: Option<Node>,
        body: Node,
    },
    /// `transformMap`.
    Map {
        filter: Option<Node>,
        body: Node,
    },
    /// `transformMapEntry`.
    Entries {
        filter: Option<Node>,
        body: Node,
    },
    /// A variable that is the range itself.
    Let(Node),
    /// `optMap` and `optFlatMap`: a variable that is the value of the range; whether the result is to be wrapped, and whether
    /// the variable occurs.
    Bind {
        body: Node,
        wrap: bool,
        used: bool,
    },
}
