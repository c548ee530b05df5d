//! Demands of rules in a form in which one can be told to include another.

use std::cell::OnceCell;
use std::rc::Rc;

use regex_syntax::hir::{HirKind, Look};

use super::outline::{Outline, Wants};
use crate::l7::Dialect;
use crate::matcher::{Regex, Shape, parse};

/// Comparisons of the texts of two rules at most: rules with very long lists are not compared.
const MAX_COMPARISONS: usize = 4096;

/// What one rule demands.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) kinds: Vec<(&'static str, u64)>,
    pub(super) texts: Vec<(&'static str, Vec<Pattern>)>,
}

#[derive(Clone, Debug)]
pub(super) enum Pattern {
    /// Whatever it is, if it is there.
    Any,
    Exact(Box<[u8]>),
    Prefix(Box<[u8]>),
    Regex(Rc<Expression>),
}

/// A regex that is not a plain comparison.
#[derive(Debug)]
pub(super) struct Expression {
    text: String,
    dialect: Dialect,
    /// What every text that matches begins with.
    prefix: Vec<u8>,
    engine: OnceCell<Option<Regex>>,
}

impl Form {
    pub(super) fn of(outline: &Outline, dialect: Dialect) -> Option<Self> {
        let mut form = Self { kinds: Vec::new(), texts: Vec::new() };
        for demand in &outline.demands {
            let bytes = |text: &String| Box::from(text.as_bytes());
            let patterns = match &demand.wants {
                Wants::Kinds(bits) => {
                    form.kinds.push((demand.part, *bits));
                    continue;
                }
                Wants::Exact(texts) => texts.iter().map(|text| Pattern::Exact(bytes(text))).collect(),
                Wants::Prefix(texts) => texts.iter().map(|text| Pattern::Prefix(bytes(text))).collect(),
                Wants::Regex { texts, .. } => {
                    texts.iter().map(|text| Pattern::regex(text, dialect)).collect::<Option<_>>()?
                }
            };
            form.texts.push((demand.part, patterns));
        }
        Some(form)
    }

    /// Whether every request that matches the other matches this. `false` also where it cannot be told.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let kinds = self
            .kinds
            .iter()
            .all(|(part, wide)| other.kinds.iter().any(|(theirs, narrow)| theirs == part && narrow & !wide == 0));
        kinds
            && self.texts.iter().all(|(part, wide)| {
                other.texts.iter().any(|(theirs, narrow)| {
                    theirs == part
                        && wide.len().saturating_mul(narrow.len()) <= MAX_COMPARISONS
                        && narrow.iter().all(|narrow| wide.iter().any(|wide| wide.covers(narrow)))
                })
            })
    }
}

impl Pattern {
    fn regex(text: &str, dialect: Dialect) -> Option<Self> {
        let hir = parse(text, dialect).ok()?;
        Some(match Shape::of(&hir) {
            Shape::Any => Self::Any,
            Shape::Exact(key) => Self::Exact(key),
            Shape::Prefix(prefix) => Self::Prefix(prefix),
            Shape::Other => {
                let prefix = match hir.kind() {
                    HirKind::Concat(parts) => match parts.as_slice() {
                        [start, literal, ..] if *start.kind() == HirKind::Look(Look::Start) => match literal.kind() {
                            HirKind::Literal(literal) => literal.0.to_vec(),
                            _ => Vec::new(),
                        },
                        _ => Vec::new(),
                    },
                    _ => Vec::new(),
                };
                let text = text.to_owned();
                Self::Regex(Rc::new(Expression { text, dialect, prefix, engine: OnceCell::new() }))
            }
        })
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Exact(wide), Self::Exact(narrow)) => wide == narrow,
            (Self::Prefix(wide), Self::Exact(narrow) | Self::Prefix(narrow)) => narrow.starts_with(wide),
            (Self::Prefix(wide), Self::Regex(narrow)) => !wide.is_empty() && narrow.prefix.starts_with(wide),
            (Self::Regex(wide), Self::Regex(narrow)) => wide.text == narrow.text && wide.dialect == narrow.dialect,
            (Self::Regex(wide), Self::Exact(narrow)) => wide.is_match(narrow),
            _ => false,
        }
    }

    /// What texts that match begin with, where that is known.
    pub(super) fn beginning(&self) -> &[u8] {
        match self {
            Self::Any => b"",
            Self::Exact(text) | Self::Prefix(text) => text,
            Self::Regex(expression) => &expression.prefix,
        }
    }
}

impl Expression {
    fn is_match(&self, text: &[u8]) -> bool {
        let engine = self.engine.get_or_init(|| Regex::compile(&self.text, self.dialect).ok());
        engine.as_ref().is_some_and(|engine| engine.is_match(text))
    }
}
