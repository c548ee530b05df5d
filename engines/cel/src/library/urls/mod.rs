//! `url`: addresses of resources.

mod escape;
#[cfg(test)]
mod tests;
mod url;

use std::any::Any;
use std::collections::HashMap;
use std::rc::Rc;

use url::Url;
pub(super) use url::{check, explain};

use super::failed;
use crate::error::EvalError;
use crate::function::Style::{Global, Receiver};
use crate::function::{Call, Function, Overload, cost};
use crate::types::Type;
use crate::value::{Key, Map, Opaque, Str, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "url",
        style: Global,
        overloads: &[Overload { parameters: &[Type::String], result: KIND }],
        cost: cost::traverse,
        pattern: None,
        call: |call| {
            let text = read_text(call)?;
            let url = Url::parse(text).map_err(|_| failed("URL parse error during conversion from string"))?;
            Ok(Value::opaque(Location::from(url)))
        },
    },
    Function {
        name: "isURL",
        style: Global,
        overloads: &[Overload { parameters: &[Type::String], result: Type::Bool }],
        cost: cost::one,
        pattern: None,
        call: |call| Ok(Value::Bool(check(read_text(call)?).is_ok())),
    },
    part("getScheme", |call| show(call, |location| &location.scheme)),
    part("getHost", |call| show(call, |location| &location.host)),
    part("getHostname", |call| show(call, |location| &location.hostname)),
    part("getPort", |call| show(call, |location| &location.port)),
    part("getEscapedPath", |call| show(call, |location| &location.escaped_path)),
    Function {
        name: "getQuery",
        style: Receiver,
        overloads: &[Overload { parameters: &[KIND], result: Type::Map(&Type::String, &Type::List(&Type::String)) }],
        cost: cost::one,
        pattern: None,
        call: read_query,
    },
];

const KIND: Type = Type::Opaque("kubernetes.URL");

/// A URL whose parts are ready to be handed out: each costs 1, however long it is.
#[derive(Debug)]
struct Location {
    url: Url,
    scheme: Rc<str>,
    host: Rc<str>,
    hostname: Rc<str>,
    port: Rc<str>,
    escaped_path: Rc<str>,
}

impl From<Url> for Location {
    fn from(url: Url) -> Self {
        Self {
            scheme: url.scheme.as_str().into(),
            host: url.host.as_str().into(),
            hostname: url.hostname().into(),
            port: url.port().into(),
            escaped_path: url.escaped_path.as_str().into(),
            url,
        }
    }
}

const fn part(name: &'static str, call: for<'v> fn(&mut Call<'_, 'v>) -> Result<Value<'v>, EvalError>) -> Function {
    let overloads = &[Overload { parameters: &[KIND], result: Type::String }];
    Function { name, style: Receiver, overloads, cost: cost::one, pattern: None, call }
}

fn show<'v>(call: &Call<'_, 'v>, part: fn(&Location) -> &Rc<str>) -> Result<Value<'v>, EvalError> {
    Ok(Value::Text(Str::Shared(Rc::clone(part(call.opaque(0)?)))))
}

/// The text to read, once there is room for its parts.
fn read_text<'c>(call: &mut Call<'c, '_>) -> Result<&'c str, EvalError> {
    let text = call.text(0)?;
    call.allocate(text.len().saturating_mul(4))?;
    Ok(text)
}

fn read_query<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    let url = &call.opaque::<Location>(0)?.url;
    call.allocate(url.text.len().saturating_mul(8))?;
    let mut order: Vec<(String, Vec<Value<'v>>)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for (name, value) in url.query() {
        call.work(1)?;
        let place = *places.entry(name).or_insert_with_key(|name| {
            order.push((name.clone(), Vec::new()));
            order.len().saturating_sub(1)
        });
        if let Some((_, values)) = order.get_mut(place) {
            values.push(Value::text(value));
        }
    }
    let entries = order.into_iter().map(|(name, values)| (Key::Text(name.into()), Value::list(values)));
    Ok(Value::Map(Map::build(entries.collect())?))
}

impl Opaque for Location {
    fn kind(&self) -> Type {
        KIND
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        other.as_any().downcast_ref::<Self>().is_some_and(|other| self.url.text == other.url.text)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
