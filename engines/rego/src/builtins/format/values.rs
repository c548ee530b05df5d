//! How OPA shows values and numbers.

use regorus::Value;

use crate::builtins::{Context, Stop};

/// A value as OPA shows it in messages: `{"a": [1, "b"]}`.
pub(in crate::builtins) fn show(context: &mut Context, value: &Value) -> Result<String, Stop> {
    let mut out = String::new();
    write_value(&mut out, value, context.limits.left())?;
    context.limits.allocate(out.len())?;
    Ok(out)
}

pub(super) fn write_value(out: &mut String, value: &Value, most: usize) -> Result<(), Stop> {
    if out.len() > most {
        return Err(Stop::Error(crate::EvalError::Memory));
    }
    match value {
        Value::Null | Value::Undefined => out.push_str("null"),
        Value::Bool(it) => out.push_str(if *it { "true" } else { "false" }),
        Value::Number(_) => out.push_str(&number_text(value)),
        Value::String(text) => quote(out, text),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                write_value(out, item, most)?;
            }
            out.push(']');
        }
        Value::Set(items) if items.is_empty() => out.push_str("set()"),
        Value::Set(items) => {
            out.push('{');
            for (at, item) in items.iter_sorted().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                write_value(out, item, most)?;
            }
            out.push('}');
        }
        Value::Object(entries) => {
            out.push('{');
            for (at, (key, item)) in entries.iter_sorted().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                write_value(out, key, most)?;
                out.push_str(": ");
                write_value(out, item, most)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

/// A number as JSON has it.
pub(in crate::builtins) fn number_text(value: &Value) -> String {
    let Value::Number(number) = value else { return String::new() };
    if let Some(int) = number.as_i64() {
        return int.to_string();
    }
    if let Some(int) = number.as_u64() {
        return int.to_string();
    }
    if number.is_integer()
        && let Ok(big) = number.to_big()
    {
        return big.to_string();
    }
    number.as_f64().map_or_else(|| "null".to_owned(), |float| shortest(float, 21))
}

/// Go's `strconv.Quote`.
pub(in crate::builtins) fn quote(out: &mut String, text: &str) {
    out.push('"');
    for it in text.chars() {
        match it {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            _ if is_printable(it) => out.push(it),
            _ => {
                let code = u32::from(it);
                if code < 0x80 {
                    out.push_str(&format!("\\x{code:02x}"));
                } else if code < 0x1_0000 {
                    out.push_str(&format!("\\u{code:04x}"));
                } else {
                    out.push_str(&format!("\\U{code:08x}"));
                }
            }
        }
    }
    out.push('"');
}

pub(super) fn is_printable(it: char) -> bool {
    if it.is_ascii() {
        return !it.is_ascii_control();
    }
    !(it.is_control()
        || it.is_whitespace()
        || matches!(it, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{fffb}'
            | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e0fff}' | '\u{f0000}'..='\u{10ffff}'))
}

/// The shortest text that reads as the same float, with an exponent from so many digits on.
pub(in crate::builtins) fn shortest(float: f64, most: i32) -> String {
    if float.is_nan() {
        return "NaN".to_owned();
    }
    if float.is_infinite() {
        return if float > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() };
    }
    let scientific = format!("{float:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= most {
        return format!("{mantissa}e{}", exponent_text(exponent));
    }
    format!("{float}")
}

pub(super) fn exponent_text(exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{sign}{:02}", exponent.unsigned_abs())
}
