//! Types that cannot cross, and other serialisers.

use std::collections::BTreeMap;

use mobula::prelude::*;
use serde::de::value::{Error as Plain, StrDeserializer};
use serde::{Deserialize, Serialize, Serializer};

use super::support::{get, start};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(i64),
    Text(String),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Number { value: i64 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Flattened {
    name: String,
    #[serde(flatten)]
    rest: BTreeMap<String, i64>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Skipping {
    first: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    second: Option<i64>,
    third: i64,
}

struct Refuses;

impl Serialize for Refuses {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("this one never crosses"))
    }
}

struct Taker;

#[mobula::actor]
impl Taker {
    pub fn new() -> Self {
        Taker
    }

    pub fn untagged(&self, value: Untagged) -> bool {
        value == Untagged::Number(1)
    }

    pub fn make(&self) -> Flattened {
        Flattened { name: "x".into(), rest: BTreeMap::from([("y".into(), 1)]) }
    }

    pub fn ping(&self) -> i64 {
        1
    }
}

#[mobula::test]
fn types_that_ask_the_format_are_refused_by_name_and_reason() {
    let _runtime = start();
    let flattened = Flattened { name: "x".into(), rest: BTreeMap::from([("y".into(), 1)]) };
    let error = mobula::put(&flattened).unwrap_err();
    assert!(error.is_invalid_argument(), "{error:?}");
    assert!(error.to_string().contains("Flattened") && error.to_string().contains("flatten"), "{error}");

    for (error, name) in [
        (mobula::get(&mobula::put(&Untagged::Text("x".into())).unwrap()).unwrap_err(), "Untagged"),
        (mobula::get(&mobula::put(&Tagged::Number { value: 1 }).unwrap()).unwrap_err(), "Tagged"),
    ] {
        assert!(error.is_invalid_argument(), "{error:?}");
        assert!(error.to_string().contains(name) && error.to_string().contains("`untagged`"), "{error}");
    }
}

#[mobula::test]
fn a_skipped_field_is_never_read_as_another_value() {
    let _runtime = start();
    let whole = Skipping { first: 1, second: Some(2), third: 3 };
    assert_eq!(mobula::get(&mobula::put(&whole).unwrap()).unwrap(), whole);
    // What is left out cannot be told from what follows: an error, or the value itself.
    let short = Skipping { first: 1, second: None, third: 3 };
    match mobula::put(&short).and_then(|object| mobula::get(&object)) {
        Ok(back) => assert_eq!(back, short),
        Err(error) => {
            assert!(error.is_invalid_argument() && error.to_string().contains("Skipping"), "{error:?}");
        }
    }
}

#[mobula::test]
fn arguments_and_results_that_cannot_cross_fail_their_call_only() {
    let _runtime = start();
    let taker = Taker::remote().unwrap();
    let error = get(&taker.untagged(Untagged::Number(1)).remote()).unwrap_err();
    assert!(error.to_string().contains("Untagged"), "{error}");
    let error = get(&taker.make().remote()).unwrap_err();
    assert!(error.is_task_failed(), "{error:?}");
    assert!(error.to_string().contains("Flattened") && error.to_string().contains("Taker::make"), "{error}");
    assert_eq!(get(&taker.ping().remote()).unwrap(), 1);
    let error = mobula::put(&Refuses).unwrap_err();
    assert!(error.is_invalid_argument() && error.to_string().contains("Refuses"), "{error}");
}

/// Writes a value with a serialiser that is not Mobula's.
struct Foreign<T>(T);

impl<T: Serialize> std::fmt::Display for Foreign<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.serialize(f)
    }
}

#[mobula::test]
fn other_serialisers_get_an_error_that_says_so() {
    let _runtime = start();
    let (taker, object, array) =
        (Taker::remote().unwrap(), mobula::put(&1).unwrap(), Array::from_slice(&[1u8]).unwrap());
    let refused = |value: &dyn std::fmt::Display| {
        use std::fmt::Write;
        assert!(write!(String::new(), "{value}").is_err());
    };
    refused(&Foreign(taker));
    refused(&Foreign(object));
    refused(&Foreign(array));
    let text = || StrDeserializer::<Plain>::new("00000000000000000000000000000000");
    for said in [
        ObjectRef::<i64>::deserialize(text()).unwrap_err().to_string(),
        ActorHandle::<Taker>::deserialize(text()).unwrap_err().to_string(),
        Array::<u8>::deserialize(text()).unwrap_err().to_string(),
    ] {
        assert!(said.contains("Mobula"), "{said}");
    }
}
