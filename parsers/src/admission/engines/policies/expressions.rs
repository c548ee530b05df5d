//! Expressions as they stand in documents, compiled.

use portcullis_cel::{Environment, Expression, Type, TypeHint};

use crate::admission::hooks::at::{At, Reader, shorten};

use super::program::{Compiled, Program, VARIABLES};

/// Variables that may be built one on the other. A chain of them is evaluated one within the other; people write three or four.
const MAX_CHAIN: usize = 16;

/// What an expression must come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Anything,
    Bool,
    Text,
    TextOrNull,
}

impl Wanted {
    /// "IsExactType": what is known at run time only is not taken.
    fn takes(self, hint: &TypeHint) -> bool {
        let is = |ty: Type| *hint == TypeHint::from(ty);
        match self {
            Self::Anything => true,
            Self::Bool => is(Type::Bool),
            Self::Text => is(Type::String),
            Self::TextOrNull => is(Type::String) || is(Type::Null),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Anything => "anything",
            Self::Bool => "bool",
            Self::Text => "string",
            Self::TextOrNull => "string or null",
        }
    }
}

const TEXTS: Type = Type::List(&Type::String);
const LABELS: Type = Type::Map(&Type::String, &Type::String);

/// Types with all their fields, of `request` (`BuildRequestType`) and of `namespaceObject` (`BuildNamespaceType`).
const OBJECTS: [(&str, &[(&str, Type)]); 9] = [
    (
        "kubernetes.AdmissionRequest",
        &[
            ("kind", Type::Object("kubernetes.GroupVersionKind")),
            ("resource", Type::Object("kubernetes.GroupVersionResource")),
            ("subResource", Type::String),
            ("requestKind", Type::Object("kubernetes.GroupVersionKind")),
            ("requestResource", Type::Object("kubernetes.GroupVersionResource")),
            ("requestSubResource", Type::String),
            ("name", Type::String),
            ("namespace", Type::String),
            ("operation", Type::String),
            ("userInfo", Type::Object("kubernetes.UserInfo")),
            ("dryRun", Type::Bool),
            ("options", Type::Dyn),
        ],
    ),
    ("kubernetes.GroupVersionKind", &[("group", Type::String), ("version", Type::String), ("kind", Type::String)]),
    (
        "kubernetes.GroupVersionResource",
        &[("group", Type::String), ("version", Type::String), ("resource", Type::String)],
    ),
    (
        "kubernetes.UserInfo",
        &[
            ("username", Type::String),
            ("uid", Type::String),
            ("groups", TEXTS),
            ("extra", Type::Map(&Type::String, &TEXTS)),
        ],
    ),
    (
        "kubernetes.Namespace",
        &[
            ("metadata", Type::Object("kubernetes.NamespaceMetadata")),
            ("spec", Type::Object("kubernetes.NamespaceSpec")),
            ("status", Type::Object("kubernetes.NamespaceStatus")),
        ],
    ),
    (
        "kubernetes.NamespaceMetadata",
        &[
            ("name", Type::String),
            ("generateName", Type::String),
            ("namespace", Type::String),
            ("labels", LABELS),
            ("annotations", LABELS),
            // Objects have it as `uid`, so that nobody finds it.
            ("UID", Type::String),
            ("creationTimestamp", Type::Timestamp),
            ("deletionGracePeriodSeconds", Type::Int),
            ("deletionTimestamp", Type::Timestamp),
            ("generation", Type::Int),
            ("resourceVersion", Type::String),
            ("finalizers", TEXTS),
        ],
    ),
    ("kubernetes.NamespaceSpec", &[("finalizers", TEXTS)]),
    (
        "kubernetes.NamespaceStatus",
        &[("conditions", Type::List(&Type::Object("kubernetes.NamespaceCondition"))), ("phase", Type::String)],
    ),
    (
        "kubernetes.NamespaceCondition",
        &[
            ("status", Type::String),
            ("type", Type::String),
            ("lastTransitionTime", Type::Timestamp),
            ("message", Type::String),
            ("reason", Type::String),
        ],
    ),
];

/// The names that expressions of a policy may use.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// With the variables so far.
    with: Environment,
    /// Without any.
    without: Environment,
    /// The variables, and how long the chain is that ends in each.
    variables: Vec<(String, TypeHint, usize)>,
}

impl Names {
    /// The names of every policy, and `params` where there are some.
    pub(super) fn new(has_params: bool) -> Self {
        let mut names = Environment::new(&["object", "oldObject"]);
        for (object, fields) in OBJECTS {
            for (field, ty) in fields {
                names.declare_field(object, field, *ty);
            }
        }
        names.declare("request", Type::Object("kubernetes.AdmissionRequest"));
        names.declare("namespaceObject", Type::Object("kubernetes.Namespace"));
        if has_params {
            names.declare("params", Type::Dyn);
        }
        Self { with: names.clone(), without: names, variables: Vec::new() }
    }

    /// The same names but `params`.
    #[cfg(any(feature = "rego", test))]
    pub(super) fn without_params(&self) -> Self {
        let mut others = Self::new(false);
        for (name, ty, _) in &self.variables {
            others.with.declare(&format!("{VARIABLES}{name}"), ty.clone());
        }
        Self { variables: self.variables.clone(), ..others }
    }

    /// Compiles an expression that may use variables.
    pub(super) fn compile(&self, field: &At<'_>, text: &str, wanted: Wanted, reader: &mut Reader) -> Option<Compiled> {
        compile(&self.with, field, text, wanted, reader)
    }

    /// Compiles an expression that may not.
    pub(super) fn compile_alone(
        &self,
        field: &At<'_>,
        text: &str,
        wanted: Wanted,
        reader: &mut Reader,
    ) -> Option<Compiled> {
        compile(&self.without, field, text, wanted, reader)
    }

    /// Compiles a variable, and adds it to the program and to the names of what comes after it.
    pub(super) fn add(&mut self, name: &str, field: &At<'_>, text: &str, program: &mut Program, reader: &mut Reader) {
        // Others are not to be refused for its fault.
        let ty = match self.compile(field, text, Wanted::Anything, reader) {
            Some(compiled) => {
                let ty = compiled.expression.result_type().of_variable();
                program.places.insert(name.into(), program.variables.len());
                program.variables.push((name.into(), compiled));
                ty
            }
            None => Type::Dyn.into(),
        };
        self.with.declare(&format!("{VARIABLES}{name}"), ty.clone());
        // Spelled otherwise, such as with a space, a chain may be longer; then its evaluation ends at the evaluator's limit.
        let used = self.variables.iter().filter(|(known, ..)| is_used(text, known)).map(|(.., length)| *length);
        let chain = used.max().unwrap_or_default().saturating_add(1);
        if chain > MAX_CHAIN {
            let message = format!(
                "more than {MAX_CHAIN} variables are built one on the other, `{}` being the last",
                shorten(name)
            );
            reader.refuse(field, message);
        }
        self.variables.push((name.to_owned(), ty, chain));
    }
}

/// Whether a text has the name of a variable in it.
fn is_used(text: &str, name: &str) -> bool {
    text.match_indices(VARIABLES).any(|(at, _)| {
        let rest = text.get(at..).and_then(|rest| rest.strip_prefix(VARIABLES)?.strip_prefix(name));
        rest.is_some_and(|rest| !rest.starts_with(|next: char| next == '_' || next.is_ascii_alphanumeric()))
    })
}

fn compile(
    environment: &Environment,
    field: &At<'_>,
    text: &str,
    wanted: Wanted,
    reader: &mut Reader,
) -> Option<Compiled> {
    let expression = match Expression::compile(text, environment) {
        Ok(expression) => expression,
        Err(fault) => {
            let message = format!("line {}, column {} of the expression: {}", fault.line, fault.column, fault.message);
            reader.refuse(field, message);
            return None;
        }
    };
    let ty = expression.result_type();
    if !wanted.takes(ty) {
        reader.refuse(field, format!("the expression must come to {}, not {ty}", wanted.name()));
        return None;
    }
    Some(Compiled { text: text.into(), expression })
}
