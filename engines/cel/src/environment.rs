//! What an expression may refer to.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::check::types::Ty;
use crate::types::Type;

/// The variables that expressions may refer to, and what is known of their types.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: HashMap<Arc<str>, TypeHint>,
    /// The parts of names before their dots: `variables` of `variables.x`.
    prefixes: HashSet<Arc<str>>,
    /// The fields of each [`Type::Object`], by its name.
    fields: HashMap<&'static str, HashMap<&'static str, TypeHint>>,
}

/// What is known of the type of a value before it is there.
#[derive(Clone, Debug, PartialEq)]
pub struct TypeHint(pub(crate) Ty);

impl TypeHint {
    /// What is known of a variable of a policy that has this type (`convertCelTypeToDeclType`): nothing of optionals, of objects
    /// and of what libraries make.
    pub fn of_variable(&self) -> Self {
        Self(forget(&self.0))
    }

    /// Whether a value of this type may be one of that type. True if the type is known at run time only.
    pub fn may_be(&self, ty: Type) -> bool {
        match (&self.0, Ty::from(ty)) {
            (Ty::Plain(Type::Dyn), _) | (_, Ty::Plain(Type::Dyn)) => true,
            (Ty::List(_), Ty::List(_)) | (Ty::Map(..), Ty::Map(..)) | (Ty::Optional(_), Ty::Optional(_)) => true,
            (known, wanted) => *known == wanted,
        }
    }
}

fn forget(ty: &Ty) -> Ty {
    match ty {
        Ty::List(item) => Ty::list(forget(item)),
        Ty::Map(key, value) => Ty::map(forget(key), forget(value)),
        Ty::Plain(Type::Type | Type::Opaque(_) | Type::Object(_)) | Ty::Optional(_) | Ty::Free(_) => Ty::DYN,
        Ty::Plain(_) => ty.clone(),
    }
}

impl From<Type> for TypeHint {
    fn from(ty: Type) -> Self {
        Self(ty.into())
    }
}

impl std::fmt::Display for TypeHint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Environment {
    /// Variables of types that are known at run time only. A name may have dots: `variables.x`.
    pub fn new(variables: &[&str]) -> Self {
        let mut environment = Self::default();
        for name in variables {
            environment.declare(name, Type::Dyn);
        }
        environment
    }

    /// Adds a variable, or says more of one.
    pub fn declare(&mut self, name: &str, ty: impl Into<TypeHint>) {
        if let Some((prefix, _)) = name.rsplit_once('.') {
            self.prefixes.insert(prefix.into());
        }
        self.variables.insert(name.into(), ty.into());
    }

    /// Adds a field to a [`Type::Object`] of this name. It has no others than those that are declared.
    pub fn declare_field(&mut self, object: &'static str, field: &'static str, ty: impl Into<TypeHint>) {
        self.fields.entry(object).or_default().insert(field, ty.into());
    }

    pub(crate) fn find(&self, name: &str) -> Option<(Arc<str>, Ty)> {
        self.variables.get_key_value(name).map(|(name, hint)| (Arc::clone(name), hint.0.clone()))
    }

    /// Whether there are variables of the name with a dot and more behind it.
    pub(crate) fn has_fields(&self, name: &str) -> bool {
        self.prefixes.contains(name)
    }

    /// The type of a field of an object.
    pub(crate) fn field(&self, object: &str, field: &str) -> Option<Ty> {
        self.fields.get(object)?.get(field).map(|hint| hint.0.clone())
    }
}
