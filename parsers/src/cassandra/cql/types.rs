//! The types of columns, fields and arguments.

use super::Kind;
use super::reader::{Path, Read, Reader, Stack};
use super::token::Tok;

/// What a type that takes others still wants.
#[derive(Clone, Copy)]
enum Wants {
    /// The end.
    End,
    /// A comma, and one more type.
    Another,
    /// More types, as many as there are.
    More,
    /// A comma, and a number.
    Dimension,
}

impl Reader<'_, '_> {
    /// A type, with the user-defined ones in it.
    pub(super) fn data_type(&mut self) -> Read {
        let mut open = Stack::new(Wants::End);
        loop {
            let takes = self.next.tok == Tok::Less;
            match self.tok() {
                Tok::Map if takes => open.push(Wants::Another)?,
                Tok::List | Tok::Set | Tok::Frozen if takes => open.push(Wants::End)?,
                Tok::Tuple if takes => open.push(Wants::More)?,
                Tok::Vector if takes => open.push(Wants::Dimension)?,
                _ => {
                    self.simple_type()?;
                    if self.close_types(&mut open)? {
                        return Ok(());
                    }
                    continue;
                }
            }
            self.advance();
            self.advance();
        }
    }

    /// What follows a type inside others; whether all of them are complete.
    fn close_types(&mut self, open: &mut Stack<Wants>) -> Read<bool> {
        while let Some(wants) = open.top() {
            match (wants, self.tok()) {
                (Wants::Another, Tok::Comma) => {
                    self.advance();
                    open.turn(Wants::End);
                    return Ok(false);
                }
                (Wants::More, Tok::Comma) => {
                    self.advance();
                    return Ok(false);
                }
                (Wants::Dimension, Tok::Comma) => {
                    self.advance();
                    self.expect(Tok::Integer)?;
                    open.turn(Wants::End);
                }
                (Wants::End | Wants::More, Tok::Greater) => {
                    self.advance();
                    open.pop();
                }
                _ => return self.refuse(),
            }
        }
        Ok(true)
    }

    fn simple_type(&mut self) -> Read {
        if self.tok().is_native_type() && self.next.tok != Tok::Dot {
            self.advance();
            return Ok(());
        }
        if self.eat(Tok::String) {
            return self.object(Kind::CustomType, None);
        }
        let Path { keyspace, name } = self.path()?;
        self.type_name(keyspace, name)
    }

    /// Types between parentheses, or none.
    pub(super) fn argument_types(&mut self) -> Read {
        if self.tok() == Tok::Open && self.next.tok == Tok::Close {
            self.advance();
            self.advance();
            return Ok(());
        }
        self.list(Tok::Open, Tok::Close, Self::data_type)
    }
}
