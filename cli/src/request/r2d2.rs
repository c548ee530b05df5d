//! `r2d2`: one line.

use super::{Asked, sent};
use crate::judge::Conversation;

pub(super) fn compose(fields: &Asked) -> Result<Conversation, String> {
    fields.check(&["cmd", "file"])?;
    let mut line = fields.one(&["cmd"])?.ok_or("`cmd` is missing: `READ`, `WRITE`, `HALT` or `RESET`")?.to_vec();
    if let Some(file) = fields.one(&["file"])? {
        line.push(b' ');
        line.extend_from_slice(file);
    }
    line.extend_from_slice(b"\r\n");
    Ok(sent(line))
}
