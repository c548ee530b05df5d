//! `cassandra`: the greeting of a connection of version 4, and one QUERY.

use portcullis_proxylib::Direction;

use super::Asked;
use crate::judge::Conversation;

pub(super) fn compose(fields: &Asked) -> Result<Conversation, String> {
    fields.check(&["query", "query_action", "query_table", "message"])?;
    let query = match fields.one(&["query"])? {
        Some(query) => query.to_vec(),
        None => statement(fields)?.into_bytes(),
    };
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| "the query is too long".to_owned());
    // A map of one text: "CQL_VERSION" is the one option that must be there (native_protocol_v4.spec, section 4.1.1).
    let startup = b"\x00\x01\x00\x0bCQL_VERSION\x00\x053.0.0";
    // "<query><consistency>[<flags>…]" (section 4.1.4): consistency ONE, no flags.
    let mut body = length(&query)?.to_be_bytes().to_vec();
    body.extend_from_slice(&query);
    body.extend_from_slice(&[0, 1, 0]);
    let envelope = |head: [u8; 5], body: &[u8]| -> Result<Vec<u8>, String> {
        Ok([&head[..], &length(body)?.to_be_bytes(), body].concat())
    };
    Ok(vec![
        (Direction::Orig, envelope([0x04, 0, 0, 0, STARTUP], startup)?),
        (Direction::Reply, envelope([0x84, 0, 0, 0, READY], b"")?),
        (Direction::Orig, envelope([0x04, 0, 0, 1, QUERY], &body)?),
    ])
}

const STARTUP: u8 = 0x01;
const READY: u8 = 0x02;
const QUERY: u8 = 0x07;

/// A statement that does this and no more.
fn statement(fields: &Asked) -> Result<String, String> {
    let text = |name| -> Result<Option<String>, String> {
        let value = fields.one(&[name])?.map(|value| String::from_utf8(value.to_vec()));
        value.transpose().map_err(|_| format!("`{name}` is no text"))
    };
    let action =
        text("query_action")?.ok_or("`query` is missing: a statement of CQL; or `query_action`, and `query_table`")?;
    let table = text("query_table")?.unwrap_or_default();
    let (_, before, after) = STATEMENTS.iter().find(|(name, ..)| *name == action).ok_or_else(|| {
        let names: Vec<_> = STATEMENTS.iter().map(|(name, ..)| *name).collect();
        format!("no statement is made for `{action}`, only for `{}`; give it as `query`", names.join("`, `"))
    })?;
    if table.is_empty() {
        return Err(format!("`{action}` needs a `query_table`"));
    }
    Ok(format!("{before}{table}{after}"))
}

const STATEMENTS: &[(&str, &str, &str)] = &[
    ("select", "SELECT * FROM ", ""),
    ("insert", "INSERT INTO ", " (k) VALUES (1)"),
    ("update", "UPDATE ", " SET v = 1 WHERE k = 1"),
    ("delete", "DELETE FROM ", " WHERE k = 1"),
    ("truncate-table", "TRUNCATE TABLE ", ""),
    ("create-table", "CREATE TABLE ", " (k int PRIMARY KEY)"),
    ("alter-table", "ALTER TABLE ", " ADD v int"),
    ("drop-table", "DROP TABLE ", ""),
    ("use", "USE ", ""),
    ("drop-keyspace", "DROP KEYSPACE ", ""),
];
