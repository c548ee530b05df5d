//! The tokens of CQL, and which words are which.

/// What a token is. The order tells the groups apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Tok {
    End,
    /// What no token begins with, or what versions of Cassandra may cut in different ways.
    Bad,
    /// `""`, the name that only an old column may have.
    EmptyQuoted,

    Open,
    Close,
    OpenSquare,
    CloseSquare,
    OpenBrace,
    CloseBrace,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Equal,
    NotEqual,
    PlusEqual,
    MinusEqual,
    Plus,
    Minus,
    Star,
    Slash,
    Percent,
    Comma,
    Semicolon,
    Dot,
    Range,
    /// `expr(`: one token, in lower case and without a space.
    Expr,

    Colon,
    Question,
    Null,
    // Constants.
    String,
    Integer,
    Float,
    Boolean,
    Duration,
    Uuid,
    Hex,
    Nan,
    NegativeNan,
    Infinity,
    NegativeInfinity,

    // Words that are no names.
    Select,
    From,
    Where,
    And,
    Entries,
    Full,
    Insert,
    Update,
    With,
    Limit,
    Using,
    Use,
    Set,
    Begin,
    Unlogged,
    Batch,
    Apply,
    Truncate,
    Delete,
    In,
    Create,
    Schema,
    Keyspace,
    Table,
    Materialized,
    View,
    Index,
    On,
    To,
    Drop,
    Primary,
    Into,
    Alter,
    Rename,
    Add,
    Order,
    By,
    Asc,
    Desc,
    Allow,
    If,
    Is,
    Grant,
    Of,
    Revoke,
    Modify,
    Authorize,
    Describe,
    Execute,
    Norecursive,
    Token,
    Not,
    Or,

    // What may be a name.
    Ident,
    Quoted,
    // Words that may also name functions and types.
    Keys,
    As,
    Cluster,
    Clustering,
    Compact,
    Storage,
    Tables,
    Type,
    Types,
    Values,
    Map,
    List,
    Filtering,
    Permission,
    Permissions,
    Keyspaces,
    All,
    User,
    Users,
    Role,
    Roles,
    Superusers,
    Identity,
    Superuser,
    Nosuperuser,
    Login,
    Nologin,
    Options,
    Password,
    Generated,
    Hashed,
    Exists,
    Custom,
    Trigger,
    Contains,
    Internals,
    Only,
    Static,
    Frozen,
    Tuple,
    Function,
    Functions,
    Aggregate,
    Aggregates,
    Sfunc,
    Stype,
    Finalfunc,
    Initcond,
    Returns,
    Language,
    Called,
    Input,
    Like,
    Per,
    Partition,
    Group,
    Datacenters,
    Cidrs,
    Access,
    Default,
    Mbean,
    Mbeans,
    Replace,
    Unset,
    Masked,
    Unmask,
    SelectMasked,
    Vector,
    Ann,
    Between,
    // Built-in types, which may also name functions.
    Ascii,
    Bigint,
    Blob,
    BooleanType,
    Counter,
    Decimal,
    Double,
    DurationType,
    FloatType,
    Inet,
    Int,
    Smallint,
    Text,
    Timestamp,
    Tinyint,
    UuidType,
    Varchar,
    Varint,
    Timeuuid,
    Date,
    Time,
    // Words that may name neither.
    Ttl,
    Count,
    Writetime,
    Maxwritetime,
    Key,
    Cast,
    Json,
    Distinct,
}

impl Tok {
    pub(super) fn is_constant(self) -> bool {
        (Self::String..=Self::NegativeInfinity).contains(&self)
    }

    /// A word that is no keyword, a quoted name, or a keyword that is not reserved.
    pub(super) fn is_name(self) -> bool {
        self >= Self::Ident
    }

    /// A keyword that may stand where a name does.
    pub(super) fn is_unreserved(self) -> bool {
        self > Self::Quoted
    }

    /// A keyword whose spelling is kept where it names a function.
    pub(super) fn is_basic(self) -> bool {
        (Self::Keys..=Self::Between).contains(&self)
    }

    pub(super) fn is_native_type(self) -> bool {
        (Self::Ascii..=Self::Time).contains(&self)
    }

    /// What may follow the keyspace of a function, or stand alone and be one.
    pub(super) fn is_function_name(self) -> bool {
        (Self::Ident..Self::Ttl).contains(&self) || matches!(self, Self::Token | Self::Count)
    }

    /// The keyword that a word is, whatever its case; [`Tok::Ident`] if it is none.
    ///
    /// The caller has packed the word with [`pack`] while it looked for its end.
    pub(super) fn of_word(word: &[u8], packed: u64) -> Self {
        let mut slot = slot(packed);
        while let Some(Some(entry)) = TABLE.get(slot) {
            // What is longer than eight letters was not packed as a whole.
            if entry.packed == packed && entry.word.len() == word.len() {
                let is_equal = word.len() <= 8 || entry.word.as_bytes().eq_ignore_ascii_case(word);
                return if is_equal { entry.tok } else { Self::Ident };
            }
            slot = slot.wrapping_add(1) % SLOTS;
        }
        Self::Ident
    }
}

/// Adds a byte of a word to what was packed of it: the last eight of them are kept, in lower case.
pub(super) const fn pack(packed: u64, byte: u8) -> u64 {
    (packed << 8) | (byte | 0x20) as u64
}

/// Where the search for a word begins.
const fn slot(packed: u64) -> usize {
    (packed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 55) as usize % SLOTS
}

struct Entry {
    packed: u64,
    word: &'static str,
    tok: Tok,
}

#[cfg_attr(
    not(test),
    expect(clippy::indexing_slicing, reason = "filled while compiling: a mistake here does not build")
)]
static TABLE: [Option<Entry>; SLOTS] = {
    let mut table = [const { None }; SLOTS];
    let mut at = 0;
    while at < WORDS.len() {
        let (word, tok) = WORDS[at];
        let mut packed = 0;
        let mut byte = 0;
        while byte < word.len() {
            packed = pack(packed, word.as_bytes()[byte]);
            byte += 1;
        }
        let mut place = slot(packed);
        while table[place].is_some() {
            place = (place + 1) % SLOTS;
        }
        table[place] = Some(Entry { packed, word, tok });
        at += 1;
    }
    table
};

/// A power of two, and so many that most words which are no keywords meet an empty one.
const SLOTS: usize = 512;

const WORDS: [(&str, Tok); 159] = [
    ("select", Tok::Select),
    ("from", Tok::From),
    ("where", Tok::Where),
    ("and", Tok::And),
    ("entries", Tok::Entries),
    ("full", Tok::Full),
    ("insert", Tok::Insert),
    ("update", Tok::Update),
    ("with", Tok::With),
    ("limit", Tok::Limit),
    ("using", Tok::Using),
    ("use", Tok::Use),
    ("set", Tok::Set),
    ("begin", Tok::Begin),
    ("unlogged", Tok::Unlogged),
    ("batch", Tok::Batch),
    ("apply", Tok::Apply),
    ("truncate", Tok::Truncate),
    ("delete", Tok::Delete),
    ("in", Tok::In),
    ("create", Tok::Create),
    ("schema", Tok::Schema),
    ("keyspace", Tok::Keyspace),
    ("table", Tok::Table),
    ("materialized", Tok::Materialized),
    ("view", Tok::View),
    ("index", Tok::Index),
    ("on", Tok::On),
    ("to", Tok::To),
    ("drop", Tok::Drop),
    ("primary", Tok::Primary),
    ("into", Tok::Into),
    ("alter", Tok::Alter),
    ("rename", Tok::Rename),
    ("add", Tok::Add),
    ("order", Tok::Order),
    ("by", Tok::By),
    ("asc", Tok::Asc),
    ("desc", Tok::Desc),
    ("allow", Tok::Allow),
    ("if", Tok::If),
    ("is", Tok::Is),
    ("grant", Tok::Grant),
    ("of", Tok::Of),
    ("revoke", Tok::Revoke),
    ("modify", Tok::Modify),
    ("authorize", Tok::Authorize),
    ("describe", Tok::Describe),
    ("execute", Tok::Execute),
    ("norecursive", Tok::Norecursive),
    ("token", Tok::Token),
    ("not", Tok::Not),
    ("or", Tok::Or),
    ("keys", Tok::Keys),
    ("as", Tok::As),
    ("cluster", Tok::Cluster),
    ("clustering", Tok::Clustering),
    ("compact", Tok::Compact),
    ("storage", Tok::Storage),
    ("tables", Tok::Tables),
    ("type", Tok::Type),
    ("types", Tok::Types),
    ("values", Tok::Values),
    ("map", Tok::Map),
    ("list", Tok::List),
    ("filtering", Tok::Filtering),
    ("permission", Tok::Permission),
    ("permissions", Tok::Permissions),
    ("keyspaces", Tok::Keyspaces),
    ("all", Tok::All),
    ("user", Tok::User),
    ("users", Tok::Users),
    ("role", Tok::Role),
    ("roles", Tok::Roles),
    ("superusers", Tok::Superusers),
    ("identity", Tok::Identity),
    ("superuser", Tok::Superuser),
    ("nosuperuser", Tok::Nosuperuser),
    ("login", Tok::Login),
    ("nologin", Tok::Nologin),
    ("options", Tok::Options),
    ("password", Tok::Password),
    ("generated", Tok::Generated),
    ("hashed", Tok::Hashed),
    ("exists", Tok::Exists),
    ("custom", Tok::Custom),
    ("trigger", Tok::Trigger),
    ("contains", Tok::Contains),
    ("internals", Tok::Internals),
    ("only", Tok::Only),
    ("static", Tok::Static),
    ("frozen", Tok::Frozen),
    ("tuple", Tok::Tuple),
    ("function", Tok::Function),
    ("functions", Tok::Functions),
    ("aggregate", Tok::Aggregate),
    ("aggregates", Tok::Aggregates),
    ("sfunc", Tok::Sfunc),
    ("stype", Tok::Stype),
    ("finalfunc", Tok::Finalfunc),
    ("initcond", Tok::Initcond),
    ("returns", Tok::Returns),
    ("language", Tok::Language),
    ("called", Tok::Called),
    ("input", Tok::Input),
    ("like", Tok::Like),
    ("per", Tok::Per),
    ("partition", Tok::Partition),
    ("group", Tok::Group),
    ("datacenters", Tok::Datacenters),
    ("cidrs", Tok::Cidrs),
    ("access", Tok::Access),
    ("default", Tok::Default),
    ("mbean", Tok::Mbean),
    ("mbeans", Tok::Mbeans),
    ("replace", Tok::Replace),
    ("unset", Tok::Unset),
    ("masked", Tok::Masked),
    ("unmask", Tok::Unmask),
    ("select_masked", Tok::SelectMasked),
    ("vector", Tok::Vector),
    ("ann", Tok::Ann),
    ("between", Tok::Between),
    ("ascii", Tok::Ascii),
    ("bigint", Tok::Bigint),
    ("blob", Tok::Blob),
    ("boolean", Tok::BooleanType),
    ("counter", Tok::Counter),
    ("decimal", Tok::Decimal),
    ("double", Tok::Double),
    ("duration", Tok::DurationType),
    ("float", Tok::FloatType),
    ("inet", Tok::Inet),
    ("int", Tok::Int),
    ("smallint", Tok::Smallint),
    ("text", Tok::Text),
    ("timestamp", Tok::Timestamp),
    ("tinyint", Tok::Tinyint),
    ("uuid", Tok::UuidType),
    ("varchar", Tok::Varchar),
    ("varint", Tok::Varint),
    ("timeuuid", Tok::Timeuuid),
    ("date", Tok::Date),
    ("time", Tok::Time),
    ("ttl", Tok::Ttl),
    ("count", Tok::Count),
    ("writetime", Tok::Writetime),
    ("maxwritetime", Tok::Maxwritetime),
    ("key", Tok::Key),
    ("cast", Tok::Cast),
    ("json", Tok::Json),
    ("distinct", Tok::Distinct),
    ("nan", Tok::Nan),
    ("infinity", Tok::Infinity),
    ("null", Tok::Null),
    ("true", Tok::Boolean),
    ("false", Tok::Boolean),
    ("columnfamily", Tok::Table),
    ("columnfamilies", Tok::Tables),
];
