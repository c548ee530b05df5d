//! Checks a syntax tree, and makes it ready to be evaluated.

mod calls;
mod macros;
pub(crate) mod types;

use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr};

use crate::environment::Environment;
use crate::error::Fault;
use crate::function::Overload;
use crate::library;
use crate::node::{Attribute, Entry, Item, Node, Qualifier, Root};
use crate::parse::Source;
use crate::types::Type;
use crate::value::{Fixed, FixedMap};
use types::{Found, Ty};

/// A part that was checked, and the type of its values.
pub(crate) type Checked = (Node, Ty);

/// Checks an expression.
///
/// # Errors
///
/// What it refers to is not there, or its types do not fit.
pub(crate) fn check(tree: &IdedExpr, source: &Source<'_>, environment: &Environment) -> Result<Checked, Fault> {
    let mut checker = Checker {
        source,
        environment,
        found: Found::default(),
        locals: Vec::new(),
        mixed: false,
        alike: Vec::new(),
        steps: 0,
    };
    let (node, ty) = checker.check(tree)?;
    checker.compare_items()?;
    Ok((node, checker.found.resolve(&ty, true)))
}

struct Checker<'e> {
    source: &'e Source<'e>,
    environment: &'e Environment,
    found: Found,
    locals: Vec<Local>,
    /// Whether the items of a list may be of different types.
    mixed: bool,
    /// What must be of one type once all types are known: the items of a list, the keys or the values of a map, each with its
    /// place in the source.
    alike: Vec<Vec<(u64, Ty)>>,
    /// How many parts were looked at. A macro may look at one twice, and that within another.
    steps: usize,
}

/// A variable of a comprehension; its place is its index.
struct Local {
    name: String,
    ty: Ty,
    used: bool,
}

impl Checker<'_> {
    fn check(&mut self, expr: &IdedExpr) -> Result<Checked, Fault> {
        self.steps = self.steps.saturating_add(1);
        if self.steps > MAX_STEPS {
            return Err(
                self.fault(expr, "the expression is too large once its macros are expanded; divide it into several")
            );
        }
        match &expr.expr {
            Expr::Literal(literal) => Ok(literal_of(literal)),
            Expr::Ident(name) => self.check_name(expr, name),
            Expr::Select(select) => self.check_select(expr, select),
            Expr::Call(call) => self.check_call(expr, call),
            Expr::List(list) => {
                let mut items = Vec::with_capacity(list.elements.len());
                let mut item_type = None;
                let mut alike = Vec::new();
                for (at, element) in list.elements.iter().enumerate() {
                    let optional = list.optional_indices.contains(&at);
                    let (value, ty) = self.check(element)?;
                    let ty = if optional { self.unwrap_optional(element, &ty)? } else { ty };
                    alike.push((element.id, ty.clone()));
                    item_type = Some(self.join(element, item_type, ty)?);
                    items.push(Item { value, optional });
                }
                let item_type = item_type.unwrap_or_else(|| self.found.fresh());
                self.keep_alike([alike]);
                Ok((fold_list(items), Ty::list(item_type)))
            }
            Expr::Map(map) => {
                let mut entries = Vec::with_capacity(map.entries.len());
                let mut types = (None, None);
                let mut alike = [Vec::new(), Vec::new()];
                for entry in &map.entries {
                    let EntryExpr::MapEntry(entry) = &entry.expr else {
                        return Err(self.fault(expr, "unsupported entry of a map"));
                    };
                    let (key, key_type) = self.check(&entry.key)?;
                    let (value, ty) = self.check(&entry.value)?;
                    let ty = if entry.optional { self.unwrap_optional(&entry.value, &ty)? } else { ty };
                    let [keys, values] = &mut alike;
                    keys.push((entry.key.id, key_type.clone()));
                    values.push((entry.value.id, ty.clone()));
                    types.0 = Some(self.join(&entry.key, types.0, key_type)?);
                    types.1 = Some(self.join(&entry.value, types.1, ty)?);
                    entries.push(Entry { key, value, optional: entry.optional });
                }
                self.keep_alike(alike);
                let key = types.0.unwrap_or_else(|| self.found.fresh());
                let value = types.1.unwrap_or_else(|| self.found.fresh());
                Ok((fold_map(entries), Ty::map(key, value)))
            }
            Expr::Struct(message) => Err(self.undeclared(expr, &message.type_name)),
            Expr::Comprehension(_) | Expr::Unspecified => Err(self.fault(expr, "unsupported expression")),
        }
    }

    fn keep_alike<const N: usize>(&mut self, groups: [Vec<(u64, Ty)>; N]) {
        if !self.mixed {
            self.alike.extend(groups.into_iter().filter(|group| group.len() > 1));
        }
    }

    /// "expected type 'int' but found 'dyn'": `ValidateHomogeneousAggregateLiterals` takes no item whose type is not known beside
    /// one whose type is.
    fn compare_items(&self) -> Result<(), Fault> {
        for group in &self.alike {
            let mut types = group.iter().map(|(id, ty)| (*id, self.found.resolve(ty, true)));
            let Some((_, first)) = types.next() else { continue };
            if let Some((id, other)) = types.find(|(_, ty)| *ty != first) {
                let message = format!("expected type '{first}' but found '{other}'; give all of them one type");
                return Err(self.source.fault(id, &message));
            }
        }
        Ok(())
    }

    fn check_name(&mut self, expr: &IdedExpr, name: &str) -> Result<Checked, Fault> {
        if let Some((slot, local)) = self.locals.iter_mut().enumerate().rev().find(|(_, local)| local.name == name) {
            local.used = true;
            return Ok((attribute(Root::Local(slot)), local.ty.clone()));
        }
        let name = name.strip_prefix('.').unwrap_or(name);
        self.global(name).ok_or_else(|| self.undeclared(expr, name))
    }

    /// A variable of the environment, or the name of a type.
    fn global(&self, name: &str) -> Option<Checked> {
        if let Some((name, ty)) = self.environment.find(name) {
            let dots = name.matches('.').count() as u64;
            return Some((attribute(Root::Variable { name, dots }), ty));
        }
        let known = TYPES.iter().find(|known| **known == name)?;
        Some((Node::Fixed(Fixed::Type(known)), Ty::Plain(Type::Type)))
    }

    fn check_select(&mut self, expr: &IdedExpr, select: &SelectExpr) -> Result<Checked, Fault> {
        if !select.test
            && let Some(name) = self.qualified_name(expr)
            && let Some(found) = self.global(&name)
        {
            return Ok(found);
        }
        self.select(expr, &select.operand, &select.field, false)
    }

    /// What `a.b.c` spells, if `a` is no variable of a comprehension.
    fn qualified_name(&self, expr: &IdedExpr) -> Option<String> {
        let mut segments = Vec::new();
        let mut expr = expr;
        loop {
            match &expr.expr {
                Expr::Ident(name) => {
                    if self.locals.iter().any(|local| local.name == *name) {
                        return None;
                    }
                    segments.push(name.strip_prefix('.').unwrap_or(name));
                    segments.reverse();
                    return Some(segments.join("."));
                }
                Expr::Select(select) if !select.test => {
                    segments.push(&select.field);
                    expr = &select.operand;
                }
                _ => return None,
            }
        }
    }

    fn select(&mut self, expr: &IdedExpr, operand: &IdedExpr, field: &str, optional: bool) -> Result<Checked, Fault> {
        if let Expr::Ident(name) = &operand.expr
            && !self.locals.iter().any(|local| local.name == *name)
            && self.environment.find(name).is_none()
            && self.environment.has_fields(name)
        {
            return Err(self.fault(expr, &format!("undefined field '{field}'")));
        }
        let (node, ty) = self.check(operand)?;
        let ty = self.found.resolve(&ty, false);
        let (target, wrapped) = match ty {
            Ty::Optional(value) => (self.found.resolve(&value, false), true),
            other => (other, false),
        };
        let result = match &target {
            Ty::Plain(Type::Object(name)) => {
                let ty = self.environment.field(name, field);
                ty.ok_or_else(|| self.fault(expr, &format!("undefined field '{field}'")))?
            }
            Ty::Map(_, value) => (**value).clone(),
            Ty::Plain(Type::Dyn) => Ty::DYN,
            Ty::Free(_) => {
                self.found.assignable(&Ty::DYN, &target);
                Ty::DYN
            }
            other => return Err(self.fault(operand, &format!("type '{other}' does not support field selection"))),
        };
        let result = if wrapped || optional { Ty::optional(result) } else { result };
        let key = Node::Fixed(Fixed::Text(field.to_owned()));
        Ok((qualify(node, Qualifier { key, optional }), result))
    }

    fn unwrap_optional(&mut self, expr: &IdedExpr, ty: &Ty) -> Result<Ty, Fault> {
        match self.found.resolve(ty, false) {
            Ty::Optional(value) => Ok((*value).clone()),
            // The API server takes one whose type is not known only where it asks no types of items.
            Ty::Plain(Type::Dyn) if self.mixed => Ok(Ty::DYN),
            other => Err(self.mismatch(expr, &Ty::optional(other.clone()), &other)),
        }
    }

    fn join(&mut self, expr: &IdedExpr, previous: Option<Ty>, current: Ty) -> Result<Ty, Fault> {
        match self.found.join(previous, current) {
            Err(_) if self.mixed => Ok(Ty::DYN),
            joined => joined.map_err(|(wanted, given)| self.mismatch(expr, &wanted, &given)),
        }
    }

    /// Which overloads take arguments of these types, and what they give.
    fn resolve(&mut self, overloads: &[Overload], given: &[Ty]) -> (Vec<usize>, Option<Ty>) {
        let mut result: Option<Ty> = None;
        let mut fitting = Vec::new();
        for (at, overload) in overloads.iter().enumerate() {
            let mut letters = Vec::new();
            let wanted: Vec<Ty> =
                overload.parameters.iter().map(|declared| self.found.instantiate(declared, &mut letters)).collect();
            let gives = self.found.instantiate(&overload.result, &mut letters);
            if self.found.all_assignable(given, &wanted) {
                fitting.push(at);
                let gives = self.found.resolve(&gives, false);
                result = Some(merge(result, gives));
            }
        }
        (fitting, result)
    }

    fn no_matching_overload(&self, expr: &IdedExpr, name: &str, receiver: bool, given: &[Ty]) -> Fault {
        let mut given: Vec<String> = given.iter().map(|ty| self.found.resolve(ty, true).to_string()).collect();
        let receiver = if receiver && !given.is_empty() { format!("{}.", given.remove(0)) } else { String::new() };
        self.fault(
            expr,
            &format!("found no matching overload for '{name}' applied to '{receiver}({})'", given.join(", ")),
        )
    }

    fn mismatch(&self, expr: &IdedExpr, wanted: &Ty, given: &Ty) -> Fault {
        let (wanted, given) = (self.found.resolve(wanted, true), self.found.resolve(given, true));
        self.fault(expr, &format!("expected type '{wanted}' but found '{given}'"))
    }

    fn undeclared(&self, expr: &IdedExpr, name: &str) -> Fault {
        let shown: String = name.chars().take(MAX_SHOWN).collect();
        let why = library::explain_missing(name).map_or(String::new(), |why| format!(": {why}"));
        self.fault(expr, &format!("undeclared reference to '{shown}' (in container ''){why}"))
    }

    fn fault(&self, expr: &IdedExpr, message: &str) -> Fault {
        self.source.fault(expr.id, message)
    }
}

/// Parts of an expression with its macros expanded: some three times what fits into an expression that has none.
const MAX_STEPS: usize = 100_000;
/// How many characters of a name a message shows.
const MAX_SHOWN: usize = 100;

/// Names that stand for types.
const TYPES: &[&str] = &[
    "bool",
    "bytes",
    "double",
    "google.protobuf.Duration",
    "google.protobuf.Timestamp",
    "int",
    "list",
    "map",
    "null_type",
    "optional_type",
    "string",
    "type",
    "uint",
    "net.IP",
    "net.CIDR",
];

/// "First matching overload, determines result type", unless another one gives something else.
fn merge(result: Option<Ty>, gives: Ty) -> Ty {
    match result {
        None => gives,
        Some(result) if result == Ty::DYN || result == gives => result,
        Some(_) => Ty::DYN,
    }
}

fn literal_of(literal: &LiteralValue) -> Checked {
    let (value, ty) = match literal {
        LiteralValue::Null => (Fixed::Null, Type::Null),
        LiteralValue::Boolean(value) => (Fixed::Bool(*value.inner()), Type::Bool),
        LiteralValue::Int(value) => (Fixed::Int(*value.inner()), Type::Int),
        LiteralValue::UInt(value) => (Fixed::UInt(*value.inner()), Type::UInt),
        LiteralValue::Double(value) => (Fixed::Double(*value.inner()), Type::Double),
        LiteralValue::String(text) => (Fixed::Text(text.inner().to_owned()), Type::String),
        LiteralValue::Bytes(bytes) => (Fixed::Bytes(bytes.inner().into()), Type::Bytes),
    };
    (Node::Fixed(value), Ty::Plain(ty))
}

fn attribute(root: Root) -> Node {
    Node::Attribute(Box::new(Attribute { root, qualifiers: Vec::new(), test: false }))
}

fn qualify(node: Node, qualifier: Qualifier) -> Node {
    match node {
        Node::Attribute(mut attribute) if !attribute.test => {
            attribute.qualifiers.push(qualifier);
            Node::Attribute(attribute)
        }
        other => {
            Node::Attribute(Box::new(Attribute { root: Root::Value(other), qualifiers: vec![qualifier], test: false }))
        }
    }
}

/// A list of which everything is known is known.
fn fold_list(items: Vec<Item>) -> Node {
    if items.iter().all(|item| matches!(item.value, Node::Fixed(_)) && !item.optional) {
        let known = items.into_iter().filter_map(|item| match item.value {
            Node::Fixed(value) => Some(value),
            _ => None,
        });
        return Node::Fixed(Fixed::List(known.collect()));
    }
    Node::List(items)
}

fn fold_map(entries: Vec<Entry>) -> Node {
    let known: Option<Vec<(Fixed, Fixed)>> = entries
        .iter()
        .map(|entry| match (&entry.key, &entry.value) {
            (Node::Fixed(key), Node::Fixed(value)) if !entry.optional && key.as_key().is_some() => {
                Some((key.clone(), value.clone()))
            }
            _ => None,
        })
        .collect();
    match known.and_then(FixedMap::new) {
        Some(map) => Node::Fixed(Fixed::Map(map)),
        None => Node::Map(entries),
    }
}
