//! What a script may not even be written with.

/// Why a text is refused before the engine sees it, and where.
pub(crate) fn check(text: &str) -> Result<(), (u32, u32, String)> {
    if text.len() > MAX_SOURCE {
        return Err((1, 1, format!("the script has {} bytes: {MAX_SOURCE} are the most", text.len())));
    }
    let refused = text.find('\0').map(|at| (at, "a NUL byte does not belong into a script".to_owned()));
    match refused.or_else(|| find_big_int(text)) {
        None => Ok(()),
        Some((at, message)) => {
            let before = text.get(..at).unwrap_or_default();
            let line = before.matches('\n').count().saturating_add(1);
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count().saturating_add(1);
            Err((u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX), message))
        }
    }
}

/// The first integer of any size: `10n`. One sum of them can take minutes, and nothing stops it.
///
/// Where a text or comment begins is for the engine to tell; one that holds such a number is refused as well.
fn find_big_int(text: &str) -> Option<(usize, String)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    let mut rest = text;
    loop {
        let start = rest.find(is_word)?;
        let word_on = rest.get(start..)?;
        let end = word_on.find(|c| !is_word(c)).unwrap_or(word_on.len());
        let (word, after) = word_on.split_at_checked(end)?;
        if let Some(digits) = word.strip_suffix('n')
            && is_number(digits)
        {
            let at = text.len().saturating_sub(word_on.len());
            return Some((at, format!("`{}` is an integer of any size, and there are none", super::fault::tidy(word))));
        }
        rest = after;
    }
}

fn is_number(text: &str) -> bool {
    let digits = ["0x", "0X"].iter().find_map(|base| text.strip_prefix(base));
    text.starts_with(|c: char| c.is_ascii_digit())
        && match digits {
            Some(digits) => digits.chars().all(|c| c.is_ascii_hexdigit() || c == '_'),
            None => text.chars().all(|c| c.is_ascii_digit() || matches!(c, '_' | 'o' | 'O' | 'b' | 'B')),
        }
}

/// The longest script, in bytes. It is parsed for each engine that is made, which takes some 0.1 ms for each 4 KiB, and no clock is
/// looked at meanwhile.
const MAX_SOURCE: usize = 128 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_any_size_are_found() {
        for text in ["10n", "x=0xfFn", "0b1n**2n", "1_000n", "a\n  0o7n", "\"10n\"", "f(1n)"] {
            assert!(check(text).is_err(), "{text}");
        }
        for text in ["10", "a10n", "n", "0x", "10.5", "run1", "_1n", "$1n", "ein10n", "1.0e5", "x.y1n", "10nm", "é1n"]
        {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn the_place_is_told() {
        assert_eq!(check("a\n  é 10n").unwrap_err().0, 2);
        assert_eq!(check("a\n  é 10n").unwrap_err().1, 5);
        assert!(check(&" ".repeat(MAX_SOURCE)).is_ok());
        assert!(check(&" ".repeat(MAX_SOURCE + 1)).is_err());
        assert!(check("a\0").is_err());
    }
}
