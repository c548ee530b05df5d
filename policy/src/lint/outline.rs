//! What a rule demands, as its protocol tells it: so that rules can be compared by a tool that knows no protocol.

/// What one rule demands of a request: all of it must be fulfilled for the rule to match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// The demands, one for each part of a request that the rule looks at.
    pub demands: Vec<Demand>,
    /// Why no request matches, where the protocol can tell.
    pub never: Option<String>,
}

/// A demand on one part of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// The part of the request: demands of two rules on the same part can be compared. A request without this part does
    /// not match.
    pub part: &'static str,
    /// The field of the rule that demands it.
    pub field: &'static str,
    /// What is demanded.
    pub wants: Wants,
}

/// What is demanded of a part of a request. Several texts are alternatives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wants {
    /// One of the kinds in this set, one bit for each.
    Kinds(u64),
    /// It is one of these.
    Exact(Vec<String>),
    /// It begins with one of these.
    Prefix(Vec<String>),
    /// It matches one of these expressions, by the meaning of the dialect.
    Regex {
        /// The expressions.
        texts: Vec<String>,
        /// The field that demands the same of a text by itself, where the protocol has one.
        exact: Option<&'static str>,
        /// The field that demands the same of a prefix, where the protocol has one.
        prefix: Option<&'static str>,
    },
}

impl Outline {
    /// The same, demanding that the part that the field is called after is this, if there is anything to demand.
    #[must_use]
    pub fn exact(self, field: &'static str, text: Option<&str>) -> Self {
        match text.filter(|text| !text.is_empty()) {
            Some(text) => self.demand(field, field, Wants::Exact(vec![text.to_owned()])),
            None => self,
        }
    }

    /// The same, demanding that the part that the field is called after matches this, if there is anything to demand.
    #[must_use]
    pub fn regex(self, field: &'static str, text: Option<&str>) -> Self {
        match text.filter(|text| !text.is_empty()) {
            Some(text) => {
                let wants = Wants::Regex { texts: vec![text.to_owned()], exact: None, prefix: None };
                self.demand(field, field, wants)
            }
            None => self,
        }
    }

    /// The same with one demand more.
    #[must_use]
    pub fn demand(mut self, part: &'static str, field: &'static str, wants: Wants) -> Self {
        self.demands.push(Demand { part, field, wants });
        self
    }
}
