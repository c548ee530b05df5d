//! YAML, from the events of the parser. Its own loader is not used: it recurses, and expands aliases.

use std::cell::Cell;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use super::build::{Builder, MAX_FLOW_CHARS, count};
use super::quoted::Quoted;
use super::{Node, NodeError, Place, Value, shorten};

pub(super) fn load(file: &Arc<str>, text: &str) -> Result<Vec<Node>, NodeError> {
    let mut text = Quoted::new(text);
    loop {
        match parse(file, text.text()) {
            Err(error) if text.indent(&error) => {}
            result => return result,
        }
    }
}

fn parse(file: &Arc<str>, text: &str) -> Result<Vec<Node>, NodeError> {
    let ahead = Cell::new(0_usize);
    let chars = text.chars().take_while(|_| {
        ahead.set(ahead.get().saturating_add(1));
        ahead.get() <= MAX_FLOW_CHARS
    });
    let mut parser = Parser::new_from_iter(chars);
    let mut builder = Builder::default();
    let mut documents = Vec::new();
    while let Some(event) = parser.next_event() {
        if ahead.get() > MAX_FLOW_CHARS {
            let place =
                event.map_or_else(|error| place_of(file, error.marker()), |(_, span)| place_of(file, &span.start));
            let message = format!(
                "what begins at or before this place has more than {MAX_FLOW_CHARS} characters without an end; \
                 write large lists and maps in block style, or the file as JSON"
            );
            return Err(NodeError::new(&place, "", message));
        }
        ahead.set(0);
        let (event, span) = event.map_err(|error| {
            NodeError::new(
                &place_of(file, error.marker()),
                "",
                format!("not YAML: {}{}", shorten(error.info()), hint(error.info())),
            )
        })?;
        let place = place_of(file, &span.start);
        match event {
            Event::SequenceStart(_, tag) => {
                refuse_tag(&place, tag.as_deref())?;
                builder.begin_list(place)?;
            }
            Event::MappingStart(_, tag) => {
                refuse_tag(&place, tag.as_deref())?;
                builder.begin_map(place)?;
            }
            Event::Scalar(text, style, _, tag) => {
                refuse_tag(&place, tag.as_deref())?;
                let plain = style == ScalarStyle::Plain;
                if !builder.wants_key() {
                    let value = if plain { resolve(&text) } else { Value::Text(text.into_owned()) };
                    builder.add(Node { place, value })?;
                } else if plain && matches!(resolve(&text), Value::Null) {
                    return Err(NodeError::new(&place, "", "a key is missing before `:`"));
                } else {
                    builder.key(place, text.into_owned())?;
                }
            }
            Event::SequenceEnd | Event::MappingEnd => builder.end()?,
            Event::Alias(_) => {
                return Err(NodeError::new(&place, "", "aliases (`*name`) are not supported; write the value out"));
            }
            Event::DocumentEnd => {
                documents.extend(builder.take().filter(|node| !matches!(node.value, Value::Null)));
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => {}
        }
    }
    Ok(documents)
}

/// What to look at, where the parser speaks of blocks.
fn hint(info: &str) -> &'static str {
    if info.contains("tab") {
        return "; indent by spaces";
    }
    if info.contains("flow") {
        return "; look whether every `[` and `{` before it has its end";
    }
    if info.contains("block") { "; look how this line and those before it are indented" } else { "" }
}

fn place_of(file: &Arc<str>, marker: &Marker) -> Place {
    Place { file: Arc::clone(file), line: count(marker.line()), column: count(marker.col()).saturating_add(1) }
}

fn refuse_tag(place: &Place, tag: Option<&saphyr_parser::Tag>) -> Result<(), NodeError> {
    match tag {
        None => Ok(()),
        Some(tag) => {
            let message = format!("tags (`{}`) are not supported; put text in quotes", shorten(&tag.to_string()));
            Err(NodeError::new(place, "", message))
        }
    }
}

/// The core schema of YAML 1.2, section 10.3.2, for plain scalars.
fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Value::Text(text.to_owned());
    }
    let radix = |prefix, radix| text.strip_prefix(prefix).and_then(|digits| i64::from_str_radix(digits, radix).ok());
    if let Some(integer) = text.parse().ok().or_else(|| radix("0x", 16)).or_else(|| radix("0o", 8)) {
        return Value::Integer(integer);
    }
    match text.parse() {
        // Rust reads more as numbers than YAML does, all of which have letters other than the exponent's.
        Ok(float) if !digits.contains(|c: char| c.is_ascii_alphabetic() && !matches!(c, 'e' | 'E')) => {
            Value::Float(float)
        }
        _ => Value::Text(text.to_owned()),
    }
}
