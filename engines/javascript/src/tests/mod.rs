//! What scripts are told and what they answer, and what becomes of those that mean harm.

use std::time::{Duration, Instant};

use super::{Answer, EvalError, Fault, Files, Script};

mod answers;
mod article;
mod hostile;
mod isolation;

fn compile(text: &str) -> Result<Script, Fault> {
    Script::compile("rule.js", text, Files::default())
}

fn judge(script: &Script, review: &str) -> Result<Answer, EvalError> {
    script.evaluate(review.as_bytes(), Instant::now() + Duration::from_secs(20))
}

/// What a script says of a review of a Pod `web` with these images.
fn judge_images(script: &Script, images: &[&str]) -> Result<Answer, EvalError> {
    let containers: Vec<_> = images
        .iter()
        .enumerate()
        .map(|(at, image)| serde_json::json!({"name": at.to_string(), "image": image}))
        .collect();
    let review = serde_json::json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u1",
            "operation": "CREATE",
            "object": {"kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": containers}},
        },
    });
    judge(script, &review.to_string())
}

/// What a script of one function says of a Pod.
fn answer(text: &str) -> Result<Answer, EvalError> {
    judge_images(&compile(text).unwrap(), &["nginx"])
}
