//! Fields of a message as proxy-wasm hosts hand them over: the number of pairs, the sizes of each, then names and values, each
//! with a zero behind it. Numbers have 32 bits, the lowest first.

/// A name and a value.
pub(crate) type Field<'a> = (&'a [u8], &'a [u8]);

/// Fields at most: Envoy takes 100 from a client if it is not told otherwise. The protocol has the say on how many it reads.
const MAX_FIELDS: usize = 4096;

/// Reads all fields, or nothing where the bytes are not what they ought to be.
pub(crate) fn read(bytes: &[u8]) -> Option<Vec<Field<'_>>> {
    let (count, mut sizes) = take_number(bytes)?;
    if count > MAX_FIELDS {
        return None;
    }
    let mut texts = sizes.get(count.checked_mul(8)?..)?;
    let mut fields = Vec::with_capacity(count);
    for _ in 0..count {
        let (name, value);
        (name, sizes) = take_number(sizes)?;
        (value, sizes) = take_number(sizes)?;
        let field = (take_text(&mut texts, name)?, take_text(&mut texts, value)?);
        fields.push(field);
    }
    Some(fields)
}

/// Writes fields as a host reads them.
pub(crate) fn write(fields: &[(&str, &str)]) -> Vec<u8> {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
    let mut out = number(fields.len()).to_vec();
    for (name, value) in fields {
        out.extend_from_slice(&number(name.len()));
        out.extend_from_slice(&number(value.len()));
    }
    for (name, value) in fields {
        for text in [name, value] {
            out.extend_from_slice(text.as_bytes());
            out.push(0);
        }
    }
    out
}

/// The value of the first field of a name.
pub(crate) fn find<'a>(fields: &[Field<'a>], name: &str) -> Option<&'a [u8]> {
    fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| *value)
}

fn take_number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((usize::try_from(u32::from_le_bytes(*number)).ok()?, rest))
}

fn take_text<'a>(texts: &mut &'a [u8], size: usize) -> Option<&'a [u8]> {
    let (text, rest) = texts.split_at_checked(size)?;
    let (zero, rest) = rest.split_first()?;
    *texts = rest;
    (*zero == 0).then_some(text)
}
