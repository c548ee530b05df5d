//! Calls that are no functions: comprehensions, and `has`.

use cel::common::ast::{CallExpr, Expr, IdedExpr};

use super::{Checked, Checker, Local, Ty, attribute};
use crate::error::Fault;
use crate::function::Style;
use crate::node::{Fold, FoldKind, Node, Root};
use crate::types::Type;

impl Checker<'_> {
    /// What a call is if it is a macro.
    pub(super) fn check_macro(&mut self, expr: &IdedExpr, call: &CallExpr) -> Result<Option<Checked>, Fault> {
        let arguments = call.args.as_slice();
        let Some(target) = &call.target else {
            return match (call.func_name.as_str(), arguments) {
                ("has", [argument]) => self.check_has(argument).map(Some),
                _ => Ok(None),
            };
        };
        let checked = match (call.func_name.as_str(), arguments) {
            ("all", [name, body]) => self.quantify(target, &[name], body, FoldKind::All)?,
            ("all", [key, value, body]) => self.quantify(target, &[key, value], body, FoldKind::All)?,
            ("exists", [name, body]) => self.quantify(target, &[name], body, FoldKind::Exists)?,
            ("exists", [key, value, body]) => self.quantify(target, &[key, value], body, FoldKind::Exists)?,
            ("exists_one", [name, body]) => self.quantify(target, &[name], body, FoldKind::ExistsOne)?,
            ("exists_one" | "existsOne", [key, value, body]) => {
                self.quantify(target, &[key, value], body, FoldKind::ExistsOne)?
            }
            ("map", [name, body]) => self.transform(target, &[name], None, body, Into::List)?,
            ("map", [name, filter, body]) => self.transform(target, &[name], Some(filter), body, Into::List)?,
            ("filter", [name, filter]) => self.transform(target, &[name], Some(filter), name, Into::List)?,
            ("transformList", [key, value, body]) => self.transform(target, &[key, value], None, body, Into::List)?,
            ("transformList", [key, value, filter, body]) => {
                self.transform(target, &[key, value], Some(filter), body, Into::List)?
            }
            ("transformMap", [key, value, body]) => self.transform(target, &[key, value], None, body, Into::Map)?,
            ("transformMap", [key, value, filter, body]) => {
                self.transform(target, &[key, value], Some(filter), body, Into::Map)?
            }
            ("transformMapEntry", [key, value, body]) => {
                self.transform(target, &[key, value], None, body, Into::Entries)?
            }
            ("transformMapEntry", [key, value, filter, body]) => {
                self.transform(target, &[key, value], Some(filter), body, Into::Entries)?
            }
            ("sortBy", [name, body]) => self.sort_by(expr, target, name, body)?,
            ("optMap", [name, body]) => self.bind(expr, target, name, body, true)?,
            ("optFlatMap", [name, body]) => self.bind(expr, target, name, body, false)?,
            _ => return Ok(None),
        };
        Ok(Some(checked))
    }

    fn check_has(&mut self, argument: &IdedExpr) -> Result<Checked, Fault> {
        let Expr::Select(select) = &argument.expr else {
            return Err(self.fault(argument, "invalid argument to has() macro"));
        };
        if let Some(name) = self.qualified_name(argument)
            && let Some((range, _)) = self.global(&name)
        {
            // What is declared is there if it can be evaluated.
            let body = Node::Fixed(crate::value::Fixed::Bool(true));
            let slot = self.locals.len();
            let fold = Fold { range, slot, two: false, kind: FoldKind::Let(body) };
            return Ok((Node::Fold(Box::new(fold)), Ty::BOOL));
        }
        let (node, _) = self.select(argument, &select.operand, &select.field, false)?;
        match node {
            Node::Attribute(mut attribute) => {
                attribute.test = true;
                Ok((Node::Attribute(attribute), Ty::BOOL))
            }
            _ => Err(self.fault(argument, "invalid argument to has() macro")),
        }
    }

    /// Checks the range and declares the variables. To be followed by [`Self::leave`].
    fn enter(&mut self, target: &IdedExpr, names: &[&IdedExpr]) -> Result<(Node, Vec<Ty>), Fault> {
        let range = self.check(target)?;
        self.enter_checked(range, target, names)
    }

    fn enter_checked(
        &mut self,
        (range, ty): Checked,
        target: &IdedExpr,
        names: &[&IdedExpr],
    ) -> Result<(Node, Vec<Ty>), Fault> {
        let ty = self.found.resolve(&ty, false);
        let types = match (&ty, names.len()) {
            (Ty::List(item), 1) => vec![(**item).clone()],
            (Ty::List(item), _) => vec![Ty::INT, (**item).clone()],
            (Ty::Map(key, _), 1) => vec![(**key).clone()],
            (Ty::Map(key, value), _) => vec![(**key).clone(), (**value).clone()],
            (Ty::Plain(Type::Dyn) | Ty::Free(_), count) => {
                self.found.assignable(&Ty::DYN, &ty);
                vec![Ty::DYN; count]
            }
            _ => {
                let message = format!(
                    "expression of type '{ty}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                return Err(self.fault(target, &message));
            }
        };
        let mut spelled = Vec::new();
        for name in names {
            spelled.push(self.variable_name(name)?);
        }
        if let (Some(first), Some(second), Some(expr)) = (spelled.first(), spelled.get(1), names.get(1))
            && first == second
        {
            return Err(self.fault(expr, &format!("duplicate variable name: {first}")));
        }
        for (name, ty) in spelled.into_iter().zip(&types) {
            self.locals.push(Local { name, ty: ty.clone(), used: false });
        }
        Ok((range, types))
    }

    fn leave(&mut self, count: usize) {
        self.locals.truncate(self.locals.len().saturating_sub(count));
    }

    fn variable_name(&self, expr: &IdedExpr) -> Result<String, Fault> {
        match &expr.expr {
            Expr::Ident(name) if name == ACCUMULATOR => {
                Err(self.fault(expr, "iteration variable overwrites accumulator variable"))
            }
            Expr::Ident(name) if !name.starts_with('.') => Ok(name.clone()),
            _ => Err(self.fault(expr, "argument must be a simple name")),
        }
    }

    fn predicate(&mut self, expr: &IdedExpr, operator: &str) -> Result<Node, Fault> {
        let (node, ty) = self.check(expr)?;
        if self.found.assignable(&Ty::BOOL, &ty) {
            return Ok(node);
        }
        Err(self.no_matching_overload(expr, operator, false, &[Ty::BOOL, ty]))
    }

    fn quantify(
        &mut self,
        target: &IdedExpr,
        names: &[&IdedExpr],
        body: &IdedExpr,
        kind: fn(Node) -> FoldKind,
    ) -> Result<Checked, Fault> {
        let slot = self.locals.len();
        let (range, types) = self.enter(target, names)?;
        let body = self.predicate(body, "_&&_")?;
        self.leave(types.len());
        Ok((Node::Fold(Box::new(Fold { range, slot, two: types.len() == 2, kind: kind(body) })), Ty::BOOL))
    }

    fn transform(
        &mut self,
        target: &IdedExpr,
        names: &[&IdedExpr],
        filter: Option<&IdedExpr>,
        body: &IdedExpr,
        into: Into,
    ) -> Result<Checked, Fault> {
        let range = self.check(target)?;
        self.transform_checked(range, target, names, filter, body, into)
    }

    fn transform_checked(
        &mut self,
        range: Checked,
        target: &IdedExpr,
        names: &[&IdedExpr],
        filter: Option<&IdedExpr>,
        body: &IdedExpr,
        into: Into,
    ) -> Result<Checked, Fault> {
        let slot = self.locals.len();
        let (range, types) = self.enter_checked(range, target, names)?;
        let filter = filter.map(|filter| self.predicate(filter, "_?_:_")).transpose()?;
        let (body_node, ty) = self.check(body)?;
        self.leave(types.len());
        let key = types.first().cloned().unwrap_or(Ty::DYN);
        let (kind, ty) = match into {
            Into::List => (FoldKind::List { filter, body: body_node }, Ty::list(ty)),
            Into::Map => (FoldKind::Map { filter, body: body_node }, Ty::map(key, ty)),
            Into::Entries => {
                let ty = self.found.resolve(&ty, false);
                if !matches!(ty, Ty::Map(..) | Ty::Plain(Type::Dyn) | Ty::Free(_)) {
                    return Err(self.mismatch(body, &Ty::map(Ty::DYN, Ty::DYN), &ty));
                }
                (FoldKind::Entries { filter, body: body_node }, ty)
            }
        };
        Ok((Node::Fold(Box::new(Fold { range, slot, two: types.len() == 2, kind })), ty))
    }

    /// `x.@sortByAssociatedKeys(x.map(name, body))`, where `x` is evaluated once.
    fn sort_by(
        &mut self,
        expr: &IdedExpr,
        target: &IdedExpr,
        name: &IdedExpr,
        body: &IdedExpr,
    ) -> Result<Checked, Fault> {
        let (range, ty) = self.check(target)?;
        let slot = self.locals.len();
        // No expression can spell the name.
        self.locals.push(Local { name: "@list".to_owned(), ty: ty.clone(), used: true });
        let list = || attribute(Root::Local(slot));
        let (keys, key_type) = self.transform_checked((list(), ty.clone()), target, &[name], None, body, Into::List)?;
        let (body, ty) =
            self.check_function(expr, "@sortByAssociatedKeys", Style::Receiver, vec![list(), keys], &[ty, key_type])?;
        self.leave(1);
        Ok((Node::Fold(Box::new(Fold { range, slot, two: false, kind: FoldKind::Let(body) })), ty))
    }

    fn bind(
        &mut self,
        expr: &IdedExpr,
        target: &IdedExpr,
        name: &IdedExpr,
        body: &IdedExpr,
        wrap: bool,
    ) -> Result<Checked, Fault> {
        let name = self.variable_name(name)?;
        let slot = self.locals.len();
        let (range, ty) = self.check(target)?;
        let ty = match self.found.resolve(&ty, false) {
            Ty::Optional(value) => (*value).clone(),
            Ty::Plain(Type::Dyn) | Ty::Free(_) => Ty::DYN,
            other => return Err(self.no_matching_overload(expr, "hasValue", true, &[other])),
        };
        self.locals.push(Local { name, ty, used: false });
        let (body_node, ty) = self.check(body)?;
        let used = self.locals.pop().is_some_and(|local| local.used);
        let ty = match self.found.resolve(&ty, false) {
            ty if wrap => Ty::optional(ty),
            ty @ (Ty::Optional(_) | Ty::Plain(Type::Dyn) | Ty::Free(_)) => ty,
            other => {
                return Err(self.no_matching_overload(expr, "_?_:_", false, &[Ty::BOOL, other, Ty::optional(Ty::DYN)]));
            }
        };
        Ok((
            Node::Fold(Box::new(Fold {
                range,
                slot,
                two: false,
                kind: FoldKind::Bind { body: body_node, wrap, used },
            })),
            ty,
        ))
    }
}

/// The name that the parser gives to what a comprehension collects in.
const ACCUMULATOR: &str = "__result__";

/// What a comprehension collects into.
#[derive(Clone, Copy)]
enum Into {
    List,
    Map,
    Entries,
}
