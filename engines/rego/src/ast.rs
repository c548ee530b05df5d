//! What a module says, as it is written and after each step of the compiler.

use std::sync::Arc;

use regorus::Value;

/// Where something stands: row and column from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) row: u32,
    pub(crate) column: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Term {
    pub(crate) place: Place,
    pub(crate) kind: TermKind,
}

#[derive(Clone, Debug)]
pub(crate) enum TermKind {
    /// Null, true, false, a number or a text.
    Scalar(Value),
    Var(Arc<str>),
    /// A head and what is looked up in it, one after the other.
    Ref(Vec<Term>),
    Array(Vec<Term>),
    Object(Vec<(Term, Term)>),
    Set(Vec<Term>),
    ArrayCompr(Box<Term>, Body),
    SetCompr(Box<Term>, Body),
    ObjectCompr(Box<(Term, Term)>, Body),
    Call(Call),
}

/// A call of a function by its full name, such as `startswith` or `data.lib.is_exempt`.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// As a reference, until names are resolved.
    pub(crate) operator: Vec<Term>,
    pub(crate) arguments: Vec<Term>,
}

pub(crate) type Body = Vec<Expr>;

#[derive(Clone, Debug)]
pub(crate) struct Expr {
    pub(crate) place: Place,
    pub(crate) negated: bool,
    pub(crate) kind: ExprKind,
    pub(crate) with: Vec<With>,
}

#[derive(Clone, Debug)]
pub(crate) enum ExprKind {
    Term(Term),
    /// `=`, `:=`, `==` and all that is written between two operands are calls too.
    Call(Call),
    Some(Vec<Term>),
    /// `some key, value in collection`.
    SomeIn(Option<Term>, Term, Term),
    Every(Box<Every>),
}

#[derive(Clone, Debug)]
pub(crate) struct Every {
    pub(crate) key: Option<Term>,
    pub(crate) value: Term,
    pub(crate) domain: Term,
    pub(crate) body: Body,
}

#[derive(Clone, Debug)]
pub(crate) struct With {
    pub(crate) place: Place,
    pub(crate) target: Term,
    pub(crate) value: Term,
}

#[derive(Clone, Debug)]
pub(crate) struct Import {
    pub(crate) place: Place,
    pub(crate) path: Vec<Term>,
    pub(crate) alias: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RuleKind {
    /// One value.
    Complete,
    /// A set, of which this rule adds elements.
    Set,
    /// A function.
    Function,
}

#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) place: Place,
    pub(crate) default: bool,
    pub(crate) kind: RuleKind,
    /// The name and what follows it: `p`, `p.q`, `p[x]` where that is no set.
    pub(crate) name: Vec<Term>,
    pub(crate) arguments: Vec<Term>,
    /// The element of a set.
    pub(crate) key: Option<Term>,
    /// What a complete rule or a function is; true where nothing else is written.
    pub(crate) value: Option<Term>,
    /// Whether the value stands in the module.
    pub(crate) value_is_written: bool,
    pub(crate) body: Body,
    pub(crate) otherwise: Option<Box<Rule>>,
}

#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) name: Arc<str>,
    pub(crate) package_place: Place,
    /// Without `data`.
    pub(crate) package: Vec<Arc<str>>,
    pub(crate) imports: Vec<Import>,
    pub(crate) rules: Vec<Rule>,
    /// Whether it is written in Rego v1.
    pub(crate) modern: bool,
}

impl Term {
    pub(crate) fn new(place: Place, kind: TermKind) -> Self {
        Self { place, kind }
    }

    pub(crate) fn text(place: Place, text: &str) -> Self {
        Self::new(place, TermKind::Scalar(Value::from(text)))
    }

    pub(crate) fn truth(place: Place) -> Self {
        Self::new(place, TermKind::Scalar(Value::Bool(true)))
    }

    pub(crate) fn var(place: Place, name: Arc<str>) -> Self {
        Self::new(place, TermKind::Var(name))
    }

    /// The text, where it is a literal one.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.kind {
            TermKind::Scalar(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_var(&self) -> Option<&Arc<str>> {
        match &self.kind {
            TermKind::Var(name) => Some(name),
            _ => None,
        }
    }
}

impl Expr {
    pub(crate) fn new(place: Place, kind: ExprKind) -> Self {
        Self { place, negated: false, kind, with: Vec::new() }
    }

    pub(crate) fn call(place: Place, name: &str, arguments: Vec<Term>) -> Self {
        Self::new(place, ExprKind::Call(Call::named(place, name, arguments)))
    }
}

impl Call {
    pub(crate) fn named(place: Place, name: &str, arguments: Vec<Term>) -> Self {
        let mut parts = name.split('.');
        let mut operator = vec![Term::var(place, Arc::from(parts.next().unwrap_or_default()))];
        operator.extend(parts.map(|part| Term::text(place, part)));
        Self { operator, arguments }
    }

    /// The name, where the operator is a plain path.
    pub(crate) fn name(&self) -> Option<String> {
        let (head, rest) = self.operator.split_first()?;
        let mut name = head.as_var()?.to_string();
        for part in rest {
            name.push('.');
            name.push_str(part.as_text()?);
        }
        Some(name)
    }

    /// Whether it is the call of a builtin of this name.
    pub(crate) fn is(&self, name: &str) -> bool {
        let mut parts = name.split('.');
        self.operator.first().and_then(Term::as_var).map(|var| &**var) == parts.next()
            && self.operator.iter().skip(1).map(Term::as_text).eq(parts.map(Some))
    }
}
