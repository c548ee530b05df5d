//! Values as `%s` writes them: those in lists and maps as CEL literals.

use crate::error::EvalError;
use crate::function::Call;
use crate::library::failed;
use crate::library::quote::{GROWTH, quote};
use crate::value::{Key, ListItems, Value};

/// Writes a value. Lists and maps are walked through without recursion: a document's may be a thousand deep.
pub(super) fn write<'v>(call: &mut Call<'_, 'v>, value: &Value<'v>, out: &mut String) -> Result<(), EvalError> {
    if !matches!(value, Value::List(_) | Value::Map(_)) {
        let text = plain(call, value)?;
        return push(call, out, &text);
    }
    let mut open = vec![Open::start(call, value, out)?];
    while let Some(innermost) = open.last_mut() {
        call.work(1)?;
        let Some((lead, value)) = innermost.next() else {
            push(call, out, innermost.close())?;
            open.pop();
            continue;
        };
        push(call, out, &lead)?;
        if matches!(value, Value::List(_) | Value::Map(_)) {
            open.push(Open::start(call, &value, out)?);
        } else {
            let text = nested(call, &value)?;
            push(call, out, &text)?;
        }
    }
    Ok(())
}

/// A list or map that is being written.
enum Open<'v> {
    List { items: ListItems<'v>, first: bool },
    Map { entries: std::vec::IntoIter<(String, Value<'v>)>, first: bool },
}

impl<'v> Open<'v> {
    fn start(call: &mut Call<'_, 'v>, value: &Value<'v>, out: &mut String) -> Result<Self, EvalError> {
        match value {
            Value::List(list) => {
                push(call, out, "[")?;
                Ok(Self::List { items: list.items(), first: true })
            }
            Value::Map(map) => {
                push(call, out, "{")?;
                let mut entries = Vec::new();
                for (key, value) in map.entries() {
                    call.work(1)?;
                    entries.push((write_key(call, &key)?, value));
                }
                entries.sort_by(|(left, _), (right, _)| left.cmp(right));
                Ok(Self::Map { entries: entries.into_iter(), first: true })
            }
            _ => Err(call.no_such_overload()),
        }
    }

    /// What comes next, and what to write before it.
    fn next(&mut self) -> Option<(String, Value<'v>)> {
        match self {
            Self::List { items, first } => {
                let item = items.next()?;
                Some((comma(first).to_owned(), item))
            }
            Self::Map { entries, first } => {
                let (key, value) = entries.next()?;
                Some((format!("{}{key}:", comma(first)), value))
            }
        }
    }

    fn close(&self) -> &'static str {
        match self {
            Self::List { .. } => "]",
            Self::Map { .. } => "}",
        }
    }
}

fn comma(first: &mut bool) -> &'static str {
    if std::mem::replace(first, false) { "" } else { ", " }
}

fn push(call: &mut Call<'_, '_>, out: &mut String, text: &str) -> Result<(), EvalError> {
    call.allocate(text.len())?;
    out.push_str(text);
    Ok(())
}

fn write_key(call: &mut Call<'_, '_>, key: &Key<'_>) -> Result<String, EvalError> {
    Ok(match key {
        Key::Bool(value) => value.to_string(),
        Key::Int(value) => value.to_string(),
        Key::UInt(value) => value.to_string(),
        Key::Text(text) => {
            call.allocate(text.len().saturating_mul(GROWTH))?;
            quote(text)
        }
    })
}

/// A value by itself.
fn plain(call: &mut Call<'_, '_>, value: &Value<'_>) -> Result<String, EvalError> {
    Ok(match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::UInt(value) => value.to_string(),
        Value::Double(value) => super::number::shortest(*value),
        Value::Text(text) => {
            call.allocate(text.len())?;
            text.to_string()
        }
        Value::Bytes(bytes) => {
            call.allocate(bytes.len())?;
            text_of(bytes)?.to_owned()
        }
        Value::Duration(nanos) => super::time::duration(*nanos),
        Value::Timestamp(time) => super::time::timestamp(*time),
        Value::Type(name) => (*name).to_owned(),
        _ => {
            return Err(failed(format!(
                "error during formatting: string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, \
                 types, durations, and timestamps, was given {}",
                value.type_name()
            )));
        }
    })
}

/// A value in a list or map.
fn nested(call: &mut Call<'_, '_>, value: &Value<'_>) -> Result<String, EvalError> {
    Ok(match value {
        Value::Text(text) => {
            call.allocate(text.len().saturating_mul(GROWTH))?;
            quote(text)
        }
        Value::Bytes(bytes) => {
            call.allocate(bytes.len().saturating_mul(GROWTH))?;
            format!("b{}", quote(text_of(bytes)?))
        }
        Value::Double(value) if value.is_finite() => format!("{value:.6}"),
        Value::Double(value) => quote(&super::number::shortest(*value)),
        Value::Duration(nanos) => format!("duration({})", quote(&super::time::duration(*nanos))),
        Value::Timestamp(time) => format!("timestamp({})", quote(&super::time::timestamp(*time))),
        Value::Optional(_) | Value::Opaque(_) => {
            return Err(failed(format!("error during formatting: no formatting function for {}", value.type_name())));
        }
        _ => plain(call, value)?,
    })
}

fn text_of(bytes: &[u8]) -> Result<&str, EvalError> {
    std::str::from_utf8(bytes).map_err(|_| {
        failed(
            "error during formatting: could not convert argument \"invalid UTF-8 in bytes, cannot convert to string\" to string",
        )
    })
}
