use super::*;
use crate::compile::compile;
use crate::{Dialect, Module};

/// What is sought in each scan of a module, as `base > inner`, where `_` is any key.
fn seeks(body: &str) -> Vec<String> {
    let text = format!("package t\nimport future.keywords\n{body}");
    let compiled = compile(&[Module { name: "policy.rego", text: &text }], Dialect::V0);
    let code = compiled.unwrap_or_else(|faults| panic!("{body}: {faults:?}")).code;
    let mut found = Vec::new();
    for rule in code.nodes.iter().flat_map(|node| &node.rules) {
        collect(&rule.body, &mut found);
    }
    found
}

fn collect(code: &[Instr], found: &mut Vec<String>) {
    let show = |path: &Path| {
        let keys = path.iter().map(|key| match key {
            Some(Value::String(text)) => text.to_string(),
            Some(other) => other.to_string(),
            None => "_".to_owned(),
        });
        keys.collect::<Vec<_>>().join(".")
    };
    for instr in code {
        match instr {
            Instr::Seek(seek) => found.push(format!("{} > {}", show(&seek.shape.base), show(&seek.shape.inner))),
            Instr::Not(body) | Instr::With(_, body) | Instr::Every { body, .. } => collect(body, found),
            Instr::Match(Term::Compr(compr), _) => collect(&compr.body, found),
            _ => {}
        }
    }
}

#[test]
fn equalities_are_found() {
    let cases = [
        // Gatekeeper's unique host of an Ingress.
        (
            "p[n] { host := input.host; o := data.inventory.namespace[_][v][\"Ingress\"][n]; \
             re_match(\"^a/.+$\", v); o.spec.rules[_].host == host; not f(o) }\nf(o) { o.x }",
            "inventory.namespace._._.Ingress._ > spec.rules._.host",
        ),
        ("p[n] { data.d[n].spec.rules[_].host == input.host }", "d._.spec.rules._ > host"),
        ("p[n] { o := data.d[n]; o.name == input.name }", "d._ > name"),
        ("p[n] { o := data.d[n]; input.name == o.name }", "d._ > name"),
        ("p[n] { o := data.d[n]; x := o.a[_]; y := x.b; y == input.name }", "d._ > a._.b"),
        ("p[n] { some o in data.d; some r in o.rules; r.host == input.host; n := o.n }", "d._ > rules._.host"),
        ("p[n] { g := input.g; o := data.d[g][n]; o.name == \"a\" }", "d._._ > name"),
        ("p[n] { o := data.d[n]; f(o); o.name == input.name }\nf(o) { o.a == 1 }\nf(o) { o.a == 2 }", "d._ > name"),
        ("p { not q(1) }\nq(n) { data.d[_].n == n }", "d._ > n"),
        ("p = c { c := [n | data.d[n].x == input.x] }", "d._ > x"),
        ("p[n] { a := data.d[n]; b := data.e[_]; a.x == b.y }", "e._ > y"),
    ];
    for (body, wanted) in cases {
        assert_eq!(seeks(body), [wanted], "{body}");
    }
}

#[test]
fn what_an_index_would_change_is_left_alone() {
    let cases = [
        // Nothing is known before the scan, or nothing is open.
        "p[n] { o := data.d[n]; o.a == o.b }",
        "p[n] { o := data.d[n]; x := 1 + o.a; o.b == x }",
        "p { data.d.a.b == input.x }",
        // What lies in between may fail.
        "p[n] { o := data.d[n]; f(o) > 0; o.a == input.a }\nf(o) = 1 { o.b }\nf(o) = 2 { o.c }",
        "p[n] { o := data.d[n]; x := {k: v | v := o.b[k]}; count(x) > 0; o.a == input.a }",
        "p[n] { o := data.d[n]; data.t.q; o.a == input.a }\nq = 1 { input.x }\nq = 2 { input.y }",
        // Not a document, or perhaps not.
        "p[n] { o := data.t.q[n]; o == input.a }\nq[x] { x := input.b[_] }",
        "p[n] { o := data[n].a; o == input.a }",
        "p[n] { o := data.d[80][n]; o.a == input.a }",
        // Bound by the same reference.
        "p[n] { data.d[n][n].a == input.a }",
        // Something else than an equality.
        "p[n] { o := data.d[n]; o.a != input.a }",
        "p[n] { o := data.d[n]; not o.a == input.a }",
        "p[n] { o := data.d[n] with input.x as 1; o.a == input.a }",
    ];
    for body in cases {
        assert_eq!(seeks(body), [""; 0], "{body}");
    }
}
