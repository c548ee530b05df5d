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

/// All fields of `request`, with their types (`BuildRequestType`).
const FIELDS: [(&str, Type); 16] = [
    ("request.kind", NAMES),
    ("request.resource", NAMES),
    ("request.subResource", Type::String),
    ("request.requestKind", NAMES),
    ("request.requestResource", NAMES),
    ("request.requestSubResource", Type::String),
    ("request.name", Type::String),
    ("request.namespace", Type::String),
    ("request.operation", Type::String),
    ("request.userInfo", Type::Dyn),
    ("request.userInfo.username", Type::String),
    ("request.userInfo.uid", Type::String),
    ("request.userInfo.groups", Type::List(&Type::String)),
    ("request.userInfo.extra", Type::Map(&Type::String, &Type::List(&Type::String))),
    ("request.dryRun", Type::Bool),
    ("request.options", Type::Dyn),
];
const NAMES: Type = Type::Map(&Type::String, &Type::String);
/// The names of a kind, and those of a resource.
const KINDS: ([&str; 2], [&str; 3]) = (["request.kind", "request.requestKind"], ["group", "version", "kind"]);
const RESOURCES: ([&str; 2], [&str; 3]) =
    (["request.resource", "request.requestResource"], ["group", "version", "resource"]);

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
        let mut names = Environment::new(&["object", "oldObject", "request", "namespaceObject"]);
        for (name, ty) in FIELDS {
            names.declare(name, ty);
        }
        for (fields, parts) in [KINDS, RESOURCES] {
            for field in fields {
                for part in parts {
                    names.declare(&format!("{field}.{part}"), Type::String);
                }
                names.seal(field);
            }
        }
        names.seal("request");
        names.seal("request.userInfo");
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
                let ty = compiled.expression.result_type().clone();
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
