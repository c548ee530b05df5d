//! Calls of functions and operators.

use std::sync::Arc;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};

use super::{Checked, Checker, Ty, attribute, qualify};
use crate::budget::Budget;
use crate::error::Fault;
use crate::eval;
use crate::function::{Function, Overload, Style};
use crate::node::{Alternative, CallNode, Member, Node, Operation, Qualifier, Root};
use crate::operators::Operator;
use crate::regex::Regex;
use crate::standard;
use crate::types::Type;
use crate::value::Fixed;

const A: Type = Type::Param('A');
const B: Type = Type::Param('B');
const LIST: Type = Type::List(&A);
const MAP: Type = Type::Map(&A, &B);
const OPTIONAL_A: Type = Type::Optional(&A);
const OPTIONAL_B: Type = Type::Optional(&B);
const OPTIONAL_LIST: Type = Type::Optional(&LIST);
const OPTIONAL_MAP: Type = Type::Optional(&MAP);

const LOGIC: &[Overload] = &[Overload { parameters: &[Type::Bool, Type::Bool], result: Type::Bool }];
const CHOICE: &[Overload] = &[Overload { parameters: &[Type::Bool, A, A], result: A }];
const INDEX: &[Overload] = &[
    Overload { parameters: &[LIST, Type::Int], result: A },
    Overload { parameters: &[MAP, A], result: B },
    Overload { parameters: &[OPTIONAL_LIST, Type::Int], result: OPTIONAL_A },
    Overload { parameters: &[OPTIONAL_MAP, A], result: OPTIONAL_B },
];
const OPTIONAL_INDEX: &[Overload] = &[
    Overload { parameters: &[LIST, Type::Int], result: OPTIONAL_A },
    Overload { parameters: &[OPTIONAL_LIST, Type::Int], result: OPTIONAL_A },
    Overload { parameters: &[MAP, A], result: OPTIONAL_B },
    Overload { parameters: &[OPTIONAL_MAP, A], result: OPTIONAL_B },
];
const OR: &[Overload] = &[Overload { parameters: &[OPTIONAL_A, OPTIONAL_A], result: OPTIONAL_A }];
const OR_VALUE: &[Overload] = &[Overload { parameters: &[OPTIONAL_A, A], result: A }];

impl Checker<'_> {
    pub(super) fn check_call(&mut self, expr: &IdedExpr, call: &CallExpr) -> Result<Checked, Fault> {
        let name = call.func_name.as_str();
        if let Some(expanded) = self.check_macro(expr, call)? {
            return Ok(expanded);
        }
        match &call.target {
            None if name == operators::OPT_SELECT => self.check_optional_select(expr, call),
            None => {
                let (nodes, types) = self.check_all(call.args.iter())?;
                self.check_global(expr, name.strip_prefix('.').unwrap_or(name), nodes, types)
            }
            Some(target) => {
                if let Some(prefix) = self.qualified_name(target) {
                    let qualified = format!("{prefix}.{name}");
                    if !standard::find(&qualified, Style::Global).is_empty() {
                        let (nodes, types) = self.check_all(call.args.iter())?;
                        return self.check_global(expr, &qualified, nodes, types);
                    }
                }
                // "%s %d".format(['a', 1]) is what lists of different things are for.
                let mixed = self.mixed;
                self.mixed |= name == "format";
                let checked = self.check_all(std::iter::once(&**target).chain(&call.args));
                self.mixed = mixed;
                let (nodes, types) = checked?;
                self.check_receiver(expr, name, nodes, types)
            }
        }
    }

    fn check_all<'x>(&mut self, all: impl Iterator<Item = &'x IdedExpr>) -> Result<(Vec<Node>, Vec<Ty>), Fault> {
        let mut checked = (Vec::new(), Vec::new());
        for expr in all {
            let (node, ty) = self.check(expr)?;
            checked.0.push(node);
            checked.1.push(ty);
        }
        Ok(checked)
    }

    fn check_optional_select(&mut self, expr: &IdedExpr, call: &CallExpr) -> Result<Checked, Fault> {
        match call.args.as_slice() {
            [operand, IdedExpr { expr: Expr::Literal(LiteralValue::String(field)), .. }] => {
                self.select(expr, operand, field.inner(), true)
            }
            _ => Err(self.fault(expr, "unsupported optional field selection")),
        }
    }

    fn check_global(
        &mut self,
        expr: &IdedExpr,
        name: &str,
        mut nodes: Vec<Node>,
        types: Vec<Ty>,
    ) -> Result<Checked, Fault> {
        let special = match name {
            operators::LOGICAL_AND | operators::LOGICAL_OR => LOGIC,
            operators::CONDITIONAL => CHOICE,
            operators::INDEX => INDEX,
            operators::OPT_INDEX => OPTIONAL_INDEX,
            _ => {
                return match Operator::find(name) {
                    Some(operator) => self.check_operation(expr, operator, nodes, &types),
                    None => self.check_function(expr, name, Style::Global, nodes, &types),
                };
            }
        };
        let ty = self.resolve(special, &types).1.ok_or_else(|| self.no_matching_overload(expr, name, false, &types))?;
        let third = (nodes.len() == 3).then(|| nodes.pop()).flatten();
        let (Some(second), Some(first)) = (nodes.pop(), nodes.pop()) else {
            return Err(self.no_matching_overload(expr, name, false, &types));
        };
        let node = match (name, third) {
            (operators::LOGICAL_AND, _) => Node::And(Box::new([first, second])),
            (operators::LOGICAL_OR, _) => Node::Or(Box::new([first, second])),
            (operators::CONDITIONAL, Some(third)) => attribute(Root::Choice(Box::new([first, second, third]))),
            (operators::OPT_INDEX, _) => qualify(first, Qualifier { key: second, optional: true }),
            _ => qualify(first, Qualifier { key: second, optional: false }),
        };
        Ok((node, ty))
    }

    fn check_operation(
        &mut self,
        expr: &IdedExpr,
        operator: Operator,
        mut operands: Vec<Node>,
        types: &[Ty],
    ) -> Result<Checked, Fault> {
        let overloads = operator.overloads();
        let (fitting, ty) = self.resolve(overloads, types);
        let ty = ty.ok_or_else(|| self.no_matching_overload(expr, operator.name(), false, types))?;
        let single = match fitting.as_slice() {
            [one] => overloads.get(*one),
            _ => None,
        };
        let sized = single.is_some_and(|overload| operator.is_sized(overload));
        if operator == Operator::In
            && sized
            && let Some(Node::Fixed(Fixed::List(items))) = operands.get(1)
        {
            if items.is_empty() {
                return Ok((Node::Fixed(Fixed::Bool(false)), Ty::BOOL));
            }
            if items.iter().all(is_primitive) {
                let (texts, others): (Vec<_>, Vec<_>) =
                    items.iter().cloned().partition(|item| matches!(item, Fixed::Text(_)));
                let texts = texts.into_iter().filter_map(|item| match item {
                    Fixed::Text(text) => Some(text),
                    _ => None,
                });
                let texts = texts.collect();
                let value = operands.swap_remove(0);
                return Ok((Node::Member(Box::new(Member { value, texts, others })), Ty::BOOL));
            }
        }
        Ok((Node::Operation(Box::new(Operation { operator, operands, sized })), ty))
    }

    fn check_receiver(
        &mut self,
        expr: &IdedExpr,
        name: &str,
        mut nodes: Vec<Node>,
        types: Vec<Ty>,
    ) -> Result<Checked, Fault> {
        let (overloads, unwrap) = match name {
            "or" => (OR, false),
            "orValue" => (OR_VALUE, true),
            _ => return self.check_function(expr, name, Style::Receiver, nodes, &types),
        };
        let ty =
            self.resolve(overloads, &types).1.ok_or_else(|| self.no_matching_overload(expr, name, true, &types))?;
        let (Some(second), Some(first)) = (nodes.pop(), nodes.pop()) else {
            return Err(self.no_matching_overload(expr, name, true, &types));
        };
        Ok((Node::Alternative(Box::new(Alternative { first, second, unwrap })), ty))
    }

    pub(super) fn check_function(
        &mut self,
        expr: &IdedExpr,
        name: &str,
        style: Style,
        arguments: Vec<Node>,
        types: &[Ty],
    ) -> Result<Checked, Fault> {
        let functions = standard::find(name, style);
        let Some(first) = functions.first() else {
            let other = if style == Style::Global { Style::Receiver } else { Style::Global };
            return Err(if standard::find(name, other).is_empty() {
                self.undeclared(expr, name)
            } else {
                self.no_matching_overload(expr, name, style == Style::Receiver, types)
            });
        };
        let name = first.name;
        let mut candidates: Vec<(&'static Function, Vec<usize>)> = Vec::new();
        let mut result: Option<Ty> = None;
        for function in functions {
            let (fitting, ty) = self.resolve(function.overloads, types);
            if let Some(ty) = ty {
                candidates.push((function, fitting));
                result = Some(super::merge(result, ty));
            }
        }
        let ty = result.ok_or_else(|| self.no_matching_overload(expr, name, style == Style::Receiver, types))?;
        let pattern = self.pattern(expr, &candidates, &arguments)?;
        let flat = candidates.len() > 1 && standard::is_standard(name);
        let call = CallNode { name, candidates, arguments, pattern, flat };
        if let ("dyn", [Node::Fixed(value)]) = (name, call.arguments.as_slice()) {
            return Ok((Node::Fixed(value.clone()), ty));
        }
        // Conversions of what is known are done at once, and cost nothing.
        if let ([Node::Fixed(value)], true) = (call.arguments.as_slice(), CONVERSIONS.contains(&name)) {
            let mut budget = Budget::new(u64::MAX, None);
            let converted = eval::call_function(&call, &[value.to_value()], &mut budget);
            let converted = converted.map_err(|error| self.fault(expr, &error.to_string()))?;
            if let Some(value) = Fixed::from_value(&converted) {
                return Ok((Node::Fixed(value), ty));
            }
        }
        Ok((Node::Call(Box::new(call)), ty))
    }

    /// The regular expression among the arguments, if it is known.
    fn pattern(
        &self,
        expr: &IdedExpr,
        candidates: &[(&'static Function, Vec<usize>)],
        arguments: &[Node],
    ) -> Result<Option<Arc<Regex>>, Fault> {
        let Some(at) = candidates.iter().find_map(|(function, _)| function.pattern) else { return Ok(None) };
        let Some(Node::Fixed(Fixed::Text(pattern))) = arguments.get(at) else { return Ok(None) };
        match Regex::compile(pattern) {
            Ok(regex) => Ok(Some(Arc::new(regex))),
            Err(why) => Err(self.fault(expr, &format!("invalid matches argument: error parsing regexp: {why}"))),
        }
    }
}

const CONVERSIONS: &[&str] =
    &["bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint"];

fn is_primitive(item: &Fixed) -> bool {
    matches!(item, Fixed::Bool(_) | Fixed::Int(_) | Fixed::UInt(_) | Fixed::Double(_) | Fixed::Text(_))
}
