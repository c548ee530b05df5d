//! Types while an expression is checked, and which may stand for which.

use std::fmt;
use std::sync::Arc;

use crate::types::Type;

/// A type, perhaps not known yet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ty {
    /// One that needs no looking into.
    Plain(Type),
    List(Arc<Ty>),
    Map(Arc<Ty>, Arc<Ty>),
    Optional(Arc<Ty>),
    /// One that is to be found out.
    Free(usize),
}

impl Ty {
    pub(crate) const DYN: Self = Self::Plain(Type::Dyn);
    pub(crate) const BOOL: Self = Self::Plain(Type::Bool);
    pub(crate) const INT: Self = Self::Plain(Type::Int);

    pub(crate) fn list(item: Ty) -> Self {
        Self::List(Arc::new(item))
    }

    pub(crate) fn map(key: Ty, value: Ty) -> Self {
        Self::Map(Arc::new(key), Arc::new(value))
    }

    pub(crate) fn optional(value: Ty) -> Self {
        Self::Optional(Arc::new(value))
    }

    fn is_dyn(&self) -> bool {
        *self == Self::DYN
    }
}

impl fmt::Display for Ty {
    /// As the messages of the API server write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(plain) => write!(f, "{plain}"),
            Self::List(item) => write!(f, "list({item})"),
            Self::Map(key, value) => write!(f, "map({key}, {value})"),
            Self::Optional(value) => write!(f, "optional_type({value})"),
            Self::Free(_) => f.write_str("dyn"),
        }
    }
}

/// What is known of the types that were to be found out.
#[derive(Debug, Default)]
pub(crate) struct Found {
    known: Vec<Option<Ty>>,
    /// What was known before, of those that were bound since an attempt began.
    undo: Vec<(usize, Option<Ty>)>,
}

impl Found {
    /// A type to be found out.
    pub(crate) fn fresh(&mut self) -> Ty {
        self.known.push(None);
        Ty::Free(self.known.len().saturating_sub(1))
    }

    /// A declared type, its letters being types to be found out.
    pub(crate) fn instantiate(&mut self, declared: &Type, letters: &mut Vec<(char, Ty)>) -> Ty {
        match declared {
            Type::List(item) => Ty::list(self.instantiate(item, letters)),
            Type::Map(key, value) => Ty::map(self.instantiate(key, letters), self.instantiate(value, letters)),
            Type::Optional(value) => Ty::optional(self.instantiate(value, letters)),
            Type::Param(letter) => match letters.iter().find(|(known, _)| known == letter) {
                Some((_, ty)) => ty.clone(),
                None => {
                    let ty = self.fresh();
                    letters.push((*letter, ty.clone()));
                    ty
                }
            },
            plain => Ty::Plain(*plain),
        }
    }

    /// The type with all put in that was found out. What is still free stays, or is dynamic if it is the end.
    pub(crate) fn resolve(&self, ty: &Ty, end: bool) -> Ty {
        match ty {
            Ty::Plain(_) => ty.clone(),
            Ty::List(item) => Ty::list(self.resolve(item, end)),
            Ty::Map(key, value) => Ty::map(self.resolve(key, end), self.resolve(value, end)),
            Ty::Optional(value) => Ty::optional(self.resolve(value, end)),
            Ty::Free(at) => match self.known.get(*at).and_then(Option::as_ref) {
                Some(known) => self.resolve(known, end),
                None if end => Ty::DYN,
                None => ty.clone(),
            },
        }
    }

    /// Whether values of the second type may stand where the first is asked for; what that says of free types is kept.
    pub(crate) fn assignable(&mut self, wanted: &Ty, given: &Ty) -> bool {
        self.undo.clear();
        let fits = self.fits(wanted, given);
        self.settle(fits)
    }

    /// The same for a list of types.
    pub(crate) fn all_assignable(&mut self, wanted: &[Ty], given: &[Ty]) -> bool {
        self.undo.clear();
        let fits =
            wanted.len() == given.len() && wanted.iter().zip(given).all(|(wanted, given)| self.fits(wanted, given));
        self.settle(fits)
    }

    /// Takes back what an attempt that failed has bound.
    fn settle(&mut self, fits: bool) -> bool {
        while !fits && let Some((at, before)) = self.undo.pop() {
            if let Some(place) = self.known.get_mut(at) {
                *place = before;
            }
        }
        fits
    }

    fn fits(&mut self, wanted: &Ty, given: &Ty) -> bool {
        if let Ty::Free(at) = given
            && let Some(fits) = self.substitute(wanted, *at)
        {
            return fits;
        }
        if let Ty::Free(at) = wanted {
            return self.substitute(given, *at).unwrap_or(false);
        }
        if wanted.is_dyn() || given.is_dyn() {
            return true;
        }
        match (wanted, given) {
            (Ty::Plain(Type::Null), other) | (other, Ty::Plain(Type::Null)) => nullable(other),
            (Ty::Plain(wanted), Ty::Plain(given)) => wanted == given,
            (Ty::List(wanted), Ty::List(given)) | (Ty::Optional(wanted), Ty::Optional(given)) => {
                self.fits(wanted, given)
            }
            (Ty::Map(key, value), Ty::Map(other_key, other_value)) => {
                self.fits(key, other_key) && self.fits(value, other_value)
            }
            _ => false,
        }
    }

    /// Whether a free type may be this one. `None` if it is another free one's turn to say.
    fn substitute(&mut self, ty: &Ty, at: usize) -> Option<bool> {
        if *ty == Ty::Free(at) {
            return Some(true);
        }
        match self.known.get(at).cloned().flatten() {
            Some(known) if known == *ty => Some(true),
            Some(known) => {
                if !self.fits(ty, &known) {
                    return Some(false);
                }
                let general = if less_specific(ty, &known) { ty.clone() } else { known };
                self.bind(at, general);
                Some(true)
            }
            None => self.bind(at, ty.clone()).then_some(true),
        }
    }

    fn bind(&mut self, at: usize, ty: Ty) -> bool {
        if self.mentions(&ty, at) {
            return false;
        }
        match self.known.get_mut(at) {
            Some(place) => {
                let before = place.replace(ty);
                self.undo.push((at, before));
                true
            }
            None => false,
        }
    }

    fn mentions(&self, ty: &Ty, at: usize) -> bool {
        match ty {
            Ty::Plain(_) => false,
            Ty::List(item) | Ty::Optional(item) => self.mentions(item, at),
            Ty::Map(key, value) => self.mentions(key, at) || self.mentions(value, at),
            Ty::Free(other) if *other == at => true,
            Ty::Free(other) => self.known.get(*other).cloned().flatten().is_some_and(|known| self.mentions(&known, at)),
        }
    }

    /// The type of the items of a list that has some of one type and some of another, if there is one.
    pub(crate) fn join(&mut self, previous: Option<Ty>, current: Ty) -> Result<Ty, (Ty, Ty)> {
        match previous {
            None => Ok(current),
            Some(previous) if self.assignable(&previous, &current) => {
                Ok(if less_specific(&previous, &current) { previous } else { current })
            }
            Some(previous) => Err((self.resolve(&previous, true), self.resolve(&current, true))),
        }
    }
}

fn nullable(ty: &Ty) -> bool {
    let plain =
        |ty: &Type| matches!(ty, Type::Null | Type::Opaque(_) | Type::Object(_) | Type::Duration | Type::Timestamp);
    matches!(ty, Ty::Optional(_)) || matches!(ty, Ty::Plain(ty) if plain(ty))
}

fn less_specific(left: &Ty, right: &Ty) -> bool {
    match (left, right) {
        (Ty::Plain(Type::Dyn) | Ty::Free(_), _) => true,
        (_, Ty::Plain(Type::Dyn) | Ty::Free(_)) => false,
        (Ty::List(left), Ty::List(right)) | (Ty::Optional(left), Ty::Optional(right)) => less_specific(left, right),
        (Ty::Map(key, value), Ty::Map(other_key, other_value)) => {
            less_specific(key, other_key) && less_specific(value, other_value)
        }
        _ => left == right,
    }
}

impl From<Type> for Ty {
    fn from(declared: Type) -> Self {
        match declared {
            Type::List(item) => Self::list((*item).into()),
            Type::Map(key, value) => Self::map((*key).into(), (*value).into()),
            Type::Optional(value) => Self::optional((*value).into()),
            Type::Param(_) => Self::DYN,
            plain => Self::Plain(plain),
        }
    }
}
