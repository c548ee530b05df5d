//! Whether JSON values are the same, whatever the order of their keys and however their numbers are written.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value as Literal;

use super::context::Context;
use super::truth::Truth;
use crate::admission::json::{Kind, Value};

/// Whether a value is what a hook says. Recurses as deep as the hook's value goes, which its file limits.
pub(super) fn equals(value: Value<'_>, literal: &Literal) -> bool {
    match literal {
        Literal::Null => value.is_null(),
        Literal::Bool(wanted) => value.bool() == Some(*wanted),
        Literal::Number(wanted) => value.number().is_some_and(|number| is_number(number, &wanted.to_string())),
        Literal::String(wanted) => value.text().is_some_and(|text| text.is(wanted)),
        Literal::Array(wanted) => {
            let mut items = value.items();
            value.kind() == Kind::List
                && wanted.iter().all(|wanted| items.next().is_some_and(|item| equals(item, wanted)))
                && items.next().is_none()
        }
        Literal::Object(wanted) => {
            value.kind() == Kind::Map
                && value.entries().all(|(key, _)| wanted.contains_key(&*key.to_cow()))
                && wanted.iter().all(|(key, wanted)| value.get(key).is_some_and(|value| equals(value, wanted)))
        }
    }
}

/// Whether two values of a review are the same. Does not recurse.
pub(super) fn same<'d>(context: &Context<'_, 'd>, one: Value<'d>, other: Value<'d>) -> Truth {
    if one.raw() == other.raw() {
        return Truth::Yes;
    }
    let mut open = vec![(one, other)];
    while let Some((one, other)) = open.pop() {
        let alike = one.kind() == other.kind()
            && match one.kind() {
                Kind::Null => true,
                Kind::Bool => one.bool() == other.bool(),
                Kind::Number => is_number(one.number().unwrap_or_default(), other.number().unwrap_or_default()),
                Kind::Text => one.text().map(|text| text.to_cow()) == other.text().map(|text| text.to_cow()),
                Kind::List => {
                    let mut others = other.items();
                    let paired = one.items().all(|item| {
                        let other = others.next().filter(|_| context.spend());
                        open.extend(other.map(|other| (item, other)));
                        other.is_some()
                    });
                    paired && others.next().is_none()
                }
                Kind::Map => {
                    let [ones, others] = [one, other].map(|map| by_key(context, map));
                    ones.len() == others.len()
                        && ones.into_iter().all(|(key, one)| {
                            let other = others.get(&key).copied();
                            open.extend(other.map(|other| (one, other)));
                            other.is_some()
                        })
                }
            };
        if context.is_exhausted() {
            return Truth::Unreadable;
        }
        if !alike {
            return Truth::No;
        }
    }
    Truth::Yes
}

/// The entries of a map, of a key that stands twice the last one; as many as may be looked at. For questions about each of
/// its keys: asking the map would compare each key with all others.
pub(super) fn by_key<'d>(context: &Context<'_, 'd>, map: Value<'d>) -> HashMap<Cow<'d, str>, Value<'d>> {
    map.entries().take_while(|_| context.spend()).map(|(key, value)| (key.to_cow(), value)).collect()
}

/// Whether two numbers are the same, as far as floating point tells where they are not whole.
fn is_number(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    match (one.parse::<i128>(), other.parse::<i128>()) {
        (Ok(one), Ok(other)) => one == other,
        _ => match (one.parse::<f64>(), other.parse::<f64>()) {
            (Ok(one), Ok(other)) => one.is_finite() && one == other,
            _ => false,
        },
    }
}
