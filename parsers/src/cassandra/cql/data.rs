//! Statements on rows: `SELECT`, `INSERT`, `UPDATE`, `DELETE`, `BATCH`, `TRUNCATE`, `USE`.

use super::expression::Mode;
use super::reader::{Path, Read, Reader};
use super::token::Tok;
use super::{Action, Kind, MAX_NESTING, SyntaxError};

impl Reader<'_, '_> {
    pub(super) fn select(&mut self) -> Read {
        for word in [Tok::Json, Tok::Distinct] {
            if self.tok() == word {
                // `json(a)` is a function for old versions, and for new ones a column in parentheses as JSON.
                if self.next.tok == Tok::Open {
                    return Err(SyntaxError { reason: "`json` or `distinct` before parentheses" });
                }
                if self.begins_selector() {
                    self.advance();
                }
            }
        }
        self.selectors()?;
        self.expect(Tok::From)?;
        self.table()?;
        if self.eat(Tok::Where) {
            self.conditions()?;
        }
        if self.eat(Tok::Group) {
            self.expect(Tok::By)?;
            self.each(|reader| reader.expression(Mode::Selector))?;
        }
        if self.eat(Tok::Order) {
            self.expect(Tok::By)?;
            self.each(Self::ordering)?;
        }
        if self.eat(Tok::Per) {
            self.expect_all([Tok::Partition, Tok::Limit])?;
            self.number()?;
        }
        if self.eat(Tok::Limit) {
            self.number()?;
        }
        if self.eat(Tok::Allow) {
            self.expect(Tok::Filtering)?;
        }
        Ok(())
    }

    /// Whether `JSON` or `DISTINCT` is followed by what is selected, and so is not a column itself.
    fn begins_selector(&self) -> bool {
        match self.next.tok {
            // A column that is called otherwise, rather than a column that is called `as`.
            Tok::As => false,
            Tok::Star | Tok::Minus | Tok::OpenSquare | Tok::OpenBrace | Tok::Token => true,
            Tok::Null | Tok::Question | Tok::Colon => true,
            tok => tok.is_constant() || tok.is_name(),
        }
    }

    /// `*`, or what is selected, with the names that it gets.
    pub(super) fn selectors(&mut self) -> Read {
        if self.eat(Tok::Star) {
            return Ok(());
        }
        self.each(|reader| {
            reader.expression(Mode::Selector)?;
            if reader.eat(Tok::As) { reader.name().map(drop) } else { Ok(()) }
        })
    }

    /// Elements with commas between them.
    pub(super) fn each(&mut self, mut element: impl FnMut(&mut Self) -> Read) -> Read {
        loop {
            element(self)?;
            if !self.eat(Tok::Comma) {
                return Ok(());
            }
        }
    }

    fn ordering(&mut self) -> Read {
        self.column()?;
        if self.eat(Tok::Ann) {
            self.expect(Tok::Of)?;
            self.term()?;
        }
        let _ = self.eat(Tok::Asc) || self.eat(Tok::Desc);
        Ok(())
    }

    pub(super) fn table(&mut self) -> Read {
        let path = self.path()?;
        self.main(Kind::Table, path)
    }

    /// A number or a marker.
    fn number(&mut self) -> Read {
        if self.eat(Tok::Integer) { Ok(()) } else { self.marker() }
    }

    fn marker(&mut self) -> Read {
        if self.eat(Tok::Question) {
            return Ok(());
        }
        self.expect(Tok::Colon)?;
        self.name().map(drop)
    }

    fn at_marker(&self) -> bool {
        matches!(self.tok(), Tok::Question | Tok::Colon)
    }

    /// What follows `WHERE`.
    pub(super) fn conditions(&mut self) -> Read {
        loop {
            if self.eat(Tok::Expr) {
                let name = self.name()?;
                self.also(Kind::Index, Path { keyspace: None, name })?;
                self.expect(Tok::Comma)?;
                self.term()?;
                self.expect(Tok::Close)?;
            } else {
                self.relation()?;
            }
            if !self.eat(Tok::And) {
                return Ok(());
            }
        }
    }

    /// A relation, maybe in parentheses.
    fn relation(&mut self) -> Read {
        let mut open = 0_usize;
        let mut is_tuple = false;
        while self.eat(Tok::Open) {
            let is_column = self.tok().is_name() || self.tok() == Tok::EmptyQuoted;
            if is_column && matches!(self.next.tok, Tok::Comma | Tok::Close) {
                is_tuple = true;
                self.each(Self::column)?;
                self.expect(Tok::Close)?;
                break;
            }
            open = open.saturating_add(1);
            if open > MAX_NESTING {
                return Err(SyntaxError { reason: "parentheses nested deeper than any sensible statement has them" });
            }
        }
        if is_tuple {
            self.tuple_relation()?;
        } else if self.tok() == Tok::Token {
            self.advance();
            self.list(Tok::Open, Tok::Close, Self::column)?;
            self.compared()?;
        } else {
            self.column()?;
            self.column_relation()?;
        }
        for _ in 0..open {
            self.expect(Tok::Close)?;
        }
        Ok(())
    }

    /// An operator and a term, or `BETWEEN` two of them.
    fn compared(&mut self) -> Read {
        if self.eat(Tok::Between) {
            self.term()?;
            self.expect(Tok::And)?;
            return self.term();
        }
        self.operator()?;
        self.term()
    }

    fn operator(&mut self) -> Read {
        let is_operator = matches!(
            self.tok(),
            Tok::Equal | Tok::Less | Tok::LessEqual | Tok::Greater | Tok::GreaterEqual | Tok::NotEqual
        );
        if !is_operator {
            return self.refuse();
        }
        self.advance();
        Ok(())
    }

    fn column_relation(&mut self) -> Read {
        match self.tok() {
            Tok::Like => {
                self.advance();
                self.term()
            }
            Tok::Is => {
                self.advance();
                self.expect_all([Tok::Not, Tok::Null])
            }
            Tok::Not => {
                self.advance();
                if self.tok() == Tok::In { self.among() } else { self.contained() }
            }
            Tok::In => self.among(),
            Tok::Contains => self.contained(),
            Tok::OpenSquare => {
                self.subscript()?;
                self.operator()?;
                self.term()
            }
            _ => self.compared(),
        }
    }

    /// `IN` a marker, or a list that may be empty.
    fn among(&mut self) -> Read {
        self.expect(Tok::In)?;
        if self.at_marker() {
            return self.marker();
        }
        if self.tok() == Tok::Open && self.next.tok == Tok::Close {
            self.advance();
            self.advance();
            return Ok(());
        }
        self.list(Tok::Open, Tok::Close, Self::term)
    }

    fn contained(&mut self) -> Read {
        self.expect(Tok::Contains)?;
        // `key.f(..)`, or a key and something that no term begins with.
        if self.tok() == Tok::Key && self.next.tok == Tok::Dot {
            return self.refuse();
        }
        self.eat(Tok::Key);
        self.term()
    }

    fn subscript(&mut self) -> Read {
        self.expect(Tok::OpenSquare)?;
        self.term()?;
        self.expect(Tok::CloseSquare)
    }

    fn tuple_relation(&mut self) -> Read {
        let negated = self.eat(Tok::Not);
        if negated && self.tok() != Tok::In {
            return self.refuse();
        }
        if self.tok() != Tok::In {
            if self.eat(Tok::Between) {
                self.tuple()?;
                self.expect(Tok::And)?;
            } else {
                self.operator()?;
            }
            return self.tuple();
        }
        self.advance();
        if self.at_marker() {
            return self.marker();
        }
        if self.tok() == Tok::Open && self.next.tok == Tok::Close {
            self.advance();
            self.advance();
            return Ok(());
        }
        self.list(Tok::Open, Tok::Close, Self::tuple)
    }

    /// A tuple of terms, or a marker for one.
    fn tuple(&mut self) -> Read {
        if self.at_marker() { self.marker() } else { self.list(Tok::Open, Tok::Close, Self::term) }
    }

    pub(super) fn insert(&mut self) -> Read {
        self.expect(Tok::Into)?;
        self.table()?;
        if self.eat(Tok::Json) {
            if !self.eat(Tok::String) {
                self.marker()?;
            }
            if self.eat(Tok::Default) && !self.eat(Tok::Null) {
                self.expect(Tok::Unset)?;
            }
        } else {
            self.list(Tok::Open, Tok::Close, Self::column)?;
            self.expect(Tok::Values)?;
            self.list(Tok::Open, Tok::Close, Self::term)?;
        }
        self.if_not_exists()?;
        self.using(true)
    }

    /// `USING TIMESTAMP .. AND TTL ..`, if it is there.
    fn using(&mut self, full: bool) -> Read {
        if !self.eat(Tok::Using) {
            return Ok(());
        }
        loop {
            if !(self.eat(Tok::Timestamp) || full && self.eat(Tok::Ttl)) {
                return self.refuse();
            }
            self.number()?;
            if !(full && self.eat(Tok::And)) {
                return Ok(());
            }
        }
    }

    pub(super) fn update(&mut self) -> Read {
        self.table()?;
        self.using(true)?;
        self.expect(Tok::Set)?;
        self.each(Self::assignment)?;
        self.expect(Tok::Where)?;
        self.conditions()?;
        self.only_if()
    }

    fn assignment(&mut self) -> Read {
        self.column()?;
        match self.tok() {
            Tok::PlusEqual | Tok::MinusEqual => {
                self.advance();
                self.term()
            }
            Tok::OpenSquare => {
                self.subscript()?;
                self.expect(Tok::Equal)?;
                self.term()
            }
            Tok::Dot => {
                self.advance();
                self.field()?;
                self.expect(Tok::Equal)?;
                self.term()
            }
            _ => {
                self.expect(Tok::Equal)?;
                self.expression(Mode::Assignment)
            }
        }
    }

    /// `IF EXISTS`, or `IF` and conditions.
    fn only_if(&mut self) -> Read {
        if !self.eat(Tok::If) {
            return Ok(());
        }
        let is_column = matches!(
            self.next.tok,
            Tok::Equal | Tok::Less | Tok::LessEqual | Tok::Greater | Tok::GreaterEqual | Tok::NotEqual
        ) || matches!(self.next.tok, Tok::In | Tok::Contains | Tok::OpenSquare | Tok::Dot);
        if self.tok() == Tok::Exists && !is_column {
            self.advance();
            return Ok(());
        }
        loop {
            self.column()?;
            match self.tok() {
                Tok::Contains => self.contained()?,
                Tok::In => self.among()?,
                Tok::OpenSquare => {
                    self.subscript()?;
                    self.part_condition()?;
                }
                Tok::Dot => {
                    self.advance();
                    self.field()?;
                    self.part_condition()?;
                }
                _ => {
                    self.operator()?;
                    self.term()?;
                }
            }
            if !self.eat(Tok::And) {
                return Ok(());
            }
        }
    }

    fn part_condition(&mut self) -> Read {
        if self.tok() == Tok::In {
            return self.among();
        }
        self.operator()?;
        self.term()
    }

    pub(super) fn delete(&mut self) -> Read {
        if self.tok() != Tok::From {
            self.each(|reader| {
                reader.column()?;
                match reader.tok() {
                    Tok::OpenSquare => reader.subscript(),
                    Tok::Dot => {
                        reader.advance();
                        reader.field()
                    }
                    _ => Ok(()),
                }
            })?;
        }
        self.expect(Tok::From)?;
        self.table()?;
        self.using(false)?;
        self.expect(Tok::Where)?;
        self.conditions()?;
        self.only_if()
    }

    /// Behind `BEGIN`: each statement of the batch is one of the script.
    pub(super) fn batch(&mut self) -> Read {
        let _ = self.eat(Tok::Unlogged) || self.eat(Tok::Counter);
        self.expect(Tok::Batch)?;
        self.using(true)?;
        let mut count = 0_usize;
        loop {
            self.begin_statement();
            let action = match self.tok() {
                Tok::Insert => Action::Insert,
                Tok::Update => Action::Update,
                Tok::Delete => Action::Delete,
                Tok::Apply => break,
                _ => return self.refuse(),
            };
            self.advance();
            match action {
                Action::Insert => self.insert()?,
                Action::Update => self.update()?,
                _ => self.delete()?,
            }
            count = count.saturating_add(1);
            #[cfg(feature = "mutants")]
            if count > 1 && super::mutants::is(super::mutants::Mutant::FirstOfBatch) {
                self.forget_statement();
                self.eat(Tok::Semicolon);
                continue;
            }
            self.end_statement(action)?;
            self.eat(Tok::Semicolon);
        }
        self.expect_all([Tok::Apply, Tok::Batch])?;
        if count == 0 {
            // Cassandra takes it, and nothing in it could be judged.
            return Err(SyntaxError { reason: "a batch without statements" });
        }
        Ok(())
    }

    pub(super) fn truncate(&mut self) -> Read {
        self.eat(Tok::Table);
        self.table()
    }

    pub(super) fn keyspace(&mut self) -> Read {
        let name = self.name()?;
        self.object(Kind::Keyspace, Some(name))
    }
}
