//! Documents are found by indexes: the same answers come as without, on random documents.

use std::time::{Duration, Instant};

use portcullis_rego::{Data, Dialect, EvalError, Input, Module, Program, Value, read_serde};
use serde_json::{Value as Json, json};

/// Rules `p`, each over `data.docs` and an input `{"want": ..., "other": ..., "group": ...}`.
const BODIES: [&str; 33] = [
    // As Gatekeeper's library has it.
    "p[x] { o := data.docs[_][n].items[x]; startswith(n, \"b\"); o.rules[_].host == input.want; not same(o, input) }",
    "p[x] { want := input.want; o := data.docs[x][_].items[_]; o.rules[_].host == want }",
    // In place, and by other names.
    "p[x] { data.docs[x][_].items[_].rules[_].host == input.want }",
    "p[[x, y]] { data.docs[x][_].items[y].name == input.want }",
    "p[x] { data.docs[x][_].items[_].rules[i].host = input.want; i > 0 }",
    "p[x] { h := data.docs[x][_].items[_].rules[_].host; h == input.want }",
    "p[x] { h := data.docs[_][x].items[_].rules[_]; g := h.host; g == input.want }",
    "p[x] { some o in data.docs[x][_].items; some r in o.rules; r.host == input.want }",
    "p[x] { input.want == data.docs[x][_].items[_].name }",
    "p[x] { o := data.docs[x][_].items[_]; input.want == o.rules[_].host }",
    "p[x] { o := data.docs[x][_].items[_]; o.name = input.want }",
    "p[x] { o := data.docs[x][_].items[_]; o.rules[_] == {\"host\": input.want} }",
    "p[x] { o := data.docs[x][_].items[_]; o.name == 1 }",
    "p[x] { o := data.docs[x][_].items[_]; o.name == false }",
    "p[x] { o := data.docs[x][_].items[_]; o.name == null; o.rules }",
    // Variables that are bound, or bound again.
    "p[x] { g := input.group; o := data.docs[g][_].items[x]; o.name == input.want }",
    "p[x] { o := data.docs[x][x].items[_]; o.name == input.want }",
    "p[[x, k]] { o := data.docs[x][_].items[_]; o.labels[k] == input.want }",
    "p[[x, k]] { k := input.other; o := data.docs[x][_].items[_]; o.labels[k] == input.want }",
    "p[[x, y]] { a := data.docs[x][_].items[_]; b := data.docs[y][_].items[_]; a.name == b.rules[_].host; x != y }",
    "p[x] { o := data.docs[x][_].items[_]; o.name == o.labels.a }",
    "p[x] { w := [input.want, input.other][_]; o := data.docs[x][_].items[_]; o.name == w; o.rules[_].host == w }",
    // What may fail in between does so all the same.
    "p[x] { o := data.docs[x][_].items[_]; twofold(o, input) > 0; o.name == input.want }",
    "p[x] { o := data.docs[x][_].items[_]; c := {k: 1 | k := o.rules[_].host}; count(c) > 0; o.name == input.want }",
    "p[x] { o := data.docs[x][_].items[_]; c := {o.kind: v | v := o.rules[_].host}; count(c) > 0; o.name == input.want }",
    "p[x] { o := data.docs[x][_].items[_]; size(o) > 0; o.name == input.want }",
    "p[x] { o := data.docs[x][_].items[_]; n := 1 / o.weight; o.name == input.want; n > 0 }",
    // Within other things.
    "p = c { c := [x | data.docs[x][_].items[_].rules[_].host == input.want] }",
    "p = c { c := [x | data.docs[_][_].items[x].name == input.want][0] }",
    "p { not taken(input.want) }\ntaken(w) { data.docs[_][_].items[_].rules[_].host == w }",
    "p { every w in [input.want, input.other] { data.docs[_][_].items[_].name == w } }",
    "p[x] { o := data.docs[x][_].items[_] with input.want as \"a\"; o.name == input.want }",
    "p[x] { r[x] with data.docs.q as {\"b\": {\"items\": [{\"name\": input.want}]}} }\nr[x] { data.docs[x][_].items[_].name == input.want }",
];

const REST: &str = "
import future.keywords
same(o, i) { o.name == i.other }
twofold(o, i) = 1 { o.name }
twofold(o, i) = 2 { o.name == i.other }
size(o) = n { r := o.rules; n := count(r) }
q = v { v := p with data.unrelated as 0 }
";

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// Values that are alike, and some that only look so.
    fn value(&mut self) -> Json {
        let all = [
            json!("a"),
            json!("b"),
            json!("c"),
            json!(1),
            json!(1.0),
            json!("1"),
            json!(9_007_199_254_740_993_u64),
            json!(9_007_199_254_740_992.0),
            json!(false),
            json!(null),
            json!(["a"]),
            json!({"host": "a"}),
        ];
        let at = if self.below(3) == 0 { self.below(12) } else { self.below(3) };
        all[usize::try_from(at).unwrap()].clone()
    }

    fn name(&mut self) -> String {
        let names = ["a", "b", "c", "d"];
        names[usize::try_from(self.below(4)).unwrap()].to_owned()
    }

    fn item(&mut self) -> Json {
        if self.below(12) == 0 {
            return self.value();
        }
        let mut item = json!({"kind": "k", "weight": self.below(2)});
        if self.below(4) > 0 {
            item["name"] = self.value();
        }
        if self.below(4) > 0 {
            item["rules"] = (0..self.below(4)).map(|_| json!({"host": self.value()})).collect();
        }
        if self.below(3) > 0 {
            item["labels"] = json!({self.name(): self.value(), self.name(): self.value()});
        }
        item
    }

    fn documents(&mut self) -> Json {
        let mut docs = json!({});
        for _ in 0..self.below(4) {
            let mut group = json!({});
            for _ in 0..self.below(4) {
                let items: Json = (0..self.below(4)).map(|_| self.item()).collect();
                let named = json!({self.name(): self.item(), self.name(): self.item()});
                group[self.name()] = json!({"items": if self.below(2) == 0 { items } else { named }});
            }
            docs[self.name()] = group;
        }
        match self.below(20) {
            0 => json!([docs]),
            1 => self.value(),
            _ => docs,
        }
    }
}

fn evaluate(program: &Program, rule: &str, input: &Input) -> Result<Option<Value>, EvalError> {
    program.evaluate(rule, input, Instant::now() + Duration::from_secs(60))
}

#[test]
fn answers_are_those_of_a_scan() {
    const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut random = Random(SEED);
    let programs: Vec<Program> = BODIES
        .iter()
        .map(|body| {
            let text = format!("package t\n{REST}\n{body}");
            let module = Module { name: "policy.rego", text: &text };
            Program::compile(&[module], Dialect::V0).unwrap_or_else(|faults| panic!("{body}: {faults:?}"))
        })
        .collect();
    let mut found = vec![0; BODIES.len()];
    let mut failed = 0;
    for round in 0..300 {
        let docs = random.documents();
        let data = Data::from_value(read_serde(&json!({"docs": docs.clone()})));
        let programs: Vec<Program> = programs.iter().map(|program| program.with_data(&data)).collect();
        for _ in 0..3 {
            let mut input = json!({"other": random.value(), "group": random.name()});
            if random.below(10) > 0 {
                input["want"] = random.value();
            }
            let given = Input::from_value(read_serde(&input));
            for (at, program) in programs.iter().enumerate() {
                let scanned = evaluate(program, "data.t.q", &given);
                let message = |sought| format!("{} (round {round}): {sought:?}\n{docs}\n{input}", BODIES[at]);
                let sought = evaluate(program, "data.t.p", &given);
                assert_eq!(sought, scanned, "{}", message(&sought));
                // What follows after an error, or after other values, is the same again.
                assert_eq!(evaluate(program, "data.t.p", &given), scanned, "{}", message(&sought));
                failed += usize::from(scanned.is_err());
                found[at] += usize::from(match scanned {
                    Ok(Some(Value::Set(items))) => !items.is_empty(),
                    Ok(Some(Value::Array(items))) => !items.is_empty(),
                    Ok(value) => value.is_some(),
                    Err(_) => true,
                });
            }
        }
    }
    // Neither are all of them empty, nor do all fail.
    let idle: Vec<_> = found.iter().zip(BODIES).filter(|(count, _)| **count == 0).collect();
    assert!(idle.is_empty(), "{idle:?}");
    assert!(failed > 10, "{failed}");
}

#[test]
fn an_index_goes_with_the_version_of_the_documents() {
    let text = "package t\np[n] { o := data.docs[n]; o.host == input.host }";
    let program = Program::compile(&[Module { name: "policy.rego", text }], Dialect::V0).unwrap();
    let input = Input::from_value(read_serde(&json!({"host": "a"})));
    let names = |data: &Data| {
        let found = evaluate(&program.with_data(data), "data.t.p", &input).unwrap().unwrap();
        serde_json::to_value(&found).unwrap()
    };
    let mut data = Data::new();
    assert_eq!(names(&data), json!([]));
    data.insert(&["docs", "one"], read_serde(&json!({"host": "a"})));
    assert_eq!(names(&data), json!(["one"]));
    let before = data.clone();
    data.insert(&["docs", "two"], read_serde(&json!({"host": "a"})));
    assert_eq!(names(&data), json!(["one", "two"]));
    data.remove(&["docs", "one"]);
    assert_eq!(names(&data), json!(["two"]));
    assert_eq!(names(&before), json!(["one"]));
}

#[test]
fn threads_share_an_index() {
    let text = "package t\np[n] { o := data.docs[n]; o.host == input.host }";
    let program = Program::compile(&[Module { name: "policy.rego", text }], Dialect::V0).unwrap();
    let docs: serde_json::Map<String, Json> =
        (0..2000).map(|n| (format!("d{n}"), json!({"host": format!("h{}", n % 500)}))).collect();
    let program = program.with_data(&Data::from_value(read_serde(&json!({"docs": docs}))));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let program = &program;
            scope.spawn(move || {
                for n in 0..500 {
                    let host = format!("h{}", (n + thread * 100) % 500);
                    let input = Input::from_value(read_serde(&json!({"host": host})));
                    let Some(Value::Set(found)) = evaluate(program, "data.t.p", &input).unwrap() else { panic!() };
                    assert_eq!(found.len(), 4);
                }
            });
        }
    });
}

#[test]
fn what_is_too_large_for_an_index_is_gone_through() {
    // More values than an index may have.
    let names: Vec<String> = (0..300).map(|n| format!("v{n}")).collect();
    let docs: Vec<Json> = (0..900).map(|n| json!({"id": n, "names": names})).collect();
    let text = "package t\np[d.id] { d := data.docs[_]; d.names[_] == input.name; d.id < 3 }";
    let program = Program::compile(&[Module { name: "policy.rego", text }], Dialect::V0).unwrap();
    let program = program.with_data(&Data::from_value(read_serde(&json!({"docs": docs}))));
    for name in ["v0", "v299", "none"] {
        let input = Input::from_value(read_serde(&json!({"name": name})));
        let Some(Value::Set(found)) = evaluate(&program, "data.t.p", &input).unwrap() else { panic!() };
        assert_eq!(found.len(), if name == "none" { 0 } else { 3 });
    }
}

#[test]
fn an_index_is_made_within_the_limits_of_who_needs_it() {
    let docs: Vec<Json> = (0..5000).map(|n| json!({"id": n})).collect();
    let text = "package t\np { data.docs[_].id == input.id }";
    let program = Program::compile(&[Module { name: "policy.rego", text }], Dialect::V0).unwrap();
    let program = program.with_data(&Data::from_value(read_serde(&json!({"docs": docs}))));
    let input = Input::from_value(read_serde(&json!({"id": 4999})));
    assert_eq!(program.evaluate("data.t.p", &input, Instant::now()), Err(EvalError::Deadline));
    assert_eq!(evaluate(&program, "data.t.p", &input), Ok(Some(Value::Bool(true))));
}
