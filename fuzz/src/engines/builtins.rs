//! The functions of Rego, with any arguments.

use std::fmt::Write as _;
use std::sync::LazyLock;

use portcullis_rego::{Dialect, EvalError, Input, Module, Program, Value};

use super::rego::check_value;
use super::values::{Values, is_json};
use super::{STACK, gauge, most_in_use, on_a_small_stack, until};

/// Each function with how many arguments it takes. What tells the time is another each time.
const FUNCTIONS: &str = "abs/1 all/1 and/2 any/1 array.concat/2 array.flatten/1 array.reverse/1 array.slice/3 base64.decode/1 \
    base64.encode/1 base64.is_valid/1 base64url.decode/1 base64url.encode/1 base64url.encode_no_pad/1 bits.and/2 bits.lsh/2 \
    bits.negate/1 bits.or/2 bits.rsh/2 bits.xor/2 cast_array/1 cast_boolean/1 cast_null/1 cast_object/1 cast_set/1 cast_string/1 \
    ceil/1 concat/2 contains/2 count/1 crypto.sha256/1 div/2 endswith/2 equal/2 floor/1 format_int/2 glob.match/3 \
    glob.quote_meta/1 graph.reachable/2 gt/2 gte/2 hex.decode/1 hex.encode/1 indexof/2 indexof_n/2 internal.member_2/2 \
    internal.member_3/3 intersection/1 is_array/1 is_boolean/1 is_null/1 is_number/1 is_object/1 is_set/1 is_string/1 \
    json.filter/2 json.is_valid/1 json.marshal/1 json.patch/2 json.remove/2 json.unmarshal/1 lower/1 lt/2 lte/2 max/1 min/1 \
    minus/2 mul/2 neq/2 net.cidr_contains/2 net.cidr_contains_matches/2 net.cidr_expand/1 net.cidr_intersects/2 \
    net.cidr_is_valid/1 net.cidr_merge/1 net.cidr_overlap/2 numbers.range/2 numbers.range_step/3 object.filter/2 object.get/3 \
    object.keys/1 object.remove/2 object.subset/2 object.union/2 object.union_n/1 or/2 plus/2 product/1 re_match/2 \
    regex.find_all_string_submatch_n/3 regex.find_n/3 regex.is_valid/1 regex.match/2 regex.replace/3 regex.split/2 \
    regex.template_match/4 rem/2 replace/3 round/1 semver.compare/2 semver.is_valid/1 set_diff/2 sort/1 split/2 sprintf/2 \
    startswith/2 strings.any_prefix_match/2 strings.any_suffix_match/2 strings.count/2 strings.replace_n/2 strings.reverse/1 \
    strings.split_n/3 substring/3 sum/1 time.add_date/4 time.clock/1 time.date/1 time.diff/2 time.format/1 \
    time.parse_duration_ns/1 time.parse_ns/2 time.parse_rfc3339_ns/1 time.weekday/1 to_number/1 trim/2 trim_left/2 \
    trim_prefix/2 trim_right/2 trim_space/1 trim_suffix/2 type_name/1 union/1 units.parse/1 units.parse_bytes/1 upper/1 \
    urlquery.decode/1 urlquery.decode_object/1 urlquery.encode/1 urlquery.encode_object/1 uuid.parse/1 yaml.is_valid/1 \
    yaml.unmarshal/1";

/// A rule for each function: `data.calls.f0` and so on, of a list of arguments as input.
static CALLS: LazyLock<(Program, Vec<&str>)> = LazyLock::new(|| {
    let mut text = "package calls\n".to_owned();
    let functions: Vec<_> = FUNCTIONS.split_whitespace().collect();
    for (n, (name, arity)) in functions.iter().filter_map(|function| function.split_once('/')).enumerate() {
        let arguments: Vec<_> = (0..arity.parse().expect("a number")).map(|n: usize| format!("input[{n}]")).collect();
        // Functions that are operators have no names of their own.
        let name = name.strip_prefix("internal.member_").map_or(name, |_| "internal.member");
        let call = match (name, &arguments[..]) {
            ("internal.member", [item, list]) => format!("{item} in {list}"),
            ("internal.member", [key, item, list]) => format!("({key}, {item} in {list})"),
            _ => format!("{name}({})", arguments.join(", ")),
        };
        writeln!(text, "f{n} := x {{ x := {call} }}").expect("a text");
    }
    (compile(&text.replacen('\n', "\nimport future.keywords.in\n", 1), Dialect::V0), functions)
});

static LAWS: LazyLock<Program> = LazyLock::new(|| compile(include_str!("laws.rego"), Dialect::V1));

fn compile(text: &str, dialect: Dialect) -> Program {
    let program = Program::compile(&[Module { name: "fuzz.rego", text }], dialect);
    program.unwrap_or_else(|faults| panic!("{}", faults[0]))
}

/// Calls a function with any arguments, and looks whether what holds of all values holds of the first two.
pub(in super::super) fn run(data: &[u8]) {
    portcullis_rego::set_memory_gauge(gauge);
    let mut values = Values::new(data);
    let (program, functions) = &*CALLS;
    let n = usize::from(values.byte()) % functions.len();
    let (name, arity) = functions[n].split_once('/').expect("a number");
    let arguments: Vec<_> = (0..arity.parse().expect("a number")).map(|_: usize| values.next()).collect();
    on_a_small_stack(STACK, || {
        let rule = format!("data.calls.f{n}");
        let input = Input::from_value(Value::from(arguments.clone()));
        most_in_use();
        let [first, second] = [(); 2].map(|()| program.evaluate(&rule, &input, until()));
        assert!(most_in_use() <= super::rego::MOST, "`{name}` takes too much");
        match (&first, &second) {
            (Err(EvalError::Deadline), _) | (_, Err(EvalError::Deadline)) => {}
            _ => assert_eq!(first, second, "`{name}` of {arguments:?}"),
        }
        if let Ok(Some(value)) = &first {
            check_value(value);
        }
        let [a, b] = [0, 1].map(|n| arguments.get(n).cloned().unwrap_or_else(|| arguments[0].clone()));
        for (a, b) in [(&a, &b), (&b, &a)] {
            check_laws(a, b);
        }
    });
}

fn check_laws(a: &Value, b: &Value) {
    let input = Input::new().with("a", a.clone()).with("b", b.clone()).with("json", Value::from(is_json(a)));
    match LAWS.evaluate("data.laws.broken", &input, until()) {
        Ok(Some(Value::Set(broken))) => {
            let broken: Vec<_> = broken.iter().map(ToString::to_string).collect();
            assert!(broken.is_empty(), "{} is broken for {a} and {b}", broken.join(", "));
        }
        Ok(other) => panic!("the laws are {other:?}"),
        Err(EvalError::Deadline | EvalError::Memory) => {}
        Err(error @ EvalError::Failed(_)) => panic!("{error} for {a} and {b}"),
    }
}
