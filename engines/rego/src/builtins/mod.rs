//! The functions that every policy may call.
//!
//! Those that policies call all the time, that could grow without bound, or where regorus differs from OPA are our own. For the
//! rest regorus is asked.

mod collections;
mod documents;
mod encodings;
mod format;
mod network;
mod numbers;
mod patterns;
mod quantities;
mod strings;
mod syntax;
mod texts;
mod upstream;

use std::time::{SystemTime, UNIX_EPOCH};

use regorus::Value;

use crate::EvalError;
use crate::machine::Limits;

/// Why a function has no value.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The arguments are wrong; for OPA the call is undefined.
    Undefined,
    /// The evaluation ends.
    Error(EvalError),
}

impl From<EvalError> for Stop {
    fn from(error: EvalError) -> Self {
        Self::Error(error)
    }
}

pub(crate) type Done = Result<Value, Stop>;

/// What the functions of one evaluation have in common.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) limits: Limits,
    /// The time of the evaluation, the same at each call.
    now: Option<i64>,
}

impl Context {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, now: None }
    }

    /// Says that a function is about to look at so many bytes or elements.
    pub(crate) fn spend(&mut self, bytes: usize) -> Result<(), Stop> {
        const BYTES_PER_LOOK: usize = 4096;
        if bytes > BYTES_PER_LOOK {
            self.limits.look()?;
        }
        Ok(())
    }

    pub(crate) fn now(&mut self) -> i64 {
        *self.now.get_or_insert_with(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
        })
    }
}

#[derive(Debug)]
pub(crate) struct Builtin {
    pub(crate) name: &'static str,
    pub(crate) arity: usize,
    /// How many levels deeper than its arguments its value may be.
    pub(crate) adds_depth: u32,
    pub(crate) run: fn(&mut Context, &[Value]) -> Done,
}

pub(crate) fn find(name: &str) -> Option<&'static Builtin> {
    ALL.binary_search_by(|builtin| builtin.name.cmp(name)).ok().and_then(|at| ALL.get(at))
}

/// Whether OPA has a function of this name that is not here.
pub(crate) fn is_known_to_opa(name: &str) -> bool {
    const SINGLE: [&str; 5] = ["rand.intn", "regex.globs_match", "uri.is_valid", "uri.parse", "uuid.rfc4122"];
    const FAMILIES: [&str; 12] = [
        "io.jwt.",
        "crypto.",
        "graphql.",
        "providers.",
        "rego.",
        "http.",
        "net.",
        "graph.",
        "opa.",
        "strings.",
        "json.",
        "yaml.",
    ];
    SINGLE.contains(&name) || FAMILIES.iter().any(|family| name.starts_with(family))
}

/// A text as the value of a function, counted.
fn text_of(context: &mut Context, text: String) -> Done {
    context.limits.allocate(text.len())?;
    Ok(Value::from(text))
}

fn as_text(value: &Value) -> Result<&str, Stop> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(Stop::Undefined),
    }
}

/// A whole number.
fn as_int(value: &Value) -> Result<i64, Stop> {
    match value {
        Value::Number(number) if number.is_integer() => number.as_i64().ok_or(Stop::Undefined),
        _ => Err(Stop::Undefined),
    }
}

const fn builtin(name: &'static str, arity: usize, run: fn(&mut Context, &[Value]) -> Done) -> Builtin {
    Builtin { name, arity, adds_depth: 2, run }
}

/// One that makes a document of a text.
const fn reader(name: &'static str, arity: usize, run: fn(&mut Context, &[Value]) -> Done) -> Builtin {
    Builtin { name, arity, adds_depth: 1000, run }
}

/// In the order of their names.
static ALL: &[Builtin] = &[
    builtin("abs", 1, numbers::abs),
    builtin("all", 1, collections::all),
    builtin("and", 2, collections::and),
    builtin("any", 1, collections::any),
    builtin("array.concat", 2, collections::array_concat),
    builtin("array.flatten", 1, collections::array_flatten),
    builtin("array.reverse", 1, collections::array_reverse),
    builtin("array.slice", 3, collections::array_slice),
    builtin("base64.decode", 1, encodings::base64_decode),
    builtin("base64.encode", 1, encodings::base64_encode),
    builtin("base64.is_valid", 1, encodings::base64_is_valid),
    builtin("base64url.decode", 1, encodings::base64url_decode),
    builtin("base64url.encode", 1, encodings::base64url_encode),
    builtin("base64url.encode_no_pad", 1, encodings::base64url_encode_no_pad),
    builtin("bits.and", 2, |c, a| upstream::call(c, "bits.and", a)),
    builtin("bits.lsh", 2, numbers::bits_lsh),
    builtin("bits.negate", 1, |c, a| upstream::call(c, "bits.negate", a)),
    builtin("bits.or", 2, |c, a| upstream::call(c, "bits.or", a)),
    builtin("bits.rsh", 2, |c, a| upstream::call(c, "bits.rsh", a)),
    builtin("bits.xor", 2, |c, a| upstream::call(c, "bits.xor", a)),
    builtin("cast_array", 1, collections::cast_array),
    builtin("cast_boolean", 1, |_, a| only(a, |it| matches!(it, Value::Bool(_)))),
    builtin("cast_null", 1, |_, a| only(a, |it| matches!(it, Value::Null))),
    builtin("cast_object", 1, |_, a| only(a, |it| matches!(it, Value::Object(_)))),
    builtin("cast_set", 1, collections::cast_set),
    builtin("cast_string", 1, |_, a| only(a, |it| matches!(it, Value::String(_)))),
    builtin("ceil", 1, numbers::ceil),
    builtin("concat", 2, strings::concat),
    builtin("contains", 2, strings::contains),
    builtin("count", 1, collections::count),
    builtin("crypto.sha256", 1, encodings::sha256),
    builtin("div", 2, numbers::div),
    builtin("endswith", 2, strings::endswith),
    builtin("equal", 2, |_, a| compare(a, std::cmp::Ordering::is_eq)),
    builtin("floor", 1, numbers::floor),
    builtin("format_int", 2, numbers::format_int),
    builtin("glob.match", 3, patterns::glob_match),
    builtin("glob.quote_meta", 1, patterns::quote_meta),
    builtin("graph.reachable", 2, collections::reachable),
    builtin("graph.reachable_paths", 2, collections::reachable_paths),
    builtin("gt", 2, |_, a| compare(a, std::cmp::Ordering::is_gt)),
    builtin("gte", 2, |_, a| compare(a, std::cmp::Ordering::is_ge)),
    builtin("hex.decode", 1, encodings::hex_decode),
    builtin("hex.encode", 1, encodings::hex_encode),
    builtin("indexof", 2, strings::indexof),
    builtin("indexof_n", 2, strings::indexof_n),
    builtin("internal.member_2", 2, collections::member),
    builtin("internal.member_3", 3, collections::member_with_key),
    builtin("internal.template_string", 1, format::template),
    builtin("intersection", 1, collections::intersection),
    builtin("is_array", 1, |_, a| is(a, |it| matches!(it, Value::Array(_)))),
    builtin("is_boolean", 1, |_, a| is(a, |it| matches!(it, Value::Bool(_)))),
    builtin("is_null", 1, |_, a| is(a, |it| matches!(it, Value::Null))),
    builtin("is_number", 1, |_, a| is(a, |it| matches!(it, Value::Number(_)))),
    builtin("is_object", 1, |_, a| is(a, |it| matches!(it, Value::Object(_)))),
    builtin("is_set", 1, |_, a| is(a, |it| matches!(it, Value::Set(_)))),
    builtin("is_string", 1, |_, a| is(a, |it| matches!(it, Value::String(_)))),
    builtin("json.filter", 2, documents::json_filter),
    builtin("json.is_valid", 1, texts::json_is_valid),
    builtin("json.marshal", 1, texts::json_marshal),
    builtin("json.marshal_with_options", 2, texts::json_marshal_with_options),
    builtin("json.patch", 2, documents::json_patch),
    builtin("json.remove", 2, documents::json_remove),
    reader("json.unmarshal", 1, texts::json_unmarshal),
    builtin("lower", 1, strings::lower),
    builtin("lt", 2, |_, a| compare(a, std::cmp::Ordering::is_lt)),
    builtin("lte", 2, |_, a| compare(a, std::cmp::Ordering::is_le)),
    builtin("max", 1, collections::max),
    builtin("min", 1, collections::min),
    builtin("minus", 2, numbers::minus),
    builtin("mul", 2, numbers::mul),
    builtin("neq", 2, |_, a| compare(a, std::cmp::Ordering::is_ne)),
    builtin("net.cidr_contains", 2, network::contains),
    builtin("net.cidr_contains_matches", 2, network::contains_matches),
    builtin("net.cidr_expand", 1, network::expand),
    builtin("net.cidr_intersects", 2, network::intersects),
    builtin("net.cidr_is_valid", 1, network::is_valid),
    builtin("net.cidr_merge", 1, network::merge),
    builtin("net.cidr_overlap", 2, network::contains),
    builtin("numbers.range", 2, numbers::range),
    builtin("numbers.range_step", 3, numbers::range_step),
    builtin("object.filter", 2, documents::object_filter),
    builtin("object.get", 3, documents::object_get),
    builtin("object.keys", 1, documents::object_keys),
    builtin("object.remove", 2, documents::object_remove),
    builtin("object.subset", 2, documents::object_subset),
    builtin("object.union", 2, documents::object_union),
    builtin("object.union_n", 1, documents::object_union_n),
    builtin("or", 2, collections::or),
    builtin("plus", 2, numbers::plus),
    builtin("product", 1, numbers::product),
    builtin("re_match", 2, patterns::matches),
    builtin("regex.find_all_string_submatch_n", 3, patterns::find_all_submatches),
    builtin("regex.find_n", 3, patterns::find_n),
    builtin("regex.is_valid", 1, patterns::is_valid),
    builtin("regex.match", 2, patterns::matches),
    builtin("regex.replace", 3, patterns::replace),
    builtin("regex.split", 2, patterns::split),
    builtin("regex.template_match", 4, patterns::template_match),
    builtin("rem", 2, numbers::rem),
    builtin("replace", 3, strings::replace),
    builtin("round", 1, numbers::round),
    builtin("semver.compare", 2, strings::semver_compare),
    builtin("semver.is_valid", 1, strings::semver_is_valid),
    builtin("set_diff", 2, collections::set_diff),
    builtin("sort", 1, collections::sort),
    builtin("split", 2, strings::split),
    builtin("sprintf", 2, format::sprintf),
    builtin("startswith", 2, strings::startswith),
    builtin("strings.any_prefix_match", 2, strings::any_prefix_match),
    builtin("strings.any_suffix_match", 2, strings::any_suffix_match),
    builtin("strings.count", 2, strings::count),
    builtin("strings.replace_n", 2, strings::replace_n),
    builtin("strings.reverse", 1, strings::reverse),
    builtin("strings.split_n", 3, strings::split_n),
    builtin("substring", 3, strings::substring),
    builtin("sum", 1, numbers::sum),
    builtin("time.add_date", 4, |c, a| upstream::call(c, "time.add_date", a)),
    builtin("time.clock", 1, |c, a| upstream::call(c, "time.clock", a)),
    builtin("time.date", 1, |c, a| upstream::call(c, "time.date", a)),
    builtin("time.diff", 2, |c, a| upstream::call(c, "time.diff", a)),
    builtin("time.format", 1, |c, a| upstream::call(c, "time.format", a)),
    builtin("time.now_ns", 0, |c, _| Ok(Value::from(c.now()))),
    builtin("time.parse_duration_ns", 1, quantities::duration),
    builtin("time.parse_ns", 2, |c, a| upstream::call(c, "time.parse_ns", a)),
    builtin("time.parse_rfc3339_ns", 1, |c, a| upstream::call(c, "time.parse_rfc3339_ns", a)),
    builtin("time.weekday", 1, |c, a| upstream::call(c, "time.weekday", a)),
    builtin("to_number", 1, numbers::to_number),
    builtin("trace", 1, |_, _| Ok(Value::Bool(true))),
    builtin("trim", 2, strings::trim),
    builtin("trim_left", 2, strings::trim_left),
    builtin("trim_prefix", 2, strings::trim_prefix),
    builtin("trim_right", 2, strings::trim_right),
    builtin("trim_space", 1, strings::trim_space),
    builtin("trim_suffix", 2, strings::trim_suffix),
    builtin("type_name", 1, collections::type_name),
    builtin("union", 1, collections::union),
    builtin("units.parse", 1, |c, a| quantities::units(c, "units.parse", a)),
    builtin("units.parse_bytes", 1, |c, a| quantities::units(c, "units.parse_bytes", a)),
    builtin("upper", 1, strings::upper),
    builtin("urlquery.decode", 1, |c, a| upstream::call(c, "urlquery.decode", a)),
    builtin("urlquery.decode_object", 1, |c, a| upstream::call(c, "urlquery.decode_object", a)),
    builtin("urlquery.encode", 1, |c, a| upstream::call(c, "urlquery.encode", a)),
    builtin("urlquery.encode_object", 1, |c, a| upstream::call(c, "urlquery.encode_object", a)),
    builtin("uuid.parse", 1, quantities::uuid),
    builtin("yaml.is_valid", 1, texts::yaml_is_valid),
    reader("yaml.unmarshal", 1, texts::yaml_unmarshal),
];

fn only(arguments: &[Value], wanted: fn(&Value) -> bool) -> Done {
    arguments.first().filter(|it| wanted(it)).cloned().ok_or(Stop::Undefined)
}

fn is(arguments: &[Value], wanted: fn(&Value) -> bool) -> Done {
    Ok(Value::Bool(arguments.first().is_some_and(wanted)))
}

fn compare(arguments: &[Value], wanted: fn(std::cmp::Ordering) -> bool) -> Done {
    let [left, right] = arguments else { return Err(Stop::Undefined) };
    Ok(Value::Bool(wanted(order(left, right))))
}

/// OPA's order: objects come before sets, and regorus has it the other way round.
pub(crate) fn order(left: &Value, right: &Value) -> std::cmp::Ordering {
    match (left, right) {
        (Value::Object(_), Value::Set(_)) => std::cmp::Ordering::Less,
        (Value::Set(_), Value::Object(_)) => std::cmp::Ordering::Greater,
        _ => left.cmp(right),
    }
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn builtins_are_found_by_binary_search() {
        assert!(ALL.windows(2).all(|pair| pair[0].name < pair[1].name));
    }
}
