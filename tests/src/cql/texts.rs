//! Texts made from the corpus, each from a seed: other comments, case, quotes, white space, names and literals; tokens that
//! are missing, doubled or in another order; two texts in one; and expressions that nest.

use fastrand::Rng;

/// The text of a seed.
pub fn generate(corpus: &[String], seed: u64) -> Vec<u8> {
    let mut rng = Rng::with_seed(seed);
    let mut tokens = match rng.u8(0..10) {
        0..3 => cut(&with_expressions(&mut rng)),
        3 => splice(&cut(pick(&mut rng, corpus)), &cut(pick(&mut rng, corpus)), &mut rng),
        _ => cut(pick(&mut rng, corpus)),
    };
    for _ in 0..rng.u8(0..5) {
        // Most texts should still be accepted: what both refuse says little.
        if rng.u8(0..4) == 0 { change(&mut tokens, corpus, &mut rng) } else { vary(&mut tokens, &mut rng) }
    }
    let mut text = tokens.concat().into_bytes();
    match rng.u8(0..60) {
        0 => text.truncate(rng.usize(0..=text.len())),
        1 => {
            let at = rng.usize(0..=text.len());
            text.insert(at, rng.u8(..));
        }
        2 if !text.is_empty() => {
            text.remove(rng.usize(0..text.len()));
        }
        _ => {}
    }
    text
}

fn pick<'a>(rng: &mut Rng, from: &'a [String]) -> &'a str {
    &from[rng.usize(0..from.len())]
}

fn place(rng: &mut Rng, from: &[usize]) -> Option<usize> {
    (!from.is_empty()).then(|| from[rng.usize(0..from.len())])
}

fn word(rng: &mut Rng, from: &[&str]) -> String {
    from[rng.usize(0..from.len())].to_owned()
}

/// Cuts a text into words, literals, comments, signs, and what is between them. Roughly, for it is only about changing them.
fn cut(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let inner = &rest[first.len_utf8()..];
        let until = |end: &str| inner.find(end).map_or(rest.len(), |at| first.len_utf8() + at + end.len());
        let len = match first {
            '\'' => until("'"),
            '"' => until("\""),
            '$' if inner.starts_with('$') => inner[1..].find("$$").map_or(rest.len(), |at| at + 4),
            '-' if inner.starts_with('-') => until("\n"),
            '/' if inner.starts_with('/') => until("\n"),
            '/' if inner.starts_with('*') => until("*/"),
            _ if first.is_alphanumeric() => {
                rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len())
            }
            _ if first.is_whitespace() => rest.find(|letter: char| !letter.is_whitespace()).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (token, left) = rest.split_at(len);
        tokens.push(token.to_owned());
        rest = left;
    }
    tokens
}

fn is_word(token: &str) -> bool {
    token.starts_with(|first: char| first.is_ascii_alphabetic())
}

/// The beginning of one text and the end of another one, or one behind the other.
fn splice(one: &[String], other: &[String], rng: &mut Rng) -> Vec<String> {
    let between = word(rng, &["", " ", ";", "; ", " ; -- ", "\n", "/*", "*/", "'", "$$", "\""]);
    let (end, begin) = if rng.bool() { (rng.usize(0..=one.len()), rng.usize(0..=other.len())) } else { (one.len(), 0) };
    one[..end].iter().cloned().chain([between]).chain(other[begin..].iter().cloned()).collect()
}

/// Another text that Cassandra takes as well, mostly.
fn vary(tokens: &mut Vec<String>, rng: &mut Rng) {
    let at = |tokens: &[String], wanted: &dyn Fn(&str) -> bool, rng: &mut Rng| {
        let places: Vec<_> = (0..tokens.len()).filter(|&at| wanted(&tokens[at])).collect();
        place(rng, &places)
    };
    let is_blank = |token: &str| token.trim().is_empty();
    let is_name = |token: &str| is_word(token) && token.len() < 4 && !KEYWORDS.contains(&token.to_lowercase().as_str());
    match rng.u8(0..9) {
        0 => {
            for token in tokens.iter_mut().filter(|token| is_word(token)) {
                *token = recase(token, rng);
            }
        }
        1 | 2 => {
            if let Some(at) = at(tokens, &is_blank, rng) {
                tokens[at] = word(rng, &BLANKS[1..GOOD_BLANKS]);
            }
        }
        3 => {
            if let Some(at) = at(tokens, &|token| !is_word(token), rng) {
                tokens.insert(at, word(rng, &BLANKS[..GOOD_BLANKS]));
            }
        }
        4 | 5 => {
            if let Some(at) = at(tokens, &is_name, rng) {
                let name = if rng.u8(0..3) == 0 { word(rng, KEYWORDS) } else { name(rng) };
                tokens[at] = recase(&name, rng);
            }
        }
        6 => {
            if let Some(at) = at(tokens, &is_name, rng) {
                tokens[at] = format!("\"{}\"", tokens[at]);
            }
        }
        7 => {
            if let Some(at) = at(tokens, &|token| token.starts_with(['\'', '1', '2', '?', '5']), rng) {
                tokens[at] = if rng.bool() { word(rng, LITERALS) } else { term(rng, 2) };
            }
        }
        _ => {
            if let Some(at) = at(tokens, &is_name, rng) {
                tokens.insert(at, format!("{}.", word(rng, &["ks", "KS", "\"Ks\"", "system", "key"])));
            }
        }
    }
}

fn change(tokens: &mut Vec<String>, corpus: &[String], rng: &mut Rng) {
    if tokens.is_empty() {
        tokens.push("SELECT".to_owned());
    }
    let at = rng.usize(0..tokens.len());
    let words: Vec<usize> = (0..tokens.len()).filter(|&at| is_word(&tokens[at])).collect();
    let at_word = place(rng, &words).unwrap_or(at);
    match rng.u8(0..18) {
        0 => tokens[at_word] = recase(&tokens[at_word], rng),
        1 => {
            for token in tokens.iter_mut().filter(|token| is_word(token)) {
                *token = recase(token, rng);
            }
        }
        2 | 3 => tokens.insert(at, word(rng, BLANKS)),
        4 => {
            let blanks: Vec<_> = (0..tokens.len()).filter(|&at| tokens[at].trim().is_empty()).collect();
            if let Some(at) = place(rng, &blanks) {
                tokens[at] = word(rng, BLANKS);
            }
        }
        5 => tokens[at_word] = format!("\"{}\"", tokens[at_word]),
        6 => tokens[at_word] = word(rng, QUOTED),
        7 => tokens[at_word] = word(rng, KEYWORDS),
        8 => tokens[at_word] = recase(&word(rng, KEYWORDS), rng),
        9 => tokens[at_word] = word(rng, NAMES),
        10 => drop(tokens.remove(at)),
        11 => tokens.insert(at, tokens[at].clone()),
        12 => {
            let other = rng.usize(0..tokens.len());
            tokens.swap(at, other);
        }
        13 => tokens.insert(at, word(rng, LITERALS)),
        14 => {
            let literals: Vec<_> = (0..tokens.len())
                .filter(|&at| tokens[at].starts_with(['\'', '1', '2', '?', '[', '{', '0', '5']))
                .collect();
            let at = place(rng, &literals).unwrap_or(at);
            tokens[at] = if rng.bool() { word(rng, LITERALS) } else { term(rng, 2) };
        }
        15 => tokens.insert(at, word(rng, SIGNS)),
        16 => {
            let other = cut(pick(rng, corpus));
            let from = rng.usize(0..other.len());
            let to = (from + rng.usize(1..6)).min(other.len());
            tokens.splice(at..at, other[from..to].iter().cloned());
        }
        _ => tokens
            .push(word(rng, &[";", ";;", " ", "\n", " -- x", " -- x\n", "/* x */", "; SELECT a FROM b", "\0", "}"])),
    }
}

fn recase(text: &str, rng: &mut Rng) -> String {
    match rng.u8(0..3) {
        0 => text.to_ascii_uppercase(),
        1 => text.to_ascii_lowercase(),
        _ => text
            .chars()
            .map(|letter| if rng.bool() { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() })
            .collect(),
    }
}

/// A statement around random expressions.
fn with_expressions(rng: &mut Rng) -> String {
    let deep = rng.u8(0..4);
    match rng.u8(0..12) {
        0..4 => format!("SELECT {} FROM ks.t", list(rng, |rng| selector(rng, deep))),
        4 => format!("SELECT {} AS x FROM t GROUP BY {}", selector(rng, deep), selector(rng, 1)),
        5 => format!("SELECT a FROM x.t WHERE b = {} AND c IN ({})", term(rng, deep), list(rng, |rng| term(rng, 1))),
        6 => format!("INSERT INTO ks.t (a) VALUES ({})", list(rng, |rng| term(rng, deep))),
        7 => format!("UPDATE t SET a = {}, b[{}] = {} WHERE c = 1", assigned(rng, deep), term(rng, 1), term(rng, 1)),
        8 => format!("CREATE TABLE ks.t (a {} PRIMARY KEY, b {})", data_type(rng, deep), data_type(rng, deep)),
        9 => format!(
            "CREATE FUNCTION ks.f (a {}) CALLED ON NULL INPUT RETURNS {} LANGUAGE java AS 'x'",
            data_type(rng, 2),
            data_type(rng, 1)
        ),
        10 => format!("SELECT a FROM t WHERE {} ORDER BY v ANN OF {}", relation(rng), term(rng, deep)),
        _ => format!("DELETE a[{}] FROM ks.t WHERE {} IF b = {}", term(rng, 1), relation(rng), term(rng, deep)),
    }
}

fn list(rng: &mut Rng, mut one: impl FnMut(&mut Rng) -> String) -> String {
    let count = rng.usize(1..4);
    let all: Vec<_> = (0..count).map(|_| one(rng)).collect();
    all.join(if rng.bool() { "," } else { ", " })
}

fn name(rng: &mut Rng) -> String {
    match rng.u8(0..10) {
        0 => word(rng, KEYWORDS),
        1 => word(rng, QUOTED),
        _ => word(rng, NAMES),
    }
}

fn function(rng: &mut Rng) -> String {
    match rng.u8(0..4) {
        0 => word(
            rng,
            &["now", "token", "count", "uuid", "toJson", "max", "f", "Values", "values", "\"Now\"", "\"now\""],
        ),
        1 => format!("{}.{}", name(rng), name(rng)),
        2 => name(rng),
        _ => word(rng, &["ks.f", "f", "KS.\"F\"", "system.now", "\"System\".now", "x.token", "ks.count", "ks.key"]),
    }
}

fn data_type(rng: &mut Rng, deep: u8) -> String {
    let Some(less) = deep.checked_sub(1) else {
        return word(
            rng,
            &["int", "text", "u", "ks.u", "\"U\"", "x.\"U\"", "date", "key", "uuid", "list", "int.u", "set"],
        );
    };
    match rng.u8(0..9) {
        0 => format!("list<{}>", data_type(rng, less)),
        1 => format!("SET < {} >", data_type(rng, less)),
        2 => format!("map<{}, {}>", data_type(rng, less), data_type(rng, less)),
        3 => format!("tuple<{}>", list(rng, |rng| data_type(rng, less))),
        4 => format!("frozen<{}>", data_type(rng, less)),
        5 => format!("vector<{}, 3>", data_type(rng, less)),
        6 => "'org.apache.cassandra.db.marshal.Int32Type'".to_owned(),
        7 => format!("{}.{}", name(rng), name(rng)),
        _ => data_type(rng, 0),
    }
}

fn operator(rng: &mut Rng) -> String {
    word(rng, &[" + ", "-", " - ", "*", " / ", "%", " -", "+"])
}

fn term(rng: &mut Rng, deep: u8) -> String {
    let Some(less) = deep.checked_sub(1) else { return word(rng, LITERALS) };
    match rng.u8(0..14) {
        0 => format!("[{}]", list(rng, |rng| term(rng, less))),
        1 => format!("{{{}}}", list(rng, |rng| term(rng, less))),
        2 => format!("{{{}: {}, {}: {}}}", term(rng, less), term(rng, less), term(rng, less), term(rng, less)),
        3 => format!("{{{}: {}, {}:{}}}", name(rng), term(rng, less), name(rng), term(rng, less)),
        4 => format!("({})", list(rng, |rng| term(rng, less))),
        5 | 6 => format!("{}({})", function(rng), list(rng, |rng| term(rng, less))),
        7 => format!("{}()", function(rng)),
        8 | 9 => format!("({}) {}", data_type(rng, less), term(rng, less)),
        10 => format!("CAST({} AS {})", term(rng, less), data_type(rng, 0)),
        11 => format!("{}{}{}", term(rng, less), operator(rng), term(rng, less)),
        12 => format!("-{}", term(rng, less)),
        _ => word(rng, LITERALS),
    }
}

fn assigned(rng: &mut Rng, deep: u8) -> String {
    match rng.u8(0..5) {
        0 => format!("a + {}", term(rng, deep)),
        1 => format!("{} + a", term(rng, deep)),
        2 => format!("a -{}", term(rng, deep)),
        3 => format!("a{}{}", operator(rng), term(rng, deep)),
        _ => term(rng, deep),
    }
}

fn selector(rng: &mut Rng, deep: u8) -> String {
    let Some(less) = deep.checked_sub(1) else {
        return if rng.bool() { name(rng) } else { word(rng, LITERALS) };
    };
    match rng.u8(0..19) {
        0 => format!("[{}]", list(rng, |rng| selector(rng, less))),
        1 => format!("{{{}}}", list(rng, |rng| selector(rng, less))),
        2 => format!("{{{}: {}}}", selector(rng, less), selector(rng, less)),
        3 | 4 => format!("({})", list(rng, |rng| selector(rng, less))),
        5 | 6 => format!("{}({})", function(rng), list(rng, |rng| selector(rng, less))),
        7 => format!("({}) {}", data_type(rng, less), selector(rng, less)),
        8 => format!("({}){}", selector(rng, 0), selector(rng, less)),
        9 => format!("CAST({} AS {})", selector(rng, less), data_type(rng, 0)),
        10 | 11 => format!("{}{}{}", selector(rng, less), operator(rng), selector(rng, less)),
        12 => format!("-{}", selector(rng, less)),
        13 => format!("{}.{}", selector(rng, less), name(rng)),
        14 => format!("{}[{}]", selector(rng, less), term(rng, less)),
        15 => format!("{}[{}..{}]", selector(rng, less), term(rng, 0), term(rng, 0)),
        16 => format!("writetime({})", selector(rng, less)),
        17 => format!("{}()", function(rng)),
        _ => name(rng),
    }
}

fn relation(rng: &mut Rng) -> String {
    match rng.u8(0..9) {
        0 => format!("({}) = ({})", list(rng, name), list(rng, |rng| term(rng, 1))),
        1 => format!("({} = {})", name(rng), term(rng, 1)),
        2 => format!("token({}) > {}", list(rng, name), term(rng, 2)),
        3 => format!("expr({}, {})", name(rng), term(rng, 2)),
        4 => format!("{} CONTAINS KEY {}", name(rng), term(rng, 2)),
        5 => format!("{} CONTAINS {}", name(rng), term(rng, 2)),
        6 => format!("{}[{}] = {}", name(rng), term(rng, 1), term(rng, 1)),
        7 => format!("({}) IN (({}))", list(rng, name), list(rng, |rng| term(rng, 1))),
        _ => format!("{} LIKE {}", name(rng), term(rng, 1)),
    }
}

const BLANKS: &[&str] = &[
    " ", "  ", "\t", "\n", "\r", "\r\n", "/**/", "/* x */", "/*/ x */", "/***/", "--\n", " -- x\n", "-- x\r", "//\n",
    "// '\n", "/* ' */", "/* -- */", "/* \" */", "-- ;\n", "/*\n*/", " -- /*\n", // Up to here they part words.
    "/*/", "", "--", "//", "/*", "*/", "\u{b}", "\u{c}", "\0", "\u{a0}", "\u{2028}", "\u{feff}", "#", "\\",
];

/// How many of the blanks Cassandra takes for such.
const GOOD_BLANKS: usize = 21;

const QUOTED: &[&str] = &[
    "\"a\"",
    "\"A\"",
    "\"ks\"",
    "\"Ks\"",
    "\"a\"\"b\"",
    "\"\"",
    "\"\"\"\"",
    "\"a.b\"",
    "\"select\"",
    "\"now\"",
    "\"é\"",
    "\"Ä\"",
    "\"a\\\"",
    "\"'\"",
    "'a'",
    "'A''b'",
    "$$R$$",
    "\" \"",
    "\"a\0\"",
    "\"\u{130}\"",
    "\"-- \"",
];

const NAMES: &[&str] = &[
    "a", "b", "t", "ks", "KS", "Mixed", "x_1", "P1", "P1Y", "P", "PT5", "P1Y2", "Pabc", "deadbeef", "abcdef12", "nan",
    "Nano", "infinity", "infinite", "e1", "true", "False", "expr", "Expr", "EXPR", "z9", "_a", "é", "İ", "ſelect", "K",
    "system", "dateof", "y", "mo", "us", "schema", "byte", "date", "ns", "Pt1", "PT1H", "P1W", "xp", "E5", "n", "i",
    "na", "in_", "nanx",
];

const LITERALS: &[&str] = &[
    "1",
    "-1",
    "0",
    "1.5",
    "-1.5",
    "1.",
    "1e5",
    "1E-5",
    "1.e5",
    "1e",
    "00",
    "'x'",
    "''",
    "'it''s'",
    "'\\'",
    "$$x$$",
    "$$$$",
    "$$$x$$",
    "$$ ' \" -- $$",
    "0x",
    "0xAB",
    "0xg",
    "-0x1",
    "true",
    "FALSE",
    "null",
    "NaN",
    "-nan",
    "-NaNo",
    "Infinity",
    "-infinity",
    "- infinity",
    "?",
    ":a",
    ": b",
    ":key",
    ":\"A\"",
    ":1",
    "1h",
    "-1h30m",
    "1mo2d",
    "1us",
    "1µs",
    "1h 30m",
    "5s5",
    "1y2x",
    "P1Y",
    "P1Y2M3D",
    "P1DT5H",
    "PT5S",
    "-P1D",
    "-PT5M",
    "P3W",
    "P0001-02-03T04:05:06",
    "P0001-02-03",
    "P1",
    "PT",
    "P1Y1Y",
    "P1M1Y",
    "550e8400-e29b-41d4-a716-446655440000",
    "550E8400-E29B-41D4-A716-446655440000",
    "550e8400-e29b-41d4-a716-44665544000",
    "deadbeef-1",
    "12345678-1",
    "12345678",
    "1..2",
    "1...2",
    "[1]",
    "{}",
    "{1: 2}",
    "{a: 1}",
    "(1, 2)",
    "now()",
    "ks.f(1)",
    "f(1)",
    "(int) 1",
    "(ks.u) 1",
    "(u) {a: 1}",
    "-",
    "--1\n",
    "1--1\n",
    "- 1",
    "-a",
    "2-3",
    "1 -2",
    "'☃'",
    "'\0'",
    "''''",
    "'a",
    "$$a",
];

const SIGNS: &[&str] = &[
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "<",
    ">",
    "<=",
    ">=",
    "=",
    "!=",
    "!",
    "+",
    "-",
    "*",
    "/",
    "%",
    ",",
    ".",
    "..",
    "...",
    ":",
    ";",
    "?",
    "+=",
    "-=",
    "expr(",
    "EXPR(",
    "expr (",
    "\"",
    "'",
    "$$",
    "$",
    "@",
    "~",
    "\\",
    "|",
    "&",
    "^",
    "`",
    "\u{1f600}",
    "\u{ff08}",
];

const KEYWORDS: &[&str] = &[
    "select",
    "from",
    "where",
    "and",
    "keys",
    "entries",
    "full",
    "insert",
    "update",
    "with",
    "limit",
    "using",
    "use",
    "set",
    "begin",
    "unlogged",
    "batch",
    "apply",
    "truncate",
    "delete",
    "in",
    "create",
    "schema",
    "keyspace",
    "keyspaces",
    "table",
    "columnfamily",
    "tables",
    "materialized",
    "view",
    "index",
    "custom",
    "on",
    "to",
    "drop",
    "primary",
    "into",
    "values",
    "timestamp",
    "ttl",
    "cast",
    "alter",
    "rename",
    "add",
    "type",
    "types",
    "compact",
    "storage",
    "order",
    "by",
    "asc",
    "desc",
    "allow",
    "filtering",
    "if",
    "is",
    "contains",
    "group",
    "cluster",
    "internals",
    "only",
    "grant",
    "all",
    "permission",
    "permissions",
    "of",
    "revoke",
    "modify",
    "authorize",
    "describe",
    "execute",
    "norecursive",
    "mbean",
    "mbeans",
    "user",
    "users",
    "role",
    "roles",
    "superuser",
    "password",
    "hashed",
    "login",
    "options",
    "access",
    "datacenters",
    "cidrs",
    "identity",
    "clustering",
    "ascii",
    "bigint",
    "blob",
    "boolean",
    "counter",
    "decimal",
    "double",
    "duration",
    "float",
    "inet",
    "int",
    "smallint",
    "tinyint",
    "text",
    "uuid",
    "varchar",
    "varint",
    "timeuuid",
    "token",
    "writetime",
    "maxwritetime",
    "date",
    "time",
    "null",
    "not",
    "exists",
    "map",
    "list",
    "nan",
    "infinity",
    "tuple",
    "trigger",
    "static",
    "frozen",
    "function",
    "functions",
    "aggregate",
    "aggregates",
    "sfunc",
    "stype",
    "finalfunc",
    "initcond",
    "returns",
    "called",
    "input",
    "language",
    "or",
    "replace",
    "json",
    "default",
    "unset",
    "like",
    "masked",
    "unmask",
    "select_masked",
    "vector",
    "ann",
    "between",
    "generated",
    "superusers",
    "key",
    "count",
    "distinct",
    "as",
    "per",
    "partition",
];
