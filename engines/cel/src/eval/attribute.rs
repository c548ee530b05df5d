//! Variables, selections and choices.

use super::{Evaluation, Outcome};
use crate::error::EvalError;
use crate::node::{Attribute, Node, Qualifier, Root};
use crate::value::{KeyRef, Str, Value};

impl<'v> Evaluation<'_, 'v> {
    pub(super) fn eval_attribute(&mut self, attribute: &'v Attribute) -> Outcome<'v> {
        let outcome = super::settle(self.resolve(attribute))?;
        // "Ternary has no direct cost", and `has()` has none in Kubernetes.
        if !attribute.test && !matches!(attribute.root, Root::Choice(_)) {
            self.budget.charge(1)?;
        }
        outcome
    }

    /// The value of an attribute that is part of another one: only what it is made of is paid for.
    fn resolve_node(&mut self, node: &'v Node) -> Outcome<'v> {
        match node {
            Node::Attribute(attribute) if !attribute.test => {
                self.budget.descend()?;
                let outcome = self.resolve(attribute);
                self.budget.ascend();
                outcome
            }
            _ => self.eval(node),
        }
    }

    fn resolve(&mut self, attribute: &'v Attribute) -> Outcome<'v> {
        let root = match &attribute.root {
            Root::Variable { name, dots } => {
                let value = self.scope.resolve(name, self.budget);
                self.budget.charge(*dots)?;
                value.unwrap_or_else(|| Err(EvalError::failed(format!("no such attribute(s): {name}"))))?
            }
            Root::Local(slot) => match self.locals.get(*slot) {
                Some(value) => value.clone(),
                None => return Err(EvalError::failed("no such attribute(s)")),
            },
            Root::Value(node) => self.eval(node)?,
            Root::Choice(parts) => {
                let [condition, then, otherwise] = &**parts;
                match self.eval(condition)? {
                    Value::Bool(true) => self.resolve_node(then)?,
                    Value::Bool(false) => self.resolve_node(otherwise)?,
                    _ => return Err(EvalError::failed("no such overload")),
                }
            }
        };
        if attribute.qualifiers.is_empty() {
            Ok(root)
        } else {
            self.select(root, &attribute.qualifiers, attribute.test)
        }
    }

    fn select(&mut self, root: Value<'v>, qualifiers: &'v [Qualifier], test: bool) -> Outcome<'v> {
        let mut optional = false;
        let mut value = root;
        if let Value::Optional(content) = &value {
            let Some(content) = content else {
                // `has()` of nothing is false.
                return Ok(if test { Value::Bool(false) } else { value });
            };
            optional = true;
            value = (**content).clone();
        }
        let last = qualifiers.len().saturating_sub(1);
        for (at, qualifier) in qualifiers.iter().enumerate() {
            optional |= qualifier.optional;
            let tested = test && at == last;
            let found = match &qualifier.key {
                Node::Fixed(key) => self.look_up(&value, &key.to_value(), optional || tested),
                node => match super::settle(self.resolve_node(node))? {
                    Ok(key) => self.look_up(&value, &key, optional || tested),
                    Err(error) => Err(error),
                },
            };
            if tested {
                if !optional || matches!(found, Ok(Some(_))) {
                    self.budget.charge(1)?;
                }
                return found.map(|found| Value::Bool(found.is_some()));
            }
            match found {
                Ok(None) if test => return Ok(Value::Bool(false)),
                Ok(None) => return Ok(Value::Optional(None)),
                Ok(Some(found)) => value = found,
                Err(error) => {
                    if !optional {
                        self.budget.charge(1)?;
                    }
                    return Err(error);
                }
            }
            self.budget.charge(1)?;
        }
        Ok(if optional { Value::some(value) } else { value })
    }

    /// What a value has for a key. `None` if there is nothing and that was asked.
    fn look_up(&mut self, value: &Value<'v>, key: &Value<'v>, asked: bool) -> Result<Option<Value<'v>>, EvalError> {
        let found = match value {
            Value::Map(map) => {
                let name = KeyRef::from_value(key);
                // A number that is not whole is no key of any map, but may be asked for.
                if name.is_none() && !matches!(key, Value::Double(_)) {
                    return Err(EvalError::failed(format!("invalid qualifier type: {}", key.type_name())));
                }
                name.and_then(|name| map.get(name))
            }
            Value::List(list) => {
                let index = match KeyRef::from_value(key) {
                    Some(KeyRef::Int(index)) => usize::try_from(index).ok(),
                    Some(KeyRef::UInt(index)) => usize::try_from(index).ok(),
                    _ if matches!(key, Value::Double(_)) => {
                        return Err(EvalError::failed("unsupported index value in list"));
                    }
                    _ => {
                        return Err(EvalError::failed(format!("unsupported index type '{}' in list", key.type_name())));
                    }
                };
                if let Some(index) = index {
                    self.budget.work((index >> 6) as u64)?;
                }
                let item = index.and_then(|index| list.get(index));
                if item.is_none() && !asked {
                    return Err(EvalError::failed(format!("index out of bounds: {}", describe(key))));
                }
                item
            }
            _ => None,
        };
        match found {
            Some(value) => {
                // A text with escapes is decoded each time that it is asked for.
                if let Value::Text(Str::Shared(text)) = &value {
                    self.budget.allocate(text.len())?;
                }
                Ok(Some(value))
            }
            None if asked => Ok(None),
            None => Err(EvalError::failed(format!("no such key: {}", describe(key)))),
        }
    }
}

fn describe(key: &Value<'_>) -> String {
    match (key, KeyRef::from_value(key)) {
        (_, Some(key)) => key.quoted(),
        (Value::Double(value), None) => value.to_string(),
        _ => key.type_name().to_owned(),
    }
}
