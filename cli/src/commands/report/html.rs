//! HTML: what is safe to put into it.

use std::fmt::{self, Display, Write};

/// Text for HTML, whatever is in it: characters that HTML or a reader could misunderstand are written by number.
pub(super) struct Safe<'a>(pub(super) &'a str);

impl Display for Safe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // Control characters, and those that hide text or turn its direction.
                '\u{0}'..='\u{1f}'
                | '\u{7f}'..='\u{9f}'
                | '\u{ad}'
                | '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}' => write!(f, "<i>\\u{{{:x}}}</i>", u32::from(character))?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// A number with its thousands apart.
pub(super) struct Number(pub(super) u64);

impl Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (n, digit) in digits.chars().enumerate() {
            if n > 0 && digits.len().saturating_sub(n).is_multiple_of(3) {
                f.write_char('\u{202f}')?;
            }
            f.write_char(digit)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup() {
        let hostile = "<script>alert('x')</script>&amp;\"\u{202e}\u{0}\n\u{200b}é";
        let safe = Safe(hostile).to_string();
        assert_eq!(
            safe,
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;amp;&quot;<i>\\u{202e}</i><i>\\u{0}</i><i>\\u{a}</i><i>\\u{200b}</i>é"
        );
    }

    #[test]
    fn thousands_stand_apart() {
        let shown: Vec<_> = [0, 999, 1000, 1_234_567].map(|n| Number(n).to_string()).into();
        assert_eq!(shown, ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]);
    }
}
