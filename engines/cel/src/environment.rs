//! What an expression may refer to.

use std::collections::HashMap;
use std::sync::Arc;

use crate::check::types::Ty;
use crate::types::Type;

/// The variables that expressions may refer to, and what is known of their types.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: HashMap<Arc<str>, TypeHint>,
    /// The parts of names before their dots: `variables` of `variables.x`; and whether there are no other fields.
    prefixes: HashMap<Arc<str>, bool>,
}

/// What is known of the type of a value before it is there.
#[derive(Clone, Debug, PartialEq)]
pub struct TypeHint(pub(crate) Ty);

impl TypeHint {
    /// Whether a value of this type may be one of that type. True if the type is known at run time only.
    pub fn may_be(&self, ty: Type) -> bool {
        match (&self.0, Ty::from(ty)) {
            (Ty::Plain(Type::Dyn), _) | (_, Ty::Plain(Type::Dyn)) => true,
            (Ty::List(_), Ty::List(_)) | (Ty::Map(..), Ty::Map(..)) | (Ty::Optional(_), Ty::Optional(_)) => true,
            (known, wanted) => *known == wanted,
        }
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
            self.prefixes.entry(prefix.into()).or_default();
        }
        self.variables.insert(name.into(), ty.into());
    }

    /// Says that a variable has no other fields than those that are declared, with a dot before them: `request.name` of `request`.
    pub fn seal(&mut self, name: &str) {
        self.prefixes.insert(name.into(), true);
    }

    pub(crate) fn find(&self, name: &str) -> Option<(Arc<str>, Ty)> {
        self.variables.get_key_value(name).map(|(name, hint)| (Arc::clone(name), hint.0.clone()))
    }

    /// Whether there are variables of the name with a dot and more behind it.
    pub(crate) fn has_fields(&self, name: &str) -> bool {
        self.prefixes.contains_key(name)
    }

    /// Whether all fields of the name are declared.
    pub(crate) fn is_sealed(&self, name: &str) -> bool {
        self.prefixes.get(name) == Some(&true)
    }
}
