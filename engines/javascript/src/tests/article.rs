//! A rule that was written for Pipy, as it was published.

use super::*;

fn denial(images: &[&str]) -> Option<String> {
    let script = compile(include_str!("../../../../envoy-config/admission/pipy/pipy-rule.js")).unwrap();
    let denial = judge_images(&script, images).unwrap().denial?;
    assert_eq!((denial.message.as_str(), denial.code), ("", 0));
    Some(denial.reason)
}

#[test]
fn its_three_results_come_out() {
    assert_eq!(denial(&["nginx:1.21.1"]).unwrap(), "nginx:1.21.1 repo not start with 192.168.64.1");
    assert_eq!(
        denial(&["192.168.64.1:5000/nginx:latest"]).unwrap(),
        "192.168.64.1:5000/nginx:latest tag end with :latest"
    );
    assert_eq!(denial(&["192.168.64.1:5000/nginx:1.21.1"]), None);
}

#[test]
fn the_first_container_is_told_and_its_repository_first() {
    assert_eq!(denial(&["nginx:latest"]).unwrap(), "nginx:latest repo not start with 192.168.64.1");
    assert_eq!(
        denial(&["192.168.64.1:5000/a:1", "192.168.64.1:5000/b:latest", "c:1", "d:latest"]).unwrap(),
        "192.168.64.1:5000/b:latest tag end with :latest"
    );
    assert_eq!(denial(&[]), None);
}

#[test]
fn what_it_logs_is_kept_apart() {
    let script = compile(include_str!("../../../../envoy-config/admission/pipy/pipy-rule.js")).unwrap();
    let logged = judge_images(&script, &["nginx:latest"]).unwrap().logged;
    let [reason, answer] = logged.as_slice() else { panic!("{logged:?}") };
    assert_eq!(reason, "nginx:latest repo not start with 192.168.64.1");
    assert!(answer.starts_with(r#"{"apiVersion":"admission.k8s.io/v1beta1""#), "{answer}");
}

#[test]
fn a_pod_it_was_not_written_for_is_an_error() {
    let script = compile(include_str!("../../../../envoy-config/admission/pipy/pipy-rule.js")).unwrap();
    for object in ["null", "{}", r#"{"spec":{"containers":[{"image":7}]}}"#, r#"{"spec":{"containers":[{}]}}"#] {
        let review = format!(r#"{{"request":{{"uid":"u1","object":{object}}}}}"#);
        assert!(matches!(judge(&script, &review), Err(EvalError::Failed(_))), "{object}");
    }
}

#[test]
fn its_port_is_not_listened_on() {
    let script = compile(include_str!("../../../../envoy-config/admission/pipy/pipy-rule.js")).unwrap();
    let [warning] = script.warnings() else { panic!("{:?}", script.warnings()) };
    assert!(warning.starts_with("`listen(6443)`: Envoy listens"), "{warning}");
}

#[test]
fn a_filter_that_is_not_there_is_named() {
    let fault = compile("pipy()\n .listen(1)\n .muxHTTP('a')").unwrap_err();
    assert_eq!(fault.message, "TypeError: `muxHTTP` of Pipy is not there");
    for (text, named) in [
        ("(config => pipy())(JSON.decode(pipy.load('config.json')))", "`pipy.load` of Pipy is not there"),
        ("pipy({port: os.env.PORT ?? 80})", "`os.env` of Pipy is not there"),
        ("pipy({cache: new algo.Cache()})", "algo is not defined"),
    ] {
        let fault = compile(text).unwrap_err();
        assert!(fault.message.contains(named), "{fault}");
    }
}

#[test]
fn files_other_than_certificates_are_those_it_was_loaded_with() {
    let text = "const list = os.readFile('/etc/list.txt').toString(); function validate() { return list }";
    let fault = compile(text).unwrap_err();
    assert!(fault.message.contains("no such file"), "{fault}");
    let files = [("/etc/list.txt".to_owned(), "from the list".to_owned())].into_iter().collect();
    let script = Script::compile("rule.js", text, files).unwrap();
    assert_eq!(judge_images(&script, &[]).unwrap().denial.unwrap().message, "from the list");
}

#[test]
fn only_a_good_response_is_an_answer() {
    let respond = |message: &str| answer(&format!("pipy().replaceMessage(msg => {message})"));
    let body = r#"'{"response":{"allowed":true}}'"#;
    assert!(respond(&format!("new Message({body})")).unwrap().denial.is_none());
    assert!(respond(&format!("new Message({{status: 200}}, {body})")).unwrap().denial.is_none());
    for message in [
        format!("new Message({{status: 500}}, {body})"),
        format!("new Message({{status: '200 '+'x'}}, {body})"),
        format!("({{body: {body}}})"),
        "new Message({status: 200})".to_owned(),
        "new Message({status: 200}, 'ok')".to_owned(),
        "msg".to_owned(),
        "undefined".to_owned(),
        body.to_owned(),
    ] {
        assert!(matches!(respond(&message), Err(EvalError::Failed(_))), "{message}");
    }
    // What no filter has replaced is the request, and no answer.
    assert!(answer("pipy().listen(1).decodeHTTPRequest().encodeHTTPResponse()").is_err());
}
