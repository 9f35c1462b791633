//! The worker's program has a class of the same name with another signature.

use super::support::get;
use super::{Shared, config};

#[mobula::test]
fn another_signature_is_refused_at_the_handshake_by_name() {
    let _runtime = mobula::init(config("joins")).unwrap();
    let error = match Shared::remote() {
        Ok(shared) => get(&shared.length("four").remote()).unwrap_err(),
        Err(error) => error,
    };
    let text = error.to_string();
    assert!(text.contains("signature") && text.contains("strangers::Shared"), "{text}");
    assert!(text.contains("build both from the same source"), "{text}");
}
