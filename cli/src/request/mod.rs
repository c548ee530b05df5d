//! Makes the bytes of a request from its fields, one small composer for each protocol.
//!
//! What is made goes through the parser like any other bytes: a composer that made something else would be seen in what is told
//! of the request.

mod cassandra;
mod memcache;
mod r2d2;
mod text;

use portcullis_proxylib::Direction;

use crate::judge::Conversation;

pub(crate) use text::{parse_hex, unescape, unescape_log};

/// The fields of a request, with the values of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked(Vec<(String, Vec<Vec<u8>>)>);

/// Makes what is sent, given the protocol and the fields.
pub(crate) fn compose(protocol: &str, fields: &Asked) -> Result<Conversation, String> {
    let compose = match protocol {
        "r2d2" => r2d2::compose,
        "memcache" => memcache::compose,
        "cassandra" => cassandra::compose,
        other => return Err(format!("requests of `{other}` cannot be made from fields; give their bytes")),
    };
    compose(fields)
}

/// What the client sends by itself.
pub(crate) fn sent(bytes: Vec<u8>) -> Conversation {
    vec![(Direction::Orig, bytes)]
}

impl Asked {
    pub(crate) fn add(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => values.push(value.into()),
            None => self.0.push((name.to_owned(), vec![value.into()])),
        }
    }

    /// All values of a field that has one of these names.
    fn all(&self, names: &[&str]) -> Vec<&[u8]> {
        let named = self.0.iter().filter(|(name, _)| names.contains(&name.as_str()));
        named.flat_map(|(_, values)| values).map(Vec::as_slice).collect()
    }

    /// The one value of a field that has one of these names.
    fn one(&self, names: &[&str]) -> Result<Option<&[u8]>, String> {
        match self.all(names).as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            _ => Err(format!("`{}` is given more than once", names.join("`, `"))),
        }
    }

    /// Refuses fields that nobody looks at.
    fn check(&self, known: &[&str]) -> Result<(), String> {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((unknown, _)) => Err(format!("unknown field `{unknown}`; there are `{}`", known.join("`, `"))),
            None => Ok(()),
        }
    }
}
