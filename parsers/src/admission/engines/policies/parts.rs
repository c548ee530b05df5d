//! The parts of a policy that hold expressions: match conditions, variables, validations, audit annotations. Templates in CEL
//! have the same.

use crate::admission::hooks::at::{At, Reader, allowed, shorten};
use crate::admission::hooks::selectors::check_key;

use super::expressions::{Names, Wanted};
use super::program::{Compiled, Program, Reason, Validation};
use super::read::{check_fields, items, need_text, text};

/// Match conditions of one policy (`validateMatchConditions`).
const MAX_CONDITIONS: usize = 64;
/// Audit annotations of one policy (`maxAuditAnnotations`).
const MAX_ANNOTATIONS: usize = 20;
/// Bytes of the expression of one (`maxAuditAnnotationValueExpressionLength`).
const MAX_ANNOTATION: usize = 5 * 1024;

/// Reads match conditions. They may not use variables, but those of templates may.
pub(super) fn read_conditions(
    at: &At<'_>,
    list: &str,
    names: &Names,
    has_variables: bool,
    reader: &mut Reader,
) -> Vec<Compiled> {
    let found = items(at, list, reader);
    if let Some(one) = found.get(MAX_CONDITIONS) {
        reader.refuse(one, format!("more than {MAX_CONDITIONS} match conditions"));
    }
    let mut known: Vec<String> = Vec::new();
    let mut conditions = Vec::new();
    for item in &found {
        if !check_fields(item, &["name", "expression"], reader) {
            continue;
        }
        if let Some((name, field)) = need_text(item, "name", reader) {
            if let Err(why) = check_key(&name) {
                reader.refuse(&field, why);
            } else if known.contains(&name) {
                reader.refuse(&field, format!("there is a match condition `{}` already", shorten(&name)));
            }
            known.push(name);
        }
        let Some((expression, field)) = need_expression(item, "expression", reader) else { continue };
        conditions.extend(if has_variables {
            names.compile(&field, &expression, Wanted::Bool, reader)
        } else {
            names.compile_alone(&field, &expression, Wanted::Bool, reader)
        });
    }
    conditions
}

/// Reads variables, each of which may use those before it. `refuse` says what is wrong with a name.
pub(super) fn read_variables(
    at: &At<'_>,
    names: &mut Names,
    program: &mut Program,
    refuse: impl Fn(&str) -> Option<&'static str>,
    reader: &mut Reader,
) {
    for item in items(at, "variables", reader) {
        if !check_fields(&item, &["name", "expression"], reader) {
            continue;
        }
        let name = need_text(&item, "name", reader);
        let expression = need_expression(&item, "expression", reader);
        let (Some((name, at_name)), Some((expression, field))) = (name, expression) else { continue };
        if let Some(why) = refuse(&name) {
            reader.refuse(&at_name, format!("`{}` cannot be a variable: {why}", shorten(&name)));
        } else if !is_identifier(&name) {
            reader.refuse(&at_name, format!("`{}` is not an identifier of CEL", shorten(&name)));
        } else if program.places.contains_key(name.as_str()) {
            reader.refuse(&at_name, format!("there is a variable `{}` already", shorten(&name)));
        } else {
            names.add(&name, &field, &expression, program, reader);
        }
    }
}

/// Reads validations. `fields` are what one may have.
pub(super) fn read_validations(at: &At<'_>, names: &Names, fields: &[&str], reader: &mut Reader) -> Vec<Validation> {
    let mut validations = Vec::new();
    for item in items(at, "validations", reader) {
        if !check_fields(&item, fields, reader) {
            continue;
        }
        let message = text(&item, "message", reader);
        if let Some((message, field)) = &message {
            if message.trim().is_empty() {
                reader.refuse(field, "`message` is blank; write one, or leave it out");
            } else if message.trim().contains(['\n', '\r']) {
                reader.refuse(field, "`message` has line breaks; write it on one line");
            }
        }
        let reason = read_reason(&item, reader);
        let message_expression = text(&item, "messageExpression", reader).and_then(|(expression, field)| {
            if expression.trim().is_empty() {
                reader.refuse(&field, "`messageExpression` is blank; write one, or leave it out");
                return None;
            }
            names.compile(&field, &expression, Wanted::Text, reader)
        });
        let Some((expression, field)) = need_expression(&item, "expression", reader) else { continue };
        let Some(expression) = names.compile(&field, &expression, Wanted::Bool, reader) else { continue };
        let message = message.map(|(message, _)| message).unwrap_or_default();
        validations.push(Validation { expression, message: message.into(), message_expression, reason });
    }
    validations
}

fn read_reason(item: &At<'_>, reader: &mut Reader) -> Reason {
    let Some(field) = item.field("reason") else { return Reason::default() };
    let Some(text) = field.read::<String>(reader) else { return Reason::default() };
    Reason::ALL.into_iter().find(|reason| reason.as_str() == text).unwrap_or_else(|| {
        let known = Reason::ALL.map(Reason::as_str);
        reader.refuse(&field, format!("`{}` is not a reason; {}", shorten(&text), allowed(&known)));
        Reason::default()
    })
}

/// Reads audit annotations of a policy.
pub(super) fn read_annotations(
    at: &At<'_>,
    policy: &str,
    names: &Names,
    reader: &mut Reader,
) -> Vec<(Box<str>, Compiled)> {
    let found = items(at, "auditAnnotations", reader);
    if let Some(one) = found.get(MAX_ANNOTATIONS) {
        reader.refuse(one, format!("more than {MAX_ANNOTATIONS} audit annotations"));
    }
    let mut known: Vec<String> = Vec::new();
    let mut annotations = Vec::new();
    for item in &found {
        if !check_fields(item, &["key", "valueExpression"], reader) {
            continue;
        }
        let key = need_text(item, "key", reader);
        let expression = need_expression(item, "valueExpression", reader);
        let (Some((key, at_key)), Some((expression, field))) = (key, expression) else { continue };
        if key.contains('/') || check_key(&format!("{policy}/{key}")).is_err() {
            let message = "is not a key; one has up to 63 letters, digits, `-`, `_` and `.`, and no slash";
            reader.refuse(&at_key, format!("`{}` {message}", shorten(&key)));
        } else if known.contains(&key) {
            reader.refuse(&at_key, format!("there is a key `{}` already", shorten(&key)));
        }
        if expression.trim().len() > MAX_ANNOTATION {
            reader.refuse(&field, format!("longer than {MAX_ANNOTATION} bytes"));
            continue;
        }
        let compiled = names.compile(&field, &expression, Wanted::TextOrNull, reader);
        annotations.extend(compiled.map(|compiled| (key.as_str().into(), compiled)));
        known.push(key);
    }
    annotations
}

/// An expression that must be there.
fn need_expression<'n>(at: &At<'n>, name: &str, reader: &mut Reader) -> Option<(String, At<'n>)> {
    let (text, field) = need_text(at, name, reader)?;
    if text.trim().is_empty() {
        reader.refuse(&field, format!("`{name}` is blank; write an expression"));
        return None;
    }
    Some((text, field))
}

/// `IDENT ::= [_a-zA-Z][_a-zA-Z0-9]* - RESERVED`
fn is_identifier(name: &str) -> bool {
    const RESERVED: [&str; 21] = [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ];
    let letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    name.bytes().next().is_some_and(letter)
        && name.bytes().all(|byte| letter(byte) || byte.is_ascii_digit())
        && !RESERVED.contains(&name)
}
