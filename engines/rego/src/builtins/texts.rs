//! Documents as texts: JSON and YAML.

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_json as json;
use regorus::Value;

use super::documents::object;
use super::format::values::number_text;
use super::{Context, Done, Stop, as_text, text_of, upstream};
use crate::{EvalError, ManagedFields, read_json};

pub(super) fn json_marshal_with_options(context: &mut Context, arguments: &[Value]) -> Done {
    let [value, options] = arguments else { return Err(Stop::Undefined) };
    let (mut prefix, mut indent, mut implied, mut pretty) = ("", "\t", false, None);
    for (name, option) in object(options)?.iter() {
        match (as_text(name)?, option) {
            ("prefix", Value::String(text)) => (prefix, implied) = (&**text, true),
            ("indent", Value::String(text)) => (indent, implied) = (&**text, true),
            ("pretty", Value::Bool(it)) => pretty = Some(*it),
            _ => return Err(Stop::Undefined),
        }
    }
    let mut out = String::new();
    write_json(context, &mut out, value)?;
    if pretty.unwrap_or(implied) {
        out = indented(context, &out, prefix, indent)?;
    }
    text_of(context, out)
}

/// JSON in lines, as Go breaks them; but that OPA puts the prefix before the first one too.
fn indented(context: &mut Context, json: &str, prefix: &str, indent: &str) -> Result<String, Stop> {
    let mut out = String::with_capacity(json.len());
    out.push_str(prefix);
    let (mut depth, mut opened, mut in_text, mut escaped) = (0_usize, false, false, false);
    let line = |context: &mut Context, out: &mut String, depth: usize| -> Result<(), Stop> {
        context.limits.step()?;
        let length = indent.len().saturating_mul(depth).saturating_add(prefix.len()).saturating_add(out.len());
        if length > context.limits.left() {
            return Err(Stop::Error(EvalError::Memory));
        }
        out.push('\n');
        out.push_str(prefix);
        out.push_str(&indent.repeat(depth));
        Ok(())
    };
    for it in json.chars() {
        if in_text {
            out.push(it);
            in_text = escaped || it != '"';
            escaped = it == '\\' && !escaped;
            continue;
        }
        if opened && !matches!(it, ']' | '}') {
            opened = false;
            depth = depth.saturating_add(1);
            line(context, &mut out, depth)?;
        }
        match it {
            '{' | '[' => {
                opened = true;
                out.push(it);
            }
            ',' => {
                out.push(it);
                line(context, &mut out, depth)?;
            }
            ':' => out.push_str(": "),
            '}' | ']' => {
                if opened {
                    opened = false;
                } else {
                    depth = depth.saturating_sub(1);
                    line(context, &mut out, depth)?;
                }
                out.push(it);
            }
            _ => {
                in_text = it == '"';
                out.push(it);
            }
        }
    }
    Ok(out)
}

/// YAML may have several documents. All of them must be good, and the first one counts.
pub(super) fn yaml_unmarshal(context: &mut Context, arguments: &[Value]) -> Done {
    let [Value::String(text)] = arguments else { return Err(Stop::Undefined) };
    let mut first = None;
    for document in yaml_documents(text) {
        let value = upstream::call(context, "yaml.unmarshal", &[Value::from(document)])?;
        first.get_or_insert(value);
    }
    first.ok_or(Stop::Undefined)
}

pub(super) fn yaml_is_valid(context: &mut Context, arguments: &[Value]) -> Done {
    let [Value::String(text)] = arguments else { return Ok(Value::Bool(false)) };
    for document in yaml_documents(text) {
        if upstream::call(context, "yaml.is_valid", &[Value::from(document)])? != Value::Bool(true) {
            return Ok(Value::Bool(false));
        }
    }
    Ok(Value::Bool(true))
}

/// A text at the lines that start a document: `---` in the first column, which nothing within a document may be.
fn yaml_documents(text: &str) -> Vec<&str> {
    let mut documents = Vec::new();
    let (mut start, mut at, mut has_content) = (0_usize, 0_usize, false);
    for line in text.split_inclusive('\n') {
        let starts =
            line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        if starts && has_content {
            documents.push(text.get(start..at).unwrap_or_default());
            start = at;
        }
        // Directives and comments stand before the first document.
        has_content |= starts || !(line.trim().is_empty() || line.starts_with(['#', '%']));
        at = at.saturating_add(line.len());
    }
    documents.push(text.get(start..).unwrap_or_default());
    documents
}

pub(super) fn json_marshal(context: &mut Context, arguments: &[Value]) -> Done {
    let [value] = arguments else { return Err(Stop::Undefined) };
    let mut out = String::new();
    write_json(context, &mut out, value)?;
    text_of(context, out)
}

/// JSON as Go writes it: without spaces, and with `<`, `>` and `&` escaped.
fn write_json(context: &mut Context, out: &mut String, value: &Value) -> Result<(), Stop> {
    context.limits.check_stack()?;
    context.limits.step()?;
    if out.len() > context.limits.left() {
        return Err(Stop::Error(EvalError::Memory));
    }
    match value {
        Value::Null | Value::Undefined => out.push_str("null"),
        Value::Bool(it) => out.push_str(if *it { "true" } else { "false" }),
        Value::Number(_) => out.push_str(&number_text(value)),
        Value::String(text) => write_text(out, text),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_json(context, out, item)?;
            }
            out.push(']');
        }
        Value::Set(items) => {
            out.push('[');
            for (at, item) in items.iter_sorted().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_json(context, out, item)?;
            }
            out.push(']');
        }
        Value::Object(entries) => {
            // Keys that are no texts are written as the texts of their JSON.
            let mut named = BTreeMap::new();
            for (key, value) in entries.iter_sorted() {
                let key: Arc<str> = match key {
                    Value::String(text) => text.clone(),
                    other => {
                        let mut text = String::new();
                        write_json(context, &mut text, other)?;
                        Arc::from(text)
                    }
                };
                named.insert(key, value);
            }
            out.push('{');
            for (at, (key, value)) in named.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_text(out, &key);
                out.push(':');
                write_json(context, out, value)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for it in text.chars() {
        match it {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", u32::from(it))),
            _ if it.is_ascii_control() && it != '\u{7f}' => out.push_str(&format!("\\u{:04x}", u32::from(it))),
            _ => out.push(it),
        }
    }
    out.push('"');
}

pub(super) fn json_unmarshal(context: &mut Context, arguments: &[Value]) -> Done {
    let [text] = arguments else { return Err(Stop::Undefined) };
    let text = as_text(text)?;
    // A value takes some 20 times what its shortest text does.
    context.limits.allocate(text.len().saturating_mul(20))?;
    context.limits.look()?;
    let mut tape = json::Tape::new();
    let value = tape.read(text.as_bytes()).map_err(|_| Stop::Undefined)?;
    read_json(value, ManagedFields::Keep).map_err(|_| Stop::Undefined)
}

pub(super) fn json_is_valid(context: &mut Context, arguments: &[Value]) -> Done {
    let [Value::String(text)] = arguments else { return Ok(Value::Bool(false)) };
    context.limits.allocate(text.len().saturating_mul(8))?;
    context.limits.look()?;
    Ok(Value::Bool(json::Tape::new().read(text.as_bytes()).is_ok()))
}
