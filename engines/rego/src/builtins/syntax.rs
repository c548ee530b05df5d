//! Regular expressions of Go, written so that they mean the same here.

/// How often a part may be repeated: Go's own limit.
const MAX_REPEAT: u32 = 1000;

/// Writes an expression of Go so that it means the same here: `\d`, `\w`, `\s` and `\b` are ASCII, and within a class `[`, `&&`,
/// `--` and `~~` are plain characters. There is none for what Go refuses and we would not.
pub(super) fn translate(pattern: &str) -> Option<String> {
    let mut out = String::with_capacity(pattern.len().saturating_add(16));
    let mut chars = pattern.chars().peekable();
    let mut in_class = false;
    let mut class_start = false;
    let mut after_repetition = false;
    while let Some(it) = chars.next() {
        let starts = class_start;
        class_start = false;
        let repeated = std::mem::take(&mut after_repetition);
        match it {
            '\\' => match chars.next() {
                Some('d') => out.push_str(if in_class { "0-9" } else { "[0-9]" }),
                Some('D') => out.push_str("[^0-9]"),
                Some('w') => out.push_str(if in_class { "0-9A-Za-z_" } else { "[0-9A-Za-z_]" }),
                Some('W') => out.push_str("[^0-9A-Za-z_]"),
                Some('s') => out.push_str(if in_class { r"\t\n\f\r " } else { r"[\t\n\f\r ]" }),
                Some('S') => out.push_str(r"[^\t\n\f\r ]"),
                Some('u' | 'U') => return None,
                Some('x') => {
                    out.push_str("\\x");
                    if chars.peek() == Some(&'{') {
                        let digits = read_braced(&mut chars)?;
                        out.push_str(&format!("{{{digits}}}"));
                    }
                }
                Some(name @ ('p' | 'P')) => push_class(&mut out, name, &mut chars)?,
                Some('b' | 'B') if !in_class && chars.peek() == Some(&'{') => return None,
                Some('b') if !in_class => out.push_str(r"(?-u:\b)"),
                Some('B') if !in_class => out.push_str(r"(?-u:\B)"),
                Some(plain @ ('<' | '>')) => out.push(plain),
                Some('Q') => {
                    let mut literal = String::new();
                    while let Some(it) = chars.next() {
                        if it == '\\' && chars.peek() == Some(&'E') {
                            chars.next();
                            break;
                        }
                        literal.push(it);
                    }
                    out.push_str(&escape(&literal));
                }
                Some(digit @ '0'..='7') if digit == '0' || chars.peek().is_some_and(|it| ('0'..='7').contains(it)) => {
                    let mut code = digit.to_digit(8).unwrap_or(0);
                    for _ in 0..2 {
                        match chars.peek().and_then(|it| it.to_digit(8)) {
                            Some(digit) => {
                                code = code.saturating_mul(8).saturating_add(digit);
                                chars.next();
                            }
                            None => break,
                        }
                    }
                    out.push_str(&format!("\\x{{{code:x}}}"));
                }
                Some(other) => {
                    out.push('\\');
                    out.push(other);
                }
                None => out.push('\\'),
            },
            '[' if !in_class => {
                in_class = true;
                class_start = true;
                out.push('[');
                if chars.peek() == Some(&'^') {
                    chars.next();
                    out.push('^');
                }
            }
            '[' if chars.peek() == Some(&':') => {
                let name: String = chars.by_ref().take_while(|it| *it != ']').collect();
                if !CLASSES.contains(&name.trim_start_matches(':').trim_start_matches('^').trim_end_matches(':')) {
                    return None;
                }
                out.push_str(&format!("[{name}]"));
            }
            '[' => out.push_str("\\["),
            ']' if in_class && starts => out.push_str("\\]"),
            ']' => {
                in_class = false;
                out.push(']');
            }
            '{' if !in_class => match repetition(chars.clone()) {
                None => out.push_str("\\{"),
                Some(counts) if repeated || counts.into_iter().flatten().any(|count| count > MAX_REPEAT) => {
                    return None;
                }
                Some(_) => {
                    out.push('{');
                    for it in chars.by_ref() {
                        out.push(it);
                        if it == '}' {
                            break;
                        }
                    }
                    after_repetition = true;
                    push_lazy(&mut out, &mut chars);
                }
            },
            '*' | '+' | '?' if !in_class => {
                if repeated {
                    return None;
                }
                out.push(it);
                after_repetition = true;
                push_lazy(&mut out, &mut chars);
            }
            '(' if !in_class && chars.peek() == Some(&'?') => {
                // Flags that only we have.
                let flags = chars.clone().skip(1).take_while(|it| it.is_ascii_alphabetic() || *it == '-');
                let named = matches!(chars.clone().nth(1), Some('P' | '<'));
                if !named && !flags.into_iter().all(|flag| matches!(flag, 'i' | 'm' | 's' | 'U' | '-')) {
                    return None;
                }
                out.push_str("(?");
                chars.next();
            }
            '&' | '~' if in_class => {
                out.push('\\');
                out.push(it);
            }
            '-' if in_class && chars.peek() == Some(&'-') => out.push_str("\\-"),
            _ => out.push(it),
        }
    }
    Some(out)
}

/// The names of classes of characters, as in `[[:alpha:]]`.
const CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];

/// The name or number that stands in braces, all of which are ASCII.
fn read_braced(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    chars.next();
    let inner: String = chars.by_ref().take_while(|it| *it != '}').collect();
    let name = inner.strip_prefix('^').unwrap_or(&inner);
    (!name.is_empty() && name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_')).then_some(inner)
}

/// A class of Unicode after `\p` or `\P`. Go knows general categories and scripts and no other property, and turns a class round by `^` too.
fn push_class(out: &mut String, name: char, chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<()> {
    if chars.peek() != Some(&'{') {
        out.push('\\');
        out.push(name);
        return Some(());
    }
    let inner = read_braced(chars)?;
    let (name, inner) = match (name, inner.strip_prefix('^')) {
        ('p', Some(rest)) => ('P', rest),
        ('P', Some(rest)) => ('p', rest),
        _ => (name, inner.as_str()),
    };
    let category = regex_automata::util::syntax::parse(&format!("\\p{{gc={inner}}}")).is_ok();
    let property = if category { "gc" } else { "sc" };
    out.push_str(&format!("\\{name}{{{property}={inner}}}"));
    Some(())
}

/// The `?` after a repetition that takes as little as it can.
fn push_lazy(out: &mut String, chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    if chars.next_if_eq(&'?').is_some() {
        out.push('?');
    }
}

/// The counts of `{2}`, `{2,}` or `{2,3}`; what else stands in braces is plain.
fn repetition(rest: impl Iterator<Item = char>) -> Option<[Option<u32>; 2]> {
    let mut closed = false;
    let inner: String = rest
        .take(32)
        .take_while(|it| {
            closed = *it == '}';
            !closed
        })
        .collect();
    let (least, most) = inner.split_once(',').unwrap_or((&inner, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !closed || least.is_empty() || !digits(least) || !digits(most) {
        return None;
    }
    let count = |text: &str| if text.is_empty() { None } else { Some(text.parse().unwrap_or(u32::MAX)) };
    Some([count(least), count(most)])
}

/// A text as an expression for itself.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::new();
    for it in text.chars() {
        // `\<` and `\>` would be the ends of a word.
        if it.is_ascii_punctuation() && !matches!(it, '<' | '>') {
            out.push('\\');
        }
        out.push(it);
    }
    out
}
