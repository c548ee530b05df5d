//! Tables: `CREATE TABLE`, `ALTER TABLE`, and what stands in them.

use super::reader::{Read, Reader};
use super::schema::UNKNOWN;
use super::token::Tok;

impl Reader<'_, '_> {
    pub(super) fn create_table(&mut self) -> Read {
        self.if_not_exists()?;
        self.table()?;
        self.list_with_gaps(|reader| {
            if reader.tok() == Tok::Primary {
                return reader.primary_key();
            }
            reader.column_definition()?;
            if reader.eat(Tok::Primary) { reader.expect(Tok::Key) } else { Ok(()) }
        })?;
        self.table_properties(true)
    }

    /// `name type [STATIC] [MASKED WITH ..]`
    fn column_definition(&mut self) -> Read {
        self.field()?;
        self.data_type()?;
        self.eat(Tok::Static);
        if self.tok() == Tok::Masked { self.mask() } else { Ok(()) }
    }

    /// `MASKED WITH DEFAULT`, or a function and its arguments.
    fn mask(&mut self) -> Read {
        self.expect_all([Tok::Masked, Tok::With])?;
        if self.tok() == Tok::Default && !matches!(self.next.tok, Tok::Open | Tok::Dot) {
            self.advance();
            return Ok(());
        }
        let path = self.function_path()?;
        self.called(path)?;
        if self.tok() == Tok::Open && self.next.tok == Tok::Close {
            self.advance();
            self.advance();
            return Ok(());
        }
        self.list(Tok::Open, Tok::Close, Self::term)
    }

    /// `PRIMARY KEY (..)`
    pub(super) fn primary_key(&mut self) -> Read {
        self.expect_all([Tok::Primary, Tok::Key, Tok::Open])?;
        if self.tok() == Tok::Open {
            self.list(Tok::Open, Tok::Close, Self::field)?;
        } else {
            self.field()?;
        }
        while self.eat(Tok::Comma) {
            self.field()?;
        }
        self.expect(Tok::Close)
    }

    /// `WITH` what tables and views have, if it is there.
    pub(super) fn table_properties(&mut self, is_table: bool) -> Read {
        if !self.eat(Tok::With) {
            return Ok(());
        }
        loop {
            match (self.tok(), self.next.tok) {
                (Tok::Compact, Tok::Storage) if is_table => {
                    self.advance();
                    self.advance();
                }
                (Tok::Clustering, Tok::Order) => {
                    self.expect_all([Tok::Clustering, Tok::Order, Tok::By])?;
                    self.list(Tok::Open, Tok::Close, |reader| {
                        reader.field()?;
                        if reader.eat(Tok::Asc) { Ok(()) } else { reader.expect(Tok::Desc) }
                    })?;
                }
                _ => self.property()?,
            }
            if !self.eat(Tok::And) {
                return Ok(());
            }
        }
    }

    pub(super) fn alter_table(&mut self) -> Read {
        let tok = self.tok();
        self.advance();
        match tok {
            Tok::Alter => {
                let conditional = self.tok() == Tok::If;
                self.if_exists()?;
                self.column()?;
                match self.tok() {
                    Tok::Type if !conditional => {
                        self.advance();
                        self.data_type()
                    }
                    Tok::Drop => {
                        self.advance();
                        self.expect(Tok::Masked)
                    }
                    _ => self.mask(),
                }
            }
            Tok::Add => {
                self.if_not_exists()?;
                if self.tok() == Tok::Open {
                    return self.list(Tok::Open, Tok::Close, Self::column_definition);
                }
                self.column_definition()
            }
            Tok::Drop => {
                if self.tok() == Tok::Compact && self.next.tok == Tok::Storage {
                    return self.expect_all([Tok::Compact, Tok::Storage]);
                }
                self.if_exists()?;
                if self.tok() == Tok::Open {
                    self.list(Tok::Open, Tok::Close, Self::field)?;
                } else {
                    self.field()?;
                }
                if self.eat(Tok::Using) { self.expect_all([Tok::Timestamp, Tok::Integer]) } else { Ok(()) }
            }
            Tok::Rename => self.renames(),
            Tok::With => self.properties(),
            _ => Err(UNKNOWN),
        }
    }
}
