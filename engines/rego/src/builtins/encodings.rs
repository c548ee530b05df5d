//! Texts as other texts: base64, hex and digests.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use regorus::Value;
use sha2::{Digest, Sha256};

use super::{Context, Done, Stop, as_text, text_of};

fn one(arguments: &[Value]) -> Result<&str, Stop> {
    arguments.first().ok_or(Stop::Undefined).and_then(as_text)
}

/// Bytes as a text. Go keeps what is no UTF-8; it shows as replacement characters there too.
fn decoded(context: &mut Context, bytes: Vec<u8>) -> Done {
    context.limits.allocate(bytes.len())?;
    text_of(
        context,
        String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    )
}

pub(super) fn base64_encode(context: &mut Context, arguments: &[Value]) -> Done {
    let text = one(arguments)?;
    context.limits.allocate(text.len())?;
    text_of(context, STANDARD.encode(text))
}

/// Go passes over line ends in what it decodes.
fn without_lines(text: &str) -> String {
    text.chars().filter(|it| !matches!(it, '\n' | '\r')).collect()
}

pub(super) fn base64_decode(context: &mut Context, arguments: &[Value]) -> Done {
    let text = one(arguments)?;
    context.limits.allocate(text.len())?;
    let bytes = STANDARD.decode(without_lines(text)).map_err(|_| Stop::Undefined)?;
    decoded(context, bytes)
}

pub(super) fn base64_is_valid(context: &mut Context, arguments: &[Value]) -> Done {
    let text = one(arguments)?;
    context.limits.allocate(text.len())?;
    Ok(Value::Bool(STANDARD.decode(without_lines(text)).is_ok()))
}

pub(super) fn base64url_encode(context: &mut Context, arguments: &[Value]) -> Done {
    let text = one(arguments)?;
    context.limits.allocate(text.len())?;
    text_of(context, URL_SAFE.encode(text))
}

pub(super) fn base64url_encode_no_pad(context: &mut Context, arguments: &[Value]) -> Done {
    let text = one(arguments)?;
    context.limits.allocate(text.len())?;
    text_of(context, URL_SAFE_NO_PAD.encode(text))
}

pub(super) fn base64url_decode(context: &mut Context, arguments: &[Value]) -> Done {
    let text = without_lines(one(arguments)?);
    context.limits.allocate(text.len())?;
    let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| Stop::Undefined)?;
    decoded(context, bytes)
}

pub(super) fn hex_encode(context: &mut Context, arguments: &[Value]) -> Done {
    let text = one(arguments)?;
    context.limits.allocate(text.len().saturating_mul(2))?;
    text_of(context, hex(text.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            out.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    out
}

pub(super) fn hex_decode(context: &mut Context, arguments: &[Value]) -> Done {
    let text = one(arguments)?;
    let digits: Option<Vec<u8>> = text.chars().map(|it| it.to_digit(16).and_then(|it| u8::try_from(it).ok())).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0).ok_or(Stop::Undefined)?;
    let bytes = digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => high << 4 | low,
            _ => 0,
        })
        .collect();
    decoded(context, bytes)
}

pub(super) fn sha256(context: &mut Context, arguments: &[Value]) -> Done {
    let text = one(arguments)?;
    context.spend(text.len())?;
    text_of(context, hex(&Sha256::digest(text.as_bytes())))
}
