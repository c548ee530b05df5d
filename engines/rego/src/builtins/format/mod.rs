//! `sprintf` with the rules of Go's `fmt`, and how OPA writes values out.

pub(super) mod values;

use regorus::Value;

use super::{Context, Done, Stop, text_of};
use crate::EvalError;
use values::{exponent_text, number_text, quote, shortest, show};

/// The widest field and the highest precision, as in Go.
const MAX_WIDTH: usize = 1_000_000;

/// Bytes that the arguments of a message commonly take: most are not enlarged while they are written.
const COMMON_ARGUMENTS: usize = 64;

/// From how many digits before the point on Go's `%g` has an exponent.
const GENERAL_DIGITS: i32 = 6;

/// What OPA hands to `fmt`: everything but numbers is a string.
enum Argument {
    Int(i64),
    Big(String),
    Float(f64),
    Text(String),
}

/// A template string: texts and scalars as they are, and sets of what an expression in braces comes to.
pub(super) fn template(context: &mut Context, arguments: &[Value]) -> Done {
    let [Value::Array(parts)] = arguments else { return Err(Stop::Undefined) };
    let mut out = String::new();
    for part in parts.iter() {
        context.limits.step()?;
        let value = match part {
            Value::Set(values) if values.len() > 1 => {
                let message = "eval_conflict_error: template-strings must not produce multiple outputs";
                return Err(Stop::Error(EvalError::Failed(message.to_owned())));
            }
            Value::Set(values) => values.iter().next(),
            part => Some(part),
        };
        match value {
            None => out.push_str("<undefined>"),
            Some(Value::String(text)) => out.push_str(text),
            Some(value) => values::write_value(&mut out, value, context.limits.left())?,
        }
        if out.len() > context.limits.left() {
            return Err(Stop::Error(EvalError::Memory));
        }
    }
    text_of(context, out)
}

pub(super) fn sprintf(context: &mut Context, arguments: &[Value]) -> Done {
    let [Value::String(format), Value::Array(items)] = arguments else { return Err(Stop::Undefined) };
    let mut made = Vec::with_capacity(items.len());
    for item in items.iter() {
        made.push(match item {
            Value::Number(number) => match (number.as_i64(), number.is_integer()) {
                (Some(int), true) => Argument::Int(int),
                (None, true) => Argument::Big(number_text(item)),
                _ => Argument::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => Argument::Text(text.to_string()),
            other => Argument::Text(show(context, other)?),
        });
    }
    let mut printer = Printer { out: String::with_capacity(format.len().saturating_add(COMMON_ARGUMENTS)), context };
    printer.print(format, &made)?;
    text_of(printer.context, printer.out)
}

#[derive(Clone, Default)]
struct Flags {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

struct Printer<'c> {
    out: String,
    context: &'c mut Context,
}

impl Printer<'_> {
    fn print(&mut self, format: &str, arguments: &[Argument]) -> Result<(), Stop> {
        let mut chars = format.chars().peekable();
        let mut next = 0_usize;
        let mut reordered = false;
        while let Some(it) = chars.next() {
            if it != '%' {
                self.out.push(it);
                continue;
            }
            self.check()?;
            let mut flags = Flags::default();
            let mut good_index = true;
            let mut was_index = false;
            while let Some(flag) = chars.peek() {
                match flag {
                    '#' => flags.sharp = true,
                    '0' => flags.zero = true,
                    '+' => flags.plus = true,
                    '-' => flags.minus = true,
                    ' ' => flags.space = true,
                    _ => break,
                }
                chars.next();
            }
            let mut index = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>, next: &mut usize| {
                if chars.peek() != Some(&'[') {
                    return (false, true);
                }
                let ahead: String = chars.clone().skip(1).take_while(|it| *it != ']').take(8).collect();
                let closed = chars.clone().skip(1).nth(ahead.chars().count()) == Some(']');
                reordered = true;
                if !closed {
                    chars.next();
                    return (true, false);
                }
                for _ in 0..ahead.chars().count().saturating_add(2) {
                    chars.next();
                }
                match ahead.parse::<usize>() {
                    Ok(at) if at >= 1 && at <= arguments.len() => {
                        *next = at.saturating_sub(1);
                        (true, true)
                    }
                    _ => (true, false),
                }
            };
            let (had, good) = index(&mut chars, &mut next);
            was_index |= had;
            good_index &= good;
            if chars.peek() == Some(&'*') {
                chars.next();
                match take_int(arguments, &mut next) {
                    Some(width) => {
                        flags.minus |= width < 0;
                        flags.width = usize::try_from(width.unsigned_abs()).ok();
                    }
                    None => self.out.push_str("%!(BADWIDTH)"),
                }
                was_index = false;
            } else if let Some(width) = take_number(&mut chars) {
                flags.width = Some(width);
                if was_index {
                    good_index = false;
                }
            }
            if chars.peek() == Some(&'.') {
                chars.next();
                if was_index {
                    good_index = false;
                }
                let (had, good) = index(&mut chars, &mut next);
                was_index |= had;
                good_index &= good;
                if chars.peek() == Some(&'*') {
                    chars.next();
                    match take_int(arguments, &mut next) {
                        Some(precision) if precision >= 0 => flags.precision = usize::try_from(precision).ok(),
                        Some(_) => flags.precision = None,
                        None => self.out.push_str("%!(BADPREC)"),
                    }
                    was_index = false;
                } else {
                    flags.precision = Some(take_number(&mut chars).unwrap_or(0));
                }
            }
            if !was_index {
                let (_, good) = index(&mut chars, &mut next);
                good_index &= good;
            }
            if flags.width.is_some_and(|width| width > MAX_WIDTH) {
                self.out.push_str("%!(BADWIDTH)");
                flags.width = None;
            }
            if flags.precision.is_some_and(|precision| precision > MAX_WIDTH) {
                self.out.push_str("%!(BADPREC)");
                flags.precision = None;
            }
            let Some(verb) = chars.next() else {
                self.out.push_str("%!(NOVERB)");
                break;
            };
            if verb == '%' {
                self.out.push('%');
                continue;
            }
            if !good_index {
                self.out.push_str(&format!("%!{verb}(BADINDEX)"));
                continue;
            }
            let Some(argument) = arguments.get(next) else {
                self.out.push_str(&format!("%!{verb}(MISSING)"));
                continue;
            };
            next = next.saturating_add(1);
            self.argument(argument, verb, &flags)?;
        }
        if !reordered && next < arguments.len() {
            self.out.push_str("%!(EXTRA ");
            for (at, argument) in arguments.iter().skip(next).enumerate() {
                if at > 0 {
                    self.out.push_str(", ");
                }
                self.out.push_str(type_name(argument));
                self.out.push('=');
                self.argument(argument, 'v', &Flags::default())?;
            }
            self.out.push(')');
        }
        self.check()
    }

    fn check(&mut self) -> Result<(), Stop> {
        if self.out.len() > self.context.limits.left() { Err(Stop::Error(crate::EvalError::Memory)) } else { Ok(()) }
    }

    fn argument(&mut self, argument: &Argument, verb: char, flags: &Flags) -> Result<(), Stop> {
        self.context.limits.allocate(flags.width.unwrap_or(0).saturating_add(flags.precision.unwrap_or(0)))?;
        if verb == 'T' {
            self.pad(type_name(argument), flags);
            return Ok(());
        }
        let done = match argument {
            Argument::Int(int) => self.int(&int.unsigned_abs().to_string(), *int < 0, Some(*int), verb, flags),
            Argument::Big(digits) => {
                let verb = if verb == 's' { 'd' } else { verb };
                matches!(verb, 'v' | 'd')
                    && self.int(digits.trim_start_matches('-'), digits.starts_with('-'), None, verb, flags)
            }
            Argument::Float(float) => self.float(*float, verb, flags),
            Argument::Text(text) => self.text(text, verb, flags),
        };
        if !done {
            self.out.push_str(&format!("%!{verb}("));
            self.out.push_str(type_name(argument));
            self.out.push('=');
            let plain = Flags::default();
            match argument {
                Argument::Int(int) => self.out.push_str(&int.to_string()),
                Argument::Big(digits) => self.out.push_str(digits),
                Argument::Float(float) => {
                    self.float(*float, 'v', &plain);
                }
                Argument::Text(text) => self.out.push_str(text),
            }
            self.out.push(')');
        }
        Ok(())
    }

    fn text(&mut self, text: &str, verb: char, flags: &Flags) -> bool {
        let cut = |text: &str| match flags.precision {
            Some(most) => text.chars().take(most).collect::<String>(),
            None => text.to_owned(),
        };
        match verb {
            'v' if flags.sharp => {
                let mut quoted = String::new();
                quote(&mut quoted, text);
                self.pad(&quoted, flags);
            }
            'v' | 's' => self.pad(&cut(text), flags),
            'q' => {
                let text = cut(text);
                let mut quoted = String::new();
                if flags.sharp && !text.contains('`') && !text.chars().any(|it| it.is_control() && it != '\t') {
                    quoted = format!("`{text}`");
                } else if flags.plus {
                    quote_ascii(&mut quoted, &text);
                } else {
                    quote(&mut quoted, &text);
                }
                self.pad(&quoted, flags);
            }
            'x' | 'X' => {
                let most = flags.precision.unwrap_or(usize::MAX);
                let mut hex = String::new();
                for (at, byte) in text.bytes().take(most).enumerate() {
                    if flags.space && at > 0 {
                        hex.push(' ');
                    }
                    if flags.sharp && (flags.space || at == 0) {
                        hex.push_str(if verb == 'x' { "0x" } else { "0X" });
                    }
                    hex.push_str(&if verb == 'x' { format!("{byte:02x}") } else { format!("{byte:02X}") });
                }
                self.pad(&hex, flags);
            }
            _ => return false,
        }
        true
    }

    fn int(&mut self, digits: &str, negative: bool, int: Option<i64>, verb: char, flags: &Flags) -> bool {
        let magnitude = int.map(i64::unsigned_abs);
        let (body, prefix) = match (verb, magnitude) {
            ('v' | 'd', _) => (digits.to_owned(), ""),
            ('b', Some(it)) => (format!("{it:b}"), if flags.sharp { "0b" } else { "" }),
            ('o', Some(it)) => (format!("{it:o}"), if flags.sharp { "0" } else { "" }),
            ('O', Some(it)) => (format!("{it:o}"), "0o"),
            ('x', Some(it)) => (format!("{it:x}"), if flags.sharp { "0x" } else { "" }),
            ('X', Some(it)) => (format!("{it:X}"), if flags.sharp { "0X" } else { "" }),
            ('c', Some(it)) => {
                let it = u32::try_from(it).ok().and_then(char::from_u32).filter(|_| !negative).unwrap_or('\u{fffd}');
                self.pad(&it.to_string(), flags);
                return true;
            }
            ('q', Some(it)) => {
                let it = u32::try_from(it).ok().and_then(char::from_u32).filter(|_| !negative).unwrap_or('\u{fffd}');
                let mut quoted = String::new();
                if it == '\'' {
                    quoted.push_str("\\'");
                } else if it == '"' {
                    quoted.push('"');
                } else {
                    quote(&mut quoted, &it.to_string());
                    quoted = quoted.trim_matches('"').to_owned();
                }
                self.pad(&format!("'{quoted}'"), flags);
                return true;
            }
            ('U', Some(it)) => {
                self.pad(&format!("U+{it:04X}"), flags);
                return true;
            }
            _ => return false,
        };
        let mut body = body;
        if let Some(least) = flags.precision {
            if least == 0 && body == "0" {
                self.pad("", flags);
                return true;
            }
            let missing = least.saturating_sub(body.len());
            body.insert_str(0, &"0".repeat(missing));
        }
        self.signed(&body, prefix, negative, flags, flags.precision.is_none());
        true
    }

    /// A number with its sign, and zeros between the two where they are asked for.
    fn signed(&mut self, body: &str, prefix: &str, negative: bool, flags: &Flags, zeros: bool) {
        let sign = match (negative, flags.plus, flags.space) {
            (true, ..) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        };
        let length = sign.len().saturating_add(prefix.len()).saturating_add(body.len());
        let missing = flags.width.unwrap_or(0).saturating_sub(length);
        if flags.zero && !flags.minus && zeros && missing > 0 {
            let padding = "0".repeat(missing);
            self.out.push_str(&format!("{sign}{prefix}{padding}{body}"));
        } else {
            let plain = Flags { zero: false, ..flags.clone() };
            self.pad(&format!("{sign}{prefix}{body}"), &plain);
        }
    }

    fn float(&mut self, float: f64, verb: char, flags: &Flags) -> bool {
        let magnitude = float.abs();
        let negative = float.is_sign_negative();
        let body = match verb {
            'v' => match flags.precision {
                Some(precision) => general(magnitude, precision),
                None => shortest(magnitude, GENERAL_DIGITS),
            },
            'g' | 'G' => match flags.precision {
                Some(precision) => general(magnitude, precision),
                None => shortest(magnitude, GENERAL_DIGITS),
            },
            'e' | 'E' => scientific(magnitude, flags.precision.unwrap_or(6)),
            'f' | 'F' => {
                let precision = flags.precision.unwrap_or(6);
                // More digits than a float has are zeros.
                let written = precision.min(1100);
                let mut text = format!("{magnitude:.written$}");
                text.push_str(&"0".repeat(precision.saturating_sub(written)));
                text
            }
            _ => return false,
        };
        let body = if matches!(verb, 'E' | 'G') { body.to_uppercase() } else { body };
        self.signed(body.trim_start_matches('+'), "", negative, flags, magnitude.is_finite());
        true
    }

    fn pad(&mut self, text: &str, flags: &Flags) {
        let missing = flags.width.unwrap_or(0).saturating_sub(text.chars().count());
        let padding = if flags.zero && !flags.minus { "0" } else { " " }.repeat(missing);
        if flags.minus {
            self.out.push_str(text);
            self.out.push_str(&padding);
        } else {
            self.out.push_str(&padding);
            self.out.push_str(text);
        }
    }
}

fn scientific(float: f64, precision: usize) -> String {
    let written = precision.min(1100);
    let text = format!("{float:.written$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let zeros = "0".repeat(precision.saturating_sub(written));
    format!("{mantissa}{zeros}e{}", exponent_text(exponent.parse().unwrap_or(0)))
}

/// `%g` with a precision: so many digits at most, without zeros at the end.
fn general(float: f64, precision: usize) -> String {
    let digits = precision.clamp(1, 1100);
    let text = format!("{float:.*e}", digits.saturating_sub(1));
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
    let most = i32::try_from(digits).unwrap_or(i32::MAX);
    if exponent < -4 || exponent >= most {
        return format!("{trimmed}e{}", exponent_text(exponent));
    }
    let decimals = usize::try_from(most.saturating_sub(1).saturating_sub(exponent)).unwrap_or(0);
    let text = format!("{float:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn quote_ascii(out: &mut String, text: &str) {
    let mut quoted = String::new();
    quote(&mut quoted, text);
    for it in quoted.chars() {
        let code = u32::from(it);
        match code {
            0..0x80 => out.push(it),
            0x80..0x1_0000 => out.push_str(&format!("\\u{code:04x}")),
            _ => out.push_str(&format!("\\U{code:08x}")),
        }
    }
}

fn type_name(argument: &Argument) -> &'static str {
    match argument {
        Argument::Int(_) => "int64",
        Argument::Big(_) => "*big.Int",
        Argument::Float(_) => "float64",
        Argument::Text(_) => "string",
    }
}

fn take_int(arguments: &[Argument], next: &mut usize) -> Option<i64> {
    let argument = arguments.get(*next)?;
    *next = next.saturating_add(1);
    match argument {
        Argument::Int(int) if int.unsigned_abs() <= 1_000_000 => Some(*int),
        _ => None,
    }
}

fn take_number(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<usize> {
    let mut number = None;
    while let Some(digit) = chars.peek().and_then(|it| it.to_digit(10)) {
        let digit = usize::try_from(digit).unwrap_or(0);
        number = Some(number.unwrap_or(0_usize).saturating_mul(10).saturating_add(digit));
        chars.next();
    }
    number
}
