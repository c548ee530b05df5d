//! Which statement a text is.

use super::reader::{Read, Reader};
use super::token::Tok;
use super::{Action, SyntaxError};

impl Reader<'_, '_> {
    /// Reads the whole text.
    pub(super) fn read(&mut self) -> Read {
        let tok = self.tok();
        self.advance();
        if tok == Tok::Begin {
            self.mark_batch();
            self.batch()?;
            return self.finish();
        }
        self.begin_statement();
        let action = self.statement(tok)?;
        self.end_statement(action)?;
        self.finish()
    }

    /// The statement that begins with this token.
    fn statement(&mut self, tok: Tok) -> Read<Action> {
        match tok {
            Tok::Select => self.select().map(|()| Action::Select),
            Tok::Insert => self.insert().map(|()| Action::Insert),
            Tok::Update => self.update().map(|()| Action::Update),
            Tok::Delete => self.delete().map(|()| Action::Delete),
            Tok::Use => self.keyspace().map(|()| Action::Use),
            Tok::Truncate => self.truncate().map(|()| Action::TruncateTable),
            Tok::Create => self.create(),
            Tok::Alter => self.alter(),
            Tok::Drop => self.drop(),
            Tok::Grant => self.grant(false),
            Tok::Revoke => self.grant(true),
            Tok::List => self.list_roles(),
            Tok::Add => self.add_identity().map(|()| Action::AddIdentity),
            Tok::Describe | Tok::Desc => self.describe().map(|()| Action::Describe),
            Tok::End => Err(SyntaxError { reason: "no statement" }),
            Tok::Bad => Err(SyntaxError { reason: "a text that begins with no token" }),
            _ => Err(SyntaxError { reason: "a kind of statement that is not known" }),
        }
    }
}
